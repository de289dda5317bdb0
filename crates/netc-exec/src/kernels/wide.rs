//! The types that ops are computed in.

use netc_ir::{CoreOp, ElemType, OpClass, Pool, Reduce};

/// The wider type that `op` is computed in on elements of type `elem`, if there is one.
pub(super) fn computed_in(op: &CoreOp, elem: ElemType) -> Option<ElemType> {
    let (calculates, compares) = (computes(op), matches!(op, CoreOp::Compare(_) | CoreOp::Sort { .. }));
    match elem {
        ElemType::F16 | ElemType::BF16 => (calculates || compares).then_some(ElemType::F32),
        ElemType::I16 | ElemType::I32 => (calculates || compares).then_some(ElemType::I64),
        // There is no function of one tensor for unsigned integers.
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

/// Whether the op gives the lowest or the highest number of the element type where there is none to choose.
pub(super) fn is_extreme(op: &CoreOp) -> bool {
    matches!(op, CoreOp::Reduce { kind: Reduce::Max | Reduce::Min, .. } | CoreOp::Pool { kind: Pool::Max, .. })
}

/// Whether the op calculates with its elements, and does not only move or compare them.
fn computes(op: &CoreOp) -> bool {
    match op.class() {
        OpClass::Product | OpClass::Reduction => true,
        OpClass::Elementwise => matches!(op, CoreOp::Unary(_) | CoreOp::Binary(_)),
        OpClass::Stored | OpClass::Movement | OpClass::Extent => false,
    }
}
