//! What passes ask of the executor: constant values and op costs. Passes do algebra, the executor does arithmetic.

use std::error::Error;
use std::sync::Arc;

use netc_ir::{CoreOp, Func, FuncId, Literal, Module, Type, ValueId};
use thiserror::Error;

/// Evaluates values that depend on no parameter. The executor implements it, so that only one place computes floats.
pub trait ConstEval {
    /// Computes `values` of `func`, a function of `module`. None of them may depend on a parameter.
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
    /// An error with the reason `message` and no cause.
    pub fn new(message: impl Into<String>) -> Self {
        Self(Reason::Message(message.into()))
    }

    /// An error caused by `source`, with the same message.
    pub fn from_error(source: impl Error + Send + Sync + 'static) -> Self {
        Self(Reason::Other(Arc::new(source)))
    }
}

/// Estimates or measures the cost of ops and programs.
pub trait OpCosts {
    /// The time of `op` on these operands, in seconds. Symbols in types count as 1.
    fn seconds(&self, op: &CoreOp, operands: &[Operand<'_>], result: &Type) -> f64;

    /// The running time of `func` in `after`, divided by its time in `before`. Infinity if it runs only in `before`;
    /// `None` if it does not run in `before`, or if this implementation cannot run programs.
    fn compare(&self, _before: &Module, _after: &Module, _func: FuncId) -> Option<f64> {
        None
    }
}

/// An operand of an op whose cost is asked.
#[derive(Debug, Clone, Copy)]
pub struct Operand<'a> {
    /// Its type.
    pub ty: &'a Type,
    /// Whether its value is known before the program runs, so that kernels can prepare for it.
    pub constant: bool,
}
