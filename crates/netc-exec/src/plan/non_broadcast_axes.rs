//! Symbolic extents do not broadcast: if an extent is a symbol in the program, all operands must have the same extent
//! there, even if its value is 1.

use netc_ir::{CoreOp, InferError, OpClass, Type};

use crate::error::KernelError;

/// For each operand of a broadcasting op, its symbolic axes, counted from the last.
#[derive(Debug, Default)]
pub(super) struct NonBroadcastAxes(Vec<Vec<usize>>);

impl NonBroadcastAxes {
    /// The symbolic axes among those that `op` broadcasts, for operands of the types `types`.
    pub(super) fn of(op: &CoreOp, types: &[&Type]) -> Self {
        let first = match op.class() {
            OpClass::Elementwise => 0,
            // The last two axes are matrix axes and do not broadcast.
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

    /// Checks that no symbolic axis broadcasts, for operands with the extents `dims`.
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
