//! Layers that encode categories.

use netc_ir::{Attr, Compare, ElemType, Reduce, Unary, ValueId};

use crate::config::version::KerasVersion;
use crate::lower::call::Call;
use crate::lower::call::literal::literal;
use crate::lower::call::promote::{Arg, dtype};
use crate::lower::entry::{Entry, one};
use crate::lower::ops::shape::hot;
use crate::lower::result::Result;

pub(crate) const LAYERS: &[Entry] = &[
    one("CategoryEncoding", category_encoding, "Categories as one-hot, multi-hot or count vectors."),
    one("Discretization", discretization, "The interval that each element is in, as a number or encoded as a vector."),
];

/// How categories are encoded.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Int,
    OneHot,
    MultiHot,
    Count,
}

fn mode(c: &Call<'_, '_>, names: &[&'static str]) -> Result<Mode> {
    Ok(match c.one_of("output_mode", names)? {
        "int" => Mode::Int,
        "one_hot" => Mode::OneHot,
        "count" => Mode::Count,
        _ => Mode::MultiHot,
    })
}

fn category_encoding(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.raw_input()?;
    let mode = mode(c, &["multi_hot", "one_hot", "count"])?;
    let categories = c.count("num_tokens")?;
    if !c.elem(x).is_int() && !c.elem(x).is_float() {
        return Err(c.unsupported(format!("elements of type {}", c.elem(x))));
    }
    encoded(c, x, mode, categories)
}

fn discretization(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.input()?;
    let mode = mode(c, &["int", "one_hot", "multi_hot", "count"])?;
    let is_legacy = KerasVersion::of(&c.b.module().attrs) == KerasVersion::Legacy;
    if is_legacy && mode != Mode::Int {
        return Err(c.unsupported("an `output_mode` other than \"int\" in a model of Keras 2"));
    }
    let bounds = match c.get("bin_boundaries") {
        Some(bounds) => literal("bin_boundaries", bounds)?,
        None => return Err(c.unsupported("no `bin_boundaries`")),
    };
    let numbers: Vec<f64> = bounds.numbers().map(|n| n.as_f64()).collect();
    if bounds.dims.len() != 1 || numbers.is_empty() || !numbers.is_sorted() {
        return Err(c.unsupported_key("bin_boundaries"));
    }
    let bounds = c.b.constant(bounds)?;
    let (x, bounds) = c.promote2(Arg::Tensor(x), Arg::Tensor(bounds), &[])?;
    let rank = c.rank(x)?;
    let x = c.expand(x, rank)?;
    // NaN falls into the last interval.
    let below = c.compare(Compare::Lt, x, bounds)?;
    let above = c.unary(Unary::Not, below)?;
    let above = c.b.cast(above, ElemType::I32)?;
    let index = c.reduce(Reduce::Sum, above, &[rank as u64], false)?;
    if is_legacy {
        let name = c.get("dtype").and_then(Attr::as_str);
        let elem = name.and_then(dtype).ok_or_else(|| c.unsupported_key("dtype"))?;
        return Ok(c.b.cast(index, elem)?);
    }
    encoded(c, index, mode, numbers.len() as u64 + 1)
}

fn encoded(c: &mut Call<'_, '_>, x: ValueId, mode: Mode, categories: u64) -> Result<ValueId> {
    if mode == Mode::Int {
        return Ok(x);
    }
    if c.flag("sparse", false)? {
        return Err(c.unsupported_key("sparse"));
    }
    // In mixed precision, Keras uses the type of variables in some modes and the compute type in others.
    if c.compute_type()? != Some(ElemType::F32) {
        return Err(c.unsupported_key("dtype"));
    }
    let x = match mode {
        Mode::OneHot => without_last(c, x)?,
        Mode::MultiHot => c.b.cast(x, ElemType::I32)?,
        Mode::Count | Mode::Int => x,
    };
    let rank = c.rank(x)?;
    let y = hot(c, x, rank, categories, ElemType::F32)?;
    let axis = [u64::from(rank > 1)];
    match mode {
        Mode::OneHot | Mode::Int => Ok(y),
        Mode::MultiHot => c.reduce(Reduce::Max, y, &axis, false),
        Mode::Count => c.reduce(Reduce::Sum, y, &axis, false),
    }
}

/// `x` without its last axis, if that has extent 1 and is not the only one.
fn without_last(c: &mut Call<'_, '_>, x: ValueId) -> Result<ValueId> {
    match c.rank(x)?.checked_sub(1) {
        Some(last) if last > 0 && c.extent(x, last)? == 1 => c.squeeze(x, last),
        _ => Ok(x),
    }
}
