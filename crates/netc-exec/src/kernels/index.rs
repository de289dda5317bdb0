//! Ops that read elements at computed positions: gather and pad.

use netc_ir::{ElemType, PadMode};

use super::cast::cast;
use super::reduce::around;
use crate::error::KernelError;
use crate::error::kernel::Result;
use crate::value::{Value, allocate, for_word};

/// Gathers the slices of `x` along `axis` at `indices`. An index out of range is an error.
pub(super) fn gather(x: &Value, indices: &Value, axis: u64, dims: &[usize]) -> Result<Value> {
    let (outer, n, inner) = around(x.dims(), axis);
    let places = places(indices, n)?;
    for_word!(x.elem(), W => {
        let data = x.words::<W>()?;
        let mut out: Vec<W> = allocate(dims.iter().product(), &x.ty())?;
        let outer = if dims.contains(&0) { 0 } else { outer };
        for block in 0..outer {
            for place in &places {
                let at = (block * n + place) * inner;
                out.extend_from_slice(&data[at..at + inner]);
            }
        }
        Value::from_words(x.elem(), dims, out)
    })
}

/// Checks the indices against an axis of `extent` elements.
fn places(indices: &Value, extent: usize) -> Result<Vec<usize>> {
    if indices.elem().is_float() {
        return Err(KernelError::Element { elem: indices.elem() });
    }
    let indices = cast(indices, ElemType::I64)?;
    let data = indices.slice::<i64>()?;
    let mut out = allocate(data.len(), &indices.ty())?;
    for (place, index) in data.iter().enumerate() {
        match usize::try_from(*index) {
            Ok(at) if at < extent => out.push(at),
            _ => return Err(KernelError::Index { index: *index, place, extent }),
        }
    }
    Ok(out)
}

/// Pads `x`, one axis after the other.
pub(super) fn pad(x: &Value, amounts: &[(u64, u64)], mode: PadMode, value: f64) -> Result<Value> {
    let mut padded = x.clone();
    for (axis, (low, high)) in amounts.iter().enumerate().filter(|(_, amount)| **amount != (0, 0)) {
        padded = pad_axis(&padded, axis, [*low as usize, *high as usize], mode, value)?;
    }
    Ok(padded)
}

fn pad_axis(x: &Value, axis: usize, [low, high]: [usize; 2], mode: PadMode, value: f64) -> Result<Value> {
    let (outer, n, inner) = around(x.dims(), axis as u64);
    let mut dims = x.dims().to_vec();
    dims[axis] = low + n + high;
    let fill = filled(x.elem(), value)?;
    for_word!(x.elem(), W => {
        let (data, fill) = (x.words::<W>()?, fill.words::<W>()?[0]);
        let mut out: Vec<W> = allocate(dims.iter().product(), &x.ty())?;
        for block in 0..outer {
            for row in 0..dims[axis] {
                match source(row, low, n, mode) {
                    Some(from) => out.extend_from_slice(&data[(block * n + from) * inner..][..inner]),
                    None => out.extend(std::iter::repeat_n(fill, inner)),
                }
            }
        }
        Value::from_words(x.elem(), &dims, out)
    })
}

/// The row of the input to copy to `row` of the result; `None` for the constant.
fn source(row: usize, low: usize, n: usize, mode: PadMode) -> Option<usize> {
    let last = n.saturating_sub(1);
    if (low..low + n).contains(&row) {
        return Some(row - low);
    }
    let (before, after) = (low.saturating_sub(row), row.saturating_sub(low + last));
    match mode {
        PadMode::Constant => None,
        PadMode::Edge => Some(if before > 0 { 0 } else { last }),
        PadMode::Reflect => Some(if before > 0 { before } else { last.saturating_sub(after) }),
        PadMode::Symmetric => Some(if before > 0 { before - 1 } else { n.saturating_sub(after) }),
    }
}

/// A tensor of one element, converted to `elem`.
fn filled(elem: ElemType, value: f64) -> Result<Value> {
    cast(&Value::from_vec(ElemType::F64, &[1], vec![value])?, elem)
}
