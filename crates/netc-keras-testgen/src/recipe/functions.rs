//! Activations: by name, as objects, as layers and as operations.

use netc_ir::{Attr, Attrs};
use netc_keras::build::{Declaration, Init, Origin, Relu, Tensor};
use netc_keras::lower;

use super::KerasClass;
use super::choice::Choice;
use super::draft::{Added, Draft};
use netc_testgen::Step;

/// Operations of `keras.ops.nn` of one tensor without configuration.
const PLAIN: &[&str] = &[
    "Relu",
    "Relu6",
    "Selu",
    "Sigmoid",
    "HardSigmoid",
    "LogSigmoid",
    "SparseSigmoid",
    "Silu",
    "HardSilu",
    "HardTanh",
    "TanhShrink",
    "Softplus",
    "Softsign",
    "SparsePlus",
];

/// Operations with a number, and its key.
const SLOPED: &[(&str, &str)] = &[
    ("LeakyRelu", "negative_slope"),
    ("Elu", "alpha"),
    ("Celu", "alpha"),
    ("HardShrink", "threshold"),
    ("SoftShrink", "threshold"),
    ("Squareplus", "b"),
];

/// Operations along an axis.
const ALONG: &[&str] = &["Softmax", "LogSoftmax", "Sparsemax", "Glu"];

/// Names that are never drawn: the exponential needs small numbers, and Keras reports the input shape for `glu`, which
/// halves an axis.
const LEFT_OUT: &[&str] = &["exponential", "glu"];

/// The name of an activation, the simplest first.
pub(super) fn name(k: &mut Choice) -> &'static str {
    let mut names: Vec<&str> = lower::activations().filter(|name| !LEFT_OUT.contains(name)).collect();
    names.sort_by_key(|name| *name != "linear");
    k.of(&names)
}

/// An activation in a configuration: its name, or a layer without weights.
pub(super) fn spec(k: &mut Choice) -> Attr {
    let layers: &[(&str, &str, f64)] =
        &[("ReLU", "max_value", 1.5), ("LeakyReLU", "negative_slope", 0.25), ("ELU", "alpha", 0.75)];
    if k.below(4) < 3 {
        return Attr::str(name(k));
    }
    let (class, key, value) = k.of(layers);
    Attrs::new()
        .with("module", "keras.layers")
        .with("class_name", class)
        .with("config", Attrs::new().with(key, value))
        .with("registered_name", Attr::Null)
        .into()
}

pub(super) fn activation(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let x = d.any(step.reads[0])?;
    if k.below(16) == 15 {
        let x = d.at_most(x, 1.5)?;
        return d.add("Activation", &[x], 4.0, |m| vec![m.activation(x, "exponential")]);
    }
    let config = Attrs::new().with("activation", spec(k));
    d.layer(&Declaration::keras("Activation", config).shapeless(), &[x], d.size(x))
}

/// A layer that is an activation.
pub(super) fn rectifier(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let x = d.any(step.reads[0])?;
    let size = d.size(x);
    let kind = k.below(5);
    let layer =
        |class: &str, key: &str, value: Attr| Declaration::keras(class, Attrs::new().with(key, value)).shapeless();
    let declaration = match kind {
        0 => {
            let relu = Relu {
                max_value: k.flag().then_some(1.5),
                negative_slope: k.of(&[0.0, 0.125]),
                threshold: k.of(&[0.0, 0.25]),
            };
            return d.add("ReLU", &[x], size, |m| vec![m.relu(x, relu)]);
        }
        1 => layer("LeakyReLU", "negative_slope", k.of(&[0.25, 0.5]).into()),
        2 => layer("ELU", "alpha", k.of(&[1.0, 0.75]).into()),
        3 => {
            d.refuses_masks()?;
            layer("Softmax", "axis", axis_or_axes(d, x, k)).kwarg("mask", Attr::Null)
        }
        _ => prelu(d, x, k),
    };
    d.layer(&declaration, &[x], size)
}

fn prelu(d: &Draft, x: Tensor, k: &mut Choice) -> Declaration {
    let mut extents = d.extents(x);
    let shared = if extents.len() > 1 && k.flag() { Some(k.index(extents.len())) } else { None };
    shared.into_iter().for_each(|axis| extents[axis] = 1);
    let axes = shared.map_or(Attr::Null, |axis| Attr::ints([axis as i64 + 1]));
    Declaration::keras("PReLU", Attrs::new().with("shared_axes", axes)).weights([(extents, Init::uniform(0.0, 0.5))])
}

/// An operation of `keras.ops.nn`.
pub(super) fn operation(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let x = d.any(step.reads[0])?;
    let size = d.size(x);
    let none = Attrs::new;
    match k.below(8) {
        0..=2 => d.op_of(("nn", k.of(PLAIN)), none(), x, size),
        3 => {
            let (class, key) = k.of(SLOPED);
            d.op_of(("nn", class), none().with(key, k.of(&[0.25, 0.5, 1.0])), x, size + 0.5)
        }
        4 => {
            let class = k.of(ALONG);
            let axis = if class == "Softmax" && k.flag() { axis_or_axes(d, x, k) } else { axis(d, x, k).into() };
            let halves =
                axis.as_int().and_then(|a| d.extents(x).get(usize::try_from(a).ok()?.checked_sub(1)?).copied());
            let fits = class != "Glu" || halves.is_some_and(|n| n.is_multiple_of(2));
            if fits { d.op_of(("nn", class), none().with("axis", axis), x, size) } else { None }
        }
        5 => d.op_of(("nn", "Gelu"), none().with("approximate", k.flag()), x, size),
        6 => function(d, x, k),
        _ => {
            let config = none().with("threshold", k.of(&[0.25, -0.5])).with("default_value", k.of(&[-1.0, 0.0]));
            d.op_of(("nn", "Threshold"), config, x, size)
        }
    }
}

/// A function of `keras.activations` that is not in `keras.ops`.
fn function(d: &mut Draft, x: Tensor, k: &mut Choice) -> Added {
    let (class, config) = if k.flag() {
        let config = Attrs::new().with("negative_slope", k.of(&[0.0, 0.125])).with("max_value", k.of(&[1.5, 0.5]));
        ("ReLU", config.with("threshold", k.of(&[0.0, 0.25])))
    } else {
        ("Mish", Attrs::new())
    };
    let declaration = Declaration { origin: Origin::Activations, ..Declaration::keras(class, config).shapeless() };
    let size = d.size(x);
    if d.in_chain() { None } else { d.layer(&declaration, &[x], size) }
}

/// An axis after the batch, counted from the start.
pub(super) fn axis(d: &Draft, x: Tensor, k: &mut Choice) -> i64 {
    d.axes(x) as i64 - k.below(d.axes(x)) as i64
}

/// The last axis, some axis, or all axes after the batch.
pub(super) fn axis_or_axes(d: &Draft, x: Tensor, k: &mut Choice) -> Attr {
    match k.below(3) {
        0 => Attr::from(-1),
        1 => axis(d, x, k).into(),
        _ => Attr::ints(1..=d.axes(x) as i64),
    }
}
