//! Computing constants: passes do algebra, the executor does arithmetic.

use netc_ir::{Func, Literal, Module, ValueId};
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
