//! Elementwise operations.

use netc_ir::{Binary, Compare, ElemType, Unary, ValueId};

use crate::lower::call::Call;
use crate::lower::call::promote::{Arg, Kind, dtype};
use crate::lower::entry::{Entry, one};
use crate::lower::ops::places::{is_finite, is_infinite};
use crate::lower::result::{self, Result};

pub(crate) const OPS: &[Entry] = &[
    one("Add", |c| binary(c, Binary::Add), "`x1 + x2`."),
    one("Subtract", |c| binary(c, Binary::Sub), "`x1 - x2`."),
    one("Multiply", |c| binary(c, Binary::Mul), "`x1 * x2`."),
    one("Divide", divide, "`x1 / x2`."),
    one("TrueDivide", divide, "`x1 / x2`."),
    one("DivideNoNan", divide_no_nan, "`x1 / x2`, and 0 where `x2` is 0."),
    one("Power", |c| binary(c, Binary::Pow), "`x1` to the power `x2`."),
    one("Maximum", |c| binary(c, Binary::Max), "The larger of `x1` and `x2`."),
    one("Minimum", |c| binary(c, Binary::Min), "The smaller of `x1` and `x2`."),
    one("Equal", |c| compare(c, Compare::Eq), "Whether `x1 = x2`."),
    one("NotEqual", |c| compare(c, Compare::Ne), "Whether `x1` and `x2` differ."),
    one("Less", |c| compare(c, Compare::Lt), "Whether `x1 < x2`."),
    one("LessEqual", |c| compare(c, Compare::Le), "Whether `x1 <= x2`."),
    one("Greater", |c| compare(c, Compare::Gt), "Whether `x1 > x2`."),
    one("GreaterEqual", |c| compare(c, Compare::Ge), "Whether `x1 >= x2`."),
    one("LogicalAnd", |c| logical(c, Binary::And), "Whether both are true."),
    one("LogicalOr", |c| logical(c, Binary::Or), "Whether either is true."),
    one("LogicalXor", logical_xor, "Whether exactly one is true."),
    one("LogicalNot", logical_not, "Whether `x` is false."),
    one("Where", select, "`x1` where `condition`, else `x2`."),
    one("Clip", clip, "`x` between `x_min` and `x_max`."),
    one("Cast", cast, "`x` converted to another type."),
    one("Negative", |c| same(c, Unary::Neg), "`-x`."),
    one("Absolute", absolute, "The magnitude."),
    one("Abs", absolute, "The magnitude."),
    one("Sign", |c| same(c, Unary::Sign), "-1, 0 or 1."),
    one(
        "Square",
        |c| {
            let x = c.tensor(0, "x")?;
            let x = if c.elem(x) == ElemType::Bool { c.b.cast(x, ElemType::I32)? } else { x };
            c.square(x)
        },
        "`x * x`.",
    ),
    one("Reciprocal", reciprocal, "`1 / x`."),
    one("Exp", |c| float(c, Unary::Exp), "`e^x`."),
    one("Exp2", exp2, "`2^x`."),
    one("Expm1", |c| float(c, Unary::Expm1), "`e^x - 1`."),
    one("Log", |c| float(c, Unary::Log), "The natural logarithm."),
    one("Log1p", |c| float(c, Unary::Log1p), "`log(1 + x)`."),
    one("Log2", |c| log_base(c, std::f64::consts::LN_2), "The logarithm to base 2."),
    one("Log10", |c| log_base(c, std::f64::consts::LN_10), "The logarithm to base 10."),
    one("Sqrt", |c| float(c, Unary::Sqrt), "The square root."),
    one("Rsqrt", |c| float(c, Unary::Rsqrt), "`1 / sqrt(x)`."),
    one("Sin", |c| float(c, Unary::Sin), "The sine."),
    one("Cos", |c| float(c, Unary::Cos), "The cosine."),
    one("Tan", tan, "The tangent."),
    one("Tanh", |c| float(c, Unary::Tanh), "The hyperbolic tangent."),
    one("Erf", |c| float(c, Unary::Erf), "The Gauss error function."),
    one("Floor", |c| float(c, Unary::Floor), "The largest integer not above `x`."),
    one("Ceil", |c| float(c, Unary::Ceil), "The smallest integer not below `x`."),
    one("Trunc", trunc, "`x` without its fractional part."),
    one("Round", round, "The nearest integer, ties to even."),
    one("Isnan", is_nan, "Whether `x` is NaN."),
    one("Isfinite", |c| float_arg(c).and_then(|x| is_finite(c, x)), "Whether `x` is finite."),
    one("Isinf", |c| float_arg(c).and_then(|x| is_infinite(c, x)), "Whether `x` is infinite."),
    one("ZerosLike", |c| filled(c, 0.0), "Zeros of the shape of `x`."),
    one("OnesLike", |c| filled(c, 1.0), "Ones of the shape of `x`."),
];

fn pair(c: &mut Call<'_, '_>, more: &[Kind]) -> result::Result<(ValueId, ValueId)> {
    let (a, b) = (c.value(0, "x1")?, c.value(1, "x2")?);
    c.promote2(a, b, more)
}

fn binary(c: &mut Call<'_, '_>, f: Binary) -> Result<ValueId> {
    let (a, b) = pair(c, &[])?;
    if c.elem(a) == ElemType::Bool {
        return Err(c.unsupported("operands of type bool"));
    }
    Ok(c.b.binary(f, a, b)?)
}

fn divide(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let (a, b) = pair(c, &[Kind::WeakFloat])?;
    c.div(a, b)
}

fn divide_no_nan(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let (a, b) = pair(c, &[Kind::WeakFloat])?;
    let zero = c.compare(Compare::Eq, b, 0.0)?;
    let safe = c.select(zero, 1.0, b)?;
    let quotient = c.div(a, safe)?;
    c.select(zero, 0.0, quotient)
}

fn compare(c: &mut Call<'_, '_>, f: Compare) -> Result<ValueId> {
    let (a, b) = pair(c, &[])?;
    Ok(c.b.compare(f, a, b)?)
}

fn logical(c: &mut Call<'_, '_>, f: Binary) -> Result<ValueId> {
    let (a, b) = (c.tensor(0, "x1")?, c.tensor(1, "x2")?);
    let (a, b) = (c.truth(a)?, c.truth(b)?);
    Ok(c.b.binary(f, a, b)?)
}

fn logical_xor(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let (a, b) = (c.tensor(0, "x1")?, c.tensor(1, "x2")?);
    let (a, b) = (c.truth(a)?, c.truth(b)?);
    let either = c.b.binary(Binary::Or, a, b)?;
    let both = c.b.binary(Binary::And, a, b)?;
    let not_both = c.unary(Unary::Not, both)?;
    Ok(c.b.binary(Binary::And, either, not_both)?)
}

fn logical_not(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    let x = c.truth(x)?;
    c.unary(Unary::Not, x)
}

fn select(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let condition = c.tensor(0, "condition")?;
    let condition = c.truth(condition)?;
    let (a, b) = (c.value(1, "x1")?, c.value(2, "x2")?);
    let (a, b) = c.promote2(a, b, &[])?;
    c.select(condition, a, b)
}

/// A missing bound has no effect.
fn clip(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let mut x = c.tensor(0, "x")?;
    if c.elem(x) == ElemType::Bool {
        x = c.b.cast(x, ElemType::I32)?;
    }
    for (key, f) in [("x_min", Binary::Max), ("x_max", Binary::Min)] {
        if let Some(bound) = c.get(key) {
            let bound = c.arg_value(key, Some(bound))?;
            let (a, b) = c.promote2(Arg::Tensor(x), bound, &[])?;
            x = c.b.binary(f, a, b)?;
        }
    }
    Ok(x)
}

fn cast(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    let elem = dtype(c.text("dtype")?).ok_or_else(|| c.unsupported_key("dtype"))?;
    if elem == ElemType::Bool { c.truth(x) } else { Ok(c.b.cast(x, elem)?) }
}

/// `f` in the type of `x`.
fn same(c: &mut Call<'_, '_>, f: Unary) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    c.unary(f, x)
}

/// `f` in the type of `x`, or in `f32` if `x` is not a float.
fn float(c: &mut Call<'_, '_>, f: Unary) -> Result<ValueId> {
    let x = float_arg(c)?;
    c.unary(f, x)
}

fn float_arg(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    c.inexact(x)
}

fn absolute(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    let unsigned = c.elem(x) == ElemType::Bool || c.elem(x).is_int() && !c.elem(x).is_signed_int();
    if unsigned { Ok(x) } else { c.unary(Unary::Abs, x) }
}

fn reciprocal(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = float_arg(c)?;
    c.div(1.0, x)
}

fn exp2(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = float_arg(c)?;
    c.pow(2.0, x)
}

fn log_base(c: &mut Call<'_, '_>, log_of_base: f64) -> Result<ValueId> {
    let y = float(c, Unary::Log)?;
    c.div(y, log_of_base)
}

fn tan(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = float_arg(c)?;
    let sin = c.unary(Unary::Sin, x)?;
    let cos = c.unary(Unary::Cos, x)?;
    c.div(sin, cos)
}

fn trunc(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    if !c.elem(x).is_float() {
        return Ok(x);
    }
    let negative = c.compare(Compare::Lt, x, 0.0)?;
    let (up, down) = (c.unary(Unary::Ceil, x)?, c.unary(Unary::Floor, x)?);
    c.select(negative, up, down)
}

fn round(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    match c.int_or("decimals", 0)? {
        0 if c.elem(x).is_float() => c.unary(Unary::Round, x),
        0 => Ok(x),
        _ => Err(c.unsupported_key("decimals")),
    }
}

fn is_nan(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = float_arg(c)?;
    c.compare(Compare::Ne, x, x)
}

fn filled(c: &mut Call<'_, '_>, value: f64) -> Result<ValueId> {
    let x = c.tensor(0, "x")?;
    let elem = match c.get("dtype") {
        None => c.elem(x),
        Some(_) => dtype(c.text("dtype")?).ok_or_else(|| c.unsupported_key("dtype"))?,
    };
    let scalar = c.convert(Arg::Float(value), elem)?;
    let dims = c.dims(x)?;
    Ok(c.b.broadcast(scalar, dims)?)
}
