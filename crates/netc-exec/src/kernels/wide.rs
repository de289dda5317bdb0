//! Wider types in which ops are computed.

use netc_ir::{CoreOp, ElemType, OpClass, Pool, Reduce};

/// The wider type in which `op` is computed on elements of type `elem`, if any.
pub(super) fn computed_in(op: &CoreOp, elem: ElemType) -> Option<ElemType> {
    let (calculates, compares) = (computes(op), matches!(op, CoreOp::Compare(_) | CoreOp::Sort { .. }));
    match elem {
        ElemType::F16 | ElemType::BF16 => (calculates || compares).then_some(ElemType::F32),
        ElemType::I16 | ElemType::I32 => (calculates || compares).then_some(ElemType::I64),
        // Unsigned integers have no unary ops.
        ElemType::U8 | ElemType::U32 => {
            (calculates && !matches!(op, CoreOp::Unary(_)) || compares).then_some(ElemType::I64)
        }
        ElemType::I8 | ElemType::Bool => compares.then_some(ElemType::I64),
        ElemType::F32
        | ElemType::F64
        | ElemType::I64
        | ElemType::U16
        | ElemType::U64
        | ElemType::Str
        | ElemType::Any
        | ElemType::Narrow(_) => None,
    }
}

/// Whether the result of `op` over no elements is the lowest or highest number of the element type.
pub(super) fn is_extreme(op: &CoreOp) -> bool {
    matches!(op, CoreOp::Reduce { kind: Reduce::Max | Reduce::Min, .. } | CoreOp::Pool { kind: Pool::Max, .. })
}

/// Whether the op does arithmetic, instead of only moving or comparing elements.
fn computes(op: &CoreOp) -> bool {
    match op.class() {
        OpClass::Product | OpClass::Reduction => true,
        OpClass::Elementwise => matches!(op, CoreOp::Unary(_) | CoreOp::Binary(_)),
        OpClass::Stored | OpClass::Movement | OpClass::Extent => false,
    }
}
