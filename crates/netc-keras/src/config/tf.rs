//! The classes of TensorFlow operations in Keras 2 models.

use netc_ir::{Attr, Attrs, Name};

/// The layer classes in which Keras 2 wraps operations.
const LAYERS: &[&str] = &["SlicingOpLambda", "TFOpLambda"];

/// The dialect's class for a layer that wraps a TensorFlow operation, such as `tf.nn.relu`.
pub(crate) fn class_of(entry: &Attrs) -> Option<Name> {
    entry.get("class_name").and_then(Attr::as_str).filter(|class| LAYERS.contains(class))?;
    let function = entry.get("config")?.get("function")?.as_str()?;
    let is_word = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    function.split('.').all(is_word).then(|| format!("tf.{function}").into())
}

/// Whether the dialect's class is a TensorFlow operation.
pub(crate) fn is_operation(class: &str) -> bool {
    class.starts_with("tf.")
}
