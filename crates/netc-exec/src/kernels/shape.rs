//! Ops that only move elements: transpose, broadcast, slice, reverse, concat.

use netc_ir::SliceAxis;

use super::operands::one;
use super::strided::{Walk, broadcast_strides, contiguous_strides, copy};
use crate::error::kernel::Result;
use crate::value::{Value, allocate, for_word};

/// Permutes axes: axis `i` of the result is axis `perm[i]` of `x`.
pub(super) fn transpose(x: &Value, perm: &[u64], dims: &[usize]) -> Result<Value> {
    if perm.is_sorted() {
        return Ok(x.clone());
    }
    let strides = contiguous_strides(x.dims());
    strided(x, dims, perm.iter().map(|p| strides[*p as usize]), 0)
}

/// Permutes the axes of `x` to the order `perm`.
pub(super) fn permute(x: &Value, perm: &[usize]) -> Result<Value> {
    let dims: Vec<usize> = perm.iter().map(|p| x.dims()[*p]).collect();
    transpose(x, &perm.iter().map(|p| *p as u64).collect::<Vec<_>>(), &dims)
}

/// Repeats `x` along axes of extent 1.
pub(super) fn broadcast(x: &Value, dims: &[usize]) -> Result<Value> {
    strided(x, dims, broadcast_strides(x.dims(), dims.len()).into_iter(), 0)
}

/// Takes every `step`-th element from `start`, per axis.
pub(super) fn slice(x: &Value, axes: &[SliceAxis], dims: &[usize]) -> Result<Value> {
    let strides = contiguous_strides(x.dims());
    let start = strides.iter().zip(axes).map(|(s, a)| s.wrapping_mul(a.start as isize)).fold(0, isize::wrapping_add);
    strided(x, dims, strides.iter().zip(axes).map(|(s, a)| s.wrapping_mul(a.step as isize)), start)
}

/// Reverses `x` along `axes`.
pub(super) fn reverse(x: &Value, axes: &[u64], dims: &[usize]) -> Result<Value> {
    let flipped = |i: usize| axes.contains(&(i as u64));
    let strides = contiguous_strides(x.dims());
    let last = |(i, s): (usize, &isize)| if flipped(i) { s * (dims[i].saturating_sub(1) as isize) } else { 0 };
    let start = strides.iter().enumerate().map(last).sum();
    strided(x, dims, strides.iter().enumerate().map(|(i, s)| if flipped(i) { -s } else { *s }), start)
}

fn strided(x: &Value, dims: &[usize], strides: impl Iterator<Item = isize>, start: isize) -> Result<Value> {
    let walk = Walk::new(dims, strides.map(|s| [s]).collect(), [start]);
    for_word!(x.elem(), W => {
        let mut out: Vec<W> = allocate(dims.iter().product(), &x.ty())?;
        copy(x.words::<W>()?, &walk, &mut out);
        Value::from_words(x.elem(), dims, out)
    })
}

/// Concatenates `parts` along `axis`.
pub(super) fn concat(parts: &[&Value], axis: u64, dims: &[usize]) -> Result<Value> {
    let Some(first) = parts.first() else { return one(parts).cloned() };
    let outer: usize = dims[..axis as usize].iter().product();
    for_word!(first.elem(), W => {
        let mut out: Vec<W> = allocate(dims.iter().product(), &first.ty())?;
        let slices = parts.iter().map(|p| p.words::<W>()).collect::<Result<Vec<_>>>()?;
        for i in 0..outer {
            for slice in &slices {
                let n = slice.len() / outer;
                out.extend_from_slice(&slice[i * n..(i + 1) * n]);
            }
        }
        Value::from_words(first.elem(), dims, out)
    })
}
