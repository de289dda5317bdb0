//! Operations that reduce axes.

use netc_ir::{Compare, ElemType, Reduce, Unary, ValueId};

use crate::lower::call::Call;
use crate::lower::entry::{Entry, one};
use crate::lower::result::Result;

pub(crate) const OPS: &[Entry] = &[
    one("Sum", |c| total(c, Reduce::Sum), "The sum over `axis`."),
    one("Prod", |c| total(c, Reduce::Prod), "The product over `axis`."),
    one("Mean", |c| reduced(c, |c, x, axes, keep| c.mean(x, axes, keep)), "The mean over `axis`."),
    one("Max", |c| extreme(c, Reduce::Max), "The largest element over `axis`."),
    one("Min", |c| extreme(c, Reduce::Min), "The smallest element over `axis`."),
    one("Amax", |c| extreme(c, Reduce::Max), "The largest element over `axis`."),
    one("Amin", |c| extreme(c, Reduce::Min), "The smallest element over `axis`."),
    one("Var", |c| reduced(c, variance), "The variance over `axis`."),
    one("Std", |c| reduced(c, deviation), "The standard deviation over `axis`."),
    one(
        "Any",
        |c| reduced(c, |c, x, axes, keep| logical(c, Reduce::Max, x, axes, keep)),
        "Whether any element over `axis` is true.",
    ),
    one(
        "All",
        |c| reduced(c, |c, x, axes, keep| logical(c, Reduce::Min, x, axes, keep)),
        "Whether all elements over `axis` are true.",
    ),
    one("CountNonzero", count_nonzero, "The number of nonzero elements over `axis`."),
    one("Logsumexp", |c| reduced(c, log_sum_exp), "The logarithm of the sum of exponentials over `axis`."),
];

/// Applies `f` to the argument, the axes and `keepdims`.
fn reduced(
    c: &mut Call<'_, '_>,
    f: fn(&mut Call<'_, '_>, ValueId, &[u64], bool) -> Result<ValueId>,
) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    let (axes, keep) = axes_and_keep(c, x)?;
    f(c, x, &axes, keep)
}

/// The axes to reduce, by default all, and `keepdims`.
fn axes_and_keep(c: &Call<'_, '_>, x: ValueId) -> Result<(Vec<u64>, bool)> {
    let rank = c.rank(x)?;
    let axes = c.axes("axis", rank)?.unwrap_or_else(|| (0..rank as u64).collect());
    Ok((axes, c.flag("keepdims", false)?))
}

fn total(c: &mut Call<'_, '_>, kind: Reduce) -> Result<ValueId> {
    if c.has("dtype") {
        return Err(c.unsupported_key("dtype"));
    }
    let x = c.tensor(0, "x")?;
    let (axes, keep) = axes_and_keep(c, x)?;
    c.total(kind, x, &axes, keep)
}

fn extreme(c: &mut Call<'_, '_>, kind: Reduce) -> Result<ValueId> {
    if c.has("initial") {
        return Err(c.unsupported_key("initial"));
    }
    let x = c.tensor(0, "x")?;
    let (axes, keep) = axes_and_keep(c, x)?;
    if c.elem(x) == ElemType::Bool { logical(c, kind, x, &axes, keep) } else { c.reduce(kind, x, &axes, keep) }
}

/// The variance, computed in at least `f32`; the result has the float type of `x`.
fn variance(c: &mut Call<'_, '_>, x: ValueId, axes: &[u64], keep: bool) -> Result<ValueId> {
    let wide = c.at_least_f32(x)?;
    let mean = c.reduce(Reduce::Mean, wide, axes, true)?;
    let centred = c.sub(wide, mean)?;
    let square = c.square(centred)?;
    let y = c.reduce(Reduce::Mean, square, axes, keep)?;
    let narrow = c.inexact(x)?;
    Ok(c.b.cast(y, c.elem(narrow))?)
}

fn deviation(c: &mut Call<'_, '_>, x: ValueId, axes: &[u64], keep: bool) -> Result<ValueId> {
    let y = variance(c, x, axes, keep)?;
    c.unary(Unary::Sqrt, y)
}

/// Reduces booleans: the maximum is "any", the minimum "all".
pub(crate) fn logical(c: &mut Call<'_, '_>, kind: Reduce, x: ValueId, axes: &[u64], keep: bool) -> Result<ValueId> {
    let x = c.truth(x)?;
    let number = c.b.cast(x, ElemType::I32)?;
    let y = c.reduce(kind, number, axes, keep)?;
    c.compare(Compare::Ne, y, 0.0)
}

fn count_nonzero(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    let (axes, _) = axes_and_keep(c, x)?;
    let truth = c.truth(x)?;
    let number = c.b.cast(truth, ElemType::I32)?;
    c.reduce(Reduce::Sum, number, &axes, false)
}

fn log_sum_exp(c: &mut Call<'_, '_>, x: ValueId, axes: &[u64], keep: bool) -> Result<ValueId> {
    let x = c.inexact(x)?;
    let largest = c.reduce(Reduce::Max, x, axes, true)?;
    let shifted = c.sub(x, largest)?;
    let exp = c.unary(Unary::Exp, shifted)?;
    let sum = c.total(Reduce::Sum, exp, axes, keep)?;
    let log = c.unary(Unary::Log, sum)?;
    let largest = c.reshape(largest, c.dims(log)?)?;
    c.add(log, largest)
}
