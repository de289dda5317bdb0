//! Reductions over axes, and cumulative sums.

use netc_ir::Reduce;

use super::num::{Arith, for_arith};
use super::shape;
use crate::error::kernel::Result;
use crate::value::{Value, allocate};

/// Reduces `x` over `axes` to the shape `dims`. Sums and products of floats accumulate in `f64`.
///
/// Over no elements the sum is 0, the product 1, the maximum the lowest number of the type and the minimum the highest.
/// The mean is NaN, or an error for integers.
pub(super) fn reduce(kind: Reduce, x: &Value, axes: &[u64], dims: &[usize]) -> Result<Value> {
    let reduced = |i: &usize| axes.contains(&(*i as u64));
    let all = 0..x.dims().len();
    let order: Vec<usize> = all.clone().filter(|i| !reduced(i)).chain(all.filter(reduced)).collect();
    let rows = shape::permute(x, &order)?;
    for_arith!(x.elem(), T => {
        let data = rows.slice::<T>()?;
        let count = dims.iter().product();
        let len = axes.iter().map(|a| x.dims()[*a as usize]).product::<usize>();
        let mut out: Vec<T> = allocate(count, &x.ty())?;
        for i in 0..count {
            out.push(fold(kind, &data[i * len..][..len])?);
        }
        Value::from_vec(x.elem(), dims, out)
    })
}

fn fold<T: Arith>(kind: Reduce, row: &[T]) -> Result<T> {
    let sum = || row.iter().fold(T::ZERO, |sum, x| T::sum(sum, *x));
    Ok(match kind {
        Reduce::Sum => T::from_acc(sum()),
        Reduce::Mean => T::mean(sum(), row.len())?,
        Reduce::Prod => T::from_acc(row.iter().fold(T::ONE, |product, x| T::product(product, *x))),
        Reduce::Max => row.iter().fold(T::LOWEST, |max, x| max.larger(*x)),
        Reduce::Min => row.iter().fold(T::HIGHEST, |min, x| min.smaller(*x)),
    })
}

/// Cumulative sums along `axis`, each including its own element.
pub(super) fn cumsum(x: &Value, axis: u64) -> Result<Value> {
    let (outer, n, inner) = around(x.dims(), axis);
    for_arith!(x.elem(), T => {
        let data = x.slice::<T>()?;
        let mut out: Vec<T> = allocate(data.len(), &x.ty())?;
        for block in 0..outer {
            let mut sums = allocate(inner, &x.ty())?;
            sums.resize(inner, T::ZERO);
            for row in 0..n {
                let at = (block * n + row) * inner;
                for (sum, x) in sums.iter_mut().zip(&data[at..at + inner]) {
                    *sum = T::sum(*sum, *x);
                    out.push(T::from_acc(*sum));
                }
            }
        }
        Value::from_vec(x.elem(), x.dims(), out)
    })
}

/// The products of the extents before, at and after an axis.
pub(super) fn around(dims: &[usize], axis: u64) -> (usize, usize, usize) {
    let axis = axis as usize;
    (dims[..axis].iter().product(), dims[axis], dims[axis + 1..].iter().product())
}
