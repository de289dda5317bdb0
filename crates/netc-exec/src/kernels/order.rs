//! The kernel of `sort`.

use std::cmp::Ordering;

use super::matmul::zeroed;
use super::num::for_arith;
use super::reduce::around;
use crate::error::kernel::Result;
use crate::value::{Element, Value, allocate};

/// Sorts the elements along `axis` in ascending or descending order. NaN is larger than every number.
pub(super) fn sort(x: &Value, axis: u64, descending: bool) -> Result<Value> {
    let (outer, n, inner) = around(x.dims(), axis);
    for_arith!(x.elem(), T => {
        let data = x.slice::<T>()?;
        let mut out: Vec<T> = zeroed(data.len(), x)?;
        for block in 0..outer {
            for column in 0..inner {
                let place = |i: usize| (block * n + i) * inner + column;
                let mut line: Vec<T> = allocate(n, &x.ty())?;
                line.extend((0..n).map(|i| data[place(i)]));
                line.sort_by(ascending);
                if descending {
                    line.reverse();
                }
                line.iter().enumerate().for_each(|(i, x)| out[place(i)] = *x);
            }
        }
        Value::from_vec(x.elem(), x.dims(), out)
    })
}

fn ascending<T: Element>(a: &T, b: &T) -> Ordering {
    let is_nan = |x: &T| x.partial_cmp(x).is_none();
    a.partial_cmp(b).unwrap_or_else(|| is_nan(a).cmp(&is_nan(b)))
}
