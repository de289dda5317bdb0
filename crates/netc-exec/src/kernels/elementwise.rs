//! Elementwise ops, with broadcasting.

use std::cmp::Ordering;

use netc_ir::{Binary, Compare, ElemType, Unary};

use super::epilogue::Real;
use super::matmul::zeroed;
use super::num::{Arith, for_arith};
use super::rows::{TASK, try_for_each_row};
use super::strided::Walk;
use crate::error::KernelError;
use crate::error::kernel::Result;
use crate::value::{Element, Value, allocate, for_word};

/// Computes a unary op.
pub(super) fn unary(f: Unary, x: &Value) -> Result<Value> {
    match x.elem() {
        ElemType::F32 => unary_float::<f32>(f, x),
        ElemType::F64 => unary_float::<f64>(f, x),
        ElemType::I64 => {
            let f = unary_integer(f)?;
            map(x, |x: i64| f(x))
        }
        ElemType::Bool if f == Unary::Not => map(x, |x: u8| 1 - x.min(1)),
        elem @ (ElemType::Bool
        | ElemType::U8
        | ElemType::U16
        | ElemType::U32
        | ElemType::U64
        | ElemType::I8
        | ElemType::I16
        | ElemType::I32
        | ElemType::F16
        | ElemType::BF16
        | ElemType::Str
        | ElemType::Any
        | ElemType::Narrow(_)) => Err(KernelError::Element { elem }),
    }
}

fn map<T: Element>(x: &Value, f: impl Fn(T) -> T) -> Result<Value> {
    let data = x.slice::<T>()?;
    let mut out: Vec<T> = allocate(data.len(), &x.ty())?;
    out.extend(data.iter().map(|x| f(*x)));
    Value::from_vec(x.elem(), x.dims(), out)
}

fn unary_float<T: Real>(f: Unary, x: &Value) -> Result<Value> {
    let data = x.slice::<T>()?;
    let mut out: Vec<T> = zeroed(data.len(), x)?;
    // Full tasks in parallel, then the remainder.
    let (rows, last) = out.split_at_mut(data.len() / TASK * TASK);
    try_for_each_row(rows, TASK, TASK, &|i, row| {
        row.copy_from_slice(&data[i * TASK..][..TASK]);
        T::unary(f, row)
    })?;
    last.copy_from_slice(&data[data.len() - last.len()..]);
    T::unary(f, last)?;
    Value::from_vec(x.elem(), x.dims(), out)
}

macro_rules! unary_in_place {
    ($name:ident, $t:ty, $elem:expr, $erf:path) => {
        /// Applies the function to each element in place.
        pub(super) fn $name(f: Unary, x: &mut [$t]) -> Result<()> {
            match f {
                Unary::Neg => each(x, |x| -x),
                Unary::Abs => each(x, <$t>::abs),
                // Zeros keep their sign, and a NaN stays one.
                Unary::Sign => each(x, |x| {
                    if x > 0.0 {
                        1.0
                    } else if x < 0.0 {
                        -1.0
                    } else {
                        x
                    }
                }),
                Unary::Floor => each(x, <$t>::floor),
                Unary::Ceil => each(x, <$t>::ceil),
                Unary::Round => each(x, <$t>::round_ties_even),
                Unary::Exp => each(x, <$t>::exp),
                Unary::Expm1 => each(x, <$t>::exp_m1),
                Unary::Log => each(x, <$t>::ln),
                Unary::Log1p => each(x, <$t>::ln_1p),
                Unary::Sqrt => each(x, <$t>::sqrt),
                Unary::Rsqrt => each(x, |x| 1.0 / x.sqrt()),
                Unary::Sin => each(x, <$t>::sin),
                Unary::Cos => each(x, <$t>::cos),
                Unary::Tanh => each(x, <$t>::tanh),
                // The exponent is at most 0, so `exp` does not overflow.
                Unary::Sigmoid => each(x, |x| {
                    let e = (-x.abs()).exp();
                    if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
                }),
                Unary::Erf => each(x, $erf),
                Unary::Relu => each(x, |x| x.larger(0.0)),
                Unary::Not => return Err(KernelError::Element { elem: $elem }),
            }
            Ok(())
        }
    };
}

unary_in_place!(unary_f32, f32, ElemType::F32, libm::erff);
unary_in_place!(unary_f64, f64, ElemType::F64, libm::erf);

fn each<T: Copy>(x: &mut [T], f: impl Fn(T) -> T) {
    x.iter_mut().for_each(|x| *x = f(*x));
}

fn unary_integer(f: Unary) -> Result<fn(i64) -> i64> {
    Ok(match f {
        Unary::Neg => i64::wrapping_neg,
        Unary::Abs => i64::wrapping_abs,
        Unary::Sign => i64::signum,
        Unary::Relu => |x| x.max(0),
        Unary::Floor
        | Unary::Ceil
        | Unary::Round
        | Unary::Exp
        | Unary::Expm1
        | Unary::Log
        | Unary::Log1p
        | Unary::Sqrt
        | Unary::Rsqrt
        | Unary::Sin
        | Unary::Cos
        | Unary::Tanh
        | Unary::Sigmoid
        | Unary::Erf
        | Unary::Not => return Err(KernelError::Element { elem: ElemType::I64 }),
    })
}

/// Computes a binary op. On booleans, `add` and `max` mean `or`, `mul` and `min` mean `and`. On integers, `and` and
/// `or` are bitwise.
pub(super) fn binary(f: Binary, a: &Value, b: &Value, dims: &[usize]) -> Result<Value> {
    match (a.elem(), f) {
        (ElemType::Bool, _) => binary_bool(f, a, b, dims),
        (_, Binary::And | Binary::Or) => binary_bits(f, a, b, dims),
        (elem, _) => for_arith!(elem, T => binary_arith::<T>(f, a, b, dims)),
    }
}

fn binary_arith<T: Arith>(f: Binary, a: &Value, b: &Value, dims: &[usize]) -> Result<Value> {
    match f {
        Binary::Add => zip(a, b, dims, a.elem(), T::plus),
        Binary::Sub => zip(a, b, dims, a.elem(), T::minus),
        Binary::Mul => zip(a, b, dims, a.elem(), T::times),
        Binary::Div => {
            T::check_divisors(b.slice::<T>()?)?;
            zip(a, b, dims, a.elem(), T::over)
        }
        Binary::Pow => {
            T::check_exponents(b.slice::<T>()?)?;
            zip(a, b, dims, a.elem(), T::power)
        }
        Binary::Max => zip(a, b, dims, a.elem(), T::larger),
        Binary::Min => zip(a, b, dims, a.elem(), T::smaller),
        Binary::And | Binary::Or => Err(KernelError::Element { elem: a.elem() }),
    }
}

fn binary_bool(f: Binary, a: &Value, b: &Value, dims: &[usize]) -> Result<Value> {
    match f {
        Binary::Add | Binary::Max | Binary::Or => zip(a, b, dims, ElemType::Bool, |a: u8, b: u8| a | b),
        Binary::Mul | Binary::Min | Binary::And => zip(a, b, dims, ElemType::Bool, |a: u8, b: u8| a & b),
        Binary::Sub | Binary::Div | Binary::Pow => Err(KernelError::Element { elem: ElemType::Bool }),
    }
}

fn binary_bits(f: Binary, a: &Value, b: &Value, dims: &[usize]) -> Result<Value> {
    let bits = if f == Binary::And { |a: i64, b: i64| a & b } else { |a: i64, b: i64| a | b };
    zip(a, b, dims, a.elem(), bits)
}

/// Computes a comparison. A NaN is unequal to everything; all ordered comparisons with it are false.
pub(super) fn compare(f: Compare, a: &Value, b: &Value, dims: &[usize]) -> Result<Value> {
    for_arith!(a.elem(), T => match f {
        Compare::Eq => zip(a, b, dims, ElemType::Bool, |a: T, b: T| u8::from(a.partial_cmp(&b) == Some(Ordering::Equal))),
        Compare::Ne => zip(a, b, dims, ElemType::Bool, |a: T, b: T| u8::from(a.partial_cmp(&b) != Some(Ordering::Equal))),
        Compare::Lt => zip(a, b, dims, ElemType::Bool, |a: T, b: T| u8::from(a < b)),
        Compare::Le => zip(a, b, dims, ElemType::Bool, |a: T, b: T| u8::from(a <= b)),
        Compare::Gt => zip(b, a, dims, ElemType::Bool, |b: T, a: T| u8::from(b < a)),
        Compare::Ge => zip(b, a, dims, ElemType::Bool, |b: T, a: T| u8::from(b <= a)),
    })
}

/// Applies `f` to the elements of `a` and `b`, broadcast to the shape `dims`.
fn zip<T: Element, U: Element>(
    a: &Value,
    b: &Value,
    dims: &[usize],
    elem: ElemType,
    f: impl Fn(T, T) -> U,
) -> Result<Value> {
    let (x, y) = (a.slice::<T>()?, b.slice::<T>()?);
    let mut out = allocate(dims.iter().product(), &a.ty())?;
    Walk::broadcast(dims, [a.dims(), b.dims()]).for_each_run(|[i, j], steps, n| {
        let (i, j) = (i as usize, j as usize);
        match steps {
            [1, 1] => out.extend(x[i..i + n].iter().zip(&y[j..j + n]).map(|(x, y)| f(*x, *y))),
            [1, _] => out.extend(x[i..i + n].iter().map(|x| f(*x, y[j]))),
            [_, 1] => out.extend(y[j..j + n].iter().map(|y| f(x[i], *y))),
            [_, _] => out.extend((0..n).map(|_| f(x[i], y[j]))),
        }
    });
    Value::from_vec(elem, dims, out)
}

/// Takes elements of `a` where the condition is true, and of `b` elsewhere.
pub(super) fn select([condition, a, b]: [&Value; 3], dims: &[usize]) -> Result<Value> {
    let mask = condition.slice::<u8>()?;
    for_word!(a.elem(), W => {
        let (x, y) = (a.words::<W>()?, b.words::<W>()?);
        let mut out: Vec<W> = allocate(dims.iter().product(), &a.ty())?;
        Walk::broadcast(dims, [condition.dims(), a.dims(), b.dims()]).for_each_run(|at, step, n| {
            let [c, i, j] = at.map(|at| at as usize);
            let [dc, di, dj] = step.map(|step| step as usize);
            out.extend((0..n).map(|k| if mask[c + dc * k] != 0 { x[i + di * k] } else { y[j + dj * k] }));
        });
        Value::from_words(a.elem(), dims, out)
    })
}
