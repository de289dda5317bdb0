//! What can be wrong with a model that is being built.

use netc_dialect::LowerError;
use netc_dialect::library::LibraryError;
use netc_ir::{Name, Type};
use thiserror::Error;

/// A model that cannot be built, and the layer where that shows.
#[derive(Debug, Error)]
#[error("cannot build layer `{layer}`")]
pub struct BuildError {
    /// The layer; the name of the model where no single layer is at fault.
    pub layer: Name,
    /// What is wrong there.
    #[source]
    pub reason: Reason,
}

/// What is wrong with a layer.
#[derive(Debug, Error)]
pub enum Reason {
    /// Names identify layers.
    #[error("another layer has the same name")]
    DuplicateName,
    /// A tensor of another builder.
    #[error("it uses a tensor that is not of this model")]
    ForeignTensor,
    /// A layer of another builder.
    #[error("it is not a layer of this model")]
    ForeignLayer,
    /// A declaration is applied to as many tensors each time.
    #[error("it is applied to {found} tensors, expected {expected}")]
    Operands {
        /// How many it is applied to.
        found: usize,
        /// How many the declaration takes.
        expected: usize,
    },
    /// The shape of a weight follows from the input.
    #[error("its input is {ty}, its weights need a known extent at axis {axis}")]
    Extent {
        /// The axis; negative ones count from the end.
        axis: i64,
        /// The type of the input.
        ty: Type,
    },
    /// The layer does not fit its input.
    #[error(transparent)]
    Lower(#[from] LowerError),
    /// [`ModelBuilder::apply`](super::ModelBuilder::apply) gives one tensor, `apply_all` several.
    #[error("it yields {0} tensors, expected one")]
    Results(usize),
    /// A nested model takes tensors of the types of its inputs.
    #[error("it is applied to {found}, expected {expected}")]
    Input {
        /// The type of the tensor given.
        found: Type,
        /// The type of the model's input.
        expected: Type,
    },
    /// What is nested is the module of a model.
    #[error("the module has no entry `@main`")]
    NoMain,
    /// In a Sequential model each layer reads what the one before yields.
    #[error("the layers are no chain from the one input to the one output")]
    NoChain,
    /// A layer library cannot be read.
    #[error("the layer library cannot be used")]
    Library(#[source] Box<LibraryError>),
    /// A model returns something.
    #[error("the model has no outputs")]
    NoOutputs,
}
