//! Ops that only move elements.

use netc_ir::{CoreOp, Dim, ElemType, F64, Literal, Number, PadMode, SliceAxis};

use super::Added;
use super::scope::{Draft, Value};
use super::types::{dims, least};
use crate::features::Feature;
use crate::recipe::of;

/// Element types of indices.
pub(super) const INDICES: &[ElemType] = &[ElemType::I64, ElemType::I32, ElemType::U8, ElemType::I16, ElemType::U32];

impl Draft<'_> {
    pub(super) fn reshape(&mut self, read: u8, form: u8, place: u8) -> Added {
        let x = self.value(read, |_| true)?;
        let (dims, place) = (self.dims(x), usize::from(place));
        let (front, back) = dims.split_at(place % (dims.len() + 1));
        let reshaped = match form % 8 {
            0 => Some([front, &[Dim::Known(1)], back].concat()),
            1 => divided(dims, place),
            2 => merged(dims, place),
            3 => Some(vec![Dim::product(dims)]),
            4 => Some(dims.iter().filter(|d| !d.is(1)).cloned().collect()),
            5 => Some(dims.to_vec()),
            6 => without_factor(dims, &self.symbols()),
            _ => image(dims),
        };
        let dims = reshaped.unwrap_or_else(|| dims.to_vec());
        self.op(CoreOp::Reshape(dims), &[x])
    }

    /// Adds a transpose. The two bytes encode the permutation.
    pub(super) fn transpose(&mut self, read: u8, [k, l]: [u8; 2]) -> Added {
        let x = self.value(read, |_| true)?;
        let mut left: Vec<u64> = (0..self.dims(x).len() as u64).collect();
        let mut code = usize::from(k) << 8 | usize::from(l);
        let mut perm = Vec::new();
        while !left.is_empty() {
            perm.push(left.remove(code % left.len()));
            code /= left.len() + 1;
        }
        self.op(CoreOp::Transpose(perm), &[x])
    }

    pub(super) fn concat(&mut self, read: u8, others: [u8; 2], axis: u8, count: u8) -> Added {
        let (x, axis) = self.axis(read, axis, |_| true)?;
        let fits = |v: &Value| {
            let (ours, theirs) = (self.dims(x), dims(&v.ty));
            let equal = |i: usize| i as u64 == axis || ours[i] == theirs[i];
            v.ty.elem == self.elem(x) && ours.len() == theirs.len() && (0..ours.len()).all(equal)
        };
        let others = others.iter().take(usize::from(count) % 3);
        let others: Vec<usize> = others.filter_map(|read| self.beside(x, *read, fits)).collect();
        let parts: Vec<usize> = std::iter::once(x).chain(others).collect();
        self.op(CoreOp::Concat(axis), &parts)
    }

    pub(super) fn slice(&mut self, read: u8, [k, l, m]: [u8; 3]) -> Added {
        let x = self.value(read, |_| true)?;
        // An empty slice is valid too, but makes all later values empty.
        let none = k > 240 && self.has(Feature::ZeroDims);
        let part = |(i, dim): (usize, &Dim)| {
            let [k, l, m] = [k, l, m].map(|knob| u64::from(knob.rotate_right(2 * i as u32)));
            let n = least(dim);
            let start = (k % 4 / 2).min(n.saturating_sub(1));
            let end = if none && l % 2 == 0 { start } else { n.saturating_sub(l % 2).max(start + 1).min(n) };
            SliceAxis { start, end: (m % 3 > 0 && n > 0).then_some(end), step: 1 + m / 4 % 8 / 5 }
        };
        let axes = self.dims(x).iter().enumerate().map(part).collect();
        self.op(CoreOp::Slice(axes), &[x])
    }

    pub(super) fn pad(&mut self, read: u8, mode: PadMode, [low, high]: [u8; 2], value: u8) -> Added {
        let x = self.value(read, |_| true)?;
        let amount = |(i, dim): (usize, &Dim)| {
            let most = match mode {
                PadMode::Constant => 2,
                PadMode::Reflect => least(dim).saturating_sub(1).min(2),
                PadMode::Symmetric => least(dim).min(2),
                PadMode::Edge => 2 * least(dim).min(1),
            };
            (u64::from(low >> i) % (most + 1), u64::from(high >> i) % (most + 1))
        };
        let amounts = self.dims(x).iter().enumerate().map(amount).collect();
        let infinite = if self.has(Feature::NonFinite) && value > 250 { f64::NEG_INFINITY } else { -7.0 };
        let value = F64::new(of(&[0.0, 1.5, -0.0, 2.0, infinite], value));
        self.op(CoreOp::Pad { amounts, mode, value }, &[x])
    }

    /// Adds a broadcast: expands axes of extent 1 and adds new axes in front.
    pub(super) fn broadcast(&mut self, read: u8, form: u8, extent: u8) -> Added {
        let x = self.value(read, |_| true)?;
        let extents: Vec<Dim> = self.symbols().into_iter().chain([2, 1, 3].map(Dim::Known)).collect();
        let extent = |i: u8| extents[usize::from(extent.wrapping_add(i)) % extents.len()].clone();
        let repeat = |d: &Dim| if d.is(1) { extent(0) } else { d.clone() };
        let new = (0..form % 3).map(&extent);
        let dims = new.chain(self.dims(x).iter().map(repeat)).collect();
        self.op(CoreOp::Broadcast(dims), &[x])
    }

    /// Adds a gather, with constant indices or with a value as indices.
    pub(super) fn gather(&mut self, [a, b]: [u8; 2], axis: u8, numbers: [u8; 3]) -> Added {
        let (x, axis) = self.axis(a, axis, |v| dims(&v.ty).iter().all(|d| least(d) > 0))?;
        let extent = least(&self.dims(x)[axis as usize]);
        let in_range = |v: &Value| v.ty.elem.is_int() && v.range.low >= 0.0 && v.range.high < extent as f64;
        let known = self.beside(x, b, in_range).filter(|_| numbers[0] < 128 && self.has(Feature::Branches));
        let indices = match known {
            Some(known) => known,
            None => self.indices(extent, numbers)?,
        };
        self.op(CoreOp::Gather(axis), &[x, indices])
    }

    fn indices(&mut self, extent: u64, numbers: [u8; 3]) -> Added {
        let [elem, form, _] = numbers;
        let elem = if self.has(Feature::Integers) { of(INDICES, elem) } else { ElemType::I64 };
        let dims: &[u64] =
            of(&[&[], &[3], &[1, 2], &[2, 1, 1], &[0]], if self.has(Feature::ZeroDims) { form % 5 } else { form % 4 });
        let numbers = numbers.iter().cycle().take(dims.iter().product::<u64>() as usize);
        let numbers = numbers.map(|i| Number::Int((u64::from(*i) % extent).into()));
        self.sure(CoreOp::Constant(Literal::dense(elem, dims, numbers)), &[])
    }
}

/// Splits an even axis into a half and 2. `None` if no axis is even.
fn divided(dims: &[Dim], place: usize) -> Option<Vec<Dim>> {
    let half = |d: &Dim| d.exact_div(&Dim::Known(2)).filter(|half| !half.is(0));
    let even: Vec<usize> = (0..dims.len()).filter(|i| half(&dims[*i]).is_some()).collect();
    let axis = *even.get(place % even.len().max(1))?;
    let halves = [Dim::Known(2), half(&dims[axis])?];
    Some([&dims[..axis], &halves, &dims[axis + 1..]].concat())
}

/// Splits an axis into a symbol and the rest. `None` if no extent has a symbol as a factor.
fn without_factor(dims: &[Dim], symbols: &[Dim]) -> Option<Vec<Dim>> {
    let pairs = (0..dims.len()).flat_map(|axis| symbols.iter().map(move |symbol| (axis, symbol)));
    let rest = |(axis, symbol): (usize, &Dim)| {
        let rest = dims[axis].exact_div(symbol).filter(|rest| !rest.is(1) && !rest.is(0))?;
        Some([&dims[..axis], &[symbol.clone(), rest], &dims[axis + 1..]].concat())
    };
    pairs.filter_map(rest).next()
}

/// Merges two axes. `None` if there are fewer than two.
fn merged(dims: &[Dim], place: usize) -> Option<Vec<Dim>> {
    let axis = place % dims.len().checked_sub(1).filter(|n| *n > 0)?;
    let both = [dims[axis].times(&dims[axis + 1])];
    Some([&dims[..axis], &both, &dims[axis + 2..]].concat())
}

/// Turns each example into an image of one channel. `None` if it already is an image.
fn image(dims: &[Dim]) -> Option<Vec<Dim>> {
    match dims {
        [batch, rest] => Some(match rest.exact_div(&Dim::Known(2)) {
            Some(half) => vec![batch.clone(), half, Dim::Known(2), Dim::Known(1)],
            None => vec![batch.clone(), rest.clone(), Dim::Known(1)],
        }),
        [only] => Some(vec![Dim::Known(1), only.clone(), Dim::Known(1)]),
        _ => None,
    }
}
