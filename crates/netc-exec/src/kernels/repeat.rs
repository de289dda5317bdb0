//! Reads a broadcast tensor block by block.

use super::epilogue::Other;
use super::strided::broadcast_strides;

/// A tensor broadcast to a larger shape.
pub(super) struct Repeated<'a, T> {
    data: &'a [T],
    kind: Kind<T>,
}

enum Kind<T> {
    /// The tensor already has the shape.
    Whole,
    /// The tensor has one element.
    One,
    Strided(Strided<T>),
}

/// Caches the last block, so that a tensor that repeats within every block, such as a bias, is assembled once.
struct Strided<T> {
    /// The extents, with adjacent axes merged where their strides allow it.
    dims: Vec<usize>,
    strides: Vec<usize>,
    /// The number of elements after which the elements repeat.
    period: usize,
    block: Vec<T>,
    /// The start of the cached block, modulo the period.
    start: usize,
}

impl<'a, T: Copy> Repeated<'a, T> {
    /// Broadcasts a tensor of shape `own` to `dims`, for blocks of up to `most` elements.
    pub(super) fn new(data: &'a [T], own: &[usize], dims: &[usize], most: usize) -> Self {
        let kind = match data.len() {
            1 => Kind::One,
            n if n == dims.iter().product::<usize>() => Kind::Whole,
            _ => Kind::Strided(Strided::new(own, dims, most)),
        };
        Self { data, kind }
    }

    /// The number of elements after which the elements repeat; 1 if blocks need no assembly.
    pub(super) fn period(&self) -> usize {
        match &self.kind {
            Kind::Whole | Kind::One => 1,
            Kind::Strided(strided) => strided.period,
        }
    }

    /// The `len` elements from `start`.
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

    /// Assembles the block from runs along the last axis.
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

    /// The offset in the tensor of the element `at` of the broadcast shape.
    fn offset(&self, at: usize) -> usize {
        let axes = self.dims.iter().zip(&self.strides).rev();
        axes.fold((at, 0), |(at, offset), (extent, stride)| (at / extent, offset + at % extent * stride)).1
    }
}
