//! Ranges of elements, which recipes use to keep all numbers finite.
//!
//! Ranges hold for exact arithmetic and the oracles' inputs; rounding may exceed them slightly.

use netc_ir::{Binary, CoreOp, Dim, ElemType, Literal, Module, Padding, Pool, Reduce, Type, Unary, WeightData, Window};

use super::Value;
use super::types::{dims, largest, least};

/// Elements are in `low..=high`. With infinite bounds they may be anything, including NaN.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Range {
    pub(super) low: f64,
    pub(super) high: f64,
}

/// Numbers closer to 0 may round to 0 in the smallest float type.
const NEAR_ZERO: f64 = 1e-3;

impl Range {
    const ALL: Self = Self { low: f64::NEG_INFINITY, high: f64::INFINITY };
    const TRUTH: Self = Self { low: 0.0, high: 1.0 };

    pub(super) fn new(low: f64, high: f64) -> Self {
        if low.is_nan() || high.is_nan() { Self::ALL } else { Self { low, high } }
    }

    fn around_zero(magnitude: f64) -> Self {
        Self::new(-magnitude, magnitude)
    }

    /// The range of every value of the type; floats have none.
    fn of_elem(elem: ElemType) -> Self {
        let bits = i32::try_from(8 * elem.size()).unwrap_or(0);
        match elem {
            ElemType::Bool => Self::TRUTH,
            ElemType::I8 | ElemType::I16 | ElemType::I32 | ElemType::I64 => {
                Self::new(-2f64.powi(bits - 1), 2f64.powi(bits - 1))
            }
            ElemType::U8 | ElemType::U16 | ElemType::U32 | ElemType::U64 => Self::new(0.0, 2f64.powi(bits)),
            ElemType::F16
            | ElemType::BF16
            | ElemType::F32
            | ElemType::F64
            | ElemType::Str
            | ElemType::Any
            | ElemType::Narrow(_) => Self::ALL,
        }
    }

    /// The range of the oracles' inputs of the type.
    pub(super) fn of_input(elem: ElemType) -> Self {
        match elem {
            ElemType::F16 | ElemType::BF16 | ElemType::F32 | ElemType::F64 => Self::around_zero(1.0),
            ElemType::Bool => Self::TRUTH,
            ElemType::U8
            | ElemType::U16
            | ElemType::U32
            | ElemType::U64
            | ElemType::I8
            | ElemType::I16
            | ElemType::I32
            | ElemType::I64
            | ElemType::Str
            | ElemType::Any
            | ElemType::Narrow(_) => Self::new(0.0, 7.0),
        }
    }

    /// A wider range, so that a function also accepts other operands.
    pub(super) fn widened(self, elem: ElemType) -> Self {
        let float = if elem.is_float() { 4.0 } else { 1.0 };
        self.hull(Self::of_input(elem).map(|x| x * float))
    }

    pub(super) fn is_within(self, other: Self) -> bool {
        other.low <= self.low && self.high <= other.high
    }

    /// Whether the type can represent every number of the range.
    pub(super) fn fits(self, elem: ElemType) -> bool {
        let limit = match elem {
            ElemType::F16 => 6e4,
            ElemType::BF16 | ElemType::F32 | ElemType::F64 => 1e6,
            ElemType::Bool
            | ElemType::U8
            | ElemType::U16
            | ElemType::U32
            | ElemType::U64
            | ElemType::I8
            | ElemType::I16
            | ElemType::I32
            | ElemType::I64
            | ElemType::Str
            | ElemType::Any
            | ElemType::Narrow(_) => f64::MAX,
        };
        self.magnitude() <= limit
    }

    fn magnitude(self) -> f64 {
        self.low.abs().max(self.high.abs())
    }

    pub(super) fn hull(self, other: Self) -> Self {
        Self::new(self.low.min(other.low), self.high.max(other.high))
    }

    /// The image under a nondecreasing function.
    fn map(self, f: impl Fn(f64) -> f64) -> Self {
        Self::new(f(self.low), f(self.high))
    }

    /// The image under a nondecreasing function that is undefined below `least`.
    fn map_above(self, least: f64, f: impl Fn(f64) -> f64) -> Self {
        if self.low >= least { self.map(f) } else { Self::ALL }
    }

    /// The image under a function with its extremes at the corners.
    fn corners(self, other: Self, f: impl Fn(f64, f64) -> f64) -> Self {
        let all = [f(self.low, other.low), f(self.low, other.high), f(self.high, other.low), f(self.high, other.high)];
        if all.iter().any(|x| x.is_nan()) {
            return Self::ALL;
        }
        Self::new(all.into_iter().fold(f64::INFINITY, f64::min), all.into_iter().fold(f64::NEG_INFINITY, f64::max))
    }

    fn times(self, other: Self) -> Self {
        self.corners(other, |a, b| a * b)
    }

    /// The range of sums of 0 to `n` elements.
    fn sum(self, n: f64) -> Self {
        self.hull(Self::around_zero(0.0)).map(|x| x * n)
    }

    fn of_extent(dim: &Dim) -> Self {
        Self::new(least(dim) as f64, largest(dim) as f64)
    }

    fn is_around_zero(self) -> bool {
        self.low < NEAR_ZERO && self.high > -NEAR_ZERO
    }
}

/// The range of the result of `op`, which has the type `ty`.
///
/// Integers wrap; for them, an infinite range means that the op may fail at run time.
pub(super) fn range(module: &Module, op: &CoreOp, operands: &[&Value], ty: &Type) -> Range {
    let exact = exact(module, op, operands, ty);
    let all = Range::of_elem(ty.elem);
    if ty.elem.is_float() || exact.is_within(all) || !exact.fits(ty.elem) { exact } else { all }
}

fn exact(module: &Module, op: &CoreOp, operands: &[&Value], ty: &Type) -> Range {
    let at = |i: usize| operands.get(i).map_or(Range::ALL, |v| v.range);
    let shape = |i: usize| operands.get(i).map_or(&[][..], |v| dims(&v.ty));
    match op {
        CoreOp::Constant(literal) => of_literal(literal),
        CoreOp::Weight(id) => match &module[*id].data {
            WeightData::Inline(literal) => of_literal(literal),
            WeightData::Random { low, high, .. } => Range::new(low.get(), high.get()),
            WeightData::File { .. } => Range::of_elem(ty.elem),
        },
        CoreOp::Unary(f) => unary(*f, at(0)),
        CoreOp::Binary(f) => binary(*f, at(0), at(1), ty.elem),
        CoreOp::Compare(_) => Range::TRUTH,
        CoreOp::Select => at(1).hull(at(2)),
        CoreOp::Cast(elem) => cast(at(0), *elem),
        CoreOp::MatMul => at(0).times(at(1)).sum(shape(0).last().map_or(1.0, count)),
        CoreOp::Conv { .. } => {
            let kernel = shape(1).split_last().map_or(&[][..], |(_, taps)| taps);
            at(0).times(at(1)).sum(kernel.iter().map(count).product())
        }
        CoreOp::Pool { kind, size, window } => match kind {
            Pool::Max | Pool::Avg if always_inside(size, window) => at(0),
            Pool::Max => Range::of_elem(ty.elem),
            Pool::Avg => Range::ALL,
        },
        CoreOp::Reduce { kind, axes, .. } => {
            let reduced: Vec<&Dim> = axes.iter().map(|a| &shape(0)[*a as usize]).collect();
            reduce(*kind, at(0), &reduced, ty.elem)
        }
        CoreOp::CumSum(axis) => at(0).sum(count(&shape(0)[*axis as usize])),
        CoreOp::Concat(_) => (1..operands.len()).fold(at(0), |all, i| all.hull(at(i))),
        CoreOp::Pad { value, .. } => at(0).hull(cast(Range::new(value.get(), value.get()), ty.elem)),
        CoreOp::Reshape(_)
        | CoreOp::Transpose(_)
        | CoreOp::Broadcast(_)
        | CoreOp::Slice(_)
        | CoreOp::Gather(_)
        | CoreOp::Sort { .. }
        | CoreOp::Reverse(_) => at(0),
        CoreOp::Dim(axis) => Range::of_extent(&shape(0)[*axis as usize]),
        CoreOp::Iota(extent) => Range::new(0.0, (count(extent) - 1.0).max(0.0)),
    }
}

fn count(dim: &Dim) -> f64 {
    largest(dim) as f64
}

fn of_literal(literal: &Literal) -> Range {
    let numbers = literal.numbers().map(|n| Range::new(n.as_f64(), n.as_f64()));
    numbers.reduce(Range::hull).unwrap_or(Range::around_zero(0.0))
}

fn unary(f: Unary, x: Range) -> Range {
    match f {
        Unary::Neg => Range::new(-x.high, -x.low),
        Unary::Abs => Range::new(0.0, x.magnitude()),
        Unary::Sign | Unary::Sin | Unary::Cos | Unary::Erf => Range::around_zero(1.0),
        Unary::Floor | Unary::Ceil | Unary::Round => Range::new(x.low.floor(), x.high.ceil()),
        Unary::Exp => x.map(f64::exp),
        Unary::Expm1 => x.map(f64::exp_m1),
        Unary::Log => x.map_above(NEAR_ZERO, f64::ln),
        Unary::Log1p => x.map_above(NEAR_ZERO - 1.0, f64::ln_1p),
        Unary::Sqrt => x.map_above(0.0, f64::sqrt),
        Unary::Rsqrt if x.low >= NEAR_ZERO => Range::new(x.high.sqrt().recip(), x.low.sqrt().recip()),
        Unary::Rsqrt => Range::ALL,
        Unary::Tanh => x.map(f64::tanh),
        Unary::Sigmoid => x.map(|x| 1.0 / (1.0 + (-x).exp())),
        Unary::Relu => x.map(|x| x.max(0.0)),
        Unary::Not => Range::TRUTH,
    }
}

fn binary(f: Binary, a: Range, b: Range, elem: ElemType) -> Range {
    match f {
        Binary::Add if elem == ElemType::Bool => Range::TRUTH,
        Binary::Add => Range::new(a.low + b.low, a.high + b.high),
        Binary::Sub => Range::new(a.low - b.high, a.high - b.low),
        Binary::Mul => a.times(b),
        Binary::Div if b.is_around_zero() => Range::ALL,
        Binary::Div if elem.is_int() => a.corners(b, |a, b| (a / b).trunc()),
        Binary::Div => a.corners(b, |a, b| a / b),
        Binary::Pow if elem.is_int() && b.low >= 0.0 => Range::of_elem(elem),
        Binary::Pow if !elem.is_int() && a.low >= NEAR_ZERO => a.corners(b, f64::powf),
        Binary::Pow => Range::ALL,
        Binary::Max => Range::new(a.low.max(b.low), a.high.max(b.high)),
        Binary::Min => Range::new(a.low.min(b.low), a.high.min(b.high)),
        Binary::And | Binary::Or => Range::of_elem(elem),
    }
}

fn cast(x: Range, elem: ElemType) -> Range {
    let all = Range::of_elem(elem);
    match elem {
        ElemType::F16
        | ElemType::BF16
        | ElemType::F32
        | ElemType::F64
        | ElemType::Str
        | ElemType::Any
        | ElemType::Narrow(_) => x,
        ElemType::Bool => all,
        ElemType::U8
        | ElemType::U16
        | ElemType::U32
        | ElemType::U64
        | ElemType::I8
        | ElemType::I16
        | ElemType::I32
        | ElemType::I64 => {
            if x.is_within(all) {
                Range::new(x.low.floor(), x.high.ceil())
            } else {
                all
            }
        }
    }
}

/// Over no elements the mean is undefined, and the maximum and minimum of floats are infinite.
fn reduce(kind: Reduce, x: Range, reduced: &[&Dim], elem: ElemType) -> Range {
    let n: f64 = reduced.iter().map(|d| count(d)).product();
    let may_be_none = reduced.iter().any(|d| least(d) == 0);
    match kind {
        Reduce::Sum => x.sum(n),
        Reduce::Prod if elem.is_int() => Range::of_elem(elem),
        Reduce::Prod => Range::around_zero(x.magnitude().max(1.0).powf(n)),
        Reduce::Mean if may_be_none => Range::ALL,
        Reduce::Max | Reduce::Min if may_be_none => Range::of_elem(elem),
        Reduce::Mean | Reduce::Max | Reduce::Min => x,
    }
}

/// Whether no window is entirely in padding.
fn always_inside(size: &[u64], window: &Window) -> bool {
    let dense = window.dilations.iter().all(|d| *d == 1);
    match &window.padding {
        Padding::Valid => true,
        Padding::Same => dense,
        Padding::Explicit(pads) => dense && pads.iter().zip(size).all(|((low, high), size)| low < size && high < size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotients_of_integers_may_be_zero() {
        let quotient = |elem| binary(Binary::Div, Range::new(-2.0, -2.0), Range::new(1.0, 9.0), elem);
        assert!(quotient(ElemType::I32).is_around_zero());
        assert!(!quotient(ElemType::F32).is_around_zero());
    }
}
