//! Ops that turn extents into elements and elements into extents.

use netc_ir::ElemType;

use super::cast::cast;
use super::operands::one;
use crate::error::KernelError;
use crate::error::kernel::Result;
use crate::value::{Value, allocate};

/// The extent of an axis as a scalar.
pub(super) fn dim(x: &Value, axis: u64) -> Result<Value> {
    let extent = x.dims().get(axis as usize).copied().unwrap_or(1);
    Value::from_vec(ElemType::I64, &[], vec![i64::try_from(extent).unwrap_or(i64::MAX)])
}

/// The numbers `0..n`.
pub(super) fn iota(dims: &[usize]) -> Result<Value> {
    let count = dims.iter().product();
    let mut numbers = allocate(count, &netc_ir::Type::fixed(ElemType::I64, &[count as u64]))?;
    numbers.extend(0..count as i64);
    Value::from_vec(ElemType::I64, dims, numbers)
}

/// The extent of an `iota` with the scalar operand `n`. It must equal `expected`, if given.
pub(crate) fn count(n: &Value, expected: Option<u64>) -> Result<u64> {
    if !n.elem().is_int() {
        return Err(KernelError::Element { elem: n.elem() });
    }
    let n = cast(n, ElemType::I64)?;
    let n = *n.slice::<i64>()?.first().ok_or(KernelError::Count { found: 0, expected: 1 })?;
    match (u64::try_from(n), expected) {
        (Err(_), _) => Err(KernelError::Negative(n)),
        (Ok(count), Some(expected)) if count != expected => Err(KernelError::Extent { found: count, expected }),
        (Ok(count), _) => Ok(count),
    }
}

/// The first operand, the only one whose elements are read. The others only carry symbols.
pub(super) fn first<'v>(operands: &[&'v Value]) -> Result<&'v Value> {
    one(operands.get(..1).unwrap_or_default())
}
