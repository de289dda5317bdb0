//! Layers as Keras declared them before `.keras` files, and what such a declaration is in Keras 3.
//!
//! An HDF5 file says neither of which package a class is nor how its weights are called in a `.keras` file. A module
//! keeps the declaration as it was read; what lowers it or writes it as `.keras` looks at the [`modern`] one.

mod classes;
mod places;

use std::borrow::Cow;

use netc_ir::{Attr, Attrs, Layer};

pub(crate) use classes::dialect_class;
pub(crate) use places::places;

/// Whether an object names its class without saying which package it is of, as all of Keras 3 do.
pub(crate) fn is_legacy(object: &Attrs) -> bool {
    object.get("class_name").is_some() && object.get("module").is_none()
}

/// Whether a model with these attributes was saved by a Keras before 3.
pub(crate) fn is_before_3(module: &Attrs) -> bool {
    let version = module.get("keras_version").and_then(Attr::as_str);
    version.and_then(|v| v.split('.').next()?.parse::<u32>().ok()).is_some_and(|major| major < 3)
}

/// The object of a whole model, whose configuration was once the list of layers itself.
pub(crate) fn model(object: Attr) -> Attr {
    let Attr::Map(mut map) = object else { return object };
    if let Some(layers @ Attr::List(_)) = map.get("config").cloned() {
        map.set("config", Attrs::new().with("name", "sequential").with("layers", layers));
    }
    Attr::Map(map)
}

/// Keys that Keras 3 does not take any more, by class. They say what is the case anyway, or how to train.
const GONE: &[(&[&str], &[&str])] = &[
    (&["LSTM", "GRU", "SimpleRNN", "RNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"], &["time_major"]),
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

/// Keys that have another name in Keras 3, by class.
const RENAMED: &[(&str, &str, &str)] = &[
    ("InputLayer", "batch_input_shape", "batch_shape"),
    ("LeakyReLU", "alpha", "negative_slope"),
    ("ThresholdedReLU", "theta", "threshold"),
];

/// The class in Keras 3 of what the dialect calls `class`.
pub(crate) fn class_now(class: &str) -> &str {
    if class == "keras.ThresholdedReLU" { "keras.ReLU" } else { class }
}

/// Classes that Keras 3 does not have.
const NOT_IN_KERAS_3: &[&str] = &[
    "CuDNNGRU",
    "CuDNNLSTM",
    "DenseFeatures",
    "LocallyConnected1D",
    "LocallyConnected2D",
    "RandomHeight",
    "RandomWidth",
    "SlicingOpLambda",
    "TFOpLambda",
];

/// What `hard_sigmoid` is before Keras 3, which gives the name to another function.
pub(crate) const OLD_HARD_SIGMOID: &str = "keras2>hard_sigmoid";

/// Keys under which a layer has a function.
const ACTIVATIONS: &[&str] = &["activation", "recurrent_activation"];

/// Why Keras 3 cannot load the modern declaration, or would compute something else with it.
pub(crate) fn not_in_keras_3(object: &Attrs) -> Option<String> {
    let class = object.get("class_name").and_then(Attr::as_str)?;
    if NOT_IN_KERAS_3.contains(&class) && object.get("registered_name") == Some(&Attr::Null) {
        return Some(format!("Keras 3 has no layer `{class}`"));
    }
    let config = object.get("config")?;
    if ACTIVATIONS.iter().any(|key| config.get(key).and_then(Attr::as_str) == Some(OLD_HARD_SIGMOID)) {
        return Some(
            "its `hard_sigmoid` is clip(0.2 * x + 0.5, 0, 1), and Keras 3 computes clip(x / 6 + 0.5, 0, 1)".into(),
        );
    }
    ["layer", "cell"].iter().find_map(|key| not_in_keras_3(config.get(key)?.as_map()?))
}

/// The declaration as Keras 3 writes it. One that is not of before is the same.
pub(crate) fn modern(layer: &Layer) -> Cow<'_, Layer> {
    if !is_legacy(&layer.config) {
        return Cow::Borrowed(layer);
    }
    Cow::Owned(Layer { config: modern_object(&layer.config), ..layer.clone() })
}

/// The object of a whole model as Keras 3 writes it.
pub(crate) fn modern_model(object: &Attrs) -> Cow<'_, Attrs> {
    if is_legacy(object) { Cow::Owned(modern_object(object)) } else { Cow::Borrowed(object) }
}

/// An object of a configuration as Keras 3 writes it.
pub(crate) fn modern_object(object: &Attrs) -> Attrs {
    let own = object.get("class_name").and_then(Attr::as_str).unwrap_or_default();
    let (class, module, registered) = match (own, classes::is_known(own)) {
        ("Model" | "Functional", _) => {
            ("Functional", Attr::str("keras.src.models.functional"), Attr::str("Functional"))
        }
        ("Sequential", _) => ("Sequential", Attr::str("keras"), Attr::Null),
        ("ThresholdedReLU", _) => ("ReLU", Attr::str("keras.layers"), Attr::Null),
        (class, true) => (class, Attr::str("keras.layers"), Attr::Null),
        (class, false) => (class.rsplit('>').next().unwrap_or(class), Attr::Null, Attr::str(class)),
    };
    let config = object.get("config").and_then(Attr::as_map).map(|config| modern_config(own, config));
    let mut modern = Attrs::new()
        .with("module", module)
        .with("class_name", class)
        .with("config", config.unwrap_or_default())
        .with("registered_name", registered);
    for (key, value) in object.iter() {
        if modern.get(key).is_none() {
            modern.set(key.clone(), value.clone());
        }
    }
    modern
}

fn modern_config(class: &str, config: &Attrs) -> Attrs {
    let gone = GONE.iter().filter(|(classes, _)| classes.contains(&class)).flat_map(|(_, keys)| *keys);
    let gone: Vec<&str> = gone.copied().collect();
    let mut modern = Attrs::new();
    for (key, value) in config.iter().filter(|(key, _)| !gone.contains(&&**key)) {
        let renamed = RENAMED.iter().find(|(of, old, _)| *of == class && **key == **old).map(|(_, _, new)| *new);
        match (renamed, &**key) {
            (Some(new), _) => modern.set(new, value.clone()),
            // The input layer says it.
            (None, "batch_input_shape") => {}
            (None, "axis") if class == "BatchNormalization" => modern.set("axis", the_only(value)),
            (None, key) if ACTIVATIONS.contains(&key) && !is_of_keras_3(config) => modern.set(key, activation(value)),
            (None, "dtype") => modern.set("dtype", dtype(value)),
            (None, "layer" | "cell" | "backward_layer" | "forward_layer") => modern.set(key.clone(), inner(value)),
            (None, _) => modern.set(key.clone(), value.clone()),
        }
    }
    if class == "GRU" && modern.get("reset_after").is_none() {
        // Before it could be said.
        modern.set("reset_after", false);
    }
    modern
}

/// Whether Keras 3 wrote the configuration: it writes every policy as an object.
fn is_of_keras_3(config: &Attrs) -> bool {
    let policy = config.get("dtype").and_then(|d| d.get("class_name")).and_then(Attr::as_str);
    policy.is_some_and(|class| class.ends_with("DTypePolicy"))
}

/// A function that Keras 3 gives another name, or another meaning.
fn activation(value: &Attr) -> Attr {
    if value.as_str() == Some("hard_sigmoid") { OLD_HARD_SIGMOID.into() } else { value.clone() }
}

/// The entry of a list that has one.
fn the_only(value: &Attr) -> Attr {
    match value.as_list() {
        Some([one]) => one.clone(),
        Some(_) | None => value.clone(),
    }
}

/// The name of a policy, which Keras 3 takes for the policy.
fn dtype(value: &Attr) -> Attr {
    let is_policy = value.get("class_name").and_then(Attr::as_str) == Some("Policy");
    value.get("config").and_then(|c| c.get("name")).filter(|_| is_policy).unwrap_or(value).clone()
}

/// A layer that a layer has in its configuration. The last releases of Keras 2 say its package.
fn inner(value: &Attr) -> Attr {
    match value.as_map() {
        Some(object) if object.get("class_name").is_some() => Attr::Map(modern_object(object)),
        Some(_) | None => value.clone(),
    }
}
