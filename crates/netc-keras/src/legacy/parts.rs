//! What a layer is made of: the weights that it makes itself, and the layers in it.
//!
//! This is the one description of composite layers. The place of a weight in an archive, its group in archives of other
//! versions, and its number in the lists of an HDF5 file follow from it. Keras walks the attributes of a layer: those
//! that hold a layer give a group, those that hold a list of layers give a group for each, named after its class.

use netc_ir::{Attr, Attrs, Name};

use crate::config::classes::{dialect_class, is_layer_class};
use crate::config::names::{GroupNames, snake_case};
use crate::config::version::Era;

/// A weight that a layer makes itself.
#[derive(Clone, Copy)]
pub(super) struct Own {
    /// What Keras calls it.
    pub(super) name: &'static str,
    /// Whether Keras trains it, unless the layer is frozen.
    pub(super) trained: bool,
    /// The place in the layer of the weight that this one is, where Keras keeps it under two attributes.
    pub(super) same_as: Option<&'static str>,
}

/// A layer in a layer.
pub(super) struct Part {
    /// Its group in that of the outer layer, in an archive of Keras 3.
    pub(super) group: String,
    /// The same before Keras 3.1.
    pub(super) older: String,
    /// What the names of its weights begin with in an HDF5 file.
    pub(super) scope: String,
    /// The dialect's name of its class.
    pub(super) class: String,
    pub(super) config: Attrs,
}

/// Whether the layer with this configuration is trainable.
pub(crate) fn trains(config: &Attrs) -> bool {
    config.get("trainable").and_then(Attr::as_bool) != Some(false)
}

/// Whether a layer with this configuration is a model with a graph, whose layers are its parts. Layers may call anything
/// `layers`.
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

/// Whether layers of a class that [`own`] does not know may make weights.
pub(super) fn may_have_weights(class: &str) -> bool {
    !class.starts_with("keras.") || UNKNOWN.contains(&class)
}

/// The weights that a layer of the class makes itself, in the order of their numbers: those that are trained, then the
/// others. `None` for classes that netc does not know weights of.
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
        // Both are in its configuration, or learned by `adapt`.
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
        // It also keeps its layer's kernel as an attribute.
        "SpectralNormalization" => {
            vec![Own { same_as: Some("layer/vars/0"), ..trained("kernel") }, kept("vector_u")]
        }
        "StackedRNNCells" => Vec::new(),
        cell if cell.ends_with("Cell") => {
            [trained("kernel"), trained("recurrent_kernel")].into_iter().chain(bias).collect()
        }
        _ if !parts(class, config, Era::Keras3).is_empty() => Vec::new(),
        _ => return None,
    })
}

/// The projections of an attention: attribute, and name.
const PROJECTIONS: [(&str, &str); 5] = [
    ("_query_dense", "query"),
    ("_key_dense", "key"),
    ("_gate_dense", "gate"),
    ("_value_dense", "value"),
    ("_output_dense", "attention_output"),
];

/// The layers in a layer, in the order in which Keras tracks them.
pub(super) fn parts(class: &str, config: &Attrs, era: Era) -> Vec<Part> {
    match class.strip_prefix("keras.").unwrap_or_default() {
        name @ ("LSTM" | "GRU" | "SimpleRNN" | "ConvLSTM1D" | "ConvLSTM2D" | "ConvLSTM3D") => {
            let scope = format!("{}_cell", snake_case(name));
            vec![part("cell", scope, &format!("{class}Cell"), config.clone())]
        }
        "RNN" => of_config(config, "cell", "cell", "", era).into_iter().collect(),
        "StackedRNNCells" => of_list(config, "cells", era),
        "Pipeline" => of_list(config, "layers", era),
        "TimeDistributed" | "SpectralNormalization" | "Wrapper" => {
            of_config(config, "layer", "layer", "", era).into_iter().collect()
        }
        "Bidirectional" => {
            let own = config.get("backward_layer").is_some_and(|layer| !layer.is_null());
            let backward = if own { "backward_layer" } else { "layer" };
            let forward = of_config(config, "layer", "forward_layer", "forward_", era);
            forward.into_iter().chain(of_config(config, backward, "backward_layer", "backward_", era)).collect()
        }
        name @ ("MultiHeadAttention" | "GroupQueryAttention") => projections(name, config),
        _ if is_model(class, config) => of_model(config, era),
        _ => Vec::new(),
    }
}

fn part(group: impl Into<String>, scope: impl Into<String>, class: &str, config: Attrs) -> Part {
    let group = group.into();
    Part { older: group.clone(), group, scope: scope.into(), class: class.into(), config }
}

/// `MultiHeadAttention` has public names for its projections since Keras 3.1, under which Keras finds them first.
fn projections(class: &str, config: &Attrs) -> Vec<Part> {
    let flag = |key, default| config.get(key).and_then(Attr::as_bool).unwrap_or(default);
    let bias_axes = if flag("use_bias", true) { Attr::str("bias") } else { Attr::Null };
    let made = PROJECTIONS.into_iter().filter(|(_, name)| *name != "gate" || flag("use_gate", false));
    let is_public = |name: &str| class == "MultiHeadAttention" && name != "gate";
    made.map(|(attribute, name)| {
        let config = Attrs::new().with("bias_axes", bias_axes.clone());
        let group = if is_public(name) { attribute.trim_start_matches('_') } else { attribute };
        Part { older: attribute.into(), ..part(group, name, "keras.EinsumDense", config) }
    })
    .collect()
}

/// The layer at `key` of a configuration.
fn of_config(config: &Attrs, key: &str, group: &str, prefix: &str, era: Era) -> Option<Part> {
    let object = config.get(key).and_then(Attr::as_map)?;
    let class = dialect_class(object, era);
    let config = object.get("config").and_then(Attr::as_map).cloned().unwrap_or_default();
    let scope = match (config.get("name").and_then(Attr::as_str), prefix) {
        (_, "") if &*class != "keras.StackedRNNCells" => String::new(),
        (Some(name), _) => format!("{prefix}{name}"),
        (None, _) => format!("{prefix}{}", snake_case(class.rsplit('.').next().unwrap_or_default())),
    };
    Some(part(group, scope, &class, config))
}

/// The layers of a model.
pub(super) fn of_model(config: &Attrs, era: Era) -> Vec<Part> {
    of_list(config, "layers", era)
}

/// The objects in a list at `key`, each with its class and the group of its weights: operations have none, nor has the input
/// of a `Sequential` model.
pub(crate) fn grouped<'c>(config: &'c Attrs, key: &str, era: Era) -> Vec<(&'c Attrs, Name, Option<String>)> {
    let objects = config.get(key).and_then(Attr::as_list).unwrap_or_default();
    let is_functional = config.get("input_layers").is_some();
    let mut groups = GroupNames::default();
    let object = |object| {
        let class = dialect_class(object, era);
        let is_counted = is_layer_class(&class) && (is_functional || &*class != "keras.InputLayer");
        let group = is_counted.then(|| format!("{key}/{}", groups.next(class.rsplit('.').next().unwrap_or_default())));
        (object, class, group)
    };
    objects.iter().filter_map(Attr::as_map).map(object).collect()
}

/// The layers that are declared in a list at `key`, each with a group below `key`. A `Sequential` model does not count its
/// input, and operations are no layers.
fn of_list(config: &Attrs, key: &str, era: Era) -> Vec<Part> {
    let mut parts = Vec::new();
    for (object, class, group) in grouped(config, key, era) {
        let Some(group) = group else { continue };
        let config = object.get("config").and_then(Attr::as_map).cloned().unwrap_or_default();
        let name = config.get("name").or_else(|| object.get("name")).and_then(Attr::as_str);
        let scope = name.map_or_else(|| group.replace('/', "_"), str::to_string);
        parts.push(part(group, scope, &class, config));
    }
    parts
}
