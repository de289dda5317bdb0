//! Matrix products. Floats go through candle; integers, which candle has no product for, are written out.

use super::Made;
use super::num::{Arith, for_arith};
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
    if elem.is_float() {
        let (a, b) = (a.reshape(&[batch, m, k])?, b.reshape(&[batch, k, n])?);
        return Ok(Value::from_candle(elem, a.candle().matmul(b.candle())?));
    }
    for_arith!(elem, T => {
        let (x, y) = (a.slice::<T>()?, b.slice::<T>()?);
        let mut out: Vec<T> = zeroed(batch * m * n, a)?;
        for i in 0..batch {
            let (x, y) = (&x[i * m * k..][..m * k], &y[i * k * n..][..k * n]);
            accumulate(x, y, k, n, &mut out[i * m * n..][..m * n]);
        }
        Value::from_vec(elem, &[batch, m, n], out)
    })
}

/// Adds the product of `x`, with rows of `k`, and `y`, with rows of `n`, to `out`.
fn accumulate<T: Arith>(x: &[T], y: &[T], k: usize, n: usize, out: &mut [T]) {
    for (x, out) in x.chunks_exact(k).zip(out.chunks_exact_mut(n)) {
        for (x, y) in x.iter().zip(y.chunks_exact(n)) {
            for (out, y) in out.iter_mut().zip(y) {
                *out = out.plus(x.times(*y));
            }
        }
    }
}

/// Fills a new vector with zeros.
pub(super) fn zeroed<T: Element>(count: usize, like: &Value) -> Made<Vec<T>> {
    let mut out = allocate(count, &like.ty())?;
    out.resize(count, T::default());
    Ok(out)
}
