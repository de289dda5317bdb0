//! Operations that choose elements by index.

use netc_dialect::LowerError;
use netc_ir::{Attr, Compare, Dim, Number, SliceAxis, ValueId};

use crate::config::message::found;
use crate::lower::call::promote::Arg;
use crate::lower::call::{self, Call};
use crate::lower::entry::{Entry, one};
use crate::lower::result::{Result, bad};

pub(crate) const OPS: &[Entry] = &[
    one("GetItem", get_item, "`x[key]`: slices, indices, new axes and an ellipsis."),
    one("Take", take, "Slices along `axis` selected by index."),
    one("Slice", slice_op, "A slice of a given shape from a given start."),
];

/// One item of an index expression.
enum Item {
    /// `start:stop:step`
    Slice(Option<i64>, Option<i64>, i64),
    /// An integer, which removes the axis.
    At(i64),
    /// `None`, which adds an axis.
    NewAxis,
    /// `...`
    Ellipsis,
}

fn get_item(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let mut x = c.tensor(0, "x")?;
    let key = c.arg(1, "key");
    let items = items(c, key)?;
    let named = items.iter().filter(|i| matches!(i, Item::Slice(..) | Item::At(_))).count();
    let Some(hidden) = c.rank(x)?.checked_sub(named) else {
        return Err(LowerError::Operands(format!("the key indexes {named} axes, but the tensor is {}", c.ty(x))));
    };
    let mut axis = 0;
    let mut ellipses = 0;
    for item in items {
        match item {
            Item::Slice(start, stop, step) => {
                x = part(c, x, axis, (start, stop, step))?;
                axis += 1;
            }
            Item::At(i) => {
                x = row(c, x, axis, i)?;
                x = c.squeeze(x, axis)?;
            }
            Item::NewAxis => {
                x = c.expand(x, axis)?;
                axis += 1;
            }
            Item::Ellipsis => {
                ellipses += 1;
                axis += hidden;
            }
        }
    }
    if ellipses > 1 { Err(bad("key", key, "at most one ellipsis")) } else { Ok(x) }
}

fn items(c: &Call<'_, '_>, key: Option<&Attr>) -> Result<Vec<Item>> {
    match key {
        // A missing key is the key `None`.
        None => Ok(vec![Item::NewAxis]),
        Some(Attr::List(items)) => items.iter().map(|a| item(c, a)).collect(),
        Some(one) => Ok(vec![item(c, one)?]),
    }
}

fn item(c: &Call<'_, '_>, attr: &Attr) -> Result<Item> {
    let unsupported = || c.unsupported(format!("the index {}", found(Some(attr))));
    match attr {
        Attr::Null => Ok(Item::NewAxis),
        Attr::Int(_) => attr.as_int().map(Item::At).ok_or_else(unsupported),
        Attr::Map(_) => match (attr.get("class_name").and_then(Attr::as_str), attr.get("config")) {
            (Some("__ellipsis__"), _) => Ok(Item::Ellipsis),
            (Some("__slice__"), Some(config)) => {
                let bound = |key| match config.get(key) {
                    None | Some(Attr::Null) => Ok(None),
                    Some(value) => value.as_int().map(Some).ok_or_else(unsupported),
                };
                Ok(Item::Slice(bound("start")?, bound("stop")?, bound("step")?.unwrap_or(1)))
            }
            _ => Err(unsupported()),
        },
        Attr::Bool(_) | Attr::Float(_) | Attr::Str(_) | Attr::List(_) | Attr::Operand(_) | Attr::NonJson(_) => {
            Err(unsupported())
        }
    }
}

/// Element `i` along `axis`, counted from the end if negative.
fn row(c: &mut Call<'_, '_>, x: ValueId, axis: usize, i: i64) -> Result<ValueId> {
    let n = c.dims(x)?.get(axis).and_then(Dim::known);
    let at = |start| SliceAxis { start, end: Some(start.saturating_add(1)), step: 1 };
    match (u64::try_from(i), n) {
        (Ok(i), _) => c.slice(x, axis, at(i)),
        (Err(_), Some(n)) => match n.checked_sub(i.unsigned_abs()) {
            Some(i) => c.slice(x, axis, at(i)),
            None => Err(LowerError::Operands(format!("index {i} is out of range for axis {axis} of {}", c.ty(x)))),
        },
        (Err(_), None) => {
            let x = c.reverse(x, axis)?;
            c.slice(x, axis, at(i.unsigned_abs() - 1))
        }
    }
}

/// `x[start:stop:step]` along `axis`, with Python's rules.
fn part(
    c: &mut Call<'_, '_>,
    x: ValueId,
    axis: usize,
    (start, stop, step): (Option<i64>, Option<i64>, i64),
) -> Result<ValueId> {
    if step == 0 {
        return Err(LowerError::Operands("the step of a slice must not be 0".into()));
    }
    let stride = step.unsigned_abs();
    let Some(n) = c.dims(x)?.get(axis).and_then(Dim::known) else {
        return open_part(c, x, axis, (start, stop, step));
    };
    // Both bounds are distances from where the walk starts: the first element, or the last one for a negative step.
    let clamp = |i: i64| if i < 0 { n.saturating_sub(i.unsigned_abs()) } else { i.unsigned_abs().min(n) };
    if step > 0 {
        let (start, end) = (start.map_or(0, clamp), stop.map_or(n, clamp));
        let end = if end == n && start <= n { None } else { Some(end.max(start)) };
        return c.slice(x, axis, SliceAxis { start, end, step: stride });
    }
    let from_end = |i: i64| {
        if i < 0 {
            i.unsigned_abs().saturating_sub(1).min(n)
        } else {
            n.saturating_sub(1).saturating_sub(i.unsigned_abs())
        }
    };
    let (start, end) = (start.map_or(0, from_end), stop.map_or(n, from_end));
    let x = c.reverse(x, axis)?;
    c.slice(x, axis, SliceAxis { start, end: Some(end.max(start)), step: stride })
}

/// A slice of an axis of unknown extent, where the result does not depend on the extent.
fn open_part(
    c: &mut Call<'_, '_>,
    x: ValueId,
    axis: usize,
    (start, stop, step): (Option<i64>, Option<i64>, i64),
) -> Result<ValueId> {
    let stride = step.unsigned_abs();
    let low = start.map_or(Ok(0), u64::try_from);
    match (low, stop) {
        (Ok(0), None) if step < 0 && start.is_none() => {
            let x = c.reverse(x, axis)?;
            c.slice(x, axis, SliceAxis { step: stride, ..SliceAxis::ALL })
        }
        (Ok(start), None) if step > 0 => c.slice(x, axis, SliceAxis { start, end: None, step: stride }),
        (Ok(start), Some(stop)) if step > 0 && stop < 0 => {
            let x = c.trim(x, axis, start, stop.unsigned_abs())?;
            c.slice(x, axis, SliceAxis { step: stride, ..SliceAxis::ALL })
        }
        (Ok(start), Some(stop)) if step > 0 => {
            let end = stop.unsigned_abs().max(start);
            c.slice(x, axis, SliceAxis { start, end: Some(end), step: stride })
        }
        _ => {
            let bound = |b: Option<i64>| b.map_or(String::new(), |b| b.to_string());
            let what = format!("the slice {}:{}:{step} of an axis of symbolic extent", bound(start), bound(stop));
            Err(c.unsupported(what))
        }
    }
}

/// Without an axis, from the flattened tensor. Negative indices count from the end.
fn take(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let mut x = c.tensor(0, "x")?;
    if !c.has("axis") {
        let all = Dim::product(&c.dims(x)?);
        x = c.reshape(x, vec![all])?;
    }
    let axis = c.axis("axis", c.rank(x)?, 0)?;
    match c.value(1, "indices")? {
        Arg::Int(i) => {
            let i = i64::try_from(i).map_err(|_| LowerError::Operands(format!("index {i} is out of range")))?;
            let x = row(c, x, axis, i)?;
            c.squeeze(x, axis)
        }
        Arg::Tensor(indices) => {
            let indices = from_start(c, x, axis, indices)?;
            Ok(c.b.gather(x, indices, axis as u64)?)
        }
        Arg::Float(_) => Err(bad("indices", c.arg(1, "indices"), "integers")),
    }
}

/// `indices` into `axis` of `x`, with the extent added to negative ones.
fn from_start(c: &mut Call<'_, '_>, x: ValueId, axis: usize, indices: ValueId) -> Result<ValueId> {
    if !c.elem(indices).is_signed_int() {
        return Ok(indices);
    }
    if let Some(op) = c.b.func().producer(indices) {
        let kind = &c.b.func()[op].kind;
        if let netc_ir::OpKind::Core(netc_ir::CoreOp::Constant(literal)) = kind
            && literal.numbers().all(|n| matches!(n, Number::Int(i) if i >= 0))
        {
            return Ok(indices);
        }
    }
    let n = c.extent(x, axis)?;
    let elem = c.elem(indices);
    let n = c.convert(Arg::Int(n.into()), elem)?;
    let negative = c.compare(Compare::Lt, indices, 0.0)?;
    let moved = c.add(indices, n)?;
    c.select(negative, moved, indices)
}

fn slice_op(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let mut x = c.tensor(0, "inputs")?;
    let rank = c.rank(x)?;
    let starts = c.arg(1, "start_indices");
    let ints = |a: Option<&Attr>| {
        let ints = a.and_then(Attr::as_list)?.iter().map(call::as_count).collect::<Option<Vec<_>>>()?;
        (ints.len() == rank).then_some(ints)
    };
    let expected = format!("{rank} integers of 0 or more");
    let shape = ints(c.get("shape")).ok_or_else(|| c.bad("shape", &expected))?;
    let starts = ints(starts).ok_or_else(|| bad("start_indices", starts, &expected))?;
    for (axis, (start, n)) in starts.into_iter().zip(shape).enumerate() {
        // A start that is too large is moved so that the slice fits.
        let extent = c.dims(x)?.get(axis).and_then(Dim::known);
        let start = extent.map_or(start, |e| start.min(e.saturating_sub(n)));
        x = c.slice(x, axis, SliceAxis { start, end: Some(start.saturating_add(n)), step: 1 })?;
    }
    Ok(x)
}
