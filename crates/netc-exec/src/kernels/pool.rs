//! Reductions over sliding windows.

use netc_ir::{Pool, Window};

use super::conv::{channels_last_dims, from_channels_last, to_channels_last};
use super::geometry::Geometry;
use super::matmul::zeroed;
use super::num::{Arith, for_arith};
use super::rows::{for_each_row, try_for_each_row};
use crate::error::kernel::Result;
use crate::value::{Value, allocate};

/// Pools each window by maximum or mean. Padding does not count.
///
/// The maximum of a window entirely in padding is the lowest number of the type. The mean is NaN, or an error for
/// integers.
pub(super) fn pool(kind: Pool, x: &Value, size: &[u64], window: &Window, dims: &[usize]) -> Result<Value> {
    let last = to_channels_last(x, window.layout)?;
    let out = channels_last_dims(dims, window.layout);
    let g = Geometry::new(last.dims(), size, window, &out)?;
    let pooled = for_arith!(x.elem(), T => match kind {
        Pool::Max => max::<T>(&last, &g, &out),
        Pool::Avg => average::<T>(&last, &g, &out),
    })?;
    from_channels_last(&pooled, window.layout)
}

fn channels(out: &[usize]) -> usize {
    out.last().copied().unwrap_or(1)
}

fn max<T: Arith>(x: &Value, g: &Geometry, out: &[usize]) -> Result<Value> {
    let channels = channels(out);
    let data = x.slice::<T>()?;
    let count = out.iter().product();
    let mut y: Vec<T> = allocate(count, &x.ty())?;
    y.resize(count, T::LOWEST);
    for_each_row(&mut y, channels, channels.saturating_mul(g.taps()), &|i, row| {
        let (batch, place) = (i / g.outputs, i % g.outputs);
        g.for_each_tap(place, |_, at| {
            let x = &data[(batch * g.inputs + at) * channels..][..channels];
            row.iter_mut().zip(x).for_each(|(y, x)| *y = y.larger(*x));
        });
    });
    Value::from_vec(x.elem(), out, y)
}

fn average<T: Arith>(x: &Value, g: &Geometry, out: &[usize]) -> Result<Value> {
    let channels = channels(out);
    let data = x.slice::<T>()?;
    let mut y: Vec<T> = zeroed(out.iter().product(), x)?;
    try_for_each_row(&mut y, channels, channels.saturating_mul(g.taps()), &|i, row| {
        let (batch, place) = (i / g.outputs, i % g.outputs);
        let mut sums = allocate(channels, &x.ty())?;
        sums.resize(channels, T::ZERO);
        let mut n = 0;
        g.for_each_tap(place, |_, at| {
            let x = &data[(batch * g.inputs + at) * channels..][..channels];
            sums.iter_mut().zip(x).for_each(|(sum, x)| *sum = T::sum(*sum, *x));
            n += 1;
        });
        row.iter_mut().zip(&sums).try_for_each(|(y, sum)| T::mean(*sum, n).map(|mean| *y = mean))
    })?;
    Value::from_vec(x.elem(), out, y)
}
