//! Operations that reduce axes.

use netc_ir::{Attr, Attrs};

use super::KerasClass;
use super::choice::Choice;
use super::draft::{Added, Draft};
use super::functions::axis_or_axes;
use crate::recipe::Step;

/// Classes with the size of their result over that of the operand.
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
    let (module, class, growth) = k.of(REDUCTIONS);
    let x = d.any(step.reads[0])?;
    let x = if growth > 0.0 { d.at_most(x, 1.0)? } else { x };
    // Without an axis, all: a scalar.
    let axis = if k.below(8) == 7 { Attr::Null } else { axis_or_axes(d, x, k) };
    let config = Attrs::new().with("axis", axis).with("keepdims", k.flag());
    d.op_of((module, class), config, x, d.size(x) + growth)
}
