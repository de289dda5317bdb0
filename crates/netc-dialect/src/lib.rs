//! What source ops mean: a [`Dialect`] lowers the ops of one framework, a [`LayerLibrary`] those that a user defines.

pub mod library;
mod lowering;

pub use library::LayerLibrary;
pub use lowering::{Dialect, Dialects, LowerError, Meaning, OpContext, Purpose, Repeat, Result};
