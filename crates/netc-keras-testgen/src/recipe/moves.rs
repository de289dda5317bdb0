//! Operations that move elements: reshape, reorder, pad, repeat, split.

use netc_ir::{Attr, Attrs};
use netc_keras::build::Tensor;

use super::KerasClass;
use super::choice::Choice;
use super::draft::{Added, Draft};
use super::functions::axis;
use super::shapes;
use netc_testgen::Step;

const MOVES: &[&str] = &[
    "Reshape",
    "Transpose",
    "Flip",
    "ExpandDims",
    "Squeeze",
    "Moveaxis",
    "Swapaxes",
    "Pad",
    "Repeat",
    "Tile",
    "Sort",
    "Cumsum",
    "Ravel",
    "BroadcastTo",
    "Roll",
    "Fliplr",
    "Flipud",
    "Tril",
    "Triu",
];

pub(super) fn shape(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let class = k.of(MOVES);
    let x = match class {
        "Squeeze" => d.find(step.reads[0], |e| e.len() > 1 && e.contains(&1))?,
        "Tril" | "Triu" => d.find(step.reads[0], |e| e.len() > 1)?,
        _ => d.any(step.reads[0])?,
    };
    let extents = d.extents(x);
    let axes = d.axes(x);
    let none = Attrs::new;
    let mut size = d.size(x);
    let config = match class {
        "Reshape" => none().with("newshape", Attr::ints(std::iter::once(-1).chain(closed(&extents, k)))),
        "Transpose" if k.below(8) == 7 => none().with("axes", Attr::Null),
        "Transpose" => none().with("axes", Attr::ints(std::iter::once(0).chain(shapes::order(axes, k)))),
        "Flip" | "Sort" => none().with("axis", axis(d, x, k)),
        "Cumsum" => {
            size += 3.0;
            none().with("axis", axis(d, x, k))
        }
        "ExpandDims" => none().with("axis", k.of(&[-1, 1, axes as i64])),
        "Squeeze" => {
            let ones: Vec<i64> = (1..).zip(&extents).filter(|(_, n)| **n == 1).map(|(axis, _)| axis).collect();
            none().with("axis", k.of(&ones))
        }
        "Moveaxis" => none().with("source", axis(d, x, k)).with("destination", axis(d, x, k)),
        "Swapaxes" => none().with("axis1", axis(d, x, k)).with("axis2", axis(d, x, k)),
        "Roll" => none().with("shift", k.below(5) as i64 - 2).with("axis", axis(d, x, k)),
        "Tril" | "Triu" => none().with("k", k.below(3) as i64 - 1),
        "Pad" => return pad(d, x, k),
        "Repeat" => none().with("repeats", k.between(1, 3) as i64).with("axis", axis(d, x, k)),
        "Tile" => {
            none().with("repeats", Attr::ints(std::iter::once(1).chain((0..axes).map(|_| k.between(1, 2) as i64))))
        }
        "BroadcastTo" => return broadcast(d, x),
        _ => none(),
    };
    d.op_of(("numpy", class), config, x, size)
}

/// A shape without -1.
fn closed(extents: &[u64], k: &mut Choice) -> Vec<i64> {
    let shape = shapes::shape(extents, k);
    let known: i64 = shape.iter().filter(|n| **n > 0).product();
    let all = extents.iter().product::<u64>() as i64;
    shape.into_iter().map(|n| if n < 0 { all / known } else { n }).collect()
}

fn pad(d: &mut Draft, x: Tensor, k: &mut Choice) -> Added {
    let extents = d.extents(x);
    let mode = k.of(&["constant", "reflect", "symmetric", "edge"]);
    // A mirrored border must be shorter than the axis.
    let most = |extent: u64| if mode == "constant" { 2 } else { (extent - 1).min(2) };
    let pairs = extents.iter().map(|n| Attr::ints([k.between(0, most(*n)), k.between(0, most(*n))]));
    let pairs: Vec<Attr> = std::iter::once(Attr::ints([0, 0])).chain(pairs).collect();
    let config = Attrs::new().with("pad_width", Attr::List(pairs)).with("mode", mode);
    let value = if mode == "constant" && k.flag() { Attr::from(1.5) } else { Attr::Null };
    let declaration = netc_keras::build::Declaration::op("numpy", "Pad", config, vec![Attr::Operand(0)]);
    let size = d.size(x);
    if d.in_chain() { None } else { d.layer(&declaration.kwarg("constant_values", value), &[x], size + 0.5) }
}

/// The mean over the batch, whose extents are all known, repeated along a new batch.
fn broadcast(d: &mut Draft, x: Tensor) -> Added {
    let y = d.op_of(("numpy", "Mean"), Attrs::new().with("axis", 0).with("keepdims", true), x, d.size(x))?;
    let shape: Vec<u64> = std::iter::once(3).chain(d.extents(y)).collect();
    d.op_of(("numpy", "BroadcastTo"), Attrs::new().with("shape", Attr::ints(shape)), y, d.size(y))
}

/// Operations with several results.
pub(super) fn parts(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let unstack = k.flag();
    let x = d.find(step.reads[0], |extents| extents.len() > usize::from(unstack) && extents.iter().all(|n| *n <= 8))?;
    let axis = axis(d, x, k);
    let extent = d.extents(x).get(axis as usize - 1).copied()?;
    if unstack {
        let num = if k.flag() { Attr::Null } else { Attr::from(extent as i64) };
        return d.op_of(("core", "Unstack"), Attrs::new().with("num", num).with("axis", axis), x, d.size(x));
    }
    let sections = match k.below(2) {
        0 => {
            Attr::from(k.of(&[2, 3, 1].into_iter().filter(|n| extent.is_multiple_of(*n)).collect::<Vec<u64>>()) as i64)
        }
        _ if extent >= 3 => Attr::ints([1, extent - 1]),
        _ => Attr::ints([1]),
    };
    d.op_of(("numpy", "Split"), Attrs::new().with("indices_or_sections", sections).with("axis", axis), x, d.size(x))
}
