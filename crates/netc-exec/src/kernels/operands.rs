//! Checks the number of operands of an op.

use netc_ir::InferError;

use crate::error::kernel::Result;
use crate::value::Value;

pub(super) fn one<'v>(operands: &[&'v Value]) -> Result<&'v Value> {
    let [x] = take(operands)?;
    Ok(x)
}

pub(super) fn take<'v, const N: usize>(operands: &[&'v Value]) -> Result<[&'v Value; N]> {
    let note = || format!("takes {N} operands, found {}", operands.len());
    operands.try_into().map_err(|_| InferError { op: "operands", constraint: 0, note: note() }.into())
}
