//! What passes ask the executor: constants, and what ops cost. Passes do algebra, the executor does arithmetic.

use netc_ir::{CoreOp, Func, FuncId, Literal, Module, Type, ValueId};
use thiserror::Error;

/// Computes values that depend on no parameter. The executor implements it, so that floats are computed in one place.
pub trait ConstEval {
    /// The tensors that `values` of `func`, a function of `module`, are. None of them depends on a parameter.
    fn evaluate(&self, module: &Module, func: &Func, values: &[ValueId]) -> Result<Vec<Literal>, ConstError>;
}

/// Why a constant cannot be computed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ConstError(pub String);

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
