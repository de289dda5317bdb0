//! Reads and changes layer declarations, and makes those of missing input layers.

use netc_ir::{Attr, Attrs, Layer, Name, Type};

use crate::config::version::KerasVersion;
use crate::error::{Problem, Result};

/// Normalizes the object of a model: in old files the configuration is the list of layers itself.
pub(crate) fn model(object: Attr) -> Attr {
    let Attr::Map(mut map) = object else { return object };
    if let Some(layers @ Attr::List(_)) = map.get("config").cloned() {
        map.set("config", Attrs::new().with("name", "sequential").with("layers", layers));
    }
    Attr::Map(map)
}

pub(crate) fn shape(ty: &Type) -> Option<Attr> {
    let dims = ty.dims.as_ref()?;
    Some(Attr::List(dims.iter().map(|d| d.known().map_or(Attr::Null, |n| Attr::Int(n.into()))).collect()))
}

/// Makes the declaration of an input layer that the model lacks, as that version of Keras wrote it. Takes its keys from
/// `like`, another input of the model, if there is one.
pub(crate) fn input_declaration(
    name: &str,
    batch_shape: Attr,
    dtype: &str,
    like: Option<&Attrs>,
    version: KerasVersion,
) -> Layer {
    let shape = if version == KerasVersion::Legacy { "batch_input_shape" } else { "batch_shape" };
    let fresh = Attrs::new().with(shape, Attr::Null).with("dtype", "float32").with("sparse", false).with("name", "");
    let config = like.and_then(|l| l.get("config")).and_then(Attr::as_map).cloned().unwrap_or(fresh);
    let config = config.with(shape, batch_shape).with("dtype", dtype).with("name", name);
    let mut object = Attrs::new()
        .with("module", "keras.layers")
        .with("class_name", "InputLayer")
        .with("config", config)
        .with("registered_name", Attr::Null)
        .with("name", name);
    if version == KerasVersion::Legacy {
        ["module", "registered_name"].iter().for_each(|key| drop(object.remove(key)));
    }
    Layer {
        name: name.into(),
        class: "keras.InputLayer".into(),
        config: object,
        weights: Vec::new(),
        assets: Vec::new(),
    }
}

/// The name of the layer declared by the object.
pub(crate) fn layer_name(object: &Attrs) -> Option<&Name> {
    object.get("name").or_else(|| object.get("config")?.get("name")).and_then(Attr::as_name)
}

/// Updates the name in the layer's object and in its configuration, where they have one.
pub(crate) fn write_name(layer: &mut Layer) {
    if let Some(config) = layer.config.get("config").and_then(Attr::as_map).filter(|c| c.get("name").is_some()) {
        let config = config.clone().with("name", &*layer.name);
        layer.config.set("config", config);
    }
    if layer.config.get("name").is_some() {
        layer.config.set("name", &*layer.name);
    }
}

/// Whether the configuration of `layer` contains an inner layer with that name.
pub(crate) fn declares_inside(layer: &Layer, name: &str) -> bool {
    let config = layer.config.get("config").and_then(Attr::as_map);
    config.is_some_and(|config| config.iter().any(|(_, value)| holds_name(value, name)))
}

/// Whether an object in `value` has the name. The nesting of attributes is limited, so the recursion is safe.
fn holds_name(value: &Attr, name: &str) -> bool {
    let is_called = value.get("name").and_then(Attr::as_str) == Some(name);
    is_called || value.children().any(|value| holds_name(value, name))
}

/// A model's object without its graph, which is in the function.
pub(crate) fn strip_graph(object: &Attrs) -> Attrs {
    let is_graph = |key: &str| matches!(key, "layers" | "input_layers" | "output_layers");
    // Does not copy the models inside, which may nest many levels deep.
    let strip = |(key, value): &(Name, Attr)| {
        let kept = match value.as_map().filter(|_| &**key == "config") {
            Some(config) => Attr::Map(config.iter().filter(|(key, _)| !is_graph(key)).cloned().collect()),
            None => value.clone(),
        };
        (key.clone(), kept)
    };
    object.iter().map(strip).collect()
}

/// Rejects attributes that nest too deep for the IR.
pub(crate) fn require_printable(attrs: &Attrs, place: &str) -> Result<()> {
    if attrs.is_printable() {
        return Ok(());
    }
    let note = "its configuration nests deeper than the 128 levels that netc supports in one layer; a model in a \
                wrapper counts as five";
    Err(Problem::config(place, note))
}

/// Whether the layer makes a mask.
pub(crate) fn makes_mask(layer: &Layer) -> bool {
    match &*layer.class {
        "keras.Masking" => true,
        "keras.Embedding" => {
            layer.config.get("config").and_then(|c| c.get("mask_zero")).and_then(Attr::as_bool) == Some(true)
        }
        _ => false,
    }
}
