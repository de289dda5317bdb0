//! Loops over the rows of a tensor, on all cores.
//!
//! A row is computed by itself, so its bits depend on no other row and on no number of cores. The loops are compiled once
//! per type of elements: what computes a row is called through a pointer.

use crate::error::kernel::Result;
use rayon::prelude::*;

/// Steps that are worth a task of their own.
pub(super) const TASK: usize = 1 << 14;

/// Calls `f` with the number and the elements of each row of `len` elements of `out`; a row takes about `steps` steps.
///
/// Of several errors one is returned, whichever.
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

/// [`try_for_each_row`] of what cannot fail.
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
    fn each_row_is_seen_once_with_its_number() {
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
    fn rows_of_nothing_are_none() {
        for_each_row(&mut [0u8; 0], 0, 0, &|_, _| panic!("there is a row"));
    }
}
