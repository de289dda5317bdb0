//! Layers and operations that merge several tensors.

use netc_ir::{Attr, Attrs};
use netc_keras::build::{Declaration, Origin, Tensor};

use super::KerasClass;
use super::choice::Choice;
use super::draft::{Added, Draft};
use super::functions;
use netc_testgen::Step;

const MERGES: &[&str] = &["Add", "Multiply", "Average", "Maximum", "Minimum", "Subtract"];

/// Merging layers on tensors of one type, or on tensors that broadcast along axes of extent 1.
pub(super) fn merge(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let [a, b, c] = step.reads;
    let class = k.of(MERGES);
    let x = d.any(a)?;
    let extents = d.extents(x);
    let fits =
        |other: &[u64]| other.len() == extents.len() && other.iter().zip(&extents).all(|(n, m)| n == m || *n == 1);
    let count = if class == "Subtract" { 1 } else { k.between(1, 2) };
    let more = [b, c].into_iter().take(count as usize).filter_map(|read| d.find(read, fits));
    let parts: Vec<Tensor> = std::iter::once(x).chain(more).collect();
    if parts.len() < 2 {
        return None;
    }
    let sizes = parts.iter().map(|x| d.size(*x));
    if class == "Subtract" && k.flag() {
        let size = parts.iter().map(|x| d.size(*x)).sum();
        return d.layer(&residual(k), &parts, size);
    }
    let size = if class == "Multiply" { sizes.sum() } else { sizes.fold(0.0, f64::max) + 1.0 };
    d.add(class, &parts, size, |m| vec![m.merge(class, Attrs::new(), &parts)])
}

/// The layer of `keras.applications` that adds a multiple of its second input to the first.
fn residual(k: &mut Choice) -> Declaration {
    let both = Attr::List((0..2).map(Attr::Operand).collect());
    let layer = Declaration::keras("CustomScaleLayer", Attrs::new().with("scale", k.of(&[0.25, 1.5])));
    Declaration { origin: Origin::Applications("inception_resnet_v2".into()), args: vec![both], ..layer }
}

/// Tensors that differ at most along one axis, and that axis.
fn joinable(d: &Draft, step: &Step<KerasClass>, k: &mut Choice) -> Option<(Vec<Tensor>, i64)> {
    let [a, b, c] = step.reads;
    let x = d.any(a)?;
    let extents = d.extents(x);
    let axis = functions::axis(d, x, k);
    let apart = usize::try_from(axis).ok()?.checked_sub(1)?;
    let fits = |other: &[u64]| {
        let same = |i: usize| i == apart || other[i] == extents[i];
        other.len() == extents.len() && (0..other.len()).all(same)
    };
    let more = [b, c].into_iter().take(k.between(1, 2) as usize).filter_map(|read| d.find(read, fits));
    Some((std::iter::once(x).chain(more).collect(), if k.flag() { axis - 1 - extents.len() as i64 } else { axis }))
}

pub(super) fn concatenate(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let (parts, axis) = joinable(d, step, k)?;
    let size = parts.iter().map(|x| d.size(*x)).fold(0.0, f64::max);
    d.add("Concatenate", &parts, size, |m| vec![m.concatenate(&parts, axis)])
}

/// `Concatenate` and `Stack` of `keras.ops`.
pub(super) fn join(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let stack = k.flag();
    let (mut parts, axis) = joinable(d, step, k)?;
    if stack {
        let ty = d.ty(*parts.first()?);
        parts.retain(|x| d.ty(*x) == ty);
    }
    let size = parts.iter().map(|x| d.size(*x)).fold(0.0, f64::max);
    let args = vec![Attr::List((0u32..).take(parts.len()).map(Attr::Operand).collect())];
    let class = if stack { "Stack" } else { "Concatenate" };
    d.op(("numpy", class), Attrs::new().with("axis", axis), args, &parts, size)
}

/// The layer `Dot`, along one axis of each of two tensors.
pub(super) fn dot(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let x = d.find(step.reads[0], |extents| extents.len() <= 2)?;
    let axis = functions::axis(d, x, k);
    let extent = *d.extents(x).get(usize::try_from(axis).ok()?.checked_sub(1)?)?;
    let y = d.find(step.reads[1], |other| other.len() <= 2 && other.contains(&extent))?;
    let other = d.extents(y).iter().position(|n| *n == extent)? as i64 + 1;
    let normalize = k.flag();
    let axes = if axis == other && k.flag() { Attr::from(axis) } else { Attr::ints([axis, other]) };
    let config = Attrs::new().with("axes", axes).with("normalize", normalize);
    let size = if normalize { 0.0 } else { d.size(x) + d.size(y) + 2.0 };
    d.layer(&Declaration::keras("Dot", config).merging(2), &[x, y], size)
}
