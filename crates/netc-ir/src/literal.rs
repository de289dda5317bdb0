//! Constant tensors that are small enough to be written in the program text.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::number::Number;
use crate::types::{ElemType, Type};

/// A constant tensor: a splat of one element, or all elements in row-major order.
///
/// Elements are stored as little-endian bytes of their type, so no value is lost. Sub-byte elements take one byte each
/// here; [`pack`] packs them as in a tensor.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Literal {
    /// The element type, never `str` or `any`.
    pub elem: ElemType,
    /// The extents.
    pub dims: Vec<u64>,
    /// One element for a splat, otherwise all elements.
    pub bytes: Arc<[u8]>,
}

impl Literal {
    /// A tensor with every element `value`, converted to `elem`.
    pub fn splat(elem: ElemType, dims: &[u64], value: f64) -> Self {
        Self::splat_number(elem, dims, Number::Float(value))
    }

    /// A tensor with every element `value`.
    pub fn splat_number(elem: ElemType, dims: &[u64], value: Number) -> Self {
        let mut bytes = Vec::new();
        encode(elem, value, &mut bytes);
        Self { elem, dims: dims.to_vec(), bytes: bytes.into() }
    }

    /// A tensor with the elements `values` in row-major order.
    pub fn dense(elem: ElemType, dims: &[u64], values: impl IntoIterator<Item = Number>) -> Self {
        let mut bytes = Vec::new();
        values.into_iter().for_each(|v| encode(elem, v, &mut bytes));
        Self { elem, dims: dims.to_vec(), bytes: bytes.into() }
    }

    /// Its type.
    pub fn ty(&self) -> Type {
        Type::fixed(self.elem, &self.dims)
    }

    /// The common element, if only one element is stored.
    pub fn as_splat(&self) -> Option<Number> {
        (self.bytes.len() as u64 == self.elem.unit()).then(|| self.numbers().next()).flatten()
    }

    /// The stored elements: one for a splat, otherwise all.
    pub fn numbers(&self) -> impl Iterator<Item = Number> + '_ {
        numbers(self.elem, &self.bytes)
    }

    /// The bytes of each stored element.
    pub(crate) fn elements(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(usize::try_from(self.elem.unit().max(1)).unwrap_or(1))
    }

    /// Whether the bytes are exactly one element or all elements, and each element is in range: booleans are 0 or 1,
    /// and sub-byte elements fit their width.
    pub fn is_well_formed(&self) -> bool {
        let all = self.ty().num_elements().and_then(|n| n.checked_mul(self.elem.unit()));
        let stored = self.bytes.len() as u64;
        let complete = stored == self.elem.unit() || Some(stored) == all;
        let most = if self.elem == ElemType::Bool {
            1
        } else if self.elem.is_packed() {
            0xff >> (8 - self.elem.bits())
        } else {
            0xff
        };
        self.elem.unit() > 0 && complete && self.bytes.iter().all(|b| *b <= most)
    }
}

/// Packs `elements`, given one per byte, as in a tensor of a sub-byte type. The first element takes the lowest bits.
pub fn pack(elem: ElemType, elements: &[u8]) -> Vec<u8> {
    let bits = elem.bits().clamp(1, 8) as usize;
    let join =
        |elements: &[u8]| elements.iter().rev().fold(0u16, |all, element| all << bits | u16::from(*element)) as u8;
    elements.chunks(8 / bits).map(join).collect()
}

/// Decodes little-endian, unpacked elements of type `elem`.
pub fn numbers(elem: ElemType, bytes: &[u8]) -> impl Iterator<Item = Number> + '_ {
    bytes.chunks_exact(usize::try_from(elem.unit().max(1)).unwrap_or(1)).filter_map(move |b| decode(elem, b))
}

/// Appends `value` as one little-endian, unpacked element of type `elem`. Appends nothing for `str` and `any`.
pub fn encode(elem: ElemType, value: Number, out: &mut Vec<u8>) {
    macro_rules! put {
        ($t:ty) => {
            match value {
                Number::Int(i) => out.extend((i as $t).to_le_bytes()),
                Number::Float(x) => out.extend((x as $t).to_le_bytes()),
            }
        };
    }
    match elem {
        ElemType::Bool => out.push(u8::from(value.as_f64() != 0.0)),
        ElemType::U8 => put!(u8),
        ElemType::U16 => put!(u16),
        ElemType::U32 => put!(u32),
        ElemType::U64 => put!(u64),
        ElemType::I8 => put!(i8),
        ElemType::I16 => put!(i16),
        ElemType::I32 => put!(i32),
        ElemType::I64 => put!(i64),
        ElemType::F32 => put!(f32),
        ElemType::F64 => put!(f64),
        ElemType::F16 => out.extend(f64_to_f16_bits(value.as_f64()).to_le_bytes()),
        ElemType::BF16 => out.extend(f64_to_bf16_bits(value.as_f64()).to_le_bytes()),
        ElemType::Narrow(narrow) => out.push(narrow.nearest(value)),
        ElemType::Str | ElemType::Any => {}
    }
}

pub(crate) fn decode(elem: ElemType, bytes: &[u8]) -> Option<Number> {
    macro_rules! get {
        ($t:ty, $variant:ident, $as:ty) => {
            Number::$variant(<$t>::from_le_bytes(bytes.try_into().ok()?) as $as)
        };
    }
    Some(match elem {
        ElemType::Bool | ElemType::U8 => get!(u8, Int, i128),
        ElemType::U16 => get!(u16, Int, i128),
        ElemType::U32 => get!(u32, Int, i128),
        ElemType::U64 => get!(u64, Int, i128),
        ElemType::I8 => get!(i8, Int, i128),
        ElemType::I16 => get!(i16, Int, i128),
        ElemType::I32 => get!(i32, Int, i128),
        ElemType::I64 => get!(i64, Int, i128),
        ElemType::F32 => get!(f32, Float, f64),
        ElemType::F64 => get!(f64, Float, f64),
        ElemType::F16 => Number::Float(f16_bits_to_f32(u16::from_le_bytes(bytes.try_into().ok()?)).into()),
        ElemType::BF16 => {
            let bits = u16::from_le_bytes(bytes.try_into().ok()?);
            Number::Float(f32::from_bits(u32::from(bits) << 16).into())
        }
        ElemType::Narrow(narrow) => narrow.number(*bytes.first()?),
        ElemType::Str | ElemType::Any => return None,
    })
}

/// Rounds to nearest, ties to even.
fn f64_to_bf16_bits(x: f64) -> u16 {
    if x.is_nan() {
        return if x.is_sign_negative() { 0xffc0 } else { 0x7fc0 };
    }
    let single = x as f32;
    // Rounding twice is wrong only if the first rounding lands on a tie. Then step back to the side that `x` is on.
    let (inexact, halfway) = (f64::from(single) - x, single.to_bits() & 0xffff == 0x8000);
    let bits = match (halfway, (inexact * x.signum()).partial_cmp(&0.0)) {
        (true, Some(Ordering::Greater)) => single.to_bits() - 1,
        (true, Some(Ordering::Less)) => single.to_bits() + 1,
        _ => single.to_bits(),
    };
    let rounding = 0x7fff + ((bits >> 16) & 1);
    (bits.wrapping_add(rounding) >> 16) as u16
}

/// Rounds to nearest, ties to even.
fn f64_to_f16_bits(x: f64) -> u16 {
    let sign = if x.is_sign_negative() { 0x8000 } else { 0 };
    let magnitude = x.abs();
    if magnitude.is_nan() {
        return sign | 0x7e00;
    }
    if magnitude >= 65520.0 {
        return sign | 0x7c00;
    }
    // Below 2^-14 the spacing of binary16 is 2^-24; above, it is 2^(e-10).
    let small = magnitude < 2f64.powi(-14);
    let exponent = if small { -14 } else { (magnitude.to_bits() >> 52) as i32 - 1023 };
    let steps = (magnitude * 2f64.powi(10 - exponent)).round_ties_even() as i32;
    let biased = if small { steps } else { ((exponent + 15 - 1) << 10) + steps };
    sign | biased as u16
}

fn f16_bits_to_f32(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from(bits >> 10 & 0x1f);
    let fraction = f32::from(bits & 0x3ff);
    match exponent {
        0 => sign * fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        _ => sign * (1024.0 + fraction) * 2f32.powi(exponent - 25),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Narrow;

    fn first(lit: &Literal) -> Option<Number> {
        lit.numbers().next()
    }

    fn float(x: f64) -> Option<Number> {
        Some(Number::Float(x))
    }

    #[test]
    fn every_f16_survives_a_round_trip() {
        for bits in 0..=u16::MAX {
            let x = f16_bits_to_f32(bits);
            if !x.is_nan() {
                assert_eq!(f64_to_f16_bits(x.into()), bits, "{x}");
            }
        }
    }

    #[test]
    fn numbers_round_to_their_type() {
        assert_eq!(first(&Literal::splat(ElemType::F32, &[], 0.1)), float(f64::from(0.1f32)));
        assert_eq!(first(&Literal::splat(ElemType::BF16, &[], 1.0 + 1.0 / 512.0)), float(1.0));
        assert_eq!(first(&Literal::splat(ElemType::F16, &[], 65504.0)), float(65504.0));
        // Slightly above a tie: rounding to binary32 first would land on the tie and then round down.
        let above = 1.0 + 2f64.powi(-11) + 2f64.powi(-40);
        assert_eq!(first(&Literal::splat(ElemType::F16, &[], above)), float(1.0 + 2f64.powi(-10)));
        let above = -1.0 - 2f64.powi(-8) - 2f64.powi(-40);
        assert_eq!(first(&Literal::splat(ElemType::BF16, &[], above)), float(-1.0 - 2f64.powi(-7)));
        assert_eq!(first(&Literal::splat(ElemType::BF16, &[], -1.0 - 2f64.powi(-8))), float(-1.0));
        assert_eq!(
            first(&Literal::splat_number(ElemType::I64, &[], Number::Int(i64::MAX.into()))),
            Some(Number::Int(i64::MAX.into()))
        );
    }

    #[test]
    fn a_literal_is_a_splat_or_complete() {
        assert!(Literal::splat(ElemType::F32, &[1 << 40], 1.0).is_well_formed());
        assert!(!Literal::dense(ElemType::F32, &[3], [Number::Float(1.0), Number::Float(2.0)]).is_well_formed());
        let two = Literal { bytes: [2].into(), ..Literal::splat(ElemType::Bool, &[], 1.0) };
        assert!(!two.is_well_formed(), "a boolean of 2 would print as true");
    }

    #[test]
    fn sub_byte_elements_take_a_byte_each_until_packed() {
        let i4 = ElemType::Narrow(Narrow::I4);
        let dense = Literal::dense(i4, &[3], [-1, 2, -8].map(Number::Int));
        assert_eq!(&*dense.bytes, [0xf, 2, 8]);
        assert!(dense.is_well_formed() && dense.as_splat().is_none());
        assert_eq!(pack(i4, &dense.bytes), [0x2f, 0x08]);
        assert_eq!(pack(ElemType::Narrow(Narrow::U2), &[1, 2, 3, 0, 1]), [0b0011_1001, 1]);
        assert!(Literal::splat(i4, &[2], -1.0).as_splat() == Some(Number::Int(-1)));
        assert!(!Literal { bytes: [16, 0, 0].into(), ..dense }.is_well_formed(), "16 has five bits");
    }

    #[test]
    fn bf16_rounds_down_just_below_a_tie() {
        let below = 1.0 + 3.0 * 2f64.powi(-8) - 2f64.powi(-40);
        for sign in [1.0, -1.0] {
            let expected = float(sign * (1.0 + 2f64.powi(-7)));
            assert_eq!(first(&Literal::splat(ElemType::BF16, &[], sign * below)), expected);
        }
    }

    #[test]
    fn nan_stays_nan() {
        for elem in [ElemType::F16, ElemType::BF16, ElemType::F32] {
            for x in [f64::NAN, -f64::NAN] {
                let found = first(&Literal::splat(elem, &[], x));
                assert!(matches!(found, Some(Number::Float(x)) if x.is_nan()), "{elem} {found:?}");
            }
        }
    }

    #[test]
    fn str_and_any_literals_are_malformed() {
        for elem in [ElemType::Str, ElemType::Any] {
            assert!(!Literal { elem, dims: vec![], bytes: [].into() }.is_well_formed(), "{elem}");
        }
    }
}
