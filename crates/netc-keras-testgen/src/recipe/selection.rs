//! Operations that select elements by index.

use netc_ir::{Attr, Attrs};
use netc_keras::build::Tensor;

use super::KerasClass;
use super::arrays::indices;
use super::choice::Choice;
use super::draft::{Added, Draft};
use super::functions::axis;
use netc_testgen::Step;

pub(super) fn index(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let x = d.any(step.reads[0])?;
    match k.below(4) {
        0 | 1 => get_item(d, x, k),
        2 => take(d, x, k),
        _ => slice_of_mean(d, x, k),
    }
}

/// `x[key]` with a key that keeps all examples.
fn get_item(d: &mut Draft, x: Tensor, k: &mut Choice) -> Added {
    let mut key = vec![slice(Attr::Null, Attr::Null, Attr::Null)];
    let mut extents = d.extents(x);
    if extents.len() > 1 && k.below(3) == 2 {
        // The key starts at the last axis.
        key = vec![marker("__ellipsis__", Attrs::new())];
        extents.drain(..extents.len() - 1);
    }
    let keep = extents.len() == 1;
    for extent in extents {
        key.push(item(extent as i64, keep, k));
        if k.below(4) == 3 {
            key.push(Attr::Null);
        }
    }
    d.op(("numpy", "GetItem"), Attrs::new(), vec![Attr::Operand(0), Attr::List(key)], &[x], d.size(x))
}

/// The item of a key for one axis; at least one element is selected.
fn item(extent: i64, keep: bool, k: &mut Choice) -> Attr {
    let at = |i: u64| Attr::from(i as i64);
    match k.below(if keep { 4 } else { 6 }) {
        0 => slice(Attr::Null, Attr::Null, Attr::Null),
        1 => slice(at(k.below(extent as u64)), Attr::Null, at(k.between(1, 2))),
        2 => slice(Attr::Null, Attr::Null, Attr::from(-(k.between(1, 2) as i64))),
        3 => slice(Attr::from(-extent), Attr::from(extent - k.below(extent as u64) as i64), Attr::Null),
        4 => at(k.below(extent as u64)),
        _ => Attr::from(-(k.between(1, extent as u64) as i64)),
    }
}

fn slice(start: Attr, stop: Attr, step: Attr) -> Attr {
    marker("__slice__", Attrs::new().with("start", start).with("stop", stop).with("step", step))
}

fn marker(class: &str, config: Attrs) -> Attr {
    Attrs::new().with("class_name", class).with("config", config).into()
}

fn take(d: &mut Draft, x: Tensor, k: &mut Choice) -> Added {
    let axis = axis(d, x, k);
    let extent = d.extents(x).get(axis as usize - 1).copied()? as i64;
    let chosen = match k.below(3) {
        0 => indices(&[0, extent - 1]),
        1 => indices(&[-1, extent / 2, 0]),
        _ if d.axes(x) > 1 => Attr::from(k.below(extent as u64) as i64),
        _ => indices(&[0]),
    };
    d.op(("numpy", "Take"), Attrs::new().with("axis", axis), vec![Attr::Operand(0), chosen], &[x], d.size(x))
}

/// A slice of the mean over the batch, whose extents are all known.
fn slice_of_mean(d: &mut Draft, x: Tensor, k: &mut Choice) -> Added {
    let y = d.op_of(("numpy", "Mean"), Attrs::new().with("axis", 0).with("keepdims", true), x, d.size(x))?;
    let extents = d.extents(y);
    let shape: Vec<u64> = extents.iter().map(|n| k.between(1, *n)).collect();
    let starts = extents.iter().zip(&shape).map(|(n, m)| k.between(0, n - m));
    let starts = Attr::ints(std::iter::once(0).chain(starts));
    let config = Attrs::new().with("shape", Attr::ints(std::iter::once(1).chain(shape)));
    d.op(("core", "Slice"), config, vec![Attr::Operand(0), starts], &[y], d.size(y))
}
