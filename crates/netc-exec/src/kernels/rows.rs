//! Parallel loops over the rows of a tensor.
//!
//! Rows are independent, so their bits do not depend on the number of cores. The function that computes a row is called
//! through a pointer, so the loops are compiled once per element type.

use crate::error::kernel::Result;
use rayon::prelude::*;

/// Steps that repay a task of their own.
pub(super) const TASK: usize = 1 << 14;

/// Calls `f` with the number and the elements of each row of `out`. A row has `len` elements and takes about `steps`
/// steps.
///
/// If several rows fail, any one of the errors is returned.
pub(super) fn try_for_each_row<T: Send>(
    out: &mut [T],
    len: usize,
    steps: usize,
    f: &(dyn Fn(usize, &mut [T]) -> Result<()> + Sync),
) -> Result<()> {
    let rows = (TASK / steps.max(1)).max(1);
    let len = len.max(1);
    let task = |(i, several): (usize, &mut [T])| {
        several.chunks_exact_mut(len).enumerate().try_for_each(|(j, row)| f(i * rows + j, row))
    };
    if out.len() <= rows.saturating_mul(len) {
        return task((0, out));
    }
    out.par_chunks_mut(rows * len).enumerate().try_for_each(task)
}

/// [`try_for_each_row`] for an `f` that cannot fail.
pub(super) fn for_each_row<T: Send>(out: &mut [T], len: usize, steps: usize, f: &(dyn Fn(usize, &mut [T]) + Sync)) {
    let done = try_for_each_row(out, len, steps, &|i, row| {
        f(i, row);
        Ok(())
    });
    debug_assert!(done.is_ok());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::KernelError;

    #[test]
    fn each_row_is_visited_once_with_its_number() {
        for steps in [1, TASK / 3, TASK, 10 * TASK] {
            let mut out = vec![0; 3 * 1000 + 2];
            for_each_row(&mut out, 3, steps, &|i, row| row.iter_mut().for_each(|x| *x += i + 1));
            let expect: Vec<usize> = (0..1000).flat_map(|i| [i + 1; 3]).chain([0, 0]).collect();
            assert_eq!(out, expect, "{steps}");
        }
    }

    #[test]
    fn an_error_of_any_row_is_returned() {
        let fails = |i, _: &mut [u8]| if i == 777 { Err(KernelError::DivideByZero) } else { Ok(()) };
        assert!(try_for_each_row(&mut [0; 1000], 1, TASK, &fails).is_err());
        assert!(try_for_each_row(&mut [0; 1000], 1, 1, &fails).is_err());
        assert!(try_for_each_row(&mut [0; 700], 1, TASK, &fails).is_ok());
    }

    #[test]
    fn empty_tensors_have_no_rows() {
        for_each_row(&mut [0u8; 0], 0, 0, &|_, _| panic!("visited a row"));
    }
}
