//! Lowers every Keras layer and operation to core ops.
//!
//! Each class has one lowering, an [`Entry`] in the table of its kind. A lowering computes what Keras 3 with its JAX
//! backend computes in inference mode, in the same order of operations, so that results agree up to rounding. An
//! unknown part of a configuration is an error and never ignored.

mod activation;
mod attention;
mod call;
mod category;
mod conv;
mod declared;
mod dense;
mod dialect;
mod entry;
mod identity;
mod merge;
mod norm;
mod ops;
mod quant;
mod reshape;
mod result;
mod rnn;
mod table;
mod wrapper;

pub(crate) use call::mask::{makes_masks, reads_masks_in_keras_2};
pub use dialect::KerasDialect;
pub use entry::Entry;
pub(crate) use table::passes_mask;
pub use table::{LAYERS, OPS, activations, classes};

#[cfg(test)]
mod tests;
