//! Conversion between element types.

use half::{bf16, f16};
use netc_ir::literal::{encode, numbers};
use netc_ir::{ElemType, Number};

use crate::error::kernel::Result;
use crate::value::{Element, Value, allocate, for_element};

/// Converts the elements of `x` to `elem`.
///
/// Conversion to a float rounds to nearest. From a float to an integer it rounds toward zero and saturates; NaN becomes
/// 0. Between integers it wraps. To `bool` it tests for not 0. One-byte floats are supported in both directions.
pub(super) fn cast(x: &Value, elem: ElemType) -> Result<Value> {
    let from = x.elem();
    match (from, elem) {
        _ if from == elem => Ok(x.clone()),
        // Fast paths between halves and `f32`, in which they are computed.
        (ElemType::F16, ElemType::F32) => convert(x, elem, f16::to_f32),
        (ElemType::BF16, ElemType::F32) => convert(x, elem, bf16::to_f32),
        (ElemType::F32, ElemType::F16) => convert(x, elem, f16::from_f32),
        (ElemType::F32, ElemType::BF16) => convert(x, elem, bf16::from_f32),
        (ElemType::F64, ElemType::Narrow(_)) => to_bytes(x, elem, Number::Float),
        (ElemType::I64, ElemType::Narrow(_)) => to_bytes(x, elem, |x: i64| Number::Int(x.into())),
        (ElemType::F64, _) => narrow(x, elem, Number::Float),
        (ElemType::I64, _) => narrow(x, elem, |x: i64| Number::Int(x.into())),
        // Go through `f64` or `i64`, which hold every element exactly.
        _ => cast(&widen(x)?, elem),
    }
}

/// Converts `i64` to a narrower integer type by saturating. Other element types convert as in [`cast`].
pub(super) fn saturating(x: &Value, elem: ElemType) -> Result<Value> {
    let (lowest, highest) = match elem {
        ElemType::U8 => (0, i64::from(u8::MAX)),
        ElemType::U32 => (0, i64::from(u32::MAX)),
        ElemType::I16 => (i64::from(i16::MIN), i64::from(i16::MAX)),
        ElemType::I32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        ElemType::Bool
        | ElemType::I8
        | ElemType::I64
        | ElemType::U16
        | ElemType::U64
        | ElemType::F16
        | ElemType::BF16
        | ElemType::F32
        | ElemType::F64
        | ElemType::Str
        | ElemType::Any
        | ElemType::Narrow(_) => return cast(x, elem),
    };
    cast(&convert(x, x.elem(), |x: i64| x.clamp(lowest, highest))?, elem)
}

/// Converts `x` to `f64` or `i64`, exactly.
fn widen(x: &Value) -> Result<Value> {
    let to_f64 = |number| if let Number::Float(x) = number { x } else { 0.0 };
    let to_i64 = |number| if let Number::Int(n) = number { n as i64 } else { 0 };
    if let ElemType::Narrow(_) = x.elem() {
        let mut out: Vec<f64> = allocate(x.num_elements(), &x.ty())?;
        out.extend(numbers(x.elem(), x.words::<u8>()?).map(Number::as_f64));
        Value::from_vec(ElemType::F64, x.dims(), out)
    } else if x.elem().is_float() {
        for_element!(x.elem(), T => convert(x, ElemType::F64, |x: T| to_f64(x.number())))
    } else {
        for_element!(x.elem(), T => convert(x, ElemType::I64, |x: T| to_i64(x.number())))
    }
}

fn narrow<T: Element>(x: &Value, elem: ElemType, number: impl Fn(T) -> Number) -> Result<Value> {
    if elem == ElemType::Bool {
        return convert(x, elem, |x: T| u8::from(x != T::default()));
    }
    for_element!(elem, U => convert(x, elem, |x: T| U::from_number(number(x))))
}

/// Converts to an element type of one byte.
fn to_bytes<T: Element>(x: &Value, elem: ElemType, number: impl Fn(T) -> Number) -> Result<Value> {
    let data = x.slice::<T>()?;
    let mut out: Vec<u8> = allocate(data.len(), &x.ty())?;
    data.iter().for_each(|x| encode(elem, number(*x), &mut out));
    Value::from_words(elem, x.dims(), out)
}

fn convert<T: Element, U: Element>(x: &Value, elem: ElemType, f: impl Fn(T) -> U) -> Result<Value> {
    let data = x.slice::<T>()?;
    let mut out = allocate(data.len(), &x.ty())?;
    out.extend(data.iter().map(|x| f(*x)));
    Value::from_vec(elem, x.dims(), out)
}
