//! Layers that move elements without changing them.

use netc_dialect::LowerError;
use netc_ir::{Attr, Dim, Layout, ValueId};

use crate::lower::call::{Call, as_count};
use crate::lower::entry::{Entry, one};
use crate::lower::result::Result;

pub(crate) const LAYERS: &[Entry] = &[
    one("Flatten", flatten, "All axes but the first merged into one."),
    one("Reshape", reshape_layer, "The elements of each example in another shape."),
    one("Permute", permute, "The axes of each example permuted."),
    one("RepeatVector", repeat_vector, "Each example repeated `n` times along a new axis."),
    one("Cropping1D", |c| crop(c, 1), "`x` without some elements at both ends of the spatial axis."),
    one("Cropping2D", |c| crop(c, 2), "`x` without some elements at both ends of the spatial axes."),
    one("Cropping3D", |c| crop(c, 3), "`x` without some elements at both ends of the spatial axes."),
    one("ZeroPadding1D", |c| pad(c, 1), "`x` with zeros at both ends of the spatial axis."),
    one("ZeroPadding2D", |c| pad(c, 2), "`x` with zeros at both ends of the spatial axes."),
    one("ZeroPadding3D", |c| pad(c, 3), "`x` with zeros at both ends of the spatial axes."),
    one("UpSampling1D", |c| up_sample(c, 1), "Each element repeated several times along the spatial axis."),
    one("UpSampling3D", |c| up_sample(c, 3), "Each element repeated several times along the spatial axes."),
];

fn flatten(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.input()?;
    let dims = c.dims(x)?;
    let Some((batch, rest)) = dims.split_first() else {
        return Err(LowerError::Operands("`Flatten` takes a tensor with a batch axis, found a scalar".into()));
    };
    let x = match c.layout()? {
        Layout::ChannelsFirst if dims.len() > 2 => {
            let perm: Vec<usize> = [0].into_iter().chain(2..dims.len()).chain([1]).collect();
            c.transpose(x, &perm)?
        }
        Layout::ChannelsFirst | Layout::ChannelsLast => x,
    };
    c.reshape(x, vec![batch.clone(), Dim::product(rest)])
}

fn reshape_layer(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.input()?;
    let dims = c.dims(x)?;
    let Some((batch, rest)) = dims.split_first() else {
        return Err(LowerError::Operands("`Reshape` takes a tensor with a batch axis, found a scalar".into()));
    };
    let mut shape = vec![batch.clone()];
    shape.extend(target_shape(c, "target_shape", rest)?);
    c.reshape(x, shape)
}

/// The shape at `key` for the elements of `from`; an extent of -1 or null is inferred.
pub(crate) fn target_shape(c: &Call<'_, '_>, key: &str, from: &[Dim]) -> Result<Vec<Dim>> {
    let value = c.get(key).ok_or_else(|| c.bad(key, "a shape"))?;
    let items = value.as_list().unwrap_or(std::slice::from_ref(value));
    let is_open = |a: &&Attr| a.is_null() || a.as_int() == Some(-1);
    let known = items.iter().filter(|a| !is_open(a)).map(|a| as_count(a).map(Dim::Known));
    let known = known.collect::<Option<Vec<_>>>().ok_or_else(|| c.bad(key, "extents of 0 or more, or -1"))?;
    let (all, rest) = (Dim::product(from), Dim::product(&known));
    let open = match items.iter().filter(is_open).count() {
        0 => Dim::Known(1),
        1 => match (all.exact_div(&rest), rest.known()) {
            (Some(dim), _) => dim,
            // Whether a number divides a symbolic extent is known only when the program runs.
            (None, Some(n)) if n > 0 && all.known().is_none() => all.floor_div(n),
            (None, _) => return Err(c.bad(key, &format!("a shape for {all} elements"))),
        },
        _ => return Err(c.bad(key, "at most one extent of -1")),
    };
    let mut known = known.into_iter();
    Ok(items.iter().filter_map(|a| if is_open(&a) { Some(open.clone()) } else { known.next() }).collect())
}

fn permute(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.input()?;
    let rank = c.rank(x)?;
    let dims = c.get("dims").and_then(Attr::as_list).unwrap_or_default();
    let perm = dims.iter().map(|d| as_count(d).and_then(|d| usize::try_from(d).ok()));
    let perm = std::iter::once(Some(0)).chain(perm).collect::<Option<Vec<usize>>>();
    let perm = perm.ok_or_else(|| c.bad("dims", "a list of axes, counted from 1"))?;
    let mut sorted = perm.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..rank) {
        return Err(c.bad("dims", &format!("a permutation of the axes 1 to {}", rank.saturating_sub(1))));
    }
    c.transpose(x, &perm)
}

fn repeat_vector(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.input()?;
    let [batch, features] = match <[Dim; 2]>::try_from(c.dims(x)?) {
        Ok(dims) => dims,
        Err(_) => {
            return Err(LowerError::Operands(format!("`RepeatVector` takes a tensor of rank 2, found {}", c.ty(x))));
        }
    };
    let row = c.expand(x, 1)?;
    Ok(c.b.broadcast(row, vec![batch, Dim::Known(c.count("n")?), features])?)
}

/// A tensor with `n` spatial axes, and the first of them.
pub(crate) fn image(c: &mut Call<'_, '_>, n: usize) -> Result<(ValueId, usize)> {
    let x = c.input()?;
    if c.rank(x)? != n + 2 {
        return Err(LowerError::Operands(format!(
            "`{}` takes a tensor of rank {}, found {}",
            c.class(),
            n + 2,
            c.ty(x)
        )));
    }
    Ok((x, netc_ir::infer::first_spatial(c.layout()?)))
}

fn crop(c: &mut Call<'_, '_>, n: usize) -> Result<ValueId> {
    let (mut x, first) = image(c, n)?;
    for (axis, (low, high)) in (first..).zip(c.pairs("cropping", n)?) {
        let extent = c.dims(x)?.get(axis).and_then(Dim::known);
        if extent.is_some_and(|n| low.saturating_add(high) >= n) {
            return Err(c.bad("cropping", &format!("fewer elements than axis {axis} of {} has", c.ty(x))));
        }
        x = c.trim(x, axis, low, high)?;
    }
    Ok(x)
}

fn pad(c: &mut Call<'_, '_>, n: usize) -> Result<ValueId> {
    let (x, _) = image(c, n)?;
    let pairs = c.pairs("padding", n)?;
    let layout = c.layout()?;
    c.pad_zero(x, layout, &pairs)
}

fn up_sample(c: &mut Call<'_, '_>, n: usize) -> Result<ValueId> {
    let (mut x, first) = image(c, n)?;
    for (axis, times) in (first..).zip(c.tuple_or("size", n, 2)?) {
        x = c.repeat(x, axis, times)?;
    }
    Ok(x)
}
