//! Operations that change shapes.

use netc_dialect::LowerError;
use netc_ir::{Attr, CoreOp, Dim, ElemType, PadMode, SliceAxis, ValueId};

use crate::lower::call::promote::dtype;
use crate::lower::call::{Call, as_count, normal_axes, normal_axis};
use crate::lower::entry::{Entry, many, one};
use crate::lower::reshape::target_shape;
use crate::lower::result::Result;

pub(crate) const OPS: &[Entry] = &[
    one("Reshape", reshape, "The same elements in another shape."),
    one("Ravel", ravel, "`x` flattened to one axis."),
    one("Transpose", transpose, "The axes permuted, by default reversed."),
    one("Moveaxis", move_axis, "One axis moved to another position."),
    one("Swapaxes", swap_axes, "Two axes exchanged."),
    one("ExpandDims", expand_dims, "`x` with new axes of extent 1."),
    one("Squeeze", squeeze, "`x` without axes of extent 1."),
    one("BroadcastTo", broadcast_to, "`x` repeated along axes of extent 1."),
    one("Concatenate", concatenate, "Tensors concatenated along `axis`."),
    one("Stack", stack, "Tensors stacked along a new axis."),
    many("Split", split, "`x` in parts along `axis`."),
    many("Unstack", unstack, "The slices of `x` along `axis`, each as a tensor."),
    one("Flip", flip, "The elements along `axis` reversed."),
    one("Pad", pad, "`x` with padding around it."),
    one("Repeat", repeat, "Each element repeated several times."),
    one("Tile", tile, "The whole tensor repeated several times."),
    one("Sort", sort, "The elements along `axis` in ascending order."),
    one("Cumsum", cumsum, "Running sums along `axis`."),
    one("OneHot", one_hot, "1 at the index along a new axis, 0 elsewhere."),
];

/// Limit on the parts of a tensor. Bounds the output that a hostile configuration can ask for.
const MAX_PARTS: u64 = 1 << 16;

fn reshape(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    let shape = target_shape(c, "newshape", &c.dims(x)?)?;
    c.reshape(x, shape)
}

fn ravel(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    let all = Dim::product(&c.dims(x)?);
    c.reshape(x, vec![all])
}

fn transpose(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    let rank = c.rank(x)?;
    let Some(axes) = c.get("axes") else {
        return c.transpose(x, &(0..rank).rev().collect::<Vec<_>>());
    };
    let perm = axes.as_list().map(|l| l.iter().map(|a| normal_axis(a.as_int()?, rank)).collect::<Option<Vec<_>>>());
    let perm = perm.flatten().filter(|p| {
        let mut sorted = p.clone();
        sorted.sort_unstable();
        sorted.into_iter().eq(0..rank)
    });
    c.transpose(x, &perm.ok_or_else(|| c.bad("axes", &format!("a permutation of {rank} axes")))?)
}

fn move_axis(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    let rank = c.rank(x)?;
    if c.get("source").and_then(Attr::as_int).is_none() {
        return Err(c.unsupported_key("source"));
    }
    let (from, to) = (c.axis("source", rank, 0)?, c.axis("destination", rank, 0)?);
    let mut perm: Vec<usize> = (0..rank).filter(|i| *i != from).collect();
    perm.insert(to, from);
    c.transpose(x, &perm)
}

fn swap_axes(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    let rank = c.rank(x)?;
    let mut perm: Vec<usize> = (0..rank).collect();
    perm.swap(c.axis("axis1", rank, 0)?, c.axis("axis2", rank, 0)?);
    c.transpose(x, &perm)
}

fn expand_dims(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let mut x = c.tensor(0, "x")?;
    let axis = c.get("axis").ok_or_else(|| c.bad("axis", "an axis or a list of axes"))?;
    let new = axis.as_list().map_or(1, <[Attr]>::len);
    // Axes refer to the result, so inserting them in ascending order is correct.
    let axes = normal_axes(axis, c.rank(x)? + new);
    for axis in axes.ok_or_else(|| c.bad("axis", "distinct axes of the result"))? {
        x = c.expand(x, usize::try_from(axis).unwrap_or(usize::MAX))?;
    }
    Ok(x)
}

fn squeeze(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    let dims = c.dims(x)?;
    let axes = c.axes("axis", dims.len())?;
    let goes = |i: u64, d: &Dim| axes.as_ref().map_or(d.is(1), |a| a.contains(&i));
    let (gone, kept): (Vec<_>, Vec<_>) = (0u64..).zip(dims).partition(|(i, d)| goes(*i, d));
    match gone.iter().find(|(_, d)| !d.is(1)) {
        Some((i, d)) => Err(c.bad("axis", &format!("axes of extent 1; axis {i} has {d}"))),
        None => c.reshape(x, kept.into_iter().map(|(_, d)| d).collect()),
    }
}

fn broadcast_to(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    let shape = c.get("shape").and_then(Attr::as_list);
    let shape = shape.and_then(|s| s.iter().map(|a| as_count(a).map(Dim::Known)).collect::<Option<Vec<_>>>());
    Ok(c.b.broadcast(x, shape.ok_or_else(|| c.bad("shape", "a list of extents"))?)?)
}

/// The tensors in the first argument, promoted to one type, and their rank.
fn parts(c: &mut Call<'_, '_>) -> Result<(Vec<ValueId>, usize)> {
    let name = if c.arg(0, "xs").is_some() { "xs" } else { "x" };
    let values = c.values(0, name)?;
    let parts = c.promote(&values, &[])?;
    let Some(first) = parts.first() else {
        return Err(LowerError::Operands(format!("`{}` takes at least one tensor, found none", c.class())));
    };
    let rank = c.rank(*first)?;
    Ok((parts, rank))
}

fn concatenate(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let (parts, rank) = parts(c)?;
    let axis = c.axis("axis", rank, 0)?;
    Ok(c.b.concat(&parts, axis as u64)?)
}

fn stack(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let (parts, rank) = parts(c)?;
    let axis = c.axis("axis", rank + 1, 0)?;
    let rows = parts.into_iter().map(|x| c.expand(x, axis)).collect::<Result<Vec<_>>>()?;
    Ok(c.b.concat(&rows, axis as u64)?)
}

/// Splits into a number of equal parts, or at a list of indices.
fn split(c: &mut Call<'_, '_>) -> Result<Vec<ValueId>> {
    let key = "indices_or_sections";
    let x = c.tensor(0, "x")?;
    let axis = c.axis("axis", c.rank(x)?, 0)?;
    let n = c.extent(x, axis)?;
    let cuts: Vec<u64> = match c.get(key).and_then(Attr::as_list) {
        Some(places) => {
            let place = |a: &Attr| {
                a.as_int().map(|i| if i < 0 { n.saturating_sub(i.unsigned_abs()) } else { i.unsigned_abs() })
            };
            // Keras gives a part past the end a negative extent, and rejects it.
            let places = places.iter().map(|a| place(a).filter(|p| *p <= n)).collect::<Option<Vec<_>>>();
            places.ok_or_else(|| c.bad(key, &format!("a list of integers up to {n}")))?
        }
        None => {
            let parts = c.count(key)?;
            if n % parts != 0 {
                return Err(c.bad(key, &format!("a divisor of {n}")));
            }
            if parts > MAX_PARTS {
                return Err(c.unsupported_key(key));
            }
            (1..parts).map(|i| i * (n / parts)).collect()
        }
    };
    let starts = std::iter::once(0).chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain([n]);
    starts
        .zip(ends)
        .map(|(start, end)| c.slice(x, axis, SliceAxis { start, end: Some(end.max(start)), step: 1 }))
        .collect()
}

fn unstack(c: &mut Call<'_, '_>) -> Result<Vec<ValueId>> {
    let x = c.tensor(0, "x")?;
    let axis = c.axis("axis", c.rank(x)?, 0)?;
    let n = c.extent(x, axis)?;
    if n > MAX_PARTS {
        return Err(c.unsupported(format!("{n} parts")));
    }
    let row = |start| {
        let row = c.slice(x, axis, SliceAxis { start, end: Some(start + 1), step: 1 })?;
        c.squeeze(row, axis)
    };
    (0..n).map(row).collect()
}

fn flip(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    let rank = c.rank(x)?;
    let axes = c.axes("axis", rank)?.unwrap_or_else(|| (0..rank as u64).collect());
    Ok(c.b.core(CoreOp::Reverse(axes), &[x])?)
}

fn pad(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    let rank = c.rank(x)?;
    // A single pair applies to every axis.
    let amounts = match c.get("pad_width").and_then(Attr::as_list) {
        Some([Attr::List(_)]) | Some([Attr::Int(_), Attr::Int(_)]) => {
            c.pairs("pad_width", 1)?.into_iter().cycle().take(rank).collect()
        }
        Some(_) | None => c.pairs("pad_width", rank)?,
    };
    let mode = c.one_of("mode", &["constant", "reflect", "symmetric", "edge"])?;
    let mode = PadMode::parse(mode).ok_or_else(|| c.unsupported_key("mode"))?;
    let value = match c.arg(1, "constant_values") {
        None => 0.0,
        Some(value) => value.as_f64().ok_or_else(|| c.unsupported("a padding value that is not a number"))?,
    };
    Ok(c.b.pad(x, amounts, mode, value)?)
}

/// Without an axis, repeats the elements of the flattened tensor.
fn repeat(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    let times = match c.get("repeats").map(Attr::as_list) {
        Some(Some([one])) => as_count(one).ok_or_else(|| c.bad("repeats", "an integer of 0 or more"))?,
        Some(Some(_)) => return Err(c.unsupported_key("repeats")),
        Some(None) | None => {
            c.get("repeats").and_then(as_count).ok_or_else(|| c.bad("repeats", "an integer of 0 or more"))?
        }
    };
    if c.has("axis") {
        let axis = c.axis("axis", c.rank(x)?, 0)?;
        return c.repeat(x, axis, times);
    }
    let flat = ravel(c)?;
    c.repeat(flat, 0, times)
}

fn tile(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let mut x = c.tensor(0, "x")?;
    let repeats = c.get("repeats").map(|r| r.as_list().unwrap_or(std::slice::from_ref(r)));
    let repeats = repeats.and_then(|r| r.iter().map(as_count).collect::<Option<Vec<u64>>>());
    let mut repeats = repeats.ok_or_else(|| c.bad("repeats", "integers of 0 or more"))?;
    while c.rank(x)? < repeats.len() {
        x = c.expand(x, 0)?;
    }
    let dims = c.dims(x)?;
    let missing = dims.len().saturating_sub(repeats.len());
    repeats.splice(0..0, std::iter::repeat_n(1, missing));
    let each = |of: &dyn Fn(u64) -> Dim| -> Vec<Dim> {
        dims.iter().zip(&repeats).flat_map(|(d, n)| [of(*n), d.clone()]).collect()
    };
    let (thin, thick) = (each(&|_| Dim::Known(1)), each(&Dim::Known));
    let y = c.reshape(x, thin)?;
    let y = c.b.broadcast(y, thick)?;
    c.reshape(y, dims.iter().zip(&repeats).map(|(d, n)| d.times(&Dim::Known(*n))).collect())
}

fn sort(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    let axis = c.axis("axis", c.rank(x)?, -1)? as u64;
    Ok(c.b.core(CoreOp::Sort { axis, descending: false }, &[x])?)
}

/// Without an axis, sums over the flattened tensor.
fn cumsum(c: &mut Call<'_, '_>) -> Result<ValueId> {
    if c.has("dtype") {
        return Err(c.unsupported_key("dtype"));
    }
    let x = if c.has("axis") { c.tensor(0, "x")? } else { ravel(c)? };
    if c.elem(x) == ElemType::Bool {
        return Err(c.unsupported("elements of type bool"));
    }
    let axis = c.axis("axis", c.rank(x)?, 0)? as u64;
    Ok(c.b.core(CoreOp::CumSum(axis), &[x])?)
}

fn one_hot(c: &mut Call<'_, '_>) -> Result<ValueId> {
    if c.flag("sparse", false)? {
        return Err(c.unsupported_key("sparse"));
    }
    let x = c.tensor(0, "x")?;
    if !c.elem(x).is_int() {
        return Err(c.unsupported(format!("indices of type {}", c.elem(x))));
    }
    let rank = c.rank(x)? + 1;
    let axis = c.axis("axis", rank, -1)?;
    let elem = match c.get("dtype") {
        None => ElemType::F32,
        Some(_) => dtype(c.text("dtype")?).ok_or_else(|| c.unsupported_key("dtype"))?,
    };
    hot(c, x, axis, c.count("num_classes")?, elem)
}

/// One-hot vectors with `classes` elements along the new axis `axis`.
pub(crate) fn hot(c: &mut Call<'_, '_>, x: ValueId, axis: usize, classes: u64, elem: ElemType) -> Result<ValueId> {
    let classes = c.iota(c.elem(x), classes)?;
    let classes = c.along(classes, axis, c.rank(x)? + 1)?;
    let index = c.expand(x, axis)?;
    let hot = c.compare(netc_ir::Compare::Eq, index, classes)?;
    Ok(c.b.cast(hot, elem)?)
}
