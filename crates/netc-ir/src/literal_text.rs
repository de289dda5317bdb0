//! Converts literals to and from attribute trees: a number or a list of numbers.
//!
//! A NaN other than the canonical one becomes a string with the element's bits, so that no bit is lost.

use crate::attr::{Attr, F64};
use crate::literal::{Literal, decode, encode};
use crate::number::Number;
use crate::types::{ElemType, Narrow, Type};

/// The attribute for a literal: a number for a splat, otherwise a flat list.
pub(crate) fn literal_attr(literal: &Literal) -> Attr {
    let mut elements = literal.elements().map(|bytes| element_attr(literal.elem, bytes));
    if literal.as_splat().is_some() { elements.next().unwrap_or(Attr::Null) } else { Attr::List(elements.collect()) }
}

fn element_attr(elem: ElemType, bytes: &[u8]) -> Attr {
    match decode(elem, bytes) {
        None => Attr::Null,
        Some(Number::Int(i)) => Attr::Int(i),
        Some(Number::Float(x)) if x.is_nan() && bytes != nan(elem) => {
            Attr::str(bytes.iter().rev().fold("0x".to_string(), |text, byte| format!("{text}{byte:02x}")))
        }
        Some(Number::Float(x)) => Attr::Float(F64::new(x)),
    }
}

/// The bytes of the canonical NaN, which prints as `NaN`.
fn nan(elem: ElemType) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(elem, Number::Float(f64::NAN), &mut bytes);
    bytes
}

/// Builds a literal of type `ty` from a number (a splat) or a nested or flat list in row-major order.
pub(crate) fn literal_from(value: &Attr, ty: &Type) -> Result<Literal, String> {
    let dims = ty.fixed_dims().ok_or_else(|| format!("a constant needs known extents, found the type {ty}"))?;
    if ty.elem.unit() == 0 {
        return Err(format!("a constant needs a numeric element type, found the type {ty}"));
    }
    let mut bytes = Vec::new();
    if !push_element(value, ty.elem, &mut bytes) {
        push_elements(value, ty.elem, &mut bytes)?;
        let found = bytes.len() as u64 / ty.elem.unit();
        if ty.num_elements() != Some(found) {
            return Err(format!("a constant of type {ty} cannot hold {found} elements"));
        }
    }
    Ok(Literal { elem: ty.elem, dims, bytes: bytes.into() })
}

fn push_elements(value: &Attr, elem: ElemType, out: &mut Vec<u8>) -> Result<(), String> {
    if push_element(value, elem, out) {
        return Ok(());
    }
    let items = value.as_list().ok_or("the value of a constant must be a number or lists of numbers")?;
    items.iter().try_for_each(|item| push_elements(item, elem, out))
}

/// Appends `value` as one element. Returns false if it is not one.
fn push_element(value: &Attr, elem: ElemType, out: &mut Vec<u8>) -> bool {
    let number = match value {
        Attr::Int(i) => Number::Int(*i),
        Attr::Float(x) => Number::Float(x.get()),
        Attr::Bool(b) if elem == ElemType::Bool => Number::Int(i128::from(*b)),
        Attr::Str(text) => return push_bits(text, elem, out),
        Attr::Null | Attr::Bool(_) | Attr::List(_) | Attr::Map(_) | Attr::Operand(_) | Attr::NonJson(_) => {
            return false;
        }
    };
    if has_no_nan(elem) && number.as_f64().is_nan() {
        return false;
    }
    encode(elem, number, out);
    true
}

/// Whether the type is a float type without NaN.
fn has_no_nan(elem: ElemType) -> bool {
    elem == ElemType::Narrow(Narrow::F4E2M1)
}

/// Appends a float given by its bits, such as `0x7fc00001`. Returns false if `text` is malformed.
fn push_bits(text: &str, elem: ElemType, out: &mut Vec<u8>) -> bool {
    let has_bits =
        if let ElemType::Narrow(narrow) = elem { narrow.is_float() && !elem.is_packed() } else { elem.is_float() };
    let Some(digits) = text.strip_prefix("0x").filter(|_| has_bits) else { return false };
    let size = elem.unit() as usize;
    match u64::from_str_radix(digits, 16) {
        Ok(bits) if digits.len() == 2 * size && !digits.starts_with('+') => {
            out.extend(&bits.to_le_bytes()[..size]);
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_round_trip(elem: ElemType, bytes: &[u8], expect: &str) {
        let dims = vec![bytes.len() as u64 / elem.unit()];
        let literal = Literal { elem, dims, bytes: bytes.into() };
        let attr = literal_attr(&literal);
        assert_eq!(format!("{attr:?}"), expect);
        assert_eq!(literal_from(&attr, &literal.ty()), Ok(literal));
    }

    #[test]
    fn every_nan_round_trips() {
        let nan = f32::NAN.to_le_bytes();
        let odd = 0xffc0_0001_u32.to_le_bytes();
        check_round_trip(ElemType::F32, &[nan, odd].concat(), "List([Float(NaN), Str(\"0xffc00001\")])");
        check_round_trip(ElemType::F16, &[1, 0x7c], "Str(\"0x7c01\")");
        check_round_trip(ElemType::BF16, &[0xc0, 0xff], "Str(\"0xffc0\")");
        check_round_trip(ElemType::F64, &[0, 0, 0, 0, 0, 0, 0xf8, 0xff], "Str(\"0xfff8000000000000\")");
    }

    #[test]
    fn narrow_elements_are_numbers_except_noncanonical_nans() {
        check_round_trip(ElemType::Narrow(Narrow::I4), &[15, 7], "List([Int(-1), Int(7)])");
        let f8 = "List([Float(-0.0), Float(NaN), Str(\"0xff\"), Float(448.0)])";
        check_round_trip(ElemType::Narrow(Narrow::F8E4M3FN), &[0x80, 0x7f, 0xff, 0x7e], f8);
        let f4 = Type::fixed(ElemType::Narrow(Narrow::F4E2M1), &[]);
        assert!(literal_from(&Attr::from(f64::NAN), &f4).is_err() && literal_from(&Attr::str("0x1"), &f4).is_err());
    }

    #[test]
    fn malformed_bits_are_rejected() {
        for text in ["0x7fc0", "0x+fc00001", "7fc00001", "0x7fc0000g"] {
            assert!(literal_from(&Attr::str(text), &Type::fixed(ElemType::F32, &[])).is_err(), "{text}");
        }
        assert!(literal_from(&Attr::str("0x00000001"), &Type::fixed(ElemType::I32, &[])).is_err());
    }
}
