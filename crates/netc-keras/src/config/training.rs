//! Which layers of a model are trained: the key `trainable` of configurations.

use netc_ir::{Attr, Attrs, Layer, Name};

const TRAINABLE: &str = "trainable";

/// Whether `layer` is trained, if its configuration says so.
pub(crate) fn is_trainable(layer: &Layer) -> Option<bool> {
    layer.config.get("config")?.get(TRAINABLE)?.as_bool()
}

/// Sets every `trainable` in the configuration of `layer`: a layer that wraps others has their configurations inside its
/// own. Adds none.
pub(crate) fn set_trainable(layer: &mut Layer, to: bool) {
    if let Some(config) = layer.config.get("config").and_then(Attr::as_map) {
        let config = retrained(config, to);
        layer.config.set("config", config);
    }
}

/// Makes the whole model trainable, if `model`, the attributes of its function, say that it is not.
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
