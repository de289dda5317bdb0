//! Matrix products. Those of floats are candle's, unless they are so small that asking takes longer than computing;
//! these, and those of integers, which candle has no product for, are written out.

use rayon::prelude::*;

use super::Made;
use super::num::{Arith, for_arith};
use super::rows::{TASK, for_each_row};
use super::shape;
use crate::value::{Element, Value, allocate, for_element};

/// The product over the last two axes, batched over the others, which broadcast. `dims` is the result's shape.
pub(super) fn matmul(a: &Value, b: &Value, dims: &[usize]) -> Made<Value> {
    let (batch, m, n) = split(dims);
    let (batch_a, _, k) = split(a.dims());
    let (batch_b, _, _) = split(b.dims());
    if k == 0 || dims.contains(&0) {
        return zeros(a, dims);
    }
    // One right-hand side for all: the batches are rows of one matrix.
    if count(batch_b) == 1 && count(batch_a) == count(batch) {
        return product(a, b, [1, count(batch) * m, k, n])?.reshape(dims);
    }
    let a = shape::broadcast(a, &[batch, &[m, k]].concat())?;
    let b = shape::broadcast(b, &[batch, &[k, n]].concat())?;
    product(&a, &b, [count(batch), m, k, n])?.reshape(dims)
}

/// The product of `a`, of shape `[rows, k]`, and `b`, of shape `[k, n]`.
pub(super) fn matrix_product(a: &Value, b: &Value) -> Made<Value> {
    let ((_, m, _), (_, _, n)) = (split(a.dims()), split(b.dims()));
    matmul(a, b, &[m, n])
}

fn count(dims: &[usize]) -> usize {
    dims.iter().product()
}

/// The extents of the batch, and of the two axes of the matrices.
fn split(dims: &[usize]) -> (&[usize], usize, usize) {
    match dims {
        [batch @ .., m, n] => (batch, *m, *n),
        _ => (&[], 1, 1),
    }
}

/// A tensor of zeros of the element type of `like`.
pub(super) fn zeros(like: &Value, dims: &[usize]) -> Made<Value> {
    for_element!(like.elem(), T => Value::from_vec(like.elem(), dims, zeroed::<T>(count(dims), like)?))
}

/// `batch` products of `[m, k]` with `[k, n]`; none of the four is 0.
fn product(a: &Value, b: &Value, [batch, m, k, n]: [usize; 4]) -> Made<Value> {
    let elem = a.elem();
    if elem.is_float() && !is_small(m, k, n) {
        let (a, b) = (a.reshape(&[batch, m, k])?, b.reshape(&[batch, k, n])?);
        return Ok(Value::from_candle(elem, a.candle().matmul(b.candle())?));
    }
    for_arith!(elem, T => {
        let (x, y) = (a.slice::<T>()?, b.slice::<T>()?);
        let mut out: Vec<T> = zeroed(batch * m * n, a)?;
        let (x, y): (&[T], &[T]) = (&x, &y);
        let steps = k * n.div_ceil(LANES);
        let columns = n.div_ceil((steps / TASK).max(1)).max(COLUMNS).min(n);
        for_each_row(&mut out, n, steps, |i, row| {
            let (x, y) = (&x[i * k..][..k], &y[i / m * k * n..][..k * n]);
            if columns == n {
                return accumulate(x, y, n, 0, row);
            }
            let parts = row.par_chunks_mut(columns).enumerate();
            parts.for_each(|(part, out)| accumulate(x, y, n, part * columns, out));
        });
        Value::from_vec(elem, &[batch, m, n], out)
    })
}

/// Elements that are computed in one step, about.
const LANES: usize = 4;

/// Columns that a task has at least: it reads so many elements in a row.
const COLUMNS: usize = 256;

/// Steps up to which a product is not candle's. It asks the system for the number of cores each time, which takes as long.
const SMALL: usize = 1 << 16;

/// Whether the product is written out faster. A row is: it reads each weight once, which all cores do together.
fn is_small(m: usize, k: usize, n: usize) -> bool {
    m.saturating_mul(k).saturating_mul(n.div_ceil(LANES)) <= SMALL || m == 1 && n >= TASK / LANES
}

/// Adds to `out`, as many columns from `first` on, the product of the row `x` with the matrix `y` of `n` columns.
fn accumulate<T: Arith>(x: &[T], y: &[T], n: usize, first: usize, out: &mut [T]) {
    let len = out.len();
    let (fours, rest) = x.as_chunks::<4>();
    let (rows, last) = y.split_at(fours.len() * 4 * n);
    for (x, y) in fours.iter().zip(rows.chunks_exact(4 * n)) {
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| &y[i * n + first..][..len]);
        for ((((out, a), b), c), d) in out.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            let sum = out.plus(x[0].times(*a)).plus(x[1].times(*b));
            *out = sum.plus(x[2].times(*c)).plus(x[3].times(*d));
        }
    }
    for (x, y) in rest.iter().zip(last.chunks_exact(n)) {
        for (out, y) in out.iter_mut().zip(&y[first..][..len]) {
            *out = out.plus(x.times(*y));
        }
    }
}

/// Fills a new vector with zeros.
pub(super) fn zeroed<T: Element>(count: usize, like: &Value) -> Made<Vec<T>> {
    let mut out = allocate(count, &like.ty())?;
    out.resize(count, T::default());
    Ok(out)
}
