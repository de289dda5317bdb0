//! Lowering of source ops: a [`Dialect`] lowers the ops of one framework, a [`LayerLibrary`] the layers that a user
//! defines.

pub mod library;
mod lowering;

pub use library::LayerLibrary;
pub use lowering::{Dialect, Dialects, LowerError, LoweredOp, OpContext, Purpose, Repeat, Result};
