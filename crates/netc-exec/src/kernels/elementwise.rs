//! Ops that treat each element alone, with broadcasting.

use std::cmp::Ordering;

use candle_core::cpu::erf::{erf_f32, erf_f64};
use netc_ir::{Binary, Compare, ElemType, Unary};
use rayon::prelude::*;

use super::Made;
use super::num::{Arith, for_arith};
use super::rows::TASK;
use super::strided::Walk;
use crate::error::KernelError;
use crate::value::{Element, Value, allocate, for_element};

/// A function of one tensor.
pub(super) fn unary(f: Unary, x: &Value) -> Made<Value> {
    let elem = x.elem();
    match elem {
        ElemType::F32 => unary_f32(f, Whole(x))?,
        ElemType::F64 => unary_f64(f, Whole(x))?,
        ElemType::I64 => map(x, unary_signed::<i64>(f, elem)?),
        ElemType::I32 => map(x, unary_signed::<i32>(f, elem)?),
        ElemType::I16 => map(x, unary_signed::<i16>(f, elem)?),
        ElemType::Bool if f == Unary::Not => map(x, |x: u8| 1 - x.min(1)),
        ElemType::Bool
        | ElemType::U8
        | ElemType::U16
        | ElemType::U32
        | ElemType::U64
        | ElemType::I8
        | ElemType::F16
        | ElemType::BF16
        | ElemType::Str
        | ElemType::Any => Err(KernelError::Element { elem }),
    }
}

fn map<T: Element>(x: &Value, f: impl Fn(T) -> T + Sync) -> Made<Value> {
    let data = x.slice::<T>()?;
    let mut out = allocate(data.len(), &x.ty())?;
    data.par_iter().with_min_len(TASK).map(|x| f(*x)).collect_into_vec(&mut out);
    Value::from_vec(x.elem(), x.dims(), out)
}

/// What applies a function to elements. Each function is a type of its own, so that loops are compiled with it inside.
pub(super) trait Mapper<T> {
    type Out;
    fn map(self, f: impl Fn(T) -> T + Sync) -> Self::Out;
}

struct Whole<'v>(&'v Value);

impl<T: Element> Mapper<T> for Whole<'_> {
    type Out = Made<Value>;
    fn map(self, f: impl Fn(T) -> T + Sync) -> Made<Value> {
        map(self.0, f)
    }
}

macro_rules! unary_float {
    ($name:ident, $t:ty, $elem:expr, $erf:path) => {
        /// What `mapper` makes of elements and the function.
        pub(super) fn $name<M: Mapper<$t>>(f: Unary, mapper: M) -> Made<M::Out> {
            Ok(match f {
                Unary::Neg => mapper.map(|x| -x),
                Unary::Abs => mapper.map(<$t>::abs),
                // Zeros keep their sign, and a NaN stays one.
                Unary::Sign => mapper.map(|x| {
                    if x > 0.0 {
                        1.0
                    } else if x < 0.0 {
                        -1.0
                    } else {
                        x
                    }
                }),
                Unary::Floor => mapper.map(<$t>::floor),
                Unary::Ceil => mapper.map(<$t>::ceil),
                Unary::Round => mapper.map(<$t>::round_ties_even),
                Unary::Exp => mapper.map(<$t>::exp),
                Unary::Expm1 => mapper.map(<$t>::exp_m1),
                Unary::Log => mapper.map(<$t>::ln),
                Unary::Log1p => mapper.map(<$t>::ln_1p),
                Unary::Sqrt => mapper.map(<$t>::sqrt),
                Unary::Rsqrt => mapper.map(|x| 1.0 / x.sqrt()),
                Unary::Sin => mapper.map(<$t>::sin),
                Unary::Cos => mapper.map(<$t>::cos),
                Unary::Tanh => mapper.map(<$t>::tanh),
                // The exponential is of a number of at most 0, so it does not overflow.
                Unary::Sigmoid => mapper.map(|x| {
                    let e = (-x.abs()).exp();
                    if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
                }),
                Unary::Erf => mapper.map($erf),
                Unary::Relu => mapper.map(|x| x.larger(0.0)),
                Unary::Not => return Err(KernelError::Element { elem: $elem }),
            })
        }
    };
}

unary_float!(unary_f32, f32, ElemType::F32, erf_f32);
unary_float!(unary_f64, f64, ElemType::F64, erf_f64);

fn unary_signed<T: Arith>(f: Unary, elem: ElemType) -> Made<fn(T) -> T> {
    Ok(match f {
        Unary::Neg => |x| T::default().minus(x),
        Unary::Abs => |x| if x < T::default() { T::default().minus(x) } else { x },
        Unary::Sign => |x| {
            let one = T::from_acc(T::ONE);
            if x > T::default() {
                one
            } else if x < T::default() {
                T::default().minus(one)
            } else {
                x
            }
        },
        Unary::Relu => |x| x.larger(T::default()),
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
        | Unary::Not => return Err(KernelError::Element { elem }),
    })
}

/// A function of two tensors. On truth values, `add` and `max` are `or`, `mul` and `min` are `and`; on integers,
/// `and` and `or` are bitwise.
pub(super) fn binary(f: Binary, a: &Value, b: &Value, dims: &[usize]) -> Made<Value> {
    match (a.elem(), f) {
        (ElemType::Bool, _) => binary_bool(f, a, b, dims),
        (_, Binary::And | Binary::Or) => binary_bits(f, a, b, dims),
        (elem, _) => for_arith!(elem, T => binary_arith::<T>(f, a, b, dims)),
    }
}

fn binary_arith<T: Arith>(f: Binary, a: &Value, b: &Value, dims: &[usize]) -> Made<Value> {
    match f {
        Binary::Add => zip(a, b, dims, a.elem(), T::plus),
        Binary::Sub => zip(a, b, dims, a.elem(), T::minus),
        Binary::Mul => zip(a, b, dims, a.elem(), T::times),
        Binary::Div => {
            T::check_divisors(&b.slice::<T>()?)?;
            zip(a, b, dims, a.elem(), T::over)
        }
        Binary::Pow => {
            T::check_exponents(&b.slice::<T>()?)?;
            zip(a, b, dims, a.elem(), T::power)
        }
        Binary::Max => zip(a, b, dims, a.elem(), T::larger),
        Binary::Min => zip(a, b, dims, a.elem(), T::smaller),
        Binary::And | Binary::Or => Err(KernelError::Element { elem: a.elem() }),
    }
}

fn binary_bool(f: Binary, a: &Value, b: &Value, dims: &[usize]) -> Made<Value> {
    match f {
        Binary::Add | Binary::Max | Binary::Or => zip(a, b, dims, ElemType::Bool, |a: u8, b: u8| a | b),
        Binary::Mul | Binary::Min | Binary::And => zip(a, b, dims, ElemType::Bool, |a: u8, b: u8| a & b),
        Binary::Sub | Binary::Div | Binary::Pow => Err(KernelError::Element { elem: ElemType::Bool }),
    }
}

fn binary_bits(f: Binary, a: &Value, b: &Value, dims: &[usize]) -> Made<Value> {
    macro_rules! bits {
        ($t:ty) => {
            zip(a, b, dims, a.elem(), if f == Binary::And { |a: $t, b: $t| a & b } else { |a: $t, b: $t| a | b })
        };
    }
    match a.elem() {
        ElemType::I64 => bits!(i64),
        ElemType::I32 => bits!(i32),
        ElemType::I16 => bits!(i16),
        ElemType::U32 => bits!(u32),
        ElemType::U8 => bits!(u8),
        elem @ (ElemType::Bool
        | ElemType::U16
        | ElemType::U64
        | ElemType::I8
        | ElemType::F16
        | ElemType::BF16
        | ElemType::F32
        | ElemType::F64
        | ElemType::Str
        | ElemType::Any) => Err(KernelError::Element { elem }),
    }
}

/// A comparison; a NaN is unequal to everything and in no order.
pub(super) fn compare(f: Compare, a: &Value, b: &Value, dims: &[usize]) -> Made<Value> {
    for_element!(a.elem(), T => match f {
        Compare::Eq => zip(a, b, dims, ElemType::Bool, |a: T, b: T| u8::from(a.partial_cmp(&b) == Some(Ordering::Equal))),
        Compare::Ne => zip(a, b, dims, ElemType::Bool, |a: T, b: T| u8::from(a.partial_cmp(&b) != Some(Ordering::Equal))),
        Compare::Lt => zip(a, b, dims, ElemType::Bool, |a: T, b: T| u8::from(a < b)),
        Compare::Le => zip(a, b, dims, ElemType::Bool, |a: T, b: T| u8::from(a <= b)),
        Compare::Gt => zip(a, b, dims, ElemType::Bool, |a: T, b: T| u8::from(a > b)),
        Compare::Ge => zip(a, b, dims, ElemType::Bool, |a: T, b: T| u8::from(a >= b)),
    })
}

/// `f` of the elements of `a` and `b`, repeated to the shape `dims`.
fn zip<T: Element, U: Element>(
    a: &Value,
    b: &Value,
    dims: &[usize],
    elem: ElemType,
    f: impl Fn(T, T) -> U,
) -> Made<Value> {
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

/// `a` where the condition holds, else `b`.
pub(super) fn select([condition, a, b]: [&Value; 3], dims: &[usize]) -> Made<Value> {
    let mask = condition.slice::<u8>()?;
    for_element!(a.elem(), T => {
        let (x, y) = (a.slice::<T>()?, b.slice::<T>()?);
        let mut out: Vec<T> = allocate(dims.iter().product(), &a.ty())?;
        Walk::broadcast(dims, [condition.dims(), a.dims(), b.dims()]).for_each_run(|at, step, n| {
            let [c, i, j] = at.map(|at| at as usize);
            let [dc, di, dj] = step.map(|step| step as usize);
            out.extend((0..n).map(|k| if mask[c + dc * k] != 0 { x[i + di * k] } else { y[j + dj * k] }));
        });
        Value::from_vec(a.elem(), dims, out)
    })
}
