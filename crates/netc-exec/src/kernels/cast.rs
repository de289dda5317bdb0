//! Conversion between element types.

use std::cmp::Ordering;

use netc_ir::ElemType;

use super::Made;
use crate::error::KernelError;
use crate::value::{Element, Value, allocate, for_element, to_i8};

/// `x` with elements of type `elem`. To a float: rounded to the nearest. From a float to an integer: toward zero,
/// to the nearest that is in range, NaN to 0. From integer to integer: wrapping. To `bool`: whether it is not 0.
pub(super) fn cast(x: &Value, elem: ElemType) -> Made<Value> {
    if x.elem() == elem {
        return Ok(x.clone());
    }
    if elem == ElemType::Bool {
        let is_zero = Some(Ordering::Equal);
        return for_element!(x.elem(), T => {
            convert(x, elem, |x: T| u8::from(x.partial_cmp(&T::default()) != is_zero))
        });
    }
    if elem == ElemType::I8 {
        return for_element!(x.elem(), T => convert(x, elem, |x: T| i16::from(to_i8(x.number()))));
    }
    for_element!(x.elem(), T => for_element!(elem, U => {
        convert(x, elem, |x: T| U::from_number(x.number()))
    }))
}

fn convert<T: Element, U: Element>(x: &Value, elem: ElemType, f: impl Fn(T) -> U) -> Result<Value, KernelError> {
    let data = x.slice::<T>()?;
    let mut out = allocate(data.len(), &x.ty())?;
    out.extend(data.iter().map(|x| f(*x)));
    Value::from_vec(elem, x.dims(), out)
}
