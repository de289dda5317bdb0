//! Rules for elementwise ops.

use netc_ir::{Binary, Compare, CoreOp, ElemType, Number, Unary, ValueId};

use super::site::{Rewrite, Rule, Site};
use crate::analysis::commutes;

pub(super) const RULES: &[Rule] = &[
    // -(-x) = x, not(not(x)) = x.
    Rule {
        name: "involution",
        apply: |s| {
            let (f, y) = outer(s)?;
            let (g, x) = s.unary(y)?;
            (f == g && matches!(f, Unary::Neg | Unary::Not)).then_some(Rewrite::Value(x))
        },
    },
    // f(f(x)) = f(x) if f is abs, sign or relu; f(g(x)) = g(x) if f and g are roundings.
    Rule {
        name: "idempotent",
        apply: |s| {
            let (f, y) = outer(s)?;
            let (g, _) = s.unary(y)?;
            let again = f == g && matches!(f, Unary::Abs | Unary::Sign | Unary::Relu);
            (again || is_rounding(f) && is_rounding(g)).then_some(Rewrite::Value(y))
        },
    },
    // |-x| = |x|.
    Rule {
        name: "abs-neg",
        apply: |s| {
            let (Unary::Abs, y) = outer(s)? else { return None };
            let (Unary::Neg, x) = s.unary(y)? else { return None };
            Some(Rewrite::Op(CoreOp::Unary(Unary::Abs), vec![x]))
        },
    },
    // relu(y) = y if y is at least 0 and not -0. Only for floats: abs of the smallest integer is negative.
    Rule {
        name: "relu-of-positive",
        apply: |s| {
            let (Unary::Relu, y) = outer(s)? else { return None };
            let (g, _) = s.unary(y)?;
            let positive = matches!(g, Unary::Abs | Unary::Exp | Unary::Sigmoid);
            (positive && s.ty(y).elem.is_float()).then_some(Rewrite::Value(y))
        },
    },
    // max(x, 0) = relu(x): both give 0 for -0.
    Rule {
        name: "max-zero",
        apply: |s| {
            let (Binary::Max, x, c) = binary(s)? else { return None };
            is(s.splat(c)?, 0.0).then(|| Rewrite::Op(CoreOp::Unary(Unary::Relu), vec![x]))
        },
    },
    // not(a = b) is a != b, and the other way round. not(a < b) is a >= b unless an element can be NaN.
    Rule {
        name: "not-compare",
        apply: |s| {
            let (Unary::Not, y) = outer(s)? else { return None };
            let (CoreOp::Compare(f), operands) = s.def(y)? else { return None };
            let f = opposite(*f, s.ty(*operands.first()?).elem)?;
            Some(Rewrite::Op(CoreOp::Compare(f), operands.to_vec()))
        },
    },
    // max(x, x) = min(x, x) = and(x, x) = or(x, x) = x.
    Rule {
        name: "same-operands",
        apply: |s| {
            let (f, a, b) = binary(s)?;
            let idempotent = matches!(f, Binary::Max | Binary::Min | Binary::And | Binary::Or);
            (idempotent && a == b).then_some(Rewrite::Value(a))
        },
    },
    // x * 1 = x / 1 = x, x - 0 = x, x + (-0) = x, and so on. Not x + 0, which turns -0 into 0.
    Rule {
        name: "neutral",
        apply: |s| {
            let (f, x, c) = binary(s)?;
            is_neutral(f, s.ty(x).elem, s.splat(c)?).then_some(Rewrite::Value(x))
        },
    },
    // c + x = x + c, c < x is x > c. Not max and min of floats: for 0 and -0 they return the second operand.
    Rule {
        name: "constant-right",
        apply: |s| {
            let [a, b] = *s.operands else { return None };
            if !s.is_constant(a) || s.is_constant(b) {
                return None;
            }
            let op = if let CoreOp::Compare(f) = s.op {
                CoreOp::Compare(mirrored(*f))
            } else {
                commutes(s.op, s.ty(a).elem).then(|| s.op.clone())?
            };
            Some(Rewrite::Op(op, vec![b, a]))
        },
    },
    // select(true, a, b) = a, select(false, a, b) = b.
    Rule {
        name: "select-constant",
        apply: |s| {
            let (CoreOp::Select, [c, a, b]) = (s.op, s.operands) else { return None };
            let chosen = if is(s.splat(*c)?, 0.0) { *b } else { *a };
            if s.ty(chosen) == s.result_type() {
                return Some(Rewrite::Value(chosen));
            }
            let dims = s.dims(s.result)?;
            let known = dims.iter().all(|d| d.known().is_some());
            known.then(|| Rewrite::Op(CoreOp::Broadcast(dims.to_vec()), vec![chosen]))
        },
    },
    // select(c, x, x) = x.
    Rule {
        name: "select-same",
        apply: |s| {
            let (CoreOp::Select, [_, a, b]) = (s.op, s.operands) else { return None };
            (a == b).then_some(Rewrite::Value(*a))
        },
    },
    // select(not(c), a, b) = select(c, b, a).
    Rule {
        name: "select-not",
        apply: |s| {
            let (CoreOp::Select, [c, a, b]) = (s.op, s.operands) else { return None };
            let (Unary::Not, c) = s.unary(*c)? else { return None };
            Some(Rewrite::Op(CoreOp::Select, vec![c, *b, *a]))
        },
    },
    // f(broadcast(x), y) = f(x, y) if y has the result's shape.
    Rule { name: "broadcast-twice", apply: without_broadcast },
    // cast(x, T) = x if x has the type T.
    Rule {
        name: "cast-same",
        apply: |s| {
            let CoreOp::Cast(elem) = s.op else { return None };
            let x = s.operand()?;
            (s.ty(x).elem == *elem).then_some(Rewrite::Value(x))
        },
    },
    // cast(cast(x, B), C) = cast(x, C) if B represents every value of x.
    Rule {
        name: "cast-cast",
        apply: |s| {
            let (CoreOp::Cast(last), (CoreOp::Cast(middle), x)) = (s.op, s.inner()?) else { return None };
            let first = s.ty(x).elem;
            if !holds(*middle, first) || !converts_alike(first, *middle, *last) {
                return None;
            }
            Some(if first == *last { Rewrite::Value(x) } else { Rewrite::Op(CoreOp::Cast(*last), vec![x]) })
        },
    },
];

/// The op as a unary function, with its operand.
fn outer(s: &Site<'_>) -> Option<(Unary, ValueId)> {
    if let CoreOp::Unary(f) = s.op { Some((*f, s.operand()?)) } else { None }
}

/// The op as a binary function, with its operands.
fn binary(s: &Site<'_>) -> Option<(Binary, ValueId, ValueId)> {
    if let (CoreOp::Binary(f), [a, b]) = (s.op, s.operands) { Some((*f, *a, *b)) } else { None }
}

/// Whether the number is `x`, sign of zero included.
fn is(number: Number, x: f64) -> bool {
    number.as_f64().to_bits() == x.to_bits()
}

fn is_rounding(f: Unary) -> bool {
    matches!(f, Unary::Floor | Unary::Ceil | Unary::Round)
}

/// The comparison that is true exactly when `f` is false. `None` for orders of floats, because of NaN.
fn opposite(f: Compare, elem: ElemType) -> Option<Compare> {
    match f {
        Compare::Eq => Some(Compare::Ne),
        Compare::Ne => Some(Compare::Eq),
        Compare::Lt | Compare::Le | Compare::Gt | Compare::Ge if elem.is_float() || elem == ElemType::Any => None,
        Compare::Lt => Some(Compare::Ge),
        Compare::Le => Some(Compare::Gt),
        Compare::Gt => Some(Compare::Le),
        Compare::Ge => Some(Compare::Lt),
    }
}

/// The comparison `g` with `g(b, a) = f(a, b)`.
fn mirrored(f: Compare) -> Compare {
    match f {
        Compare::Eq | Compare::Ne => f,
        Compare::Lt => Compare::Gt,
        Compare::Le => Compare::Ge,
        Compare::Gt => Compare::Lt,
        Compare::Ge => Compare::Le,
    }
}

/// Whether `f(x, c) = x` for every `x` of the type.
fn is_neutral(f: Binary, elem: ElemType, c: Number) -> bool {
    let (float, int, bool) = (elem.is_float(), elem.is_int(), elem == ElemType::Bool);
    match f {
        Binary::Add => float && is(c, -0.0) || (int || bool) && is(c, 0.0),
        Binary::Sub => (float || int) && is(c, 0.0),
        Binary::Mul => (float || int || bool) && is(c, 1.0),
        Binary::Div => (float || int) && is(c, 1.0),
        Binary::Pow => int && is(c, 1.0),
        Binary::Max => float && is(c, f64::NEG_INFINITY) || bool && is(c, 0.0),
        Binary::Min => float && is(c, f64::INFINITY) || bool && is(c, 1.0),
        Binary::And => elem.is_signed_int() && is(c, -1.0) || bool && is(c, 1.0),
        Binary::Or => (int || bool) && is(c, 0.0),
    }
}

/// The op on the source of a broadcast operand. Not for quotients and powers of integers: they can fail, even for
/// elements that are broadcast to zero copies.
fn without_broadcast(s: &Site<'_>) -> Option<Rewrite> {
    let partial = matches!(s.op, CoreOp::Binary(Binary::Div | Binary::Pow)) && !s.result_type().elem.is_float();
    let repeats = matches!(s.op, CoreOp::Binary(_) | CoreOp::Compare(_) | CoreOp::Select) && !partial;
    let source = |v: ValueId| match s.def(v)? {
        (CoreOp::Broadcast(_), [x]) => Some(*x),
        _ => None,
    };
    let place = s.operands.iter().position(|v| source(*v).is_some()).filter(|_| repeats)?;
    let mut operands = s.operands.to_vec();
    operands[place] = source(operands[place])?;
    Some(Rewrite::Op(s.op.clone(), operands))
}

/// Whether `wide` represents every value of `narrow`.
fn holds(wide: ElemType, narrow: ElemType) -> bool {
    let numbers = |elem: ElemType| elem.is_int() || elem.is_float();
    if narrow == ElemType::Bool || wide == narrow {
        return numbers(wide) || wide == narrow;
    }
    match (precision(narrow), precision(wide)) {
        (Some((signed, bits)), Some((wide_signed, wide_bits))) if narrow.is_int() => {
            let sign = u32::from(wide.is_int() && wide_signed && !signed);
            (wide_signed || !signed) && bits + sign <= wide_bits
        }
        (Some(_), Some(_)) if wide.is_float() => {
            matches!((narrow, wide), (_, ElemType::F64) | (ElemType::F16 | ElemType::BF16, ElemType::F32))
        }
        _ => false,
    }
}

/// Whether a number type is signed, and the number of bits up to which it represents all integers. For floats the sign
/// is not counted in the bits.
fn precision(elem: ElemType) -> Option<(bool, u32)> {
    Some(match elem {
        ElemType::U8 => (false, 8),
        ElemType::U16 => (false, 16),
        ElemType::U32 => (false, 32),
        ElemType::U64 => (false, 64),
        ElemType::I8 => (true, 8),
        ElemType::I16 => (true, 16),
        ElemType::I32 => (true, 32),
        ElemType::I64 => (true, 64),
        ElemType::F16 => (true, 11),
        ElemType::BF16 => (true, 8),
        ElemType::F32 => (true, 24),
        ElemType::F64 => (true, 53),
        ElemType::Bool | ElemType::Str | ElemType::Any | ElemType::Narrow(_) => return None,
    })
}

/// Whether converting from `first` to `last` directly equals converting through `middle`, which represents every value
/// of `first`. They can differ because floats out of range saturate to integers, while integers wrap.
fn converts_alike(first: ElemType, middle: ElemType, last: ElemType) -> bool {
    let wraps_first = first.is_int() && last.is_int() && middle.is_float();
    !wraps_first || holds(last, first)
}
