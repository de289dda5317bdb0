//! Operations on the positions of elements.

use netc_dialect::LowerError;
use netc_ir::{Binary, Compare, Dim, ElemType, Reduce, SliceAxis, Unary, ValueId};

use crate::lower::call::Call;
use crate::lower::entry::{Entry, one};
use crate::lower::result::{self, Result};

pub(crate) const OPS: &[Entry] = &[
    one("Argmax", |c| arg_extreme(c, Reduce::Max), "The index of the first largest element along `axis`."),
    one("Argmin", |c| arg_extreme(c, Reduce::Min), "The index of the first smallest element along `axis`."),
    one("Tril", |c| triangle(c, Compare::Ge), "The lower triangle of matrices, 0 elsewhere."),
    one("Triu", |c| triangle(c, Compare::Le), "The upper triangle of matrices, 0 elsewhere."),
    one("Roll", roll, "The elements along `axis` shifted cyclically."),
    one("Fliplr", |c| flipped(c, 1), "The elements along the second axis reversed."),
    one("Flipud", |c| flipped(c, 0), "The elements along the first axis reversed."),
    one("DepthToSpace", depth_to_space, "Channels rearranged into blocks of pixels."),
    one("SpaceToDepth", space_to_depth, "Blocks of pixels rearranged into channels."),
];

/// Without an axis, the index into the flattened tensor.
fn arg_extreme(c: &mut Call<'_, '_>, kind: Reduce) -> Result<ValueId> {
    let keep = c.flag("keepdims", false)?;
    let mut x = c.tensor(0, "x")?;
    if !c.has("axis") {
        if keep {
            return Err(c.unsupported_key("keepdims"));
        }
        let all = Dim::product(&c.dims(x)?);
        x = c.reshape(x, vec![all])?;
    }
    let rank = c.rank(x)?;
    let axis = c.axis("axis", rank, 0)?;
    let n = c.extent(x, axis)?;
    if c.elem(x) == ElemType::Bool || i32::try_from(n).is_err() {
        return Err(c.unsupported(format!("a tensor of type {}", c.ty(x))));
    }
    if c.elem(x).is_float() {
        // Keras orders -0 before 0.
        x = c.at_least_f32(x)?;
        let zero = c.compare(Compare::Eq, x, 0.0)?;
        let inverse = c.div(1.0, x)?;
        let negative = c.compare(Compare::Lt, inverse, 0.0)?;
        let is_minus = c.b.binary(Binary::And, zero, negative)?;
        x = c.select(is_minus, -f64::from(f32::MIN_POSITIVE), x)?;
    }
    let extreme = c.reduce(kind, x, &[axis as u64], true)?;
    let found = c.compare(Compare::Eq, x, extreme)?;
    // NaN counts as the extreme.
    let odd = c.compare(Compare::Ne, x, x)?;
    let found = c.b.binary(Binary::Or, found, odd)?;
    let places = c.iota(ElemType::I32, n)?;
    let places = c.along(places, axis, rank)?;
    let places = c.select(found, places, n as f64)?;
    c.reduce(Reduce::Min, places, &[axis as u64], keep)
}

fn triangle(c: &mut Call<'_, '_>, inside: Compare) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    let Some(first) = c.rank(x)?.checked_sub(2) else {
        return Err(LowerError::Operands(format!("`{}` takes matrices, found {}", c.class(), c.ty(x))));
    };
    let k = c.int_or("k", 0)?;
    if i32::try_from(k).is_err() {
        return Err(c.unsupported_key("k"));
    }
    let (rows, columns) = (c.extent(x, first)?, c.extent(x, first + 1)?);
    let row = c.iota(ElemType::I32, rows)?;
    let row = c.expand(row, 1)?;
    let row = c.add(row, k as f64)?;
    let column = c.iota(ElemType::I32, columns)?;
    let inside = c.compare(inside, row, column)?;
    c.select(inside, x, 0.0)
}

fn roll(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    if !c.has("axis") {
        return Err(c.unsupported_key("axis"));
    }
    let axis = c.axis("axis", c.rank(x)?, 0)?;
    let n = c.extent(x, axis)?;
    let by = i128::from(c.int("shift")?).rem_euclid(i128::from(n.max(1)));
    let at = n.saturating_sub(u64::try_from(by).unwrap_or(0));
    if at == n {
        return Ok(x);
    }
    let end = c.slice(x, axis, SliceAxis { start: at, end: None, step: 1 })?;
    let start = c.slice(x, axis, SliceAxis { start: 0, end: Some(at), step: 1 })?;
    Ok(c.b.concat(&[end, start], axis as u64)?)
}

fn flipped(c: &mut Call<'_, '_>, axis: usize) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    if c.rank(x)? <= axis {
        return Err(LowerError::Operands(format!(
            "`{}` needs a tensor with axis {axis}, found {}",
            c.class(),
            c.ty(x)
        )));
    }
    c.reverse(x, axis)
}

/// Whether channels come last; the extents of batch, height, width and channels; the block size.
fn blocks(c: &Call<'_, '_>, x: ValueId) -> result::Result<(bool, [Dim; 4], Dim)> {
    let block = Dim::Known(c.count("block_size")?);
    let last = c.one_of("data_format", &["channels_last", "channels_first"])? == "channels_last";
    match <[Dim; 4]>::try_from(c.dims(x)?) {
        Ok([n, h, w, d]) if last => Ok((last, [n, h, w, d], block)),
        Ok([n, d, h, w]) => Ok((last, [n, h, w, d], block)),
        Err(_) => Err(c.unsupported(format!("images of type {}", c.ty(x)))),
    }
}

fn depth_to_space(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    let (last, [n, h, w, d], b) = blocks(c, x)?;
    let Some(d) = d.exact_div(&b.times(&b)) else {
        return Err(c.bad("block_size", &format!("a number whose square divides the {d} channels")));
    };
    let (high, wide) = (h.times(&b), w.times(&b));
    let (apart, perm, together) = if last {
        (vec![n.clone(), h, w, b.clone(), b, d.clone()], [0, 1, 3, 2, 4, 5], vec![n, high, wide, d])
    } else {
        (vec![n.clone(), d.clone(), b.clone(), b, h, w], [0, 1, 4, 2, 5, 3], vec![n, d, high, wide])
    };
    let y = c.reshape(x, apart)?;
    let y = c.transpose(y, &perm)?;
    c.reshape(y, together)
}

fn space_to_depth(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    let (last, [n, h, w, d], b) = blocks(c, x)?;
    let (Some(h), Some(w)) = (h.exact_div(&b), w.exact_div(&b)) else {
        return Err(c.unsupported(format!("blocks of {b} by {b} in images of type {}", c.ty(x))));
    };
    let deep = d.times(&b).times(&b);
    let (apart, perm, together) = if last {
        (vec![n.clone(), h.clone(), b.clone(), w.clone(), b, d], [0, 1, 3, 2, 4, 5], vec![n, h, w, deep])
    } else {
        (vec![n.clone(), d, h.clone(), b.clone(), w.clone(), b], [0, 1, 3, 5, 2, 4], vec![n, deep, h, w])
    };
    let y = c.reshape(x, apart)?;
    let y = c.transpose(y, &perm)?;
    c.reshape(y, together)
}

/// Whether `x` is neither infinite nor NaN: only then is `x - x` a number.
pub(crate) fn is_finite(c: &mut Call<'_, '_>, x: ValueId) -> Result<ValueId> {
    let apart = c.sub(x, x)?;
    c.compare(Compare::Eq, apart, apart)
}

/// Whether `x` is infinite.
pub(crate) fn is_infinite(c: &mut Call<'_, '_>, x: ValueId) -> Result<ValueId> {
    let finite = is_finite(c, x)?;
    let odd = c.unary(Unary::Not, finite)?;
    let number = c.compare(Compare::Eq, x, x)?;
    Ok(c.b.binary(Binary::And, odd, number)?)
}
