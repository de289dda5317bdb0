//! Rules for ops that move elements.

use std::collections::{BTreeMap, BTreeSet};

use netc_ir::{CoreOp, Dim, ElemType, Literal, Number, OpClass, PadMode, Reduce, SliceAxis, ValueId};

use super::site::{Rewrite, Rule, Site, reshape};

/// The maximum number of parts of a concatenation to search for a slice. With more, many slices would take too long.
const MAX_PARTS: usize = 64;

pub(super) const RULES: &[Rule] = &[
    // op(x) = x if the op moves nothing, by its attributes or because the extents are 1.
    Rule { name: "moves-nothing", apply: |s| if moves_nothing(s)? { s.operand().map(Rewrite::Value) } else { None } },
    // Drops the operands that only carry symbols if the other operands carry them too.
    Rule { name: "carried-twice", apply: carried_twice },
    // dim(x, axis) = n if the extent is the number n.
    Rule {
        name: "dim-known",
        apply: |s| {
            let (CoreOp::Dim(axis), x) = (s.op, s.operand()?) else { return None };
            let extent = i64::try_from(s.dims(x)?.get(*axis as usize)?.known()?).ok()?;
            let literal = Literal::dense(ElemType::I64, &[], [Number::Int(extent.into())]);
            Some(Rewrite::Op(CoreOp::Constant(literal), Vec::new()))
        },
    },
    // reshape(reshape(x, D), E) = reshape(x, E).
    Rule {
        name: "reshape-reshape",
        apply: |s| {
            let (CoreOp::Reshape(dims), (CoreOp::Reshape(_), x)) = (s.op, s.inner()?) else { return None };
            Some(Rewrite::Op(CoreOp::Reshape(dims.clone()), vec![x]))
        },
    },
    // transpose(transpose(x, p), q) = transpose(x, p[q]).
    Rule {
        name: "transpose-transpose",
        apply: |s| {
            let (CoreOp::Transpose(q), (CoreOp::Transpose(p), x)) = (s.op, s.inner()?) else { return None };
            let perm = q.iter().map(|i| p.get(*i as usize).copied()).collect::<Option<_>>()?;
            Some(Rewrite::Op(CoreOp::Transpose(perm), vec![x]))
        },
    },
    // transpose(x, p) = reshape(x) if only axes of extent 1 move.
    Rule {
        name: "transpose-of-ones",
        apply: |s| {
            let (CoreOp::Transpose(perm), x) = (s.op, s.operand()?) else { return None };
            let dims = s.dims(x)?;
            let kept = perm.iter().filter(|i| dims.get(**i as usize).is_some_and(|d| !d.is(1)));
            if kept.is_sorted() { reshape(x, s.dims(s.result)?) } else { None }
        },
    },
    // broadcast(broadcast(x, D), E) = broadcast(x, E).
    Rule {
        name: "broadcast-broadcast",
        apply: |s| {
            let (CoreOp::Broadcast(dims), (CoreOp::Broadcast(_), x)) = (s.op, s.inner()?) else { return None };
            Some(Rewrite::Op(CoreOp::Broadcast(dims.clone()), vec![x]))
        },
    },
    // broadcast(x, [1, ..., D]) = reshape(x) if x has the shape D.
    Rule {
        name: "broadcast-once",
        apply: |s| {
            let (CoreOp::Broadcast(dims), x) = (s.op, s.operand()?) else { return None };
            let new = dims.len().checked_sub(s.dims(x)?.len())?;
            let same = dims[..new].iter().all(|d| d.is(1)) && dims[new..] == *s.dims(x)?;
            if same { reshape(x, dims) } else { None }
        },
    },
    // slice(slice(x, a), b) is a slice of x.
    Rule {
        name: "slice-slice",
        apply: |s| {
            let (CoreOp::Slice(outer), (CoreOp::Slice(inner), x)) = (s.op, s.inner()?) else { return None };
            let axes = inner.iter().zip(outer).map(|(inner, outer)| slice_of_slice(inner, outer));
            Some(Rewrite::Op(CoreOp::Slice(axes.collect::<Option<_>>()?), vec![x]))
        },
    },
    // A slice(concat(x, y, ...)) within one part is a slice of that part.
    Rule { name: "slice-concat", apply: slice_of_concat },
    // pad(pad(x, a), b) = pad(x, a + b) if both pad with the same constant.
    Rule {
        name: "pad-pad",
        apply: |s| {
            let (CoreOp::Pad { amounts: outer, mode: PadMode::Constant, value }, (inner, x)) = (s.op, s.inner()?)
            else {
                return None;
            };
            let CoreOp::Pad { amounts: inner, mode: PadMode::Constant, value: same } = inner else { return None };
            let sum = |((a, b), (c, d)): (&(u64, u64), &(u64, u64))| Some((a.checked_add(*c)?, b.checked_add(*d)?));
            let amounts = inner.iter().zip(outer).map(sum).collect::<Option<_>>().filter(|_| value == same)?;
            Some(Rewrite::Op(CoreOp::Pad { amounts, mode: PadMode::Constant, value: *value }, vec![x]))
        },
    },
    // reverse(x, A) = reverse(x, B) where B is A without the axes of extent 1.
    Rule {
        name: "reverse-of-ones",
        apply: |s| {
            let (CoreOp::Reverse(axes), x) = (s.op, s.operand()?) else { return None };
            let dims = s.dims(x)?;
            let left: Vec<u64> = axes.iter().copied().filter(|a| !dims[*a as usize].is(1)).collect();
            (left.len() < axes.len()).then(|| Rewrite::Op(CoreOp::Reverse(left), vec![x]))
        },
    },
    // reverse(reverse(x, A), B) reverses the axes in exactly one of A and B.
    Rule {
        name: "reverse-reverse",
        apply: |s| {
            let (CoreOp::Reverse(outer), (CoreOp::Reverse(inner), x)) = (s.op, s.inner()?) else { return None };
            let (outer, inner) = (BTreeSet::from_iter(outer), BTreeSet::from_iter(inner));
            let axes = outer.symmetric_difference(&inner).map(|a| **a).collect();
            Some(Rewrite::Op(CoreOp::Reverse(axes), vec![x]))
        },
    },
    // Reducing one element gives that element. Not sum and mean of floats: they start from 0, so they turn -0 into 0.
    Rule {
        name: "reduce-one",
        apply: |s| {
            let (CoreOp::Reduce { kind, axes, .. }, x) = (s.op, s.operand()?) else { return None };
            let exact = match kind {
                Reduce::Max | Reduce::Min | Reduce::Prod => true,
                Reduce::Sum | Reduce::Mean => s.ty(x).elem.is_int(),
            };
            if !exact || !all_ones(s, x, axes)? {
                return None;
            }
            if s.ty(x) == s.result_type() { Some(Rewrite::Value(x)) } else { reshape(x, s.dims(s.result)?) }
        },
    },
];

fn carried_twice(s: &Site<'_>) -> Option<Rewrite> {
    let dims = s.op.own_dims();
    let (first, further) = s.operands.split_first()?;
    if dims.is_empty() || further.is_empty() {
        return None;
    }
    let extents = |value: ValueId| -> BTreeSet<&Dim> {
        s.dims(value).into_iter().flatten().filter(|d| !d.is_unknown()).collect()
    };
    // How many operands have each extent.
    let mut counts: BTreeMap<&Dim, usize> = BTreeMap::new();
    for extent in s.operands.iter().flat_map(|value| extents(*value)) {
        *counts.entry(extent).or_default() += 1;
    }
    let symbols: Vec<Vec<Dim>> = dims.iter().map(|dim| dim.symbols().into_iter().map(Dim::symbol).collect()).collect();
    let missing = |counts: &BTreeMap<&Dim, usize>| -> Vec<&Dim> {
        let is_carried = |dim: &Dim| counts.get(dim).is_some_and(|count| *count > 0);
        let open = dims.iter().zip(&symbols).filter(|(dim, _)| !is_carried(dim));
        open.flat_map(|(_, symbols)| symbols).filter(|symbol| !is_carried(symbol)).collect()
    };
    let missing_anyway = missing(&counts);
    let mut kept = vec![*first];
    for value in further {
        for extent in extents(*value) {
            counts.entry(extent).and_modify(|count| *count -= 1);
        }
        if missing(&counts) != missing_anyway {
            kept.push(*value);
            for extent in extents(*value) {
                counts.entry(extent).and_modify(|count| *count += 1);
            }
        }
    }
    (kept.len() < s.operands.len()).then(|| Rewrite::Op(s.op.clone(), kept))
}

/// Whether the op leaves every element of its operand in place. `None` unless it has exactly one operand.
fn moves_nothing(s: &Site<'_>) -> Option<bool> {
    let x = s.operand()?;
    Some(match (s.op, s.op.class()) {
        (CoreOp::Reshape(_) | CoreOp::Broadcast(_), _) => s.ty(x) == s.result_type(),
        (CoreOp::Transpose(perm), _) => perm.is_sorted(),
        (CoreOp::Concat(_), _) => true,
        (CoreOp::Slice(axes), _) => {
            let whole = |(axis, dim): (&SliceAxis, &Dim)| {
                axis.start == 0 && axis.step == 1 && axis.end.is_none_or(|end| dim.is(end))
            };
            axes.iter().zip(s.dims(x)?).all(whole)
        }
        (CoreOp::Pad { amounts, .. }, _) => amounts.iter().all(|a| *a == (0, 0)),
        (CoreOp::Reverse(axes), _) => axes.is_empty(),
        (CoreOp::Sort { axis, .. }, _) => all_ones(s, x, &[*axis])?,
        (
            _,
            OpClass::Stored
            | OpClass::Elementwise
            | OpClass::Product
            | OpClass::Reduction
            | OpClass::Movement
            | OpClass::Extent,
        ) => false,
    })
}

/// Whether `x` has extent 1 along each of the axes.
fn all_ones(s: &Site<'_>, x: ValueId, axes: &[u64]) -> Option<bool> {
    let dims = s.dims(x)?;
    Some(axes.iter().all(|a| dims.get(*a as usize).is_some_and(|d| d.is(1))))
}

/// Composes two slices of an axis: `outer` applied to the result of `inner`.
fn slice_of_slice(inner: &SliceAxis, outer: &SliceAxis) -> Option<SliceAxis> {
    let at = |i: u64| i.checked_mul(inner.step)?.checked_add(inner.start);
    let end = match outer.end {
        None => inner.end,
        // One past the last element taken, if there is one.
        Some(end) if end > outer.start => Some(at(end - 1)?.checked_add(1)?),
        Some(_) => Some(at(outer.start)?),
    };
    Some(SliceAxis { start: at(outer.start)?, end, step: inner.step.checked_mul(outer.step)? })
}

fn slice_of_concat(s: &Site<'_>) -> Option<Rewrite> {
    let (CoreOp::Slice(axes), x) = (s.op, s.operand()?) else { return None };
    let (CoreOp::Concat(axis), parts) = s.def(x)? else { return None };
    let axis = usize::try_from(*axis).ok()?;
    let slice = axes.get(axis).filter(|_| parts.len() <= MAX_PARTS)?;
    let end = slice.end.or(s.dims(x)?[axis].known())?;
    let mut first = 0;
    for part in parts {
        let last = s.dims(*part)?[axis].known()?.checked_add(first)?;
        if first <= slice.start && slice.start < end && end <= last {
            let mut axes = axes.clone();
            axes[axis] = SliceAxis { start: slice.start - first, end: Some(end - first), step: slice.step };
            return Some(Rewrite::Op(CoreOp::Slice(axes), vec![*part]));
        }
        first = last;
    }
    None
}
