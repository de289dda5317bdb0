//! Symbols are not repeated: an extent that the program knows as a symbol must equal the other operands' extents,
//! even where it turns out to be 1.

use netc_ir::{CoreOp, InferError, OpClass, Type};

use crate::error::KernelError;

/// For each operand of an op that broadcasts, the axes whose extents are symbols, counted from the last.
#[derive(Debug, Default)]
pub(super) struct Rigid(Vec<Vec<usize>>);

impl Rigid {
    /// The symbolic axes of operands of the types `types` that `op` aligns with one another.
    pub(super) fn of(op: &CoreOp, types: &[&Type]) -> Self {
        let first = match op.class() {
            OpClass::Elementwise => 0,
            // The last two axes are those of the matrices.
            OpClass::Product if *op == CoreOp::MatMul => 2,
            OpClass::Stored | OpClass::Product | OpClass::Reduction | OpClass::Movement | OpClass::Extent => {
                return Self::default();
            }
        };
        let symbolic = |ty: &&Type| {
            let dims = ty.dims.iter().flatten().rev().enumerate();
            dims.filter(|(axis, dim)| *axis >= first && dim.known().is_none()).map(|(axis, _)| axis).collect()
        };
        Self(types.iter().map(symbolic).collect())
    }

    /// Checks that no symbolic axis of operands with the extents `dims` is repeated.
    pub(super) fn check<'a>(
        &self,
        op: &CoreOp,
        dims: impl Iterator<Item = &'a [usize]> + Clone,
    ) -> Result<(), KernelError> {
        let extent = |dims: &[usize], axis: usize| dims.iter().rev().nth(axis).copied().unwrap_or(1);
        for (operand, axes) in dims.clone().zip(&self.0) {
            for axis in axes.iter().filter(|axis| extent(operand, **axis) == 1) {
                if let Some(other) = dims.clone().map(|dims| extent(dims, *axis)).find(|n| *n != 1) {
                    let note = format!("extents 1, of a symbol, and {other} differ ({} axes from the last)", axis);
                    return Err(InferError { op: op.name(), constraint: 2, note }.into());
                }
            }
        }
        Ok(())
    }
}
