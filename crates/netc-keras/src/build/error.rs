//! Errors of model building.

use netc_dialect::LowerError;
use netc_dialect::library::LibraryError;
use netc_ir::{Name, Type};
use thiserror::Error;

/// A model cannot be built because of a layer.
#[derive(Debug, Error)]
#[error("cannot build layer `{layer}`")]
pub struct BuildError {
    /// The layer, or the model if no single layer is at fault.
    pub layer: Name,
    /// The reason.
    #[source]
    pub reason: Reason,
}

/// The reason why a layer is invalid.
#[derive(Debug, Error)]
pub enum Reason {
    /// The name is not unique.
    #[error("another layer has the same name")]
    DuplicateName,
    /// The tensor belongs to another builder.
    #[error("it uses a tensor of another model")]
    ForeignTensor,
    /// The layer belongs to another builder.
    #[error("it is a layer of another model")]
    ForeignLayer,
    /// The layer is applied to more or fewer tensors than it declares.
    #[error("it is applied to {found} tensors, expected {expected}")]
    Operands {
        /// The number of inputs.
        found: usize,
        /// The number that the declaration takes.
        expected: usize,
    },
    /// The shape of a weight depends on an unknown extent of the input.
    #[error("its input is {ty}, but its weights need a known extent at axis {axis}")]
    Extent {
        /// The axis; a negative one counts from the end.
        axis: i64,
        /// The type of the input.
        ty: Type,
    },
    /// The layer does not accept its input.
    #[error(transparent)]
    Lower(#[from] LowerError),
    /// The layer has several results. [`ModelBuilder::apply`](super::ModelBuilder::apply) returns one, `apply_all`
    /// returns all.
    #[error("it yields {0} tensors, expected one")]
    Results(usize),
    /// The tensor does not have the type of the nested model's input.
    #[error("it is applied to {found}, expected {expected}")]
    Input {
        /// The type of the tensor.
        found: Type,
        /// The type of the model's input.
        expected: Type,
    },
    /// The nested module is not a model.
    #[error("the module has no entry `@main`")]
    NoMain,
    /// The layers of a Sequential model do not form a chain.
    #[error("the layers are not a chain from one input to one output")]
    NoChain,
    /// The layer library is invalid.
    #[error("cannot use the layer library")]
    Library(#[source] Box<LibraryError>),
    /// The model has no outputs.
    #[error("the model has no outputs")]
    NoOutputs,
}
