//! Reads and sets `trainable` in layer configurations.

use netc_ir::{Attr, Attrs, Layer, Name};

const TRAINABLE: &str = "trainable";

/// Whether `layer` is trainable, if its configuration records it.
pub(crate) fn is_trainable(layer: &Layer) -> Option<bool> {
    layer.config.get("config")?.get(TRAINABLE)?.as_bool()
}

/// Sets every existing `trainable` in the configuration of `layer`, including those of inner layers.
pub(crate) fn set_trainable(layer: &mut Layer, to: bool) {
    if let Some(config) = layer.config.get("config").and_then(Attr::as_map) {
        let config = retrained(config, to);
        layer.config.set("config", config);
    }
}

/// Makes the model as a whole trainable if `model`, the attributes of its function, mark it as frozen.
pub(crate) fn unfreeze(model: &mut Attrs) {
    let Some(object) = model.get("object").and_then(Attr::as_map) else { return };
    let Some(config) = object.get("config").and_then(Attr::as_map) else { return };
    if config.get(TRAINABLE) == Some(&Attr::Bool(false)) {
        let object = object.clone().with("config", config.clone().with(TRAINABLE, true));
        model.set("object", object);
    }
}

fn retrained(config: &Attrs, to: bool) -> Attrs {
    let entry = |(key, value): &(Name, Attr)| {
        let says = &**key == TRAINABLE && value.as_bool().is_some();
        (key.clone(), if says { Attr::Bool(to) } else { retrained_inside(value, to) })
    };
    config.iter().map(entry).collect()
}

fn retrained_inside(value: &Attr, to: bool) -> Attr {
    match value.as_map() {
        Some(map) => Attr::Map(retrained(map, to)),
        None => value.map_children(|item| retrained_inside(item, to)),
    }
}
