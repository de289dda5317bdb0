//! Converts declarations of older Keras to Keras 3.

use std::borrow::Cow;

use netc_ir::{Attr, Attrs, Layer, Module, Type, UniqueNames};

use crate::config::classes::{self, is_graph, is_own};
use crate::config::declaration::write_name;
use crate::config::keys::{self, ACTIVATIONS, INNER, OLD_HARD_SIGMOID, RENAMED};
use crate::config::tf;
use crate::config::version::{KerasVersion, is_legacy};
use crate::legacy::calls::{self, layer_call};
use crate::legacy::tensorflow::{self, NoTwin};
use crate::legacy::{graphs, lambda};

/// Keys that Keras 3 no longer accepts, by class. Most concern training or have a value that changes nothing; [`says`]
/// finds the others.
const GONE: &[(&[&str], &[&str])] = &[
    (&["LSTM", "GRU", "SimpleRNN", "RNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"], &["time_major"]),
    (&["ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"], &["implementation"]),
    (&["Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose", "DepthwiseConv1D", "DepthwiseConv2D"], &["groups"]),
    (
        &["SeparableConv1D", "SeparableConv2D"],
        &["groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint"],
    ),
    (&["DepthwiseConv1D", "DepthwiseConv2D"], &["kernel_initializer", "kernel_regularizer", "kernel_constraint"]),
    (&["MultiHeadAttention"], &["query_shape", "key_shape", "value_shape", "softmax_robust_masking"]),
    (&["SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"], &["trainable", "noise_shape"]),
    (&["Discretization"], &["trainable"]),
    (&["Embedding"], &["input_length"]),
    (&["BatchNormalization"], &["fused", "virtual_batch_size", "adjustment"]),
    (
        &[
            "RandomBrightness",
            "RandomContrast",
            "RandomCrop",
            "RandomFlip",
            "RandomRotation",
            "RandomTranslation",
            "RandomZoom",
        ],
        &["rng_type"],
    ),
];

/// The Keras 3 class that computes the same as `class`.
pub(crate) fn upgraded_class(class: &str) -> &str {
    match class {
        "keras.ThresholdedReLU" => "keras.ReLU",
        // Both return their input.
        "keras.AddLoss" | "keras.AddMetric" => "keras.Identity",
        class => class,
    }
}

/// Replaces slashes in the layer names of an older module, because Keras 3 does not allow them. A name that is already
/// in use gets a number.
pub(crate) fn without_slashes(module: &Module) -> Cow<'_, Module> {
    let slashed = |layer: &Layer| layer.name.contains('/');
    if KerasVersion::of(&module.attrs) == KerasVersion::Keras3 || !module.layers.iter().any(slashed) {
        return Cow::Borrowed(module);
    }
    let kept = module.layers.iter().filter(|layer| !slashed(layer));
    let mut names = UniqueNames::without(kept.map(|layer| layer.name.clone()));
    let mut renamed = module.clone();
    for layer in renamed.layers.iter_mut().filter(|layer| slashed(layer)) {
        layer.name = names.take(&layer.name.replace('/', "_"));
        write_name(layer);
    }
    Cow::Owned(renamed)
}

/// Classes that Keras 3 does not have.
const NOT_IN_KERAS_3: &[&str] = &[
    "AddLoss",
    "AddMetric",
    "ClassMethod",
    "CuDNNGRU",
    "CuDNNLSTM",
    "DenseFeatures",
    "InstanceMethod",
    "InstanceProperty",
    "LocallyConnected1D",
    "LocallyConnected2D",
    "RandomHeight",
    "RandomWidth",
    "SlicingOpLambda",
    "TFOpLambda",
    "TensorFlowOpLayer",
];

/// The reason why Keras 3 cannot load the converted declaration of an older layer, or would compute something else, if
/// there is one.
pub(crate) fn not_in_keras_3(object: &Attrs) -> Option<String> {
    let class = object.get("class_name").and_then(Attr::as_str)?;
    let config = object.get("config").and_then(Attr::as_map)?;
    if object.get("inbound_nodes").is_some() && matches!(class, "TFOpLambda" | "SlicingOpLambda") {
        return Some("netc does not convert TensorFlow operations in the model inside it".into());
    }
    if is_own(object) && NOT_IN_KERAS_3.contains(&class) {
        return Some(format!("Keras 3 has no layer `{class}`"));
    }
    if is_own(object) && class == "Lambda" {
        return lambda::refused(config);
    }
    let text = |key| config.get(key).and_then(Attr::as_str);
    if is_own(object)
        && class == "UpSampling2D"
        && !matches!(text("interpolation"), None | Some("nearest" | "bilinear" | "bicubic" | "lanczos3" | "lanczos5"))
    {
        return Some(format!("Keras 3 has no interpolation `{}`", text("interpolation").unwrap_or_default()));
    }
    if is_own(object) && class == "RandomCrop" {
        return Some("in inference it crops in Keras 2, but not in Keras 3".into());
    }
    if graphs::has_old_calls(object) {
        return Some("the model inside it has a layer call that Keras 3 does not support".into());
    }
    if config.get("time_major").is_some() {
        return Some("Keras 3 has no `time_major`; transpose its input instead".into());
    }
    if ACTIVATIONS.iter().any(|key| config.get(key).and_then(Attr::as_str) == Some(OLD_HARD_SIGMOID)) {
        return Some(
            "its `hard_sigmoid` is clip(0.2 * x + 0.5, 0, 1), and Keras 3 computes clip(x / 6 + 0.5, 0, 1)".into(),
        );
    }
    let layers = is_graph(class).then_some(&"layers");
    let inner = INNER.iter().chain(layers).filter_map(|key| config.get(key));
    inner
        .flat_map(|attr| attr.as_list().unwrap_or(std::slice::from_ref(attr)))
        .find_map(|o| not_in_keras_3(o.as_map()?))
}

/// A layer's declaration and call in Keras 3.
pub(crate) struct Upgraded<'a> {
    pub(crate) layer: Cow<'a, Layer>,
    pub(crate) call: Cow<'a, Attrs>,
}

/// Converts the declaration `layer` and its call `call` on operands of these types to Keras 3.
pub(crate) fn upgrade_call<'a>(
    layer: &'a Layer,
    call: &'a Attrs,
    operands: &[Type],
    version: KerasVersion,
) -> Result<Upgraded<'a>, NoTwin> {
    if version == KerasVersion::Keras3 {
        return Ok(Upgraded { layer: upgrade(layer, version), call: Cow::Borrowed(call) });
    }
    if tf::is_operation(&layer.class) {
        let (layer, call) = tensorflow::upgrade(layer, call, operands)?;
        return Ok(Upgraded { layer: Cow::Owned(layer), call: Cow::Owned(call) });
    }
    let call = layer_call(layer, call).map_err(NoTwin::With)?;
    Ok(Upgraded { layer: upgrade(layer, version), call: Cow::Owned(call) })
}

/// The declaration as Keras 3 writes it. A Keras 3 declaration is unchanged.
pub(crate) fn upgrade(layer: &Layer, version: KerasVersion) -> Cow<'_, Layer> {
    if version == KerasVersion::Keras3 && !is_legacy(&layer.config) {
        return Cow::Borrowed(layer);
    }
    Cow::Owned(Layer { config: upgrade_object(&layer.config, version), ..layer.clone() })
}

/// An object of a configuration as Keras 3 writes it.
pub(crate) fn upgrade_object(object: &Attrs, version: KerasVersion) -> Attrs {
    if version == KerasVersion::Keras3 && !is_legacy(object) {
        return object.clone();
    }
    let own = match object.get("class_name").and_then(Attr::as_str).unwrap_or_default() {
        "GroupedQueryAttention" if version == KerasVersion::Keras3 => "GroupQueryAttention",
        class => class,
    };
    let mut upgraded = object.clone();
    if is_legacy(object) {
        let known = classes::is_known(own, version);
        let class = if known { own } else { own.rsplit('>').next().unwrap_or(own) };
        upgraded = Attrs::new()
            .with("module", if known { Attr::str("keras.layers") } else { Attr::Null })
            .with("class_name", class)
            .with("config", Attrs::new())
            .with("registered_name", if known { Attr::Null } else { Attr::str(own) });
        object.iter().filter(|(key, _)| &**key != "class_name").for_each(|(k, v)| upgraded.set(k.clone(), v.clone()));
    }
    if version == KerasVersion::Keras3 && !is_graph(own) || !is_own(&upgraded) {
        return upgraded;
    }
    let (class, module, registered) = match own {
        "Model" | "Functional" => ("Functional", "keras.src.models.functional", Attr::str("Functional")),
        "Sequential" => ("Sequential", "keras", Attr::Null),
        "ThresholdedReLU" => ("ReLU", "keras.layers", Attr::Null),
        class => (class, "keras.layers", Attr::Null),
    };
    let mut upgraded = upgraded.with("module", module).with("class_name", class).with("registered_name", registered);
    if version == KerasVersion::Legacy {
        if class == "MultiHeadAttention" {
            // Keras 3 needs several shapes to build it. Without any, it builds the layer when it is called.
            upgraded.remove("build_config");
        }
        if let Some(built) = object.get("build_config").filter(|_| calls::is_recurrent(own)) {
            upgraded.set("build_config", calls::of_sequence(built));
        }
    }
    match object.get("config").and_then(Attr::as_map).filter(|_| version == KerasVersion::Legacy) {
        Some(config) => upgraded.with("config", modern_config(own, config)),
        None => upgraded,
    }
}

fn modern_config(class: &str, config: &Attrs) -> Attrs {
    if class == "Lambda" {
        return lambda::upgrade(config);
    }
    let gone = GONE.iter().filter(|(classes, _)| classes.contains(&class)).flat_map(|(_, keys)| *keys);
    let gone: Vec<&str> = gone.copied().collect();
    let mut upgraded = Attrs::new();
    for (key, value) in config.iter().filter(|(key, value)| !gone.contains(&&**key) || says(key, value)) {
        let renamed = RENAMED.iter().find(|(of, old, _)| *of == class && **key == **old).map(|(_, _, new)| *new);
        match (renamed, &**key) {
            (Some(new), _) => upgraded.set(new, value.clone()),
            // The input layer has it.
            (None, "batch_input_shape") => {}
            (None, "axis") if class == "BatchNormalization" => upgraded.set("axis", the_only(value)),
            (None, key) if ACTIVATIONS.contains(&key) => upgraded.set(key, activation(value)),
            (None, "dtype") => upgraded.set("dtype", dtype(value)),
            (None, key) if INNER.contains(&key) => upgraded.set(key, inner(value)),
            // Before Keras 3, a list of one tensor means the tensor itself.
            (None, "input_layers" | "output_layers") if is_graph(class) => {
                upgraded.set(key.clone(), the_only_tensor(value))
            }
            (None, "layers") if is_graph(class) => upgraded.set("layers", graphs::modern_layers(value)),
            (None, _) => upgraded.set(key.clone(), value.clone()),
        }
    }
    if class == "GRU" && upgraded.get("reset_after").is_none() {
        // The default of older releases, which did not have the key.
        upgraded.set("reset_after", false);
    }
    upgraded
}

/// Whether the value of a key that Keras 3 no longer accepts changes what the layer computes.
fn says(key: &str, value: &Attr) -> bool {
    match key {
        "time_major" => value.as_bool() == Some(true),
        "groups" => value.as_int() != Some(1),
        "noise_shape" => !value.is_null(),
        _ => false,
    }
}

/// Renames `hard_sigmoid`, which is another function in Keras 3.
fn activation(value: &Attr) -> Attr {
    match value.as_str() {
        Some("hard_sigmoid") => OLD_HARD_SIGMOID.into(),
        Some(keys::NEW_HARD_SIGMOID) => "hard_sigmoid".into(),
        Some(_) | None => value.clone(),
    }
}

/// The item of a list with one item; any other value unchanged.
fn the_only(value: &Attr) -> Attr {
    match value.as_list() {
        Some([one]) => one.clone(),
        Some(_) | None => value.clone(),
    }
}

fn the_only_tensor(value: &Attr) -> Attr {
    match value.as_list() {
        Some([one @ Attr::List(_)]) => one.clone(),
        Some(_) | None => value.clone(),
    }
}

/// The name of a dtype policy, which Keras 3 accepts instead of the policy.
fn dtype(value: &Attr) -> Attr {
    let is_policy = value.get("class_name").and_then(Attr::as_str) == Some("Policy");
    value.get("config").and_then(|c| c.get("name")).filter(|_| is_policy).unwrap_or(value).clone()
}

/// Converts an inner layer of a configuration, or a list of them.
fn inner(value: &Attr) -> Attr {
    match (value.as_map(), value.as_list()) {
        (Some(object), _) if object.get("class_name").is_some() => {
            Attr::Map(upgrade_object(object, KerasVersion::Legacy))
        }
        (_, Some(items)) => Attr::List(items.iter().map(inner).collect()),
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A declaration with one entry in its configuration. The last releases of Keras 2 record a package.
    fn object(module: Option<&str>, class: &str, key: &str, value: impl Into<Attr>) -> Attrs {
        let object = Attrs::new().with("class_name", class).with("config", Attrs::new().with(key, value));
        module.map_or(object.clone(), |module| object.with("module", module))
    }

    fn modern_value(object: &Attrs, version: KerasVersion, key: &str) -> Option<Attr> {
        upgrade_object(object, version).get("config")?.get(key).cloned()
    }

    #[test]
    fn era_of_the_file_decides_how_to_read_a_declaration() {
        for module in [None, Some("keras.layers")] {
            let dense = object(module, "Dense", "activation", "hard_sigmoid");
            assert_eq!(modern_value(&dense, KerasVersion::Legacy, "activation"), Some(OLD_HARD_SIGMOID.into()));
            assert_eq!(modern_value(&dense, KerasVersion::Keras3, "activation"), Some("hard_sigmoid".into()));
        }
    }

    #[test]
    fn declarations_of_keras_3_stay_unchanged() {
        let model = object(Some("keras.src.engine.functional"), "Functional", "name", "m");
        assert_eq!(upgrade_object(&model, KerasVersion::Keras3), model);
        assert_ne!(upgrade_object(&model, KerasVersion::Legacy), model);
    }

    #[test]
    fn configurations_of_users_classes_stay_unchanged() {
        for (module, class) in [(Some("my.layers"), "LeakyReLU"), (None, "my>LeakyReLU")] {
            let own = object(module, class, "alpha", 0.5);
            assert_eq!(modern_value(&own, KerasVersion::Legacy, "alpha"), Some(0.5.into()), "{class}");
        }
        let keras = object(None, "LeakyReLU", "alpha", 0.5);
        assert_eq!(modern_value(&keras, KerasVersion::Legacy, "negative_slope"), Some(0.5.into()));
    }

    #[test]
    fn keys_that_change_the_result_are_kept() {
        let dropped = object(None, "LSTM", "time_major", false);
        let kept = object(None, "LSTM", "time_major", true);
        assert_eq!(modern_value(&dropped, KerasVersion::Legacy, "time_major"), None);
        assert!(
            not_in_keras_3(&upgrade_object(&kept, KerasVersion::Legacy))
                .is_some_and(|note| note.contains("time_major"))
        );
    }

    #[test]
    fn inner_layers_are_checked_too() {
        let inner = object(None, "LSTM", "recurrent_activation", "hard_sigmoid");
        let outer = object(None, "Bidirectional", "backward_layer", inner);
        let upgraded = upgrade_object(&outer, KerasVersion::Legacy);
        assert!(not_in_keras_3(&upgraded).is_some_and(|note| note.contains("hard_sigmoid")));
    }
}
