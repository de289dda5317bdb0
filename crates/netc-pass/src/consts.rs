//! What passes ask the executor: constants, and what ops cost. Passes do algebra, the executor does arithmetic.

use std::error::Error;
use std::sync::Arc;

use netc_ir::{CoreOp, Func, FuncId, Literal, Module, Type, ValueId};
use thiserror::Error;

/// Computes values that depend on no parameter. The executor implements it, so that floats are computed in one place.
pub trait ConstEval {
    /// The tensors that `values` of `func`, a function of `module`, are. None of them depends on a parameter.
    fn evaluate(&self, module: &Module, func: &Func, values: &[ValueId]) -> Result<Vec<Literal>, ConstError>;
}

/// Why a constant cannot be computed.
#[derive(Debug, Clone, Error)]
#[error(transparent)]
pub struct ConstError(Reason);

#[derive(Debug, Clone, Error)]
enum Reason {
    #[error("{0}")]
    Message(String),
    #[error(transparent)]
    Other(Arc<dyn Error + Send + Sync>),
}

impl ConstError {
    /// The reason is `message`, and no other error caused it.
    pub fn new(message: impl Into<String>) -> Self {
        Self(Reason::Message(message.into()))
    }

    /// The reason is `source`, which needs no context.
    pub fn from_error(source: impl Error + Send + Sync + 'static) -> Self {
        Self(Reason::Other(Arc::new(source)))
    }
}

/// Says what ops and programs cost to run.
pub trait OpCosts {
    /// The seconds that `op` takes on such operands; symbols in types count as 1.
    fn seconds(&self, op: &CoreOp, operands: &[Operand<'_>], result: &Type) -> f64;

    /// What part of its time in `before` the function takes in `after`, infinity if it runs in `before` alone; none if it
    /// does not run there, or if nothing runs programs.
    fn compare(&self, _before: &Module, _after: &Module, _func: FuncId) -> Option<f64> {
        None
    }
}

/// What an op reads.
#[derive(Debug, Clone, Copy)]
pub struct Operand<'a> {
    /// Its type.
    pub ty: &'a Type,
    /// Whether it is known before the program runs, so that kernels are prepared for it.
    pub constant: bool,
}
