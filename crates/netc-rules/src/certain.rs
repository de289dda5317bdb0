//! Checks that hold for all values of the symbols: that two types are the same, that a new op fits its operands.
//!
//! Inference assumes that different symbols are equal, because it assumes that the program is valid. But a valid
//! program may give them different values, as long as no op needs them equal. A rule that would add such an op is not
//! applied.

use netc_ir::infer::channel_axis;
use netc_ir::{CoreOp, Dim, OpClass, SliceAxis, Type};

/// Whether `op` accepts operands of `types` for all values of the symbols. Inference must have accepted them already,
/// so this only checks that the extents are equal, or large enough, without assumptions.
pub(crate) fn surely_fits(op: &CoreOp, types: &[&Type]) -> bool {
    let Some(shapes) = types.iter().map(|ty| ty.dims.as_deref()).collect::<Option<Vec<&[Dim]>>>() else { return false };
    match (op, shapes.as_slice()) {
        (CoreOp::Binary(_) | CoreOp::Compare(_) | CoreOp::Select, shapes) => broadcast(shapes),
        (CoreOp::MatMul, [[a @ .., _, inner], [b @ .., other, _]]) => same(inner, other) && broadcast(&[a, b]),
        (CoreOp::Conv { window, .. }, [x, [.., per_group, _]]) => {
            let channels = x.get(channel_axis(window.layout, x.len()));
            per_group.known().is_some() && channels.is_some_and(|c| c.known().is_some())
        }
        (CoreOp::Broadcast(dims), [x]) => x.iter().rev().zip(dims.iter().rev()).all(|(d, to)| d.is(1) || same(d, to)),
        (CoreOp::Concat(axis), [first, rest @ ..]) => {
            let others =
                |shape: &[Dim]| shape.iter().zip(*first).enumerate().all(|(i, (a, b))| i as u64 == *axis || same(a, b));
            rest.iter().all(|shape| others(shape))
        }
        (CoreOp::Slice(axes), [x]) => axes.iter().zip(*x).all(|(axis, dim)| has_start(axis, dim)),
        // These accept any extents.
        (
            CoreOp::Unary(_)
            | CoreOp::Cast(_)
            | CoreOp::Reshape(_)
            | CoreOp::Transpose(_)
            | CoreOp::Pad { .. }
            | CoreOp::Gather(_)
            | CoreOp::Sort { .. }
            | CoreOp::Reverse(_),
            _,
        ) => true,
        _ => match op.class() {
            OpClass::Stored | OpClass::Reduction => true,
            // Rules add no computed extents.
            OpClass::Extent => false,
            OpClass::Elementwise | OpClass::Product | OpClass::Movement => false,
        },
    }
}

/// Whether the types are the same, with the same extents at run time. Two `?` may differ.
pub(crate) fn same_type(a: &Type, b: &Type) -> bool {
    a.elem == b.elem && same_shape(a, b)
}

/// Whether the shapes have the same extents at run time.
pub(crate) fn same_shape(a: &Type, b: &Type) -> bool {
    a.dims == b.dims && a.dims.iter().flatten().all(|dim| !dim.is_unknown())
}

/// Whether the extents are equal for all values of the symbols.
fn same(a: &Dim, b: &Dim) -> bool {
    a == b && !a.is_unknown()
}

/// Whether the shapes broadcast to a common shape, for all values of the symbols.
fn broadcast(shapes: &[&[Dim]]) -> bool {
    let axes = shapes.iter().map(|shape| shape.len()).max().unwrap_or(0);
    (1..=axes).all(|axis| {
        let mut extents = shapes.iter().filter_map(|s| s.len().checked_sub(axis).map(|i| &s[i])).filter(|d| !d.is(1));
        let first = extents.next();
        extents.all(|dim| first.is_some_and(|first| same(first, dim)))
    })
}

/// Whether a slice surely starts within the axis. In steps of 1, a merged slice starts no further than the two slices
/// that it replaces. In larger steps, its start may be past an end that they did not reach.
fn has_start(axis: &SliceAxis, extent: &Dim) -> bool {
    axis.step == 1 || axis.start == 0 || extent.known().is_some()
}

#[cfg(test)]
mod tests {
    use netc_ir::{Binary, ElemType};

    use super::*;

    #[track_caller]
    fn check(op: &CoreOp, shapes: &[&[&str]], expected: bool) {
        let dims = |shape: &&[&str]| shape.iter().map(|d| Dim::parse(d).unwrap()).collect::<Vec<_>>();
        let types: Vec<Type> = shapes.iter().map(|shape| Type::new(ElemType::F32, dims(shape))).collect();
        assert_eq!(surely_fits(op, &types.iter().collect::<Vec<_>>()), expected, "{op:?} of {shapes:?}");
    }

    #[test]
    fn different_symbols_are_not_surely_equal() {
        let add = CoreOp::Binary(Binary::Add);
        check(&add, &[&["N", "4"], &["N", "4"]], true);
        check(&add, &[&["N", "4"], &["1", "4"]], true);
        check(&add, &[&["N", "4"], &["4"]], true);
        check(&add, &[&["N", "4"], &["M", "4"]], false);
        check(&add, &[&["?", "4"], &["?", "4"]], false);
        check(&CoreOp::Concat(1), &[&["N", "S"], &["N", "T"]], true);
        check(&CoreOp::Concat(0), &[&["N", "S"], &["N", "T"]], false);
        check(&CoreOp::MatMul, &[&["N", "3", "K"], &["K", "5"]], true);
        check(&CoreOp::MatMul, &[&["N", "3", "K"], &["J", "5"]], false);
        check(&CoreOp::MatMul, &[&["N", "3", "4"], &["M", "4", "5"]], false);
    }

    #[test]
    fn a_strided_slice_must_surely_start_within_the_axis() {
        let slice = |start, step| CoreOp::Slice(vec![SliceAxis { start, end: None, step }]);
        check(&slice(6, 2), &[&["N"]], false);
        check(&slice(6, 2), &[&["7"]], true);
        check(&slice(0, 2), &[&["N"]], true);
        check(&slice(6, 1), &[&["N"]], true);
    }
}
