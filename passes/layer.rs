//! Changing layer declarations: the parts of a configuration that frameworks of layers have in common.

use netc_ir::{Attr, Attrs, Layer, Name};

/// Gives the layer another name, which its configuration says too.
pub(crate) fn rename(layer: &mut Layer, name: Name) {
    edit_config(layer, |config| {
        if config.get("name").is_some() {
            config.set("name", &*name);
        }
    });
    if layer.config.get("name").is_some() {
        layer.config.set("name", &*name);
    }
    layer.name = name;
}

/// Edits the layer's configuration proper, if it has one.
pub(crate) fn edit_config(layer: &mut Layer, edit: impl FnOnce(&mut Attrs)) {
    if let Some(mut config) = layer.config.get("config").and_then(Attr::as_map).cloned() {
        edit(&mut config);
        layer.config.set("config", config);
    }
}
