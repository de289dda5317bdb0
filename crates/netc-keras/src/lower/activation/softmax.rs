//! Softmax and related functions, which look at all elements along some axes.

use netc_dialect::LowerError;
use netc_ir::{Compare, CoreOp, ElemType, Literal, Reduce, Unary, ValueId};

use crate::lower::activation::{axes_arg, only_floats};
use crate::lower::call::Call;
use crate::lower::result::Result;

/// `x` minus its largest element along `axes`, so that its exponential does not overflow.
fn shifted(c: &mut Call<'_, '_>, x: ValueId, axes: &[u64]) -> Result<ValueId> {
    let largest = c.reduce(Reduce::Max, x, axes, true)?;
    c.sub(x, largest)
}

pub(crate) fn softmax(c: &mut Call<'_, '_>, x: ValueId, axes: &[u64]) -> Result<ValueId> {
    let shifted = shifted(c, x, axes)?;
    let exp = c.unary(Unary::Exp, shifted)?;
    let sum = c.total(Reduce::Sum, exp, axes, true)?;
    c.div(exp, sum)
}

pub(crate) fn log_softmax(c: &mut Call<'_, '_>, x: ValueId, axes: &[u64]) -> Result<ValueId> {
    let shifted = shifted(c, x, axes)?;
    let exp = c.unary(Unary::Exp, shifted)?;
    let sum = c.total(Reduce::Sum, exp, axes, true)?;
    let log = c.unary(Unary::Log, sum)?;
    c.sub(shifted, log)
}

pub(crate) fn softmax_layer(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let (x, mask) = c.input_with_mask()?;
    let Some(mask) = mask else { return axes_arg(c, x, softmax) };
    let keep = if c.elem(mask) == ElemType::Bool { mask } else { c.compare(Compare::Gt, mask, 0.5)? };
    let fits = |mask: Option<u64>, x: Option<u64>| mask.zip(x).is_none_or(|(mask, x)| mask == 1 || mask == x);
    let (dims, mask_dims) = (c.dims(x)?, c.dims(keep)?);
    let mut pairs = mask_dims.iter().rev().zip(dims.iter().rev());
    if mask_dims.len() > dims.len() || !pairs.all(|(m, d)| fits(m.known(), d.known())) {
        return Err(LowerError::Operands(format!("the mask is {}, which does not match {}", c.ty(keep), c.ty(x))));
    }
    masked_softmax(c, x, keep, |c, x| axes_arg(c, x, softmax))
}

/// `softmax` of `x` where `keep`, and 0 elsewhere.
pub(crate) fn masked_softmax(
    c: &mut Call<'_, '_>,
    x: ValueId,
    keep: ValueId,
    softmax: impl FnOnce(&mut Call<'_, '_>, ValueId) -> Result<ValueId>,
) -> Result<ValueId> {
    // The large negative number that Keras uses for this type.
    let low = if c.elem(x) == ElemType::F16 { -3e4 } else { -1e9 };
    let x = c.select(keep, x, low)?;
    let y = softmax(c, x)?;
    c.select(keep, y, 0.0)
}

/// `max(x - tau, 0)`, where `tau` comes from the largest elements.
pub(crate) fn sparsemax(c: &mut Call<'_, '_>, x: ValueId, axis: usize) -> Result<ValueId> {
    only_floats(c, x)?;
    let at = axis as u64;
    let sorted = c.b.core(CoreOp::Sort { axis: at, descending: true }, &[x])?;
    let sums = c.b.core(CoreOp::CumSum(at), &[sorted])?;
    let ones = c.b.constant(Literal::splat(c.elem(x), &[c.extent(x, axis)?], 1.0))?;
    let ranks = c.b.core(CoreOp::CumSum(0), &[ones])?;
    let ranks = c.along(ranks, axis, c.rank(x)?)?;
    let excess = c.sub(sums, 1.0)?;
    let bound = c.div(excess, ranks)?;
    let margin = c.sub(sorted, bound)?;
    let support = c.compare(Compare::Gt, margin, 0.0)?;
    let member = c.b.cast(support, c.elem(x))?;
    let size = c.reduce(Reduce::Sum, member, &[at], true)?;
    // Keras adds up the running sums of the support, although the literature takes the last one.
    let inside = c.select(support, sums, 0.0)?;
    let sum = c.reduce(Reduce::Sum, inside, &[at], true)?;
    let excess = c.sub(sum, 1.0)?;
    let tau = c.div(excess, size)?;
    let y = c.sub(x, tau)?;
    c.max(y, 0.0)
}
