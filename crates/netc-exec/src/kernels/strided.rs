//! Strided walks over tensors: the one implementation of broadcasting and reordering.

/// A walk over a shape in row-major order, with a position in each of `N` tensors.
///
/// Adjacent axes are merged where strides allow it, to make runs along the last axis long.
pub(super) struct Walk<const N: usize> {
    dims: Vec<usize>,
    strides: Vec<[isize; N]>,
    start: [isize; N],
}

impl<const N: usize> Walk<N> {
    /// A walk over the shape `dims`. A step along axis `i` moves by `strides[i]`.
    pub(super) fn new(dims: &[usize], strides: Vec<[isize; N]>, start: [isize; N]) -> Self {
        let mut walk = Self { dims: Vec::new(), strides: Vec::new(), start };
        for (extent, stride) in dims.iter().zip(strides).filter(|(extent, _)| **extent != 1) {
            let jump = |s: &[isize; N]| (0..N).all(|n| s[n] == stride[n].wrapping_mul(*extent as isize));
            match (walk.dims.last_mut(), walk.strides.last_mut()) {
                (Some(last), Some(outer)) if jump(outer) => {
                    *last *= extent;
                    *outer = stride;
                }
                _ => {
                    walk.dims.push(*extent);
                    walk.strides.push(stride);
                }
            }
        }
        walk
    }

    /// A walk over the shape `dims` for tensors of the shapes `operands`, which broadcast to it.
    pub(super) fn broadcast(dims: &[usize], operands: [&[usize]; N]) -> Self {
        let strides = operands.map(|shape| broadcast_strides(shape, dims.len()));
        let per_axis = (0..dims.len()).map(|i| std::array::from_fn(|n| strides[n][i])).collect();
        Self::new(dims, per_axis, [0; N])
    }

    /// Calls `f` for each run along the last axis, with its positions in the tensors, the steps between its elements,
    /// and its length.
    pub(super) fn for_each_run(&self, mut f: impl FnMut([isize; N], [isize; N], usize)) {
        if self.dims.contains(&0) {
            return;
        }
        let (inner, outer) = self.dims.split_last().map_or((1, &[][..]), |(n, rest)| (*n, rest));
        let step = self.strides.last().copied().unwrap_or([0; N]);
        let mut at = self.start;
        let mut index = vec![0; outer.len()];
        loop {
            f(at, step, inner);
            let Some(axis) = (0..outer.len()).rev().find(|a| index[*a] + 1 < outer[*a]) else { return };
            index[axis] += 1;
            shift(&mut at, &self.strides[axis], 1);
            for (i, stride) in index.iter_mut().zip(&self.strides).skip(axis + 1) {
                shift(&mut at, stride, -(*i as isize));
                *i = 0;
            }
        }
    }
}

/// Moves each position by `times` steps.
fn shift<const N: usize>(at: &mut [isize; N], step: &[isize; N], times: isize) {
    at.iter_mut().zip(step).for_each(|(at, step)| *at += step * times);
}

/// The strides of a contiguous tensor of shape `dims`, in elements.
pub(super) fn contiguous_strides(dims: &[usize]) -> Vec<isize> {
    let mut strides = vec![1isize; dims.len()];
    for i in (1..dims.len()).rev() {
        strides[i - 1] = strides[i].wrapping_mul(dims[i] as isize);
    }
    strides
}

/// The strides of a contiguous tensor of shape `dims`, broadcast to `rank` axes that are aligned at the last.
pub(super) fn broadcast_strides(dims: &[usize], rank: usize) -> Vec<isize> {
    let own = contiguous_strides(dims).into_iter().zip(dims).map(|(s, d)| if *d == 1 { 0 } else { s });
    std::iter::repeat_n(0, rank.saturating_sub(dims.len())).chain(own).collect()
}

/// Appends the elements of `x` along a walk to `out`.
pub(super) fn copy<T: Copy>(x: &[T], walk: &Walk<1>, out: &mut Vec<T>) {
    walk.for_each_run(|[at], [step], n| {
        let at = at as usize;
        match step {
            1 => out.extend_from_slice(&x[at..at + n]),
            0 => out.extend(std::iter::repeat_n(x[at], n)),
            _ => out.extend((0..n).map(|i| x[at.wrapping_add_signed(step * i as isize)])),
        }
    });
}
