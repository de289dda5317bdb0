//! What passes and reports ask about a function. Each analysis is computed, borrowed and dropped: none is stored.

pub mod calls;
pub mod cost;
pub mod graph;
pub mod names;
pub mod needed;
pub mod one_tensor;
pub mod post_dominators;

pub use cost::{Cost, Costs, CutCost};
pub use names::{CutError, CutPoint, OpNames, model_layers, resolve};
pub use needed::{live_ops, needed_by};
pub use one_tensor::{Cut, OneTensorCuts, one_tensor_cuts};
pub use post_dominators::PostDominators;
