//! Operations that reduce axes.

use netc_ir::{Attr, Attrs};

use super::KerasClass;
use super::choice::Choice;
use super::draft::{Added, Draft};
use super::functions::{axis, axis_or_axes};
use netc_testgen::Step;

/// Classes, and how much larger than the operand the result can be (a power of two).
const REDUCTIONS: &[(&str, &str, f64)] = &[
    ("numpy", "Mean", 0.0),
    ("numpy", "Sum", 3.0),
    ("numpy", "Max", 0.0),
    ("numpy", "Min", 0.0),
    ("numpy", "Amax", 0.0),
    ("numpy", "Amin", 0.0),
    ("numpy", "Var", 2.0),
    ("numpy", "Std", 0.0),
    ("math", "Logsumexp", 2.0),
    ("numpy", "Prod", 4.0),
];

pub(super) fn reduce(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    if k.below(4) == 3 {
        return place_or_count(d, step, k);
    }
    let (module, class, growth) = k.of(REDUCTIONS);
    let x = d.any(step.reads[0])?;
    let x = if growth > 0.0 { d.at_most(x, 1.0)? } else { x };
    // Without an axis the result is a scalar.
    let axis = if k.below(8) == 7 { Attr::Null } else { axis_or_axes(d, x, k) };
    let config = Attrs::new().with("axis", axis).with("keepdims", k.flag());
    d.op_of((module, class), config, x, d.size(x) + growth)
}

/// `Argmax`, `Argmin` or `CountNonzero` of rounded numbers: others differ by rounding.
fn place_or_count(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let x = d.any(step.reads[0])?;
    let x = d.apart(x)?;
    let x = d.op_of(("numpy", "Round"), Attrs::new().with("decimals", 0), x, d.size(x))?;
    let class = k.of(&["Argmax", "Argmin", "CountNonzero"]);
    let config = match class {
        // Only one axis: Keras reads several back as a list, which JAX rejects.
        "CountNonzero" => Attrs::new().with("axis", axis(d, x, k)),
        _ => Attrs::new().with("axis", axis(d, x, k)).with("keepdims", k.flag()),
    };
    d.op_of(("numpy", class), config, x, 4.0)
}
