//! The parts of a layer: the weights that it creates itself, and its inner layers.
//!
//! This is the only description of composite layers. The place of a weight in an archive, its group in archives of
//! other versions, and its index in the lists of an HDF5 file follow from it. Keras walks the attributes of a layer. An
//! attribute that holds a layer becomes a group; one that holds a list of layers becomes a group per layer, named after
//! its class.

use netc_ir::{Attr, Attrs, Name};

use crate::config::classes::{dialect_class, is_layer_class};
use crate::config::names::{GroupNames, snake_case};
use crate::config::version::KerasVersion;

/// A weight that a layer creates itself.
#[derive(Clone, Copy)]
pub(super) struct Own {
    /// Its name in Keras.
    pub(super) name: &'static str,
    /// Whether it is trainable, unless the layer is frozen.
    pub(super) trained: bool,
    /// The place of the same weight in an inner layer, if Keras stores it under two attributes.
    pub(super) same_as: Option<&'static str>,
}

/// An inner layer.
pub(super) struct Part {
    /// Its group below the outer layer's, in a Keras 3 archive.
    pub(super) group: String,
    /// Its group before Keras 3.1.
    pub(super) old_group: String,
    /// The prefix of its weights' names in an HDF5 file.
    pub(super) scope: String,
    /// The dialect's name of its class.
    pub(super) class: String,
    pub(super) config: Attrs,
}

/// Whether the layer with this configuration is trainable.
pub(crate) fn trains(config: &Attrs) -> bool {
    config.get("trainable").and_then(Attr::as_bool) != Some(false)
}

/// Whether a layer with this configuration is a model with a graph. A key `layers` alone is no proof, because any layer
/// may have one.
pub(crate) fn is_model(class: &str, config: &Attrs) -> bool {
    let list = |key| config.get(key).is_some_and(|l| l.as_list().is_some());
    list("layers")
        && (class == "keras.Sequential"
            || config.get("input_layers").is_some() && config.get("output_layers").is_some())
}

/// Keras classes whose weights netc does not know.
const UNKNOWN: &[&str] = &[
    "keras.DenseFeatures",
    "keras.FlaxLayer",
    "keras.IntegerLookup",
    "keras.JaxLayer",
    "keras.MelSpectrogram",
    "keras.ReversibleEmbedding",
    "keras.STFTSpectrogram",
    "keras.StringLookup",
    "keras.TFSMLayer",
    "keras.TextVectorization",
    "keras.TorchModuleWrapper",
];

/// Whether layers of a class that [`own`] does not know may create weights.
pub(super) fn may_have_weights(class: &str) -> bool {
    !class.starts_with("keras.") || UNKNOWN.contains(&class)
}

/// The weights that a layer of the class creates itself, in the order of their numbers: trainable ones, then the
/// others. `None` if netc does not know the weights of the class.
pub(super) fn own(class: &str, config: &Attrs) -> Option<Vec<Own>> {
    let says = |key| config.get(key).and_then(Attr::as_bool);
    let has = |key| says(key) != Some(false);
    let trained = |name| Own { name, trained: true, same_as: None };
    let kept = |name| Own { name, trained: false, same_as: None };
    let when = |condition: bool, own| condition.then_some(own);
    let bias = when(has("use_bias"), trained("bias"));
    if is_model(class, config) {
        return Some(Vec::new());
    }
    let norm = || [when(has("scale"), trained("gamma")), when(has("center"), trained("beta"))].into_iter().flatten();
    Some(match class.strip_prefix("keras.")? {
        "BatchNormalization" => norm().chain([kept("moving_mean"), kept("moving_variance")]).collect(),
        "LayerNormalization" if says("rms_scaling") == Some(true) => vec![trained("gamma")],
        "LayerNormalization" | "GroupNormalization" => norm().collect(),
        "RMSNormalization" => vec![trained("scale")],
        "LayerScale" => vec![trained("gamma")],
        // Mean and variance are in its configuration, or weights computed by `adapt`.
        "Normalization" if config.get("mean").is_some_and(|mean| !mean.is_null()) => Vec::new(),
        "Normalization" => vec![kept("mean"), kept("variance"), kept("count")],
        "Embedding" => vec![trained("embeddings")],
        "PReLU" => vec![trained("alpha")],
        "Attention" => {
            let concat = config.get("score_mode").and_then(Attr::as_str) == Some("concat");
            let own = [when(says("use_scale") == Some(true), trained("scale"))];
            own.into_iter().flatten().chain(when(concat, trained("concat_score_weight"))).collect()
        }
        "AdditiveAttention" => when(has("use_scale"), trained("scale")).into_iter().collect(),
        "SeparableConv1D" | "SeparableConv2D" => {
            [trained("depthwise_kernel"), trained("pointwise_kernel")].into_iter().chain(bias).collect()
        }
        "EinsumDense" => {
            let bias = when(config.get("bias_axes").is_some_and(|axes| !axes.is_null()), trained("bias"));
            [trained("kernel")].into_iter().chain(bias).collect()
        }
        "CuDNNGRU" | "CuDNNLSTM" => vec![trained("kernel"), trained("recurrent_kernel"), trained("bias")],
        "LocallyConnected1D" | "LocallyConnected2D" | "Dense" | "Conv1D" | "Conv2D" | "Conv3D" | "Conv1DTranspose"
        | "Conv2DTranspose" | "Conv3DTranspose" | "DepthwiseConv1D" | "DepthwiseConv2D" => {
            [trained("kernel")].into_iter().chain(bias).collect()
        }
        // It also stores its layer's kernel as an attribute of its own.
        "SpectralNormalization" => {
            vec![Own { same_as: Some("layer/vars/0"), ..trained("kernel") }, kept("vector_u")]
        }
        "StackedRNNCells" => Vec::new(),
        cell if cell.ends_with("Cell") => {
            [trained("kernel"), trained("recurrent_kernel")].into_iter().chain(bias).collect()
        }
        _ if !parts(class, config, KerasVersion::Keras3).is_empty() => Vec::new(),
        _ => return None,
    })
}

/// The projections of an attention layer: attribute and name.
const PROJECTIONS: [(&str, &str); 5] = [
    ("_query_dense", "query"),
    ("_key_dense", "key"),
    ("_gate_dense", "gate"),
    ("_value_dense", "value"),
    ("_output_dense", "attention_output"),
];

/// The inner layers of a layer, in the order in which Keras tracks them.
pub(super) fn parts(class: &str, config: &Attrs, version: KerasVersion) -> Vec<Part> {
    match class.strip_prefix("keras.").unwrap_or_default() {
        name @ ("LSTM" | "GRU" | "SimpleRNN" | "ConvLSTM1D" | "ConvLSTM2D" | "ConvLSTM3D") => {
            let scope = format!("{}_cell", snake_case(name));
            vec![part("cell", scope, &format!("{class}Cell"), config.clone())]
        }
        "RNN" => of_config(config, "cell", "cell", "", version).into_iter().collect(),
        "StackedRNNCells" => of_list(config, "cells", version),
        "Pipeline" => of_list(config, "layers", version),
        "TimeDistributed" | "SpectralNormalization" | "Wrapper" => {
            of_config(config, "layer", "layer", "", version).into_iter().collect()
        }
        "Bidirectional" => {
            let own = config.get("backward_layer").is_some_and(|layer| !layer.is_null());
            let backward = if own { "backward_layer" } else { "layer" };
            let forward = of_config(config, "layer", "forward_layer", "forward_", version);
            forward.into_iter().chain(of_config(config, backward, "backward_layer", "backward_", version)).collect()
        }
        name @ ("MultiHeadAttention" | "GroupQueryAttention") => projections(name, config),
        _ if is_model(class, config) => of_model(config, version),
        _ => Vec::new(),
    }
}

fn part(group: impl Into<String>, scope: impl Into<String>, class: &str, config: Attrs) -> Part {
    let group = group.into();
    Part { old_group: group.clone(), group, scope: scope.into(), class: class.into(), config }
}

/// The projections of an attention layer. Since Keras 3.1 `MultiHeadAttention` has public attributes for them, which
/// Keras finds first.
fn projections(class: &str, config: &Attrs) -> Vec<Part> {
    let flag = |key, default| config.get(key).and_then(Attr::as_bool).unwrap_or(default);
    let bias_axes = if flag("use_bias", true) { Attr::str("bias") } else { Attr::Null };
    let made = PROJECTIONS.into_iter().filter(|(_, name)| *name != "gate" || flag("use_gate", false));
    let is_public = |name: &str| class == "MultiHeadAttention" && name != "gate";
    made.map(|(attribute, name)| {
        let config = Attrs::new().with("bias_axes", bias_axes.clone());
        let group = if is_public(name) { attribute.trim_start_matches('_') } else { attribute };
        Part { old_group: attribute.into(), ..part(group, name, "keras.EinsumDense", config) }
    })
    .collect()
}

/// The inner layer at `key` of a configuration.
fn of_config(config: &Attrs, key: &str, group: &str, prefix: &str, version: KerasVersion) -> Option<Part> {
    let object = config.get(key).and_then(Attr::as_map)?;
    let class = dialect_class(object, version);
    let config = object.get("config").and_then(Attr::as_map).cloned().unwrap_or_default();
    let scope = match (config.get("name").and_then(Attr::as_str), prefix) {
        (_, "") if &*class != "keras.StackedRNNCells" => String::new(),
        (Some(name), _) => format!("{prefix}{name}"),
        (None, _) => format!("{prefix}{}", snake_case(class.rsplit('.').next().unwrap_or_default())),
    };
    Some(part(group, scope, &class, config))
}

/// The layers of a model.
pub(super) fn of_model(config: &Attrs, version: KerasVersion) -> Vec<Part> {
    of_list(config, "layers", version)
}

/// The objects in the list at `key`, each with its class and its weight group. Operations and the input of a
/// `Sequential` model have no group.
pub(crate) fn grouped<'c>(
    config: &'c Attrs,
    key: &str,
    version: KerasVersion,
) -> Vec<(&'c Attrs, Name, Option<String>)> {
    let objects = config.get(key).and_then(Attr::as_list).unwrap_or_default();
    let is_functional = config.get("input_layers").is_some();
    let mut groups = GroupNames::default();
    let object = |object| {
        let class = dialect_class(object, version);
        let is_counted = is_layer_class(&class) && (is_functional || &*class != "keras.InputLayer");
        let group = is_counted.then(|| format!("{key}/{}", groups.next(class.rsplit('.').next().unwrap_or_default())));
        (object, class, group)
    };
    objects.iter().filter_map(Attr::as_map).map(object).collect()
}

/// The layers declared in the list at `key` that have a group, which is below `key`.
fn of_list(config: &Attrs, key: &str, version: KerasVersion) -> Vec<Part> {
    let mut parts = Vec::new();
    for (object, class, group) in grouped(config, key, version) {
        let Some(group) = group else { continue };
        let config = object.get("config").and_then(Attr::as_map).cloned().unwrap_or_default();
        let name = config.get("name").or_else(|| object.get("name")).and_then(Attr::as_str);
        let scope = name.map_or_else(|| group.replace('/', "_"), str::to_string);
        parts.push(part(group, scope, &class, config));
    }
    parts
}
