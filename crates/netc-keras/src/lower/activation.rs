//! Activation functions: by name, as layers, and as operations.

pub(crate) mod softmax;

use netc_dialect::LowerError;
use netc_ir::{Attr, Compare, ElemType, SliceAxis, Unary, ValueId};

use crate::config::classes::is_keras;
use crate::config::keys::OLD_HARD_SIGMOID;
use crate::config::message::found;
use crate::lower::activation::softmax::{log_softmax, softmax, softmax_layer, sparsemax};
use crate::lower::call::{Call, normal_axes};
use crate::lower::entry::{Entry, one};
use crate::lower::result::Result;

pub(crate) const LAYERS: &[Entry] = &[
    one("Activation", |c| on_input(c, activate), "The activation function that the configuration names.").passes_mask(),
    one("ReLU", |c| on_input(c, relu_layer), "`max(x, 0)` with an optional slope, threshold and largest value.")
        .passes_mask(),
    one("LeakyReLU", |c| on_input(c, leaky_relu_layer), "`x` where it is not negative, else `negative_slope * x`.")
        .passes_mask(),
    one("PReLU", prelu, "`max(x, 0) - alpha * max(-x, 0)` with a trained `alpha`.").passes_mask(),
    one("ELU", |c| on_input(c, elu_layer), "`x` where it is positive, else `alpha * (e^x - 1)`.").passes_mask(),
    one("Softmax", softmax_layer, "`e^x`, divided by its sum over `axis`.").passes_mask_at(1),
];

pub(crate) const OPS: &[Entry] = &[
    one("Relu", |c| on_arg(c, relu), "`max(x, 0)`."),
    one("Relu6", |c| on_arg(c, relu6), "`min(max(x, 0), 6)`."),
    one(
        "LeakyRelu",
        |c| on_arg(c, |c, x| float_arg(c, x, "negative_slope", 0.2, leaky_relu)),
        "Like the layer `LeakyReLU`.",
    ),
    one("Elu", |c| on_arg(c, elu_layer), "Like the layer `ELU`."),
    one("Selu", |c| on_arg(c, selu), "The self-normalising `elu`."),
    one(
        "Celu",
        |c| on_arg(c, |c, x| float_arg(c, x, "alpha", 1.0, celu)),
        "`max(x, 0) + alpha * (e^(min(x, 0) / alpha) - 1)`.",
    ),
    one("Gelu", gelu_op, "`x` times the normal distribution function of `x`, exact or approximated by tanh."),
    one(
        "Glu",
        |c| on_arg(c, |c, x| axis_arg(c, x, glu)),
        "The first half along `axis` times the sigmoid of the second.",
    ),
    one("Sigmoid", |c| on_arg(c, sigmoid), "`1 / (1 + e^-x)`."),
    one("HardSigmoid", |c| on_arg(c, hard_sigmoid), "`relu6(x + 3) / 6`."),
    one("LogSigmoid", |c| on_arg(c, log_sigmoid), "The logarithm of the sigmoid."),
    one("SparseSigmoid", |c| on_arg(c, sparse_sigmoid), "`(x + 1) / 2` between 0 and 1."),
    one("Silu", |c| on_arg(c, silu), "`x * sigmoid(x)`."),
    one("HardSilu", |c| on_arg(c, hard_silu), "`x * hard_sigmoid(x)`."),
    one("HardTanh", |c| on_arg(c, hard_tanh), "`x` between -1 and 1."),
    one("TanhShrink", |c| on_arg(c, tanh_shrink), "`x - tanh(x)`."),
    one("Threshold", threshold_op, "`x` where it is above `threshold`, else `default_value`."),
    one(
        "HardShrink",
        |c| on_arg(c, |c, x| float_arg(c, x, "threshold", 0.5, hard_shrink)),
        "`x` where its magnitude is above the threshold, else 0.",
    ),
    one(
        "SoftShrink",
        |c| on_arg(c, |c, x| float_arg(c, x, "threshold", 0.5, soft_shrink)),
        "`x` moved towards 0 by the threshold.",
    ),
    one("Softplus", |c| on_arg(c, softplus), "`log(1 + e^x)`."),
    one("Softsign", |c| on_arg(c, softsign), "`x / (1 + |x|)`."),
    one("Squareplus", |c| on_arg(c, |c, x| float_arg(c, x, "b", 4.0, squareplus)), "`(x + sqrt(x^2 + b)) / 2`."),
    one("SparsePlus", |c| on_arg(c, sparse_plus), "0, `(x + 1)^2 / 4`, or `x`."),
    one("Softmax", |c| on_arg(c, |c, x| axes_arg(c, x, softmax)), "`e^x`, divided by its sum over `axis`."),
    one("LogSoftmax", |c| on_arg(c, |c, x| axes_arg(c, x, log_softmax)), "The logarithm of the softmax."),
    // The operations of `keras.activations`.
    one("ReLU", |c| on_arg(c, relu_layer), "Like the layer `ReLU`."),
    one("Mish", |c| on_arg(c, mish), "`x * tanh(softplus(x))`."),
    one("Sparsemax", |c| on_arg(c, |c, x| axis_arg(c, x, sparsemax)), "The projection onto the simplex along `axis`."),
];

type Function = fn(&mut Call<'_, '_>, ValueId) -> Result<ValueId>;

/// The functions of `keras.activations` with their default arguments, under all their names.
pub(crate) const FUNCTIONS: &[(&str, Function)] = &[
    ("celu", |c, x| celu(c, x, 1.0)),
    ("elu", |c, x| elu(c, x, 1.0)),
    ("exponential", |c, x| c.unary(Unary::Exp, x)),
    ("gelu", |c, x| gelu(c, x, false)),
    ("glu", |c, x| last_axis(c, x, glu)),
    ("hard_shrink", |c, x| hard_shrink(c, x, 0.5)),
    ("hard_sigmoid", hard_sigmoid),
    ("hard_silu", hard_silu),
    ("hard_swish", hard_silu),
    ("hard_tanh", hard_tanh),
    ("leaky_relu", |c, x| leaky_relu(c, x, 0.2)),
    ("linear", |_, x| Ok(x)),
    ("log_sigmoid", log_sigmoid),
    ("log_softmax", |c, x| last_axis(c, x, |c, x, axis| log_softmax(c, x, &[axis as u64]))),
    ("mish", mish),
    ("relu", relu),
    ("relu6", relu6),
    ("selu", selu),
    ("sigmoid", sigmoid),
    ("silu", silu),
    ("soft_shrink", |c, x| soft_shrink(c, x, 0.5)),
    ("softmax", |c, x| last_axis(c, x, |c, x, axis| softmax(c, x, &[axis as u64]))),
    ("softplus", softplus),
    ("softsign", softsign),
    ("sparse_plus", sparse_plus),
    ("sparse_sigmoid", sparse_sigmoid),
    ("sparsemax", |c, x| last_axis(c, x, sparsemax)),
    ("squareplus", |c, x| squareplus(c, x, 4.0)),
    ("swish", silu),
    ("tanh", |c, x| c.unary(Unary::Tanh, x)),
    ("tanh_shrink", tanh_shrink),
];

/// Layers without weights, which Keras accepts in place of a function.
const FUNCTION_LAYERS: &[(&str, Function)] = &[
    ("Activation", activate),
    ("ELU", elu_layer),
    ("LeakyReLU", leaky_relu_layer),
    ("ReLU", relu_layer),
    ("Softmax", |c, x| axes_arg(c, x, softmax)),
];

/// Applies the configured activation to `x`.
pub(crate) fn activate(c: &mut Call<'_, '_>, x: ValueId) -> Result<ValueId> {
    activate_at(c, "activation", x)
}

/// Applies the activation at `key` of the configuration to `x`; none if the key is missing.
pub(crate) fn activate_at(c: &mut Call<'_, '_>, key: &str, x: ValueId) -> Result<ValueId> {
    match c.get(key) {
        None => Ok(x),
        Some(Attr::Str(name)) => by_name(c, x, name),
        Some(spec @ Attr::Map(_)) => by_object(c, x, spec),
        Some(
            Attr::Null
            | Attr::Bool(_)
            | Attr::Int(_)
            | Attr::Float(_)
            | Attr::List(_)
            | Attr::Operand(_)
            | Attr::NonJson(_),
        ) => Err(c.bad(key, "the name of a function, or an object")),
    }
}

fn by_name(c: &mut Call<'_, '_>, x: ValueId, name: &str) -> Result<ValueId> {
    match FUNCTIONS.iter().find(|(n, _)| *n == name) {
        None if name == OLD_HARD_SIGMOID => old_hard_sigmoid(c, x),
        Some((_, f)) => f(c, x),
        None => Err(c.unsupported(format!("the activation \"{name}\""))),
    }
}

/// Applies a function or a layer that the configuration declares as an object.
fn by_object<'a>(c: &mut Call<'a, '_>, x: ValueId, spec: &'a Attr) -> Result<ValueId> {
    let text = |key| spec.get(key).and_then(Attr::as_str);
    let own = |module: &str| module == "builtins" || is_keras(module);
    let unknown = c.unsupported(format!("{} as its activation", found(Some(spec))));
    let (Some(class), Some(config)) = (text("class_name"), spec.get("config")) else { return Err(unknown) };
    if !text("module").is_some_and(own) {
        return Err(unknown);
    }
    if let ("function", Some(name)) = (class, config.as_str()) {
        return by_name(c, x, name);
    }
    match FUNCTION_LAYERS.iter().find(|(n, _)| *n == class) {
        Some((_, f)) => c.with_config(config, |c| f(c, x)),
        None => Err(unknown),
    }
}

fn on_input(c: &mut Call<'_, '_>, f: Function) -> Result<ValueId> {
    let x = c.input()?;
    f(c, x)
}

fn on_arg(c: &mut Call<'_, '_>, f: Function) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    f(c, x)
}

fn float_arg(
    c: &mut Call<'_, '_>,
    x: ValueId,
    key: &str,
    default: f64,
    f: fn(&mut Call<'_, '_>, ValueId, f64) -> Result<ValueId>,
) -> Result<ValueId> {
    let value = c.float_or(key, default)?;
    f(c, x, value)
}

fn axis_arg(
    c: &mut Call<'_, '_>,
    x: ValueId,
    f: fn(&mut Call<'_, '_>, ValueId, usize) -> Result<ValueId>,
) -> Result<ValueId> {
    let axis = c.axis("axis", c.rank(x)?, -1)?;
    f(c, x, axis)
}

pub(crate) fn axes_arg(
    c: &mut Call<'_, '_>,
    x: ValueId,
    f: fn(&mut Call<'_, '_>, ValueId, &[u64]) -> Result<ValueId>,
) -> Result<ValueId> {
    let axes = softmax_axes(c, x)?;
    f(c, x, &axes)
}

fn softmax_axes(c: &Call<'_, '_>, x: ValueId) -> Result<Vec<u64>> {
    let rank = c.rank(x)?;
    let axes = match c.axes("axis", rank)? {
        Some(axes) => Some(axes),
        None => normal_axes(&Attr::Int(-1), rank),
    };
    axes.filter(|a| !a.is_empty()).ok_or_else(|| c.bad("axis", "axes of the tensor"))
}

fn last_axis(
    c: &mut Call<'_, '_>,
    x: ValueId,
    f: fn(&mut Call<'_, '_>, ValueId, usize) -> Result<ValueId>,
) -> Result<ValueId> {
    match c.rank(x)?.checked_sub(1) {
        Some(axis) => f(c, x, axis),
        None => {
            Err(LowerError::Operands(format!("`{}` needs a tensor with at least one axis, found a scalar", c.class())))
        }
    }
}

/// Rejects integers and booleans: these functions convert them to floats at different places.
pub(crate) fn only_floats(c: &Call<'_, '_>, x: ValueId) -> Result<()> {
    let elem = c.elem(x);
    if elem.is_int() || elem == ElemType::Bool {
        Err(c.unsupported(format!("elements of type {elem}")))
    } else {
        Ok(())
    }
}

fn relu(c: &mut Call<'_, '_>, x: ValueId) -> Result<ValueId> {
    c.unary(Unary::Relu, x)
}

fn relu6(c: &mut Call<'_, '_>, x: ValueId) -> Result<ValueId> {
    only_floats(c, x)?;
    let y = relu(c, x)?;
    c.min(y, 6.0)
}

/// Keras computes the negative part separately and subtracts it from the clipped positive part.
fn relu_layer(c: &mut Call<'_, '_>, x: ValueId) -> Result<ValueId> {
    let slope = c.float_or("negative_slope", 0.0)?;
    let threshold = c.float_or("threshold", 0.0)?;
    let largest = if c.has("max_value") { Some(c.float("max_value")?) } else { None };
    if slope != 0.0 && largest.is_none() && threshold == 0.0 {
        return leaky_relu(c, x, slope);
    }
    let mut y = if threshold == 0.0 {
        relu(c, x)?
    } else {
        let above = c.compare(Compare::Gt, x, threshold)?;
        c.select(above, x, 0.0)?
    };
    if threshold < 0.0 && largest.is_some() {
        y = c.max(y, 0.0)?;
    }
    if let Some(largest) = largest {
        y = c.min(y, largest)?;
    }
    if slope == 0.0 {
        return Ok(y);
    }
    let mut negative = c.unary(Unary::Neg, x)?;
    if threshold != 0.0 {
        negative = c.add(negative, threshold)?;
    }
    let negative = relu(c, negative)?;
    let negative = c.mul(slope, negative)?;
    c.sub(y, negative)
}

fn leaky_relu_layer(c: &mut Call<'_, '_>, x: ValueId) -> Result<ValueId> {
    // Keras 2 wrote `alpha`.
    let key = if c.has("alpha") { "alpha" } else { "negative_slope" };
    float_arg(c, x, key, 0.3, leaky_relu)
}

fn leaky_relu(c: &mut Call<'_, '_>, x: ValueId, slope: f64) -> Result<ValueId> {
    let positive = c.compare(Compare::Ge, x, 0.0)?;
    let scaled = c.mul(slope, x)?;
    c.select(positive, x, scaled)
}

fn prelu(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.input()?;
    let alpha = c.weight("vars/0", "the slope `alpha`")?;
    let positive = relu(c, x)?;
    let minus_x = c.unary(Unary::Neg, x)?;
    let negative = relu(c, minus_x)?;
    let minus_alpha = c.unary(Unary::Neg, alpha)?;
    let negative = c.mul(minus_alpha, negative)?;
    c.add(positive, negative)
}

fn elu_layer(c: &mut Call<'_, '_>, x: ValueId) -> Result<ValueId> {
    float_arg(c, x, "alpha", 1.0, elu)
}

fn elu(c: &mut Call<'_, '_>, x: ValueId, alpha: f64) -> Result<ValueId> {
    let positive = c.compare(Compare::Gt, x, 0.0)?;
    let safe = c.select(positive, 0.0, x)?;
    let y = c.unary(Unary::Expm1, safe)?;
    let y = c.mul(alpha, y)?;
    c.select(positive, x, y)
}

fn selu(c: &mut Call<'_, '_>, x: ValueId) -> Result<ValueId> {
    let y = elu(c, x, 1.673_263_242_354_377_2)?;
    c.mul(1.050_700_987_355_480_5, y)
}

fn celu(c: &mut Call<'_, '_>, x: ValueId, alpha: f64) -> Result<ValueId> {
    let positive = c.max(x, 0.0)?;
    let negative = c.min(x, 0.0)?;
    let negative = c.div(negative, alpha)?;
    let negative = c.unary(Unary::Expm1, negative)?;
    let negative = c.mul(alpha, negative)?;
    c.add(positive, negative)
}

fn gelu_op(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    let x = c.inexact(x)?;
    let approximate = c.flag("approximate", true)?;
    gelu(c, x, approximate)
}

fn gelu(c: &mut Call<'_, '_>, x: ValueId, approximate: bool) -> Result<ValueId> {
    if approximate {
        let square = c.square(x)?;
        let cube = c.mul(square, x)?;
        let cube = c.mul(0.044715, cube)?;
        let sum = c.add(x, cube)?;
        let scaled = c.mul((2.0 / std::f64::consts::PI).sqrt(), sum)?;
        let tanh = c.unary(Unary::Tanh, scaled)?;
        let shifted = c.add(1.0, tanh)?;
        let cdf = c.mul(0.5, shifted)?;
        return c.mul(x, cdf);
    }
    let scaled = c.mul(x, std::f64::consts::FRAC_1_SQRT_2)?;
    let erf = c.unary(Unary::Erf, scaled)?;
    let cdf = c.add(1.0, erf)?;
    let half = c.mul(0.5, x)?;
    c.mul(half, cdf)
}

fn glu(c: &mut Call<'_, '_>, x: ValueId, axis: usize) -> Result<ValueId> {
    let n = c.extent(x, axis)?;
    if n % 2 != 0 {
        return Err(LowerError::Operands(format!("`glu` needs an even extent of axis {axis}, found {}", c.ty(x))));
    }
    let a = c.slice(x, axis, SliceAxis { start: 0, end: Some(n / 2), step: 1 })?;
    let b = c.slice(x, axis, SliceAxis { start: n / 2, end: None, step: 1 })?;
    let gate = sigmoid(c, b)?;
    c.mul(a, gate)
}

pub(crate) fn sigmoid(c: &mut Call<'_, '_>, x: ValueId) -> Result<ValueId> {
    let x = c.inexact(x)?;
    c.unary(Unary::Sigmoid, x)
}

fn hard_sigmoid(c: &mut Call<'_, '_>, x: ValueId) -> Result<ValueId> {
    only_floats(c, x)?;
    let shifted = c.add(x, 3.0)?;
    let y = relu6(c, shifted)?;
    c.div(y, 6.0)
}

/// `clip(0.2 * x + 0.5, 0, 1)`.
fn old_hard_sigmoid(c: &mut Call<'_, '_>, x: ValueId) -> Result<ValueId> {
    only_floats(c, x)?;
    let scaled = c.mul(x, 0.2)?;
    let shifted = c.add(scaled, 0.5)?;
    let y = c.max(shifted, 0.0)?;
    c.min(y, 1.0)
}

fn log_sigmoid(c: &mut Call<'_, '_>, x: ValueId) -> Result<ValueId> {
    let minus = c.unary(Unary::Neg, x)?;
    let y = softplus(c, minus)?;
    c.unary(Unary::Neg, y)
}

fn sparse_sigmoid(c: &mut Call<'_, '_>, x: ValueId) -> Result<ValueId> {
    let y = c.add(x, 1.0)?;
    let y = c.max(y, 0.0)?;
    let y = c.min(y, 2.0)?;
    c.mul(0.5, y)
}

fn silu(c: &mut Call<'_, '_>, x: ValueId) -> Result<ValueId> {
    let gate = sigmoid(c, x)?;
    c.mul(x, gate)
}

fn hard_silu(c: &mut Call<'_, '_>, x: ValueId) -> Result<ValueId> {
    let gate = hard_sigmoid(c, x)?;
    c.mul(x, gate)
}

fn hard_tanh(c: &mut Call<'_, '_>, x: ValueId) -> Result<ValueId> {
    only_floats(c, x)?;
    let y = c.max(x, -1.0)?;
    c.min(y, 1.0)
}

fn tanh_shrink(c: &mut Call<'_, '_>, x: ValueId) -> Result<ValueId> {
    let y = c.unary(Unary::Tanh, x)?;
    c.sub(x, y)
}

fn threshold_op(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    let above = c.float("threshold")?;
    let other = c.float("default_value")?;
    let above = c.compare(Compare::Gt, x, above)?;
    c.select(above, x, other)
}

fn hard_shrink(c: &mut Call<'_, '_>, x: ValueId, threshold: f64) -> Result<ValueId> {
    let magnitude = c.unary(Unary::Abs, x)?;
    let above = c.compare(Compare::Gt, magnitude, threshold)?;
    c.select(above, x, 0.0)
}

fn soft_shrink(c: &mut Call<'_, '_>, x: ValueId, threshold: f64) -> Result<ValueId> {
    let above = c.compare(Compare::Gt, x, threshold)?;
    let below = c.compare(Compare::Lt, x, -threshold)?;
    let down = c.sub(x, threshold)?;
    let up = c.add(x, threshold)?;
    let rest = c.select(below, up, 0.0)?;
    c.select(above, down, rest)
}

/// `max(x, 0) + log1p(e^-|x|)`, which does not overflow.
fn softplus(c: &mut Call<'_, '_>, x: ValueId) -> Result<ValueId> {
    let positive = c.max(x, 0.0)?;
    let magnitude = c.unary(Unary::Abs, x)?;
    let minus = c.unary(Unary::Neg, magnitude)?;
    let exp = c.unary(Unary::Exp, minus)?;
    let log = c.unary(Unary::Log1p, exp)?;
    c.add(positive, log)
}

fn mish(c: &mut Call<'_, '_>, x: ValueId) -> Result<ValueId> {
    let y = softplus(c, x)?;
    let gate = c.unary(Unary::Tanh, y)?;
    c.mul(x, gate)
}

fn softsign(c: &mut Call<'_, '_>, x: ValueId) -> Result<ValueId> {
    only_floats(c, x)?;
    let magnitude = c.unary(Unary::Abs, x)?;
    let below = c.add(magnitude, 1.0)?;
    c.div(x, below)
}

fn squareplus(c: &mut Call<'_, '_>, x: ValueId, b: f64) -> Result<ValueId> {
    let square = c.square(x)?;
    let sum = c.add(square, b)?;
    let root = c.unary(Unary::Sqrt, sum)?;
    let y = c.add(x, root)?;
    c.div(y, 2.0)
}

fn sparse_plus(c: &mut Call<'_, '_>, x: ValueId) -> Result<ValueId> {
    only_floats(c, x)?;
    let low = c.compare(Compare::Le, x, -1.0)?;
    let high = c.compare(Compare::Ge, x, 1.0)?;
    let shifted = c.add(x, 1.0)?;
    let square = c.square(shifted)?;
    let middle = c.div(square, 4.0)?;
    let upper = c.select(high, x, middle)?;
    c.select(low, 0.0, upper)
}
