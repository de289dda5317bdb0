//! What passes and reports ask about a function. Each analysis is computed, borrowed and dropped: none is stored.

mod algebra;
mod below;
pub(crate) mod calls;
mod cost;
pub mod graph;
mod layers_alone;
mod masks;
mod names;
mod needed;
mod one_tensor;
mod order;
mod portable_costs;
mod post_dominators;
mod rounding;

pub(crate) use algebra::{commutes, constant_values, note_constant};
pub use below::layers_below;
pub use calls::callees_first;
pub use cost::{Cost, Costs, CutCost};
pub(crate) use layers_alone::note_layers_alone;
pub(crate) use masks::MaskReads;
pub use names::{CutError, CutPoint, OpNames, model_layers, resolve};
pub(crate) use names::{CutPart, cut_parts};
pub(crate) use needed::{constant_producer, is_constant};
pub use needed::{live_ops, needed_by};
pub(crate) use one_tensor::OneTensorCuts;
pub use one_tensor::{Cut, one_tensor_cuts};
pub use order::canonical_order;
pub use portable_costs::PortableCosts;
pub use rounding::{is_within, measured_bound, rounding_bounds};
