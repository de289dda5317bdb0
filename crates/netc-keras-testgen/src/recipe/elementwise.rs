//! Elementwise operations, and expressions that keep their numbers finite.

use netc_ir::{Attr, Attrs};
use netc_keras::build::Tensor;

use super::KerasClass;
use super::arrays::array;
use super::choice::Choice;
use super::draft::{Added, Draft};
use super::functions::axis_or_axes;
use netc_testgen::Step;

/// The numbers that a function is applied to.
#[derive(Clone, Copy)]
enum Domain {
    Any,
    /// Not close to integers, where the function jumps.
    Apart,
    /// Of magnitude one or less, roughly.
    Small,
    /// At least 0.5.
    Positive,
}

/// Elementwise functions: their module, class and domain.
const UNARY: &[(&str, &str, Domain)] = &[
    ("numpy", "Negative", Domain::Any),
    ("numpy", "Absolute", Domain::Any),
    ("numpy", "Abs", Domain::Any),
    ("numpy", "Sign", Domain::Any),
    ("numpy", "Tanh", Domain::Any),
    ("math", "Erf", Domain::Any),
    ("numpy", "Floor", Domain::Apart),
    ("numpy", "Ceil", Domain::Apart),
    ("numpy", "Trunc", Domain::Apart),
    ("numpy", "Round", Domain::Apart),
    ("numpy", "ZerosLike", Domain::Any),
    ("numpy", "OnesLike", Domain::Any),
    ("numpy", "Copy", Domain::Any),
    ("core", "StopGradient", Domain::Any),
    ("numpy", "Isnan", Domain::Any),
    ("numpy", "Sin", Domain::Small),
    ("numpy", "Cos", Domain::Small),
    ("numpy", "Tan", Domain::Small),
    ("numpy", "Square", Domain::Small),
    ("numpy", "Exp", Domain::Small),
    ("numpy", "Exp2", Domain::Small),
    ("numpy", "Expm1", Domain::Small),
    ("numpy", "Log", Domain::Positive),
    ("numpy", "Log1p", Domain::Positive),
    ("numpy", "Log2", Domain::Positive),
    ("numpy", "Log10", Domain::Positive),
    ("numpy", "Sqrt", Domain::Positive),
    ("math", "Rsqrt", Domain::Positive),
    ("numpy", "Reciprocal", Domain::Positive),
    ("numpy", "Clip", Domain::Any),
];

pub(super) fn unary(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let (module, mut class, domain) = k.of(UNARY);
    if class == "Isnan" {
        class = k.of(&["Isnan", "Isfinite", "Isinf"]);
    }
    let x = d.any(step.reads[0])?;
    let x = match domain {
        Domain::Any => x,
        Domain::Apart => d.apart(x)?,
        Domain::Small => d.at_most(x, 0.5)?,
        Domain::Positive => d.positive(x)?,
    };
    let config = match class {
        "Round" => Attrs::new().with("decimals", 0),
        "Clip" => Attrs::new().with("x_min", k.of(&[-0.5, 0.0])).with("x_max", k.of(&[0.75, 6.0])),
        _ => Attrs::new(),
    };
    let size = match domain {
        Domain::Any | Domain::Apart | Domain::Positive => d.size(x),
        Domain::Small => 2.0,
    };
    d.op_of((module, class), config, x, size)
}

const BINARY: &[&str] =
    &["Add", "Subtract", "Multiply", "Divide", "TrueDivide", "DivideNoNan", "Power", "Maximum", "Minimum"];

/// An operation on two tensors of one type, on a tensor and a number on either side, or on a tensor and an array.
pub(super) fn binary(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let class = k.of(BINARY);
    let mut x = d.any(step.reads[0])?;
    let mut y = d.same_type(step.reads[1], x)?;
    match class {
        "Divide" | "TrueDivide" => y = d.positive(y)?,
        "DivideNoNan" => {
            y = d.apart(y)?;
            y = d.op_of(("numpy", "Round"), Attrs::new().with("decimals", 0), y, d.size(y))?;
        }
        "Power" => {
            x = d.at_most(x, 1.0)?;
            x = d.positive(x)?;
            y = d.at_most(y, 1.0)?;
        }
        _ => {}
    }
    let size = match class {
        "Multiply" => d.size(x) + d.size(y),
        "Power" => 4.0,
        _ => d.size(x).max(d.size(y)) + 1.0,
    };
    let number = Attr::from(k.of(&[1.5, 0.5, 2.0]));
    let last = *d.extents(x).last()?;
    let (args, operands) = match k.below(4) {
        0 => (vec![Attr::Operand(0), Attr::Operand(1)], vec![x, y]),
        1 => (vec![Attr::Operand(0), number], vec![x]),
        2 => (vec![number, Attr::Operand(0)], vec![y]),
        _ => (vec![Attr::Operand(0), array(&[last], k.seed(), 0.5, 2.0)], vec![x]),
    };
    d.op(("numpy", class), Attrs::new(), args, &operands, size)
}

const ORDERS: &[&str] = &["Greater", "GreaterEqual", "Less", "LessEqual"];

/// A comparison of two tensors, and an op that reads its result.
pub(super) fn compare(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let x = d.any(step.reads[0])?;
    let y = d.same_type(step.reads[1], x)?;
    let none = Attrs::new;
    let both = || vec![Attr::Operand(0), Attr::Operand(1)];
    let mut truth = comparison(d, x, y, k)?;
    match k.below(5) {
        0 => {}
        1 => truth = d.op_of(("numpy", "LogicalNot"), none(), truth, 0.0)?,
        joined => {
            let other = comparison(d, y, x, k)?;
            let class = match joined {
                2 => "LogicalAnd",
                3 => "LogicalOr",
                _ => "LogicalXor",
            };
            truth = d.op(("numpy", class), none(), both(), &[truth, other], 0.0)?;
        }
    }
    let size = d.size(x).max(d.size(y));
    match k.below(5) {
        0 => {
            let args = vec![Attr::Operand(0), Attr::Operand(1), Attr::Operand(2)];
            d.op(("numpy", "Where"), none(), args, &[truth, x, y], size)
        }
        1 => {
            let args = vec![Attr::Operand(0), Attr::Operand(1), Attr::from(0.25)];
            d.op(("numpy", "Where"), none(), args, &[truth, x], size)
        }
        2 => d.op_of(("core", "Cast"), none().with("dtype", "float32"), truth, 0.0),
        3 => {
            let class = k.of(&["Any", "All"]);
            let config = Attrs::new().with("axis", axis_or_axes(d, x, k)).with("keepdims", k.flag());
            d.op_of(("numpy", class), config, truth, 0.0)
        }
        _ => Some(truth),
    }
}

/// Tests equality only of integers: other numbers differ by rounding.
fn comparison(d: &mut Draft, x: Tensor, y: Tensor, k: &mut Choice) -> Added {
    let numbers = |n: f64| vec![Attr::Operand(0), Attr::from(n)];
    match k.below(6) {
        0 => {
            let x = d.op_of(("numpy", "Sign"), Attrs::new(), x, 0.0)?;
            d.op(("numpy", k.of(&["Equal", "NotEqual"])), Attrs::new(), numbers(1.0), &[x], 0.0)
        }
        1 => d.op(("numpy", k.of(ORDERS)), Attrs::new(), numbers(0.25), &[x], 0.0),
        _ => d.op(("numpy", k.of(ORDERS)), Attrs::new(), vec![Attr::Operand(0), Attr::Operand(1)], &[x, y], 0.0),
    }
}

/// Integers, or floats made of integers, or one-hot vectors of integers.
pub(super) fn cast(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let integers = match d.integers(step.reads[0]).filter(|_| k.flag()) {
        Some(tokens) => tokens,
        None => {
            let x = d.any(step.reads[0])?;
            let x = d.apart(x)?;
            d.op_of(("core", "Cast"), Attrs::new().with("dtype", "int32"), x, d.size(x))?
        }
    };
    let size = d.size(integers);
    match k.below(4) {
        0 => d.op_of(("core", "Cast"), Attrs::new().with("dtype", "float32"), integers, size),
        1 => {
            let config =
                Attrs::new().with("num_classes", k.between(2, 5) as i64).with("axis", -1).with("sparse", false);
            d.op_of(("nn", "OneHot"), config.with("dtype", "float32"), integers, 0.0)
        }
        2 => {
            let args = vec![Attr::Operand(0), Attr::from(0.5)];
            d.op(("numpy", k.of(&["Multiply", "Add", "TrueDivide"])), Attrs::new(), args, &[integers], size + 1.0)
        }
        _ => Some(integers),
    }
}
