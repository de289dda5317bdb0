//! Choosing operands and attributes that fit, op by op.

use std::ops::Range;

use netc_ir::infer::{channel_axis, first_spatial};
use netc_ir::{
    Binary, CoreOp, Dim, ElemType, F64, Layout, Literal, Number, PadMode, Padding, Pool, SliceAxis, Type, Window, infer,
};

use super::{Added, Draft, is_number};
use crate::recipe::of;

impl Draft {
    pub(super) fn of_one(&mut self, op: CoreOp, read: u8) -> Added {
        let x = self.value(read, |t| infer(&self.module, &op, &[t]).is_ok())?;
        self.add(op, &[x])
    }

    pub(super) fn of_two(&mut self, op: CoreOp, a: u8, b: u8, fits: impl Fn(&Type) -> bool) -> Added {
        let x = self.value(a, |t| infer(&self.module, &op, &[t, t]).is_ok() && fits(t))?;
        let y = self.value(b, |t| t.elem == self.values[x].elem && broadcasts(&self.values[x], t))?;
        self.add(op, &[x, y])
    }

    /// Integers are not divided and have no powers: both may be execution errors.
    pub(super) fn binary(&mut self, f: Binary, a: u8, b: u8) -> Added {
        let partial = matches!(f, Binary::Div | Binary::Pow);
        self.of_two(CoreOp::Binary(f), a, b, |t| !(partial && t.elem.is_int()))
    }

    pub(super) fn matmul(&mut self, a: u8, b: u8, k: u8, l: u8) -> Added {
        let x = self.value(a, |t| is_number(t.elem) && t.rank() >= Some(2))?;
        let (elem, dims) = (self.values[x].elem, self.dims(x).to_vec());
        let (batch, inner) = (&dims[..dims.len() - 2], dims.last()?);
        let fits = |t: &Type| match t.dims.as_deref() {
            Some([other @ .., rows, _]) if t.elem == elem && rows == inner => {
                broadcasts(&Type::new(elem, batch.to_vec()), &Type::new(elem, other.to_vec()))
            }
            _ => false,
        };
        let known = self.value(b, fits).filter(|_| k % 2 == 1);
        let y = match (known, inner.known()) {
            (Some(y), _) => y,
            (None, Some(inner)) => self.weight(elem, &[inner, 1 + u64::from(l % 4)], k)?,
            (None, None) => return None,
        };
        self.add(CoreOp::MatMul, &[x, y])
    }

    /// A value that a window can move over: spatial axes and channels are numbers.
    fn image(&self, read: u8, layout: Layout) -> Added {
        self.value(read, |t| {
            let dims = t.dims.as_deref().unwrap_or_default();
            let known = |i: usize| dims[i].known() > Some(0);
            dims.len() >= 3
                && is_number(t.elem)
                && spatial(layout, dims.len()).all(known)
                && known(channel_axis(layout, dims.len()))
        })
    }

    /// A window that fits into every spatial axis of `x`, and its size.
    fn window(&self, x: usize, layout: Layout, [k, l, m]: [u8; 3]) -> (Window, Vec<u64>) {
        let extents: Vec<u64> = spatial(layout, self.rank(x)).map(|i| self.dims(x)[i].known().unwrap_or(1)).collect();
        let at = |knob: u8, axis: usize| u64::from(knob >> axis);
        let size: Vec<u64> = extents.iter().enumerate().map(|(i, e)| 1 + at(k, i) % (*e).min(3)).collect();
        let fits = |i: usize| (size[i] - 1) * 2 < extents[i];
        let padding = match m % 3 {
            0 => Padding::Valid,
            1 => Padding::Same,
            _ => Padding::Explicit((0..size.len()).map(|i| (at(m, i + 2) % 2, at(m, i + 3) % 2)).collect()),
        };
        let window = Window {
            strides: (0..size.len()).map(|i| 1 + at(l, i) % 2).collect(),
            dilations: (0..size.len()).map(|i| if fits(i) { 1 + at(l, i + 3) % 2 } else { 1 }).collect(),
            padding,
            layout,
        };
        (window, size)
    }

    pub(super) fn conv(&mut self, read: u8, layout: Layout, knobs: [u8; 3]) -> Added {
        let x = self.image(read, layout)?;
        let (window, mut kernel) = self.window(x, layout, knobs);
        let channels = self.dims(x)[channel_axis(layout, self.rank(x))].known()?;
        let groups = if channels.is_multiple_of(2) && knobs[0] >= 128 { 2 } else { 1 };
        kernel.extend([channels / groups, groups * (1 + u64::from(knobs[1] >> 6))]);
        let kernel = self.weight(self.values[x].elem, &kernel, knobs[2])?;
        self.add(CoreOp::Conv { window, groups }, &[x, kernel])
    }

    pub(super) fn pool(&mut self, read: u8, layout: Layout, kind: Pool, knobs: [u8; 3]) -> Added {
        let x = self.image(read, layout)?;
        let (mut window, size) = self.window(x, layout, knobs);
        if kind == Pool::Avg && self.values[x].elem.is_int() {
            // The mean of a window that lies in the border is a division by zero.
            window.padding = Padding::Valid;
        }
        self.add(CoreOp::Pool { kind, size, window }, &[x])
    }

    pub(super) fn reshape(&mut self, read: u8, form: u8, axis: u8) -> Added {
        let x = self.value(read, |_| true)?;
        let mut dims = self.dims(x).to_vec();
        let even = dims.iter().position(|d| d.known().is_some_and(|n| n > 2 && n % 2 == 0));
        match (form % 4, even) {
            (0, _) => dims.insert(usize::from(axis) % (dims.len() + 1), Dim::Known(1)),
            (1, Some(i)) => {
                dims[i] = Dim::Known(dims[i].known()? / 2);
                dims.insert(i + 1, Dim::Known(2));
            }
            (2, _) if dims.len() >= 2 => {
                let first = dims.remove(0);
                dims[0] = first.times(&dims[0]);
            }
            _ => dims = vec![Dim::product(&dims)],
        }
        self.add(CoreOp::Reshape(dims), &[x])
    }

    pub(super) fn concat(&mut self, read: u8, others: [u8; 2], axis: u8) -> Added {
        let (x, axis) = self.axis(read, axis, |_| true)?;
        let fits = |t: &Type| {
            let (ours, theirs) = (self.dims(x), t.dims.as_deref().unwrap_or_default());
            let equal = |i: usize| i as u64 == axis || ours[i] == theirs[i];
            t.elem == self.values[x].elem && ours.len() == theirs.len() && (0..ours.len()).all(equal)
        };
        let others: Vec<usize> = others.iter().filter_map(|read| self.value(*read, fits)).collect();
        let parts: Vec<usize> = std::iter::once(x).chain(others).collect();
        self.add(CoreOp::Concat(axis), &parts)
    }

    pub(super) fn slice(&mut self, read: u8, [k, l, m]: [u8; 3]) -> Added {
        let x = self.value(read, |_| true)?;
        let part = |(i, dim): (usize, &Dim)| {
            let [k, l, m] = [k, l, m].map(|knob| u64::from(knob >> i));
            match dim.known() {
                Some(n) if n > 0 => {
                    let start = k % n;
                    let end = start + 1 + l % (n - start);
                    SliceAxis { start, end: (end < n || m % 4 < 2).then_some(end), step: 1 + m % 2 }
                }
                Some(_) | None => SliceAxis { step: 1 + m % 2, ..SliceAxis::ALL },
            }
        };
        let axes = self.dims(x).iter().enumerate().map(part).collect();
        self.add(CoreOp::Slice(axes), &[x])
    }

    pub(super) fn pad(&mut self, read: u8, mode: PadMode, low: u8, high: u8, value: u8) -> Added {
        let x = self.value(read, |_| true)?;
        let amount = |(i, dim): (usize, &Dim)| {
            let limit = match (mode, dim.known()) {
                (PadMode::Constant, _) => 2,
                (PadMode::Reflect, Some(n)) => n.saturating_sub(1).min(2),
                (PadMode::Symmetric | PadMode::Edge, Some(n)) => n.min(2),
                (PadMode::Reflect | PadMode::Symmetric | PadMode::Edge, None) => 0,
            };
            (u64::from(low >> i) % (limit + 1), u64::from(high >> i) % (limit + 1))
        };
        let amounts = self.dims(x).iter().enumerate().map(amount).collect();
        let value = of(&[0.0, 1.5, -0.0, f64::INFINITY, -7.0], value);
        self.add(CoreOp::Pad { amounts, mode, value: F64::new(value) }, &[x])
    }

    pub(super) fn gather(&mut self, read: u8, axis: u8, indices: [u8; 3]) -> Added {
        let (x, axis) = self.axis(read, axis, |t| t.dims.iter().flatten().all(|d| d.known() != Some(0)))?;
        let extent = self.dims(x)[axis as usize].known()?;
        let elem = of(&[ElemType::I64, ElemType::I32], indices[0]);
        let count = usize::from(indices[1]) % 4;
        let numbers = indices.iter().take(count.max(1)).map(|i| Number::Int((u64::from(*i) % extent).into()));
        let dims = if count == 0 { vec![] } else { vec![count as u64] };
        let indices = self.add(CoreOp::Constant(Literal::dense(elem, &dims, numbers)), &[])?;
        self.add(CoreOp::Gather(axis), &[x, indices])
    }
}

fn spatial(layout: Layout, rank: usize) -> Range<usize> {
    first_spatial(layout)..first_spatial(layout) + rank.saturating_sub(2)
}

/// Whether the shapes broadcast whatever the symbols are.
pub(super) fn broadcasts(a: &Type, b: &Type) -> bool {
    let dims = |t: &Type| t.dims.clone().unwrap_or_default();
    dims(a).iter().rev().zip(dims(b).iter().rev()).all(|(p, q)| p == q || p.is(1) || q.is(1))
}
