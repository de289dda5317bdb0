//! Converts declarations from Keras 3 to Keras 2.

use std::borrow::Cow;

use netc_ir::{Attr, Attrs, Layer, Module};

use crate::config::classes::{self, is_own};
use crate::config::keys::{ACTIVATIONS, RENAMED};
use crate::config::version::{KERAS_2, KerasVersion, is_legacy};
use crate::error::{Problem, Result};
use crate::legacy::keras2::{self, Said};

/// The reader of the converted declarations.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// tf.keras 2.15, which rejects unknown keys.
    Keras2,
    /// TensorFlow.js, which ignores unknown keys. `export/tfjs.rs` checks what it cannot compute.
    TensorFlowJs,
}

/// Converts the layers of a module to Keras 2 declarations.
///
/// # Errors
/// A layer that Keras 2 cannot express.
pub(crate) fn downgrade(module: &Module, reader: Reader) -> Result<Cow<'_, Module>> {
    if KerasVersion::of(&module.attrs) == KerasVersion::Legacy {
        return Ok(Cow::Borrowed(module));
    }
    let mut downgraded = module.clone();
    downgraded.attrs.set("keras_version", KERAS_2);
    for layer in &mut downgraded.layers {
        let refuse = |note| Problem::NotKeras { place: format!("layer `{}`", layer.name), note };
        layer.config = object(&layer.config, reader).map_err(refuse)?;
    }
    for func in &mut downgraded.funcs {
        let Some(own) = func.attrs.get("object").and_then(Attr::as_map) else { continue };
        let refuse = |note| Problem::NotKeras { place: format!("`@{}`", func.name), note };
        let own = object(own, reader).map_err(refuse)?;
        func.attrs.set("object", own);
    }
    Ok(Cow::Owned(downgraded))
}

/// Converts an object of a configuration and the objects inside it. Keras 2 names its own classes without a package,
/// those of users with it.
fn object(declared: &Attrs, reader: Reader) -> Result<Attrs, String> {
    let text = |key| declared.get(key).and_then(Attr::as_str);
    let class = text("class_name").unwrap_or_default();
    let registered = text("registered_name").filter(|name| name.contains('>'));
    let mut downgraded = Attrs::new().with("class_name", registered.unwrap_or(class));
    for (key, value) in declared.iter() {
        match (&**key, value) {
            // Only Keras 3 has these.
            (
                "class_name" | "module" | "registered_name" | "shared_object_id" | "build_config" | "compile_config",
                _,
            ) => {}
            // A user's class may have any keys.
            ("config", Attr::Map(config)) if is_users(declared, class) => {
                let mut config = config.clone();
                if let Some(dtype) = config.get("dtype").map(policy_name) {
                    config.set("dtype", dtype);
                }
                downgraded.set("config", config);
            }
            ("config", Attr::Map(config)) => downgraded.set("config", configuration(class, config, reader)?),
            (_, value) => downgraded.set(key.clone(), value.clone()),
        }
    }
    Ok(downgraded)
}

/// Whether the object is of a user-defined class.
fn is_users(object: &Attrs, class: &str) -> bool {
    if is_legacy(object) { !classes::is_known(class, KerasVersion::Keras3) } else { !is_own(object) }
}

fn configuration(class: &str, declared: &Attrs, reader: Reader) -> Result<Attrs, String> {
    let mut downgraded = Attrs::new();
    for (key, value) in declared.iter() {
        match keras2::said(class, key, value) {
            Said::Nothing => continue,
            Said::Unknown if reader == Reader::Keras2 => {
                return Err(format!("`{class}` of Keras {KERAS_2} has no `{key}`"));
            }
            Said::Unknown | Said::Known => {}
        }
        let renamed = RENAMED.iter().find(|(of, _, new)| *of == class && **key == **new).map(|(_, old, _)| *old);
        let value = match &**key {
            "dtype" => policy_name(value),
            key if ACTIVATIONS.contains(&key) => activation(value, reader)?,
            _ => nested(value, reader)?,
        };
        downgraded.set(renamed.map_or_else(|| key.clone(), Into::into), value);
    }
    if class == "MultiHeadAttention" && reader == Reader::Keras2 {
        // Without a shape, Keras 2 builds the layer when it is called.
        ["query_shape", "key_shape", "value_shape"].into_iter().for_each(|key| downgraded.set(key, Attr::Null));
    }
    if class == "Bidirectional" && is_mirrored(&downgraded) {
        downgraded.remove("backward_layer");
    }
    Ok(downgraded)
}

/// Whether the backward layer of a `Bidirectional` mirrors the forward layer. Before Keras 3, only a different backward
/// layer was declared.
fn is_mirrored(config: &Attrs) -> bool {
    let of = |key| config.get(key).and_then(|layer| layer.get("config")).and_then(Attr::as_map).cloned();
    let (Some(mut forward), Some(mut backward)) = (of("layer"), of("backward_layer")) else { return false };
    let turn = |config: &mut Attrs| {
        config.remove("name");
        config.remove("go_backwards").and_then(|turned| turned.as_bool()).unwrap_or(false)
    };
    let class = |key| config.get(key).and_then(|layer| layer.get("class_name"));
    class("layer") == class("backward_layer") && turn(&mut forward) != turn(&mut backward) && forward == backward
}

/// The name of a dtype policy, or the value itself if it is not a policy.
fn policy_name(value: &Attr) -> Attr {
    value.get("config").and_then(|config| config.get("name")).unwrap_or(value).clone()
}

/// Converts an activation to its Keras 2 name. The `hard_sigmoid` of Keras 3 is another function there.
fn activation(value: &Attr, reader: Reader) -> Result<Attr, String> {
    match value.as_str() {
        Some("hard_sigmoid") => {
            Err("its `hard_sigmoid` is clip(x / 6 + 0.5, 0, 1), and Keras 2 computes clip(0.2 * x + 0.5, 0, 1)".into())
        }
        Some("silu") => Ok("swish".into()),
        Some(name) if reader == Reader::Keras2 && !name.contains('>') && !FUNCTIONS.contains(&name) => {
            Err(format!("Keras 2 has no activation `{name}`"))
        }
        Some(_) => Ok(value.clone()),
        None => function_name(value).map_or_else(|| nested(value, reader), Ok),
    }
}

/// The activations that are the same in tf.keras 2.15 and Keras 3.
const FUNCTIONS: &[&str] = &[
    "elu",
    "exponential",
    "gelu",
    "leaky_relu",
    "linear",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "softmax",
    "softplus",
    "softsign",
    "swish",
    "tanh",
];

/// The declaration with users' functions written by name, as in `.h5` files. Archives of the last Keras 2 releases have
/// objects instead.
pub(crate) fn with_named_functions(layer: &Layer) -> Cow<'_, Layer> {
    let Some(config) = layer.config.get("config").and_then(Attr::as_map) else { return Cow::Borrowed(layer) };
    let mut named = config.clone();
    for key in ACTIVATIONS {
        if let Some(name) = config.get(key).and_then(function_name) {
            named.set(*key, name);
        }
    }
    if named == *config {
        return Cow::Borrowed(layer);
    }
    Cow::Owned(Layer { config: layer.config.clone().with("config", named), ..layer.clone() })
}

/// The name of a user's function in files without package names.
fn function_name(value: &Attr) -> Option<Attr> {
    let text = |key| value.get(key).and_then(Attr::as_str);
    let function = text("config").filter(|_| text("class_name") == Some("function"))?;
    Some(text("registered_name").filter(|name| name.contains('>')).unwrap_or(function).into())
}

/// Converts a value of a configuration and the objects inside it.
fn nested(value: &Attr, reader: Reader) -> Result<Attr, String> {
    match value.as_map().filter(|map| map.get("class_name").is_some()) {
        Some(map) => Ok(object(map, reader)?.into()),
        None => value.try_map_children(|value| nested(value, reader)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keras_3(class: &str, config: Attrs) -> Attrs {
        Attrs::new()
            .with("module", "keras.layers")
            .with("class_name", class)
            .with("config", config)
            .with("registered_name", Attr::Null)
            .with("build_config", Attrs::new().with("input_shape", Attr::Null))
    }

    fn plain(class: &str, config: Attrs) -> Attrs {
        Attrs::new().with("class_name", class).with("config", config)
    }

    #[test]
    fn nested_objects_lose_keras_3_keys() {
        let policy = keras_3("DTypePolicy", Attrs::new().with("name", "float32"));
        let zeros = keras_3("Zeros", Attrs::new());
        let dense = Attrs::new().with("dtype", policy).with("bias_initializer", zeros).with("activation", "silu");
        let outer = keras_3("TimeDistributed", Attrs::new().with("layer", keras_3("Dense", dense)));
        let dense = Attrs::new()
            .with("dtype", "float32")
            .with("bias_initializer", plain("Zeros", Attrs::new()))
            .with("activation", "swish");
        let expected = plain("TimeDistributed", Attrs::new().with("layer", plain("Dense", dense)));
        assert_eq!(object(&outer, Reader::TensorFlowJs), Ok(expected));
    }

    #[test]
    fn keys_get_their_old_names_by_class() {
        let slope = Attrs::new().with("negative_slope", 0.5);
        assert_eq!(
            object(&keras_3("LeakyReLU", slope.clone()), Reader::TensorFlowJs),
            Ok(plain("LeakyReLU", Attrs::new().with("alpha", 0.5)))
        );
        assert_eq!(object(&keras_3("ReLU", slope.clone()), Reader::TensorFlowJs), Ok(plain("ReLU", slope)));
    }

    #[test]
    fn classes_of_users_have_their_registered_names() {
        let own = keras_3("Affine", Attrs::new()).with("module", Attr::Null).with("registered_name", "mine>Affine");
        assert_eq!(object(&own, Reader::TensorFlowJs), Ok(plain("mine>Affine", Attrs::new())));
    }

    #[test]
    fn backward_layer_is_declared_only_if_it_differs() {
        let lstm = |name: &str, units: i64, back: bool| {
            keras_3("LSTM", Attrs::new().with("name", name).with("units", units).with("go_backwards", back))
        };
        let says = |forward: Attrs, backward: Attrs| {
            let both = Attrs::new().with("layer", forward).with("backward_layer", backward);
            let downgraded = object(&keras_3("Bidirectional", both), Reader::TensorFlowJs).unwrap();
            downgraded.get("config").unwrap().get("backward_layer").is_some()
        };
        assert!(!says(lstm("forward", 3, false), lstm("backward", 3, true).with("shared_object_id", 7)));
        assert!(says(lstm("forward", 3, false), lstm("backward", 4, true)));
        assert!(says(lstm("forward", 3, false), lstm("backward", 3, false)));
        assert!(says(lstm("forward", 3, false), lstm("backward", 3, true).with("class_name", "GRU")));
    }

    #[test]
    fn new_hard_sigmoid_is_rejected_at_any_depth() {
        let lstm = keras_3("LSTM", Attrs::new().with("recurrent_activation", "hard_sigmoid"));
        let both = keras_3("Bidirectional", Attrs::new().with("backward_layer", lstm));
        assert!(object(&both, Reader::TensorFlowJs).is_err_and(|note| note.contains("x / 6")));
    }
}
