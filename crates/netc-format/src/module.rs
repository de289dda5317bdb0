//! Conventions of formats for the content of a module.

use netc_ir::{Attr, LayerId, Module};

/// The class of the layer declaration that holds the training state of a model: its compile configuration and the state
/// of its optimizer. No op applies it, and no layer in a file has the prefix `netc.`.
pub const TRAINING_STATE: &str = "netc.Compiled";

/// The declarations of training state.
///
/// They are valid only for the model as it was read, because the optimizer has variables for each trainable weight, in
/// the order of the weights. A file has at most one. A hand-written program may have several, and the first counts.
pub fn training_state(module: &Module) -> impl Iterator<Item = LayerId> + '_ {
    let ids = (0..module.layers.len()).map(LayerId::new);
    ids.filter(|id| &*module[*id].class == TRAINING_STATE)
}

/// The attribute that marks a module read from an architecture file without weights.
pub const ARCHITECTURE: &str = "architecture";

/// Whether the module was read from an architecture file without weights. The parameter counts of its layers are
/// unknown.
pub fn is_architecture(module: &Module) -> bool {
    module.attrs.get(ARCHITECTURE).and_then(Attr::as_bool) == Some(true)
}
