//! Matrix products. Large products of floats are computed in [blocks](super::product), all others row by row.

use netc_ir::ElemType;
use rayon::prelude::*;

use super::num::{Arith, for_arith};
use super::product::{Lanes, add_product};
use super::rows::{TASK, for_each_row};
use super::shape;
use crate::error::kernel::Result;
use crate::value::{Value, allocate, for_word};

/// Multiplies over the last two axes; the other axes are a batch and broadcast. `dims` is the shape of the result.
pub(super) fn matmul(a: &Value, b: &Value, dims: &[usize]) -> Result<Value> {
    let (batch, m, n) = split(dims);
    let (batch_a, _, k) = split(a.dims());
    let (batch_b, _, _) = split(b.dims());
    if k == 0 || dims.contains(&0) {
        return zeros(a, dims);
    }
    // With one right operand for the whole batch, the batch is one matrix with more rows.
    if count(batch_b) == 1 && count(batch_a) == count(batch) {
        return product(a, b, [1, count(batch) * m, k, n])?.reshape(dims);
    }
    let a = shape::broadcast(a, &[batch, &[m, k]].concat())?;
    let b = shape::broadcast(b, &[batch, &[k, n]].concat())?;
    product(&a, &b, [count(batch), m, k, n])?.reshape(dims)
}

/// Multiplies `a`, of shape `[rows, k]`, by `b`, of shape `[k, n]`.
pub(super) fn matrix_product(a: &Value, b: &Value) -> Result<Value> {
    let ((_, m, _), (_, _, n)) = (split(a.dims()), split(b.dims()));
    matmul(a, b, &[m, n])
}

fn count(dims: &[usize]) -> usize {
    dims.iter().product()
}

/// Splits a shape into the extents of the batch and the two matrix extents.
fn split(dims: &[usize]) -> (&[usize], usize, usize) {
    match dims {
        [batch @ .., m, n] => (batch, *m, *n),
        _ => (&[], 1, 1),
    }
}

/// A tensor of zeros of the element type of `like`.
pub(super) fn zeros(like: &Value, dims: &[usize]) -> Result<Value> {
    for_word!(like.elem(), W => Value::from_words(like.elem(), dims, zeroed::<W>(count(dims), like)?))
}

/// Computes `batch` products of `[m, k]` by `[k, n]`. No extent is 0.
fn product(a: &Value, b: &Value, [batch, m, k, n]: [usize; 4]) -> Result<Value> {
    let elem = a.elem();
    if !is_small([batch, m, k, n]) {
        match elem {
            ElemType::F32 => return large::<f32>(a, b, [batch, m, k, n]),
            ElemType::F64 => return large::<f64>(a, b, [batch, m, k, n]),
            ElemType::Bool
            | ElemType::I8
            | ElemType::I16
            | ElemType::I32
            | ElemType::I64
            | ElemType::U8
            | ElemType::U16
            | ElemType::U32
            | ElemType::U64
            | ElemType::F16
            | ElemType::BF16
            | ElemType::Str
            | ElemType::Any
            | ElemType::Narrow(_) => {}
        }
    }
    for_arith!(elem, T => {
        let (x, y) = (a.slice::<T>()?, b.slice::<T>()?);
        let mut out: Vec<T> = zeroed(batch * m * n, a)?;
        if batch == 1 && m <= FEW_ROWS {
            few_rows(x, y, [k, n], &mut out, a)?;
        } else {
            for_each_row(&mut out, n, steps(1, k, n), &|i, row| {
                accumulate(&mut [(row, &x[i * k..][..k])], &y[i / m * k * n..][..k * n], n);
            });
        }
        Value::from_vec(elem, &[batch, m, n], out)
    })
}

/// Computes `batch` products of floats in blocks.
fn large<T: Arith + Lanes>(a: &Value, b: &Value, [batch, m, k, n]: [usize; 4]) -> Result<Value> {
    let mut out: Vec<T> = zeroed(batch * m * n, a)?;
    let pairs = a.slice::<T>()?.chunks_exact(m * k).zip(b.slice::<T>()?.chunks_exact(k * n));
    for (out, (a_rows, b_rows)) in out.chunks_exact_mut(m * n).zip(pairs) {
        add_product(a_rows, b_rows, [k, n], out, a)?;
    }
    Value::from_vec(a.elem(), &[batch, m, n], out)
}

/// Approximate number of elements computed in one step.
const LANES: usize = 4;

/// Maximum rows of a product that reads each weight once for all rows.
const FEW_ROWS: usize = 8;

/// Maximum parallel parts of a product with few rows.
const PARTS: usize = 8;

/// Maximum steps of a product that is too small to repay packing its blocks.
const SMALL: usize = 1 << 16;

/// Approximate number of steps of a product.
fn steps(m: usize, k: usize, n: usize) -> usize {
    m.saturating_mul(k).saturating_mul(n.div_ceil(LANES))
}

/// Whether the products are faster row by row than in blocks.
fn is_small([batch, m, k, n]: [usize; 4]) -> bool {
    steps(m, k, n) <= SMALL || batch == 1 && m <= FEW_ROWS && n >= 16 * LANES
}

/// Adds the product of a few rows `x` and the matrix `y` to `out`.
///
/// Parallel tasks compute partial sums, each over a contiguous part of the weights. The number of parts depends only on
/// the extents, so the result does not depend on the number of threads. The partial sums together have at most as many
/// elements as the matrix.
fn few_rows<T: Arith>(x: &[T], y: &[T], [k, n]: [usize; 2], out: &mut [T], like: &Value) -> Result<()> {
    let parts = (steps(x.len() / k, k, n) / TASK).min(y.len() / out.len()).clamp(1, PARTS);
    let depth = k.div_ceil(parts).next_multiple_of(4);
    if depth >= k {
        accumulate(&mut rows(x, out, k, n), y, n);
        return Ok(());
    }
    let part = |(i, y): (usize, &[T])| {
        let mut sums: Vec<T> = zeroed(out.len(), like)?;
        let mut rows = rows(x, &mut sums, k, n);
        rows.iter_mut().for_each(|(_, x)| *x = &x[i * depth..][..y.len() / n]);
        accumulate(&mut rows, y, n);
        Ok(sums)
    };
    let sums = y.par_chunks(depth * n).enumerate().map(part).collect::<Result<Vec<Vec<T>>>>()?;
    for sums in sums {
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out = out.plus(sum));
    }
    Ok(())
}

/// Pairs the rows of `out`, of `n` elements, with the rows of `x`, of `k` elements.
fn rows<'a, T>(x: &'a [T], out: &'a mut [T], k: usize, n: usize) -> Vec<(&'a mut [T], &'a [T])> {
    out.chunks_exact_mut(n).zip(x.chunks_exact(k)).collect()
}

/// Adds the product of each row with the matrix `y` to its result row of `n` elements. Terms are added in the order of
/// the rows of `y`.
fn accumulate<T: Arith>(rows: &mut [(&mut [T], &[T])], y: &[T], n: usize) {
    let (fours, rest) = y.split_at(y.len() / n / 4 * 4 * n);
    for (i, y) in fours.chunks_exact(4 * n).enumerate() {
        let [a, b, c, d] = [0, 1, 2, 3].map(|row| &y[row * n..][..n]);
        for (out, x) in &mut *rows {
            let x = &x[4 * i..][..4];
            for ((((out, a), b), c), d) in out.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                let sum = out.plus(x[0].times(*a)).plus(x[1].times(*b));
                *out = sum.plus(x[2].times(*c)).plus(x[3].times(*d));
            }
        }
    }
    for (i, y) in rest.chunks_exact(n).enumerate() {
        for (out, x) in &mut *rows {
            let x = x[fours.len() / n + i];
            out.iter_mut().zip(y).for_each(|(out, y)| *out = out.plus(x.times(*y)));
        }
    }
}

/// A new vector of zeros.
pub(super) fn zeroed<T: Clone + Default>(count: usize, like: &Value) -> Result<Vec<T>> {
    let mut out = allocate(count, &like.ty())?;
    out.resize(count, T::default());
    Ok(out)
}
