//! Normalization and scaling: layers and operations.

use netc_ir::{Attr, Attrs};
use netc_keras::build::{BatchNormalization, Declaration, Init, Origin, Tensor};

use super::KerasClass;
use super::arrays::array;
use super::choice::Choice;
use super::draft::{Added, Draft};
use super::functions::{axis, axis_or_axes};
use netc_testgen::Step;

/// The magnitude of normalized numbers, as a power of two.
const NORMAL: f64 = 2.0;

pub(super) fn norm(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let x = d.any(step.reads[0])?;
    let scale = !k.flag();
    let declaration = match k.below(5) {
        0 => {
            let axis = if k.flag() { axis(d, x, k) } else { -1 };
            let norm = BatchNormalization { axis, center: !k.flag(), scale, ..BatchNormalization::default() };
            return d.add("BatchNormalization", &[x], d.size(x) + 1.0, |m| vec![m.batch_normalization(x, norm)]);
        }
        1 => layer_norm(d, x, scale, k),
        2 => group_norm(d, x, scale, k),
        3 => {
            // Keras aligns the scale with the last axis.
            let scale = d.extents(x).last().map(|n| (vec![*n], Init::factor()));
            let config = Attrs::new().with("axis", Attr::ints([-1])).with("epsilon", k.of(&[1e-6, 1e-3]));
            Declaration::keras("RMSNormalization", config).weights(scale)
        }
        _ => Declaration::keras("UnitNormalization", Attrs::new().with("axis", axis_or_axes(d, x, k))).shapeless(),
    };
    d.layer(&declaration, &[x], NORMAL)
}

/// Adds `gamma`, if `scale` is set, and always `beta`. Without `beta`, normalizing equal numbers would leave only
/// rounding errors.
fn with_affine(declaration: Declaration, extents: &[u64], scale: bool) -> Declaration {
    let gamma = scale.then(|| (extents.to_vec(), Init::factor()));
    declaration.weights(gamma).weights([(extents.to_vec(), Init::offset())])
}

fn layer_norm(d: &Draft, x: Tensor, scale: bool, k: &mut Choice) -> Declaration {
    let extents = d.extents(x);
    let axes = axis_or_axes(d, x, k);
    let over = match axes.as_int() {
        // A list names all axes.
        None => extents,
        Some(axis) => {
            let at = if axis < 0 { extents.len() as i64 + axis } else { axis - 1 };
            extents.get(at as usize).copied().into_iter().collect()
        }
    };
    let config = Attrs::new()
        .with("axis", if axes.as_list().is_some() { axes } else { Attr::List(vec![axes]) })
        .with("epsilon", k.of(&[1e-3, 1e-2]))
        .with("center", true)
        .with("scale", scale);
    with_affine(Declaration::keras("LayerNormalization", config), &over, scale)
}

fn group_norm(d: &Draft, x: Tensor, scale: bool, k: &mut Choice) -> Declaration {
    let axis = if k.flag() { axis(d, x, k) } else { d.axes(x) as i64 };
    let channels = d.extents(x).get(axis as usize - 1).copied().unwrap_or(1);
    let groups = match k.below(3) {
        0 => 1,
        1 if channels.is_multiple_of(2) => channels as i64 / 2,
        // One group per channel.
        _ => -1,
    };
    let config = Attrs::new()
        .with("groups", groups)
        .with("axis", if axis == d.axes(x) as i64 { -1 } else { axis })
        .with("epsilon", 1e-3)
        .with("center", true)
        .with("scale", scale);
    with_affine(Declaration::keras("GroupNormalization", config), &[channels], scale)
}

/// `LayerScale`, `Normalization` and `Rescaling`.
pub(super) fn scaling(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let x = d.any(step.reads[0])?;
    let size = d.size(x) + 1.0;
    let last = *d.extents(x).last()?;
    if k.below(4) == 3 {
        let config = Attrs::new().with("init_values", 0.5).with("projection_dim", last as i64);
        let layer = Declaration::keras("LayerScale", config).weights([(vec![last], Init::factor())]);
        return d.layer(&Declaration { origin: Origin::Applications("convnext".into()), ..layer }, &[x], size);
    }
    let numbers = |low: f64, n: u64| Attr::List((0..n).map(|i| Attr::from(low + i as f64 / 16.0)).collect());
    let declaration = if k.flag() {
        let [scale, offset] = if k.flag() {
            [numbers(0.5, last), numbers(-0.5, last)]
        } else {
            [Attr::from(k.of(&[0.5, 1.5])), Attr::from(k.of(&[0.0, -1.0]))]
        };
        Declaration::keras("Rescaling", Attrs::new().with("scale", scale).with("offset", offset))
    } else {
        let axis = k.below(3);
        let config = Attrs::new().with("axis", if axis == 2 { Attr::Null } else { Attr::ints([-1]) });
        let config = config.with("invert", k.flag());
        let shape = if axis == 2 { vec![] } else { vec![last] };
        if k.flag() {
            let (mean, variance) =
                if axis == 2 { (Attr::from(0.25), Attr::from(1.5)) } else { (numbers(-0.5, last), numbers(0.5, last)) };
            Declaration::keras("Normalization", config.with("mean", mean).with("variance", variance))
        } else {
            let config = config.with("mean", Attr::Null).with("variance", Attr::Null);
            let count = (vec![], Init::uniform(0.0, 1.0));
            Declaration::keras("Normalization", config).weights([
                (shape.clone(), Init::offset()),
                (shape, Init::variance()),
                count,
            ])
        }
    };
    d.layer(&declaration, &[x], size)
}

/// Normalizing operations of `keras.ops`, with constant statistics and factors.
pub(super) fn operation(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let x = d.any(step.reads[0])?;
    let last = *d.extents(x).last()?;
    let seed = k.seed();
    let vector = |low: f64, used: bool| if used { array(&[last], seed, low, low + 1.0) } else { Attr::Null };
    let (class, args, config) = match k.below(4) {
        0 => {
            // Keras accepts an offset only together with a factor.
            let scale = k.flag();
            let offset = scale && k.flag();
            let args = vec![vector(-0.5, true), vector(0.5, true), vector(-0.5, offset), vector(0.5, scale)];
            ("BatchNorm", args, Attrs::new().with("axis", -1).with("epsilon", 1e-3))
        }
        1 => {
            let config = Attrs::new().with("axis", -1).with("epsilon", 1e-3).with("rms_scaling", false);
            ("LayerNorm", vec![vector(0.5, k.flag()), vector(-0.5, true)], config)
        }
        2 => ("RMSNorm", vec![vector(0.5, k.flag())], Attrs::new().with("axis", -1).with("epsilon", Attr::Null)),
        _ => {
            let config = Attrs::new().with("axis", axis(d, x, k)).with("order", 2).with("epsilon", Attr::Null);
            ("Normalize", vec![], config)
        }
    };
    let args = std::iter::once(Attr::Operand(0)).chain(args).collect();
    d.op(("nn", class), config, args, &[x], NORMAL)
}
