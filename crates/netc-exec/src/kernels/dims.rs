//! Resolves the symbolic extents of an op to numbers.

use std::borrow::Cow;

use netc_ir::{Bindings, CoreOp, Dim, Type};

use crate::error::KernelError;
use crate::error::kernel::Result;

/// Resolves the extents in the attributes of `op`.
pub(super) fn with_known_dims<'a>(op: &'a CoreOp, operands: &[&Type], bindings: &Bindings) -> Result<Cow<'a, CoreOp>> {
    Ok(if let CoreOp::Reshape(dims) = op {
        let count = operands.first().and_then(|ty| ty.num_elements());
        Cow::Owned(CoreOp::Reshape(known_shape(dims, count, bindings)?))
    } else if let CoreOp::Broadcast(dims) = op {
        Cow::Owned(CoreOp::Broadcast(dims.iter().map(|d| known(d, bindings)).collect::<Result<_>>()?))
    } else {
        Cow::Borrowed(op)
    })
}

fn known(dim: &Dim, bindings: &Bindings) -> Result<Dim> {
    dim.eval(bindings).map(Dim::Known).ok_or_else(|| KernelError::Unbound { dim: dim.to_string() })
}

/// Resolves a shape of `count` elements. One extent with unbound symbols may be inferred from `count`.
fn known_shape(dims: &[Dim], count: Option<u64>, bindings: &Bindings) -> Result<Vec<Dim>> {
    let values: Vec<Option<u64>> = dims.iter().map(|d| d.eval(bindings)).collect();
    let rest = values.iter().flatten().try_fold(1u64, |n, d| n.checked_mul(*d)).filter(|n| *n > 0);
    let left = match (count, rest) {
        (Some(count), Some(rest)) if values.iter().filter(|v| v.is_none()).count() == 1 => count.checked_div(rest),
        _ => None,
    };
    let fill = |(dim, value): (&Dim, Option<u64>)| {
        value
            .or(left.filter(|_| has_free_symbols(dim, bindings)))
            .map(Dim::Known)
            .ok_or_else(|| KernelError::Unbound { dim: dim.to_string() })
    };
    dims.iter().zip(values).map(fill).collect()
}

/// Whether `dim` has unbound symbols.
pub(crate) fn has_free_symbols(dim: &Dim, bindings: &Bindings) -> bool {
    dim.substitute(&|symbol| bindings.get(symbol).map(|n| Dim::Known(*n))).known().is_none()
}
