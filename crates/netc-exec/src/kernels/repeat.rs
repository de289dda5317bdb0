//! Tensors that are repeated to a shape, read block by block.

use super::strided::broadcast_strides;
use super::tail::Other;

/// A tensor as if it had a larger shape.
pub(super) struct Repeated<'a, T> {
    data: &'a [T],
    kind: Kind<T>,
}

enum Kind<T> {
    /// It has that shape.
    Whole,
    /// It has one element.
    One,
    Strided(Strided<T>),
}

/// The last block that was read is kept: where the next is the same, as with a bias, it is not put together again.
struct Strided<T> {
    /// The axes, those that go on from one another made one.
    dims: Vec<usize>,
    strides: Vec<usize>,
    /// After so many elements the elements repeat.
    period: usize,
    block: Vec<T>,
    /// Where in the period the kept block begins.
    start: usize,
}

impl<'a, T: Copy> Repeated<'a, T> {
    /// The tensor of the shape `own`, repeated to `dims`, read in blocks of up to `most` elements.
    pub(super) fn new(data: &'a [T], own: &[usize], dims: &[usize], most: usize) -> Self {
        let kind = match data.len() {
            1 => Kind::One,
            n if n == dims.iter().product::<usize>() => Kind::Whole,
            _ => Kind::Strided(Strided::new(own, dims, most)),
        };
        Self { data, kind }
    }

    /// After so many elements the elements repeat.
    pub(super) fn period(&self) -> usize {
        match &self.kind {
            Kind::Whole | Kind::One => 1,
            Kind::Strided(strided) => strided.period,
        }
    }

    /// The `len` elements from `start` on.
    pub(super) fn block(&mut self, start: usize, len: usize) -> Other<'_, T> {
        match &mut self.kind {
            Kind::Whole => Other::Each(&self.data[start..start + len]),
            Kind::One => Other::One(self.data[0]),
            Kind::Strided(strided) => Other::Each(strided.block(self.data, start, len)),
        }
    }
}

impl<T: Copy> Strided<T> {
    fn new(own: &[usize], shape: &[usize], most: usize) -> Self {
        let (mut dims, mut strides): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
        let all = broadcast_strides(own, shape.len()).into_iter().map(isize::unsigned_abs);
        for (extent, stride) in shape.iter().zip(all).filter(|(extent, _)| **extent != 1) {
            match (dims.last_mut(), strides.last_mut()) {
                (Some(last), Some(outer)) if *outer == stride * extent => {
                    *last *= extent;
                    *outer = stride;
                }
                _ => {
                    dims.push(*extent);
                    strides.push(stride);
                }
            }
        }
        let repeats = usize::from(strides.first() == Some(&0));
        let period = dims.iter().skip(repeats).product();
        Self { dims, strides, period, block: Vec::with_capacity(most), start: 0 }
    }

    fn block(&mut self, data: &[T], start: usize, len: usize) -> &[T] {
        if self.block.len() < len || self.start != start % self.period {
            self.start = start % self.period;
            self.fill(data, start, len);
        }
        &self.block[..len]
    }

    /// Puts the block together from runs along the last axis.
    fn fill(&mut self, data: &[T], start: usize, len: usize) {
        self.block.clear();
        let (inner, step) = (self.dims[self.dims.len() - 1], self.strides[self.strides.len() - 1]);
        while self.block.len() < len {
            let at = start + self.block.len();
            let n = (inner - at % inner).min(len - self.block.len());
            let from = self.offset(at);
            match step {
                0 => self.block.extend(std::iter::repeat_n(data[from], n)),
                1 => self.block.extend_from_slice(&data[from..from + n]),
                _ => self.block.extend((0..n).map(|i| data[from + i * step])),
            }
        }
    }

    /// Where in the tensor the element `at` of the shape is.
    fn offset(&self, at: usize) -> usize {
        let axes = self.dims.iter().zip(&self.strides).rev();
        axes.fold((at, 0), |(at, offset), (extent, stride)| (at / extent, offset + at % extent * stride)).1
    }
}
