//! Building blocks that many lowerings share.

use netc_dialect::LowerError;
use netc_ir::{Binary, Compare, CoreOp, Dim, ElemType, Layout, Literal, PadMode, Reduce, SliceAxis, Unary, ValueId};

use crate::lower::call::Call;
use crate::lower::result::Result;

/// A tensor, or a scalar that takes the type of the other operand.
#[derive(Clone, Copy)]
pub(crate) enum Term {
    Value(ValueId),
    Scalar(f64),
}

impl From<ValueId> for Term {
    fn from(x: ValueId) -> Self {
        Self::Value(x)
    }
}

impl From<f64> for Term {
    fn from(x: f64) -> Self {
        Self::Scalar(x)
    }
}

macro_rules! binaries {
    ($($name:ident = $f:ident;)*) => {
        /// Arithmetic.
        impl Call<'_, '_> {$(
            pub(crate) fn $name(&mut self, a: impl Into<Term>, b: impl Into<Term>) -> Result<ValueId> {
                let (a, b) = self.terms(a.into(), b.into())?;
                Ok(self.b.binary(Binary::$f, a, b)?)
            }
        )*}
    };
}

binaries! {
    add = Add;
    sub = Sub;
    mul = Mul;
    div = Div;
    pow = Pow;
    max = Max;
    min = Min;
}

impl Call<'_, '_> {
    fn terms(&mut self, a: Term, b: Term) -> Result<(ValueId, ValueId)> {
        Ok(match (a, b) {
            (Term::Value(a), Term::Value(b)) => (a, b),
            (Term::Value(a), Term::Scalar(b)) => (a, self.scalar_like(a, b)?),
            (Term::Scalar(a), Term::Value(b)) => (self.scalar_like(b, a)?, b),
            (Term::Scalar(a), Term::Scalar(b)) => {
                let scalar = |x| Literal::splat(ElemType::F32, &[], x);
                (self.b.constant(scalar(a))?, self.b.constant(scalar(b))?)
            }
        })
    }

    /// `value` as a scalar of the type of `x`. A fraction is unsupported if `x` is not a float.
    fn scalar_like(&mut self, x: ValueId, value: f64) -> Result<ValueId> {
        let elem = self.elem(x);
        if value.fract() != 0.0 && (elem == ElemType::Bool || elem.is_int()) {
            return Err(self.unsupported(format!("elements of type {elem} and the constant {value:?}")));
        }
        Ok(self.b.scalar_like(x, value)?)
    }

    pub(crate) fn compare(&mut self, f: Compare, a: impl Into<Term>, b: impl Into<Term>) -> Result<ValueId> {
        let (a, b) = self.terms(a.into(), b.into())?;
        Ok(self.b.compare(f, a, b)?)
    }

    /// `a` where `condition` is true, else `b`.
    pub(crate) fn select(&mut self, condition: ValueId, a: impl Into<Term>, b: impl Into<Term>) -> Result<ValueId> {
        let (a, b) = self.terms(a.into(), b.into())?;
        Ok(self.b.select(condition, a, b)?)
    }

    pub(crate) fn unary(&mut self, f: Unary, x: ValueId) -> Result<ValueId> {
        Ok(self.b.unary(f, x)?)
    }

    pub(crate) fn square(&mut self, x: ValueId) -> Result<ValueId> {
        self.mul(x, x)
    }

    /// True where `x` is not zero.
    pub(crate) fn truth(&mut self, x: ValueId) -> Result<ValueId> {
        if self.elem(x) == ElemType::Bool { Ok(x) } else { self.compare(Compare::Ne, x, 0.0) }
    }
}

/// Statistics.
impl Call<'_, '_> {
    pub(crate) fn reduce(&mut self, kind: Reduce, x: ValueId, axes: &[u64], keep: bool) -> Result<ValueId> {
        Ok(self.b.reduce(kind, x, axes.to_vec(), keep)?)
    }

    /// The mean. Half-precision floats are summed in `f32`; integers give floats.
    pub(crate) fn mean(&mut self, x: ValueId, axes: &[u64], keep: bool) -> Result<ValueId> {
        let narrow = self.elem(x);
        let wide = self.at_least_f32(x)?;
        let y = self.reduce(Reduce::Mean, wide, axes, keep)?;
        if narrow.is_float() { Ok(self.b.cast(y, narrow)?) } else { Ok(y) }
    }

    /// The sum or product. Half-precision floats are accumulated in `f32`, small integers in 32 bits.
    pub(crate) fn total(&mut self, kind: Reduce, x: ValueId, axes: &[u64], keep: bool) -> Result<ValueId> {
        let narrow = self.elem(x);
        let (inside, outside) = match narrow {
            ElemType::F16 | ElemType::BF16 => (ElemType::F32, narrow),
            ElemType::Bool | ElemType::I8 | ElemType::I16 => (ElemType::I32, ElemType::I32),
            ElemType::U8 | ElemType::U16 => (ElemType::U32, ElemType::U32),
            ElemType::U32
            | ElemType::U64
            | ElemType::I32
            | ElemType::I64
            | ElemType::F32
            | ElemType::F64
            | ElemType::Str
            | ElemType::Any
            | ElemType::Narrow(_) => (narrow, narrow),
        };
        let x = self.b.cast(x, inside)?;
        let y = self.reduce(kind, x, axes, keep)?;
        Ok(self.b.cast(y, outside)?)
    }

    /// Mean and variance, with the reduced axes kept. `x` has at least the precision of `f32`.
    pub(crate) fn moments(&mut self, x: ValueId, axes: &[u64]) -> Result<(ValueId, ValueId)> {
        let mean = self.reduce(Reduce::Mean, x, axes, true)?;
        let centred = self.sub(x, mean)?;
        let square = self.square(centred)?;
        Ok((mean, self.reduce(Reduce::Mean, square, axes, true)?))
    }
}

/// Shapes.
impl Call<'_, '_> {
    pub(crate) fn reshape(&mut self, x: ValueId, dims: Vec<Dim>) -> Result<ValueId> {
        Ok(self.b.reshape(x, dims)?)
    }

    pub(crate) fn transpose(&mut self, x: ValueId, perm: &[usize]) -> Result<ValueId> {
        if perm.is_sorted() && perm.len() == self.rank(x)? {
            return Ok(x);
        }
        Ok(self.b.transpose(x, perm.iter().map(|i| *i as u64).collect())?)
    }

    /// `x` with a new axis of extent 1 before axis `at`.
    pub(crate) fn expand(&mut self, x: ValueId, at: usize) -> Result<ValueId> {
        let mut dims = self.dims(x)?;
        dims.insert(at.min(dims.len()), Dim::Known(1));
        self.reshape(x, dims)
    }

    /// `x` without axis `at`, whose extent must be 1.
    pub(crate) fn squeeze(&mut self, x: ValueId, at: usize) -> Result<ValueId> {
        let mut dims = self.dims(x)?;
        if at < dims.len() {
            dims.remove(at);
        }
        self.reshape(x, dims)
    }

    /// The vector `v` shaped to broadcast along `axis` of a tensor of `rank` axes.
    pub(crate) fn along(&mut self, v: ValueId, axis: usize, rank: usize) -> Result<ValueId> {
        if axis + 1 == rank {
            return Ok(v);
        }
        let mut dims = vec![Dim::Known(1); rank];
        match (self.dims(v)?.as_slice(), dims.get_mut(axis)) {
            ([extent], Some(dim)) => *dim = extent.clone(),
            _ => {
                return Err(LowerError::Operands(format!("expected a vector along axis {axis}, found {}", self.ty(v))));
            }
        }
        self.reshape(v, dims)
    }

    /// `x` with each element repeated `n` times along `axis`.
    pub(crate) fn repeat(&mut self, x: ValueId, axis: usize, n: u64) -> Result<ValueId> {
        if n == 1 {
            return Ok(x);
        }
        let dims = self.dims(x)?;
        let expanded = self.expand(x, axis + 1)?;
        let mut wide = dims.clone();
        wide.insert((axis + 1).min(dims.len()), Dim::Known(n));
        let y = self.b.broadcast(expanded, wide)?;
        let long = dims.iter().enumerate().map(|(i, d)| if i == axis { d.times(&Dim::Known(n)) } else { d.clone() });
        self.reshape(y, long.collect())
    }

    pub(crate) fn slice(&mut self, x: ValueId, axis: usize, part: SliceAxis) -> Result<ValueId> {
        if part == SliceAxis::ALL {
            return Ok(x);
        }
        let mut axes = vec![SliceAxis::ALL; self.rank(x)?];
        if let Some(slot) = axes.get_mut(axis) {
            *slot = part;
        }
        Ok(self.b.slice(x, axes)?)
    }

    /// `x` without the first `low` and the last `high` elements along `axis`.
    pub(crate) fn trim(&mut self, x: ValueId, axis: usize, low: u64, high: u64) -> Result<ValueId> {
        let end = self.dims(x)?.get(axis).and_then(Dim::known).map(|n| n.saturating_sub(high));
        if high == 0 || end.is_some() {
            let end = end.filter(|_| high > 0);
            return self.slice(x, axis, SliceAxis { start: low, end, step: 1 });
        }
        // A slice cannot count from an unknown end: reverse the axis and cut its start.
        let x = self.slice(x, axis, SliceAxis { start: low, ..SliceAxis::ALL })?;
        let x = self.reverse(x, axis)?;
        let x = self.slice(x, axis, SliceAxis { start: high, ..SliceAxis::ALL })?;
        self.reverse(x, axis)
    }

    pub(crate) fn reverse(&mut self, x: ValueId, axis: usize) -> Result<ValueId> {
        Ok(self.b.core(CoreOp::Reverse(vec![axis as u64]), &[x])?)
    }

    /// Pads the spatial axes with zeros; `pairs` holds the numbers before and after.
    pub(crate) fn pad_zero(&mut self, x: ValueId, layout: Layout, pairs: &[(u64, u64)]) -> Result<ValueId> {
        let amounts = spatial(layout, pairs, (0, 0));
        Ok(self.b.pad(x, amounts, PadMode::Constant, 0.0)?)
    }

    /// `0, 1, ..., n - 1`, computed instead of stored.
    pub(crate) fn iota(&mut self, elem: ElemType, n: u64) -> Result<ValueId> {
        let ones = self.b.constant(Literal::splat(elem, &[n], 1.0))?;
        let counted = self.b.core(CoreOp::CumSum(0), &[ones])?;
        self.sub(counted, 1.0)
    }
}

/// One item per axis: `of` for the spatial axes, `other` for batch and channels.
pub(crate) fn spatial<T: Copy>(layout: Layout, of: &[T], other: T) -> Vec<T> {
    let (before, after) = match layout {
        Layout::ChannelsLast => (1, 1),
        Layout::ChannelsFirst => (2, 0),
    };
    let ends = |n| std::iter::repeat_n(other, n);
    ends(before).chain(of.iter().copied()).chain(ends(after)).collect()
}
