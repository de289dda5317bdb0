//! Declarations of layers that a file does not have.

use netc_ir::{Attr, Attrs, Layer};

use crate::legacy::Era;

/// The declaration of an input layer that the model does not have, as Keras wrote it in that era; keys are those of
/// `like`, an input it has.
pub(crate) fn input_declaration(name: &str, batch_shape: Attr, dtype: &str, like: Option<&Attrs>, era: Era) -> Layer {
    let shape = if era == Era::Before3 { "batch_input_shape" } else { "batch_shape" };
    let fresh = Attrs::new().with(shape, Attr::Null).with("dtype", "float32").with("sparse", false).with("name", "");
    let config = like.and_then(|l| l.get("config")).and_then(Attr::as_map).cloned().unwrap_or(fresh);
    let config = config.with(shape, batch_shape).with("dtype", dtype).with("name", name);
    let mut object = Attrs::new()
        .with("module", "keras.layers")
        .with("class_name", "InputLayer")
        .with("config", config)
        .with("registered_name", Attr::Null)
        .with("name", name);
    if era == Era::Before3 {
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
