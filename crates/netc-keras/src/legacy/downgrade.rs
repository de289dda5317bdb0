//! What a declaration of Keras 3 is in Keras 2, for what reads no other.

use std::borrow::Cow;

use netc_ir::{Attr, Attrs, Layer, Module};

use crate::config::classes::{self, is_own};
use crate::config::keys::{ACTIVATIONS, RENAMED};
use crate::config::version::{Era, KERAS_2, is_legacy};
use crate::error::{Problem, Result};
use crate::legacy::keras2::{self, Said};

/// What reads the older declarations.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// tf.keras 2.15, which refuses keys that it does not know.
    Keras2,
    /// TensorFlow.js, which ignores them. Its own table says what it does not compute.
    TensorFlowJs,
}

/// The module with its layers declared as Keras 2 does, whichever Keras it is of.
///
/// # Errors
/// A layer that computes what Keras 2 does not say.
pub(crate) fn older(module: &Module, reader: Reader) -> Result<Cow<'_, Module>> {
    if Era::of(&module.attrs) == Era::Before3 {
        return Ok(Cow::Borrowed(module));
    }
    let mut older = module.clone();
    older.attrs.set("keras_version", KERAS_2);
    for layer in &mut older.layers {
        let refuse = |note| Problem::NotKeras { place: format!("layer `{}`", layer.name), note };
        layer.config = object(&layer.config, reader).map_err(refuse)?;
    }
    for func in &mut older.funcs {
        let Some(own) = func.attrs.get("object").and_then(Attr::as_map) else { continue };
        let refuse = |note| Problem::NotKeras { place: format!("`@{}`", func.name), note };
        let own = object(own, reader).map_err(refuse)?;
        func.attrs.set("object", own);
    }
    Ok(Cow::Owned(older))
}

/// An object of a configuration, and those in it: classes were named without the package, those of users with it.
fn object(modern: &Attrs, reader: Reader) -> Result<Attrs, String> {
    let text = |key| modern.get(key).and_then(Attr::as_str);
    let class = text("class_name").unwrap_or_default();
    let registered = text("registered_name").filter(|name| name.contains('>'));
    let mut older = Attrs::new().with("class_name", registered.unwrap_or(class));
    for (key, value) in modern.iter() {
        match (&**key, value) {
            // Of Keras 3 alone, as is how to build a layer without calling it.
            (
                "class_name" | "module" | "registered_name" | "shared_object_id" | "build_config" | "compile_config",
                _,
            ) => {}
            // A user's class may have any keys.
            ("config", Attr::Map(config)) if is_users(modern, class) => {
                let mut config = config.clone();
                if let Some(dtype) = config.get("dtype").map(policy_name) {
                    config.set("dtype", dtype);
                }
                older.set("config", config);
            }
            ("config", Attr::Map(config)) => older.set("config", configuration(class, config, reader)?),
            (_, value) => older.set(key.clone(), value.clone()),
        }
    }
    Ok(older)
}

/// Whether the object is of a user-defined class.
fn is_users(object: &Attrs, class: &str) -> bool {
    if is_legacy(object) { !classes::is_known(class, Era::Keras3) } else { !is_own(object) }
}

fn configuration(class: &str, modern: &Attrs, reader: Reader) -> Result<Attrs, String> {
    let mut older = Attrs::new();
    for (key, value) in modern.iter() {
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
        older.set(renamed.map_or_else(|| key.clone(), Into::into), value);
    }
    if class == "MultiHeadAttention" && reader == Reader::Keras2 {
        // Without a shape, Keras 2 builds the layer when it is called.
        ["query_shape", "key_shape", "value_shape"].into_iter().for_each(|key| older.set(key, Attr::Null));
    }
    if class == "Bidirectional" && is_mirrored(&older) {
        older.remove("backward_layer");
    }
    Ok(older)
}

/// Whether the layer of a `Bidirectional` that goes backwards is no other than the one that goes forwards: before Keras 3 it
/// was said only where it was.
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

/// The name that a policy is known by, where it is one.
fn policy_name(value: &Attr) -> Attr {
    value.get("config").and_then(|config| config.get("name")).unwrap_or(value).clone()
}

/// A function as Keras 2 calls it, which has another of one name.
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

/// The activations of tf.keras 2.15 that compute what those of the same name in Keras 3 do.
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

/// The declaration with functions of users under the names that they have in an `.h5` file. Archives of the last Keras 2 have
/// objects.
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

/// A value of a configuration, which may have objects in it.
fn nested(value: &Attr, reader: Reader) -> Result<Attr, String> {
    match value.as_map().filter(|map| map.get("class_name").is_some()) {
        Some(map) => Ok(object(map, reader)?.into()),
        None => value.try_map_children(|value| nested(value, reader)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modern(class: &str, config: Attrs) -> Attrs {
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
    fn objects_in_objects_lose_what_only_keras_3_says() {
        let policy = modern("DTypePolicy", Attrs::new().with("name", "float32"));
        let zeros = modern("Zeros", Attrs::new());
        let dense = Attrs::new().with("dtype", policy).with("bias_initializer", zeros).with("activation", "silu");
        let outer = modern("TimeDistributed", Attrs::new().with("layer", modern("Dense", dense)));
        let dense = Attrs::new()
            .with("dtype", "float32")
            .with("bias_initializer", plain("Zeros", Attrs::new()))
            .with("activation", "swish");
        let expected = plain("TimeDistributed", Attrs::new().with("layer", plain("Dense", dense)));
        assert_eq!(object(&outer, Reader::TensorFlowJs), Ok(expected));
    }

    #[test]
    fn keys_have_the_names_that_they_had_and_only_where_they_had_others() {
        let slope = Attrs::new().with("negative_slope", 0.5);
        assert_eq!(
            object(&modern("LeakyReLU", slope.clone()), Reader::TensorFlowJs),
            Ok(plain("LeakyReLU", Attrs::new().with("alpha", 0.5)))
        );
        assert_eq!(object(&modern("ReLU", slope.clone()), Reader::TensorFlowJs), Ok(plain("ReLU", slope)));
    }

    #[test]
    fn classes_of_users_have_the_name_that_they_are_registered_by() {
        let own = modern("Affine", Attrs::new()).with("module", Attr::Null).with("registered_name", "mine>Affine");
        assert_eq!(object(&own, Reader::TensorFlowJs), Ok(plain("mine>Affine", Attrs::new())));
    }

    #[test]
    fn a_layer_that_goes_backwards_is_said_where_it_is_another() {
        let lstm = |name: &str, units: i64, back: bool| {
            modern("LSTM", Attrs::new().with("name", name).with("units", units).with("go_backwards", back))
        };
        let says = |forward: Attrs, backward: Attrs| {
            let both = Attrs::new().with("layer", forward).with("backward_layer", backward);
            let older = object(&modern("Bidirectional", both), Reader::TensorFlowJs).unwrap();
            older.get("config").unwrap().get("backward_layer").is_some()
        };
        assert!(!says(lstm("forward", 3, false), lstm("backward", 3, true).with("shared_object_id", 7)));
        assert!(says(lstm("forward", 3, false), lstm("backward", 4, true)));
        assert!(says(lstm("forward", 3, false), lstm("backward", 3, false)));
        assert!(says(lstm("forward", 3, false), lstm("backward", 3, true).with("class_name", "GRU")));
    }

    #[test]
    fn a_function_of_another_meaning_is_refused_wherever_it_stands() {
        let lstm = modern("LSTM", Attrs::new().with("recurrent_activation", "hard_sigmoid"));
        let both = modern("Bidirectional", Attrs::new().with("backward_layer", lstm));
        assert!(object(&both, Reader::TensorFlowJs).is_err_and(|note| note.contains("x / 6")));
    }
}
