//! What formats agree on to say of a module.

use netc_ir::{Attr, LayerId, Module};

/// The class of the declaration that holds the training state of a model: how it was compiled, and the state of its
/// optimizer. No op applies it, and no file gives a layer this prefix.
pub const TRAINING_STATE: &str = "netc.Compiled";

/// The declarations of training state. They belong to the model exactly as it was read: an optimizer has variables for each
/// weight that is trained, in the order of these weights. Files have one at most; a program by hand may have several, and
/// the first counts.
pub fn training_state(module: &Module) -> impl Iterator<Item = LayerId> + '_ {
    let ids = (0..module.layers.len()).map(LayerId::new);
    ids.filter(|id| &*module[*id].class == TRAINING_STATE)
}

/// The attribute of a module that has no weights because none were given.
pub const ARCHITECTURE: &str = "architecture";

/// Whether the module has no weights because none were given: how many numbers its layers have is not known.
pub fn is_architecture(module: &Module) -> bool {
    module.attrs.get(ARCHITECTURE).and_then(Attr::as_bool) == Some(true)
}
