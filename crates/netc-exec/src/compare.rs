//! The difference of two tensors.

use netc_ir::{ElemType, Number, Type};
use thiserror::Error;

use crate::tensor::Tensor;

/// Two tensors of different types, which cannot be compared element by element.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the tensor is {found}, expected {expected}")]
pub struct Mismatch {
    /// The type of the tensor.
    pub found: Type,
    /// The type of the reference.
    pub expected: Type,
}

/// The difference between a tensor `a` and a reference `b` of the same type.
///
/// The distance of two NaNs is 0. The distance of a NaN and a number, or of an infinity and another number, is
/// infinite.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Elements compared.
    pub elements: u64,
    /// Elements whose bits differ.
    pub differing: u64,
    /// Whether all bits are equal.
    pub bit_equal: bool,
    /// The largest `|a - b|`.
    pub max_abs: f64,
    /// The largest `|a - b| / max(|a|, |b|, tiny)`, element by element, where `tiny` is the smallest normal number
    /// of the element type. Differences near 0 make it large.
    pub max_rel: f64,
    /// The largest `|a - b|` over the largest `|b|`: the error relative to the tensor as a whole. 0 if both are 0.
    pub norm_rel: f64,
    /// The largest distance in ulps, that is, in steps between neighbouring floats; for integers the largest `|a - b|`.
    pub max_ulp: u64,
    /// The index of the first element whose bits differ.
    pub first: Option<Vec<u64>>,
    /// The index of the element with the largest `|a - b|`, if that is not 0.
    pub worst: Option<Vec<u64>>,
}

/// Compares `a` with the reference `b`.
///
/// # Errors
/// The tensors have different types.
pub fn compare(a: &Tensor, b: &Tensor) -> Result<Difference, Mismatch> {
    if a.ty() != b.ty() {
        return Err(Mismatch { found: a.ty(), expected: b.ty() });
    }
    let mut d = Difference {
        elements: a.num_elements(),
        differing: 0,
        bit_equal: a.bytes() == b.bytes(),
        max_abs: 0.0,
        max_rel: 0.0,
        norm_rel: 0.0,
        max_ulp: 0,
        first: None,
        worst: None,
    };
    if !d.bit_equal {
        differences(a, b, &mut d);
    }
    Ok(d)
}

fn differences(a: &Tensor, b: &Tensor, d: &mut Difference) {
    let tiny = tiny(a.elem());
    let size = a.elem().size().max(1) as usize;
    let bits = a.bytes().chunks_exact(size).zip(b.bytes().chunks_exact(size));
    let mut largest = 0.0f64;
    for (i, ((x, y), (p, q))) in a.numbers().zip(b.numbers()).zip(bits).enumerate() {
        largest = largest.max(y.as_f64().abs());
        if p == q {
            continue;
        }
        d.differing += 1;
        d.first.get_or_insert_with(|| index(i as u64, a.dims()));
        let apart = distance(x, y);
        if apart > d.max_abs {
            d.max_abs = apart;
            d.worst = Some(index(i as u64, a.dims()));
        }
        let scale = x.as_f64().abs().max(y.as_f64().abs()).max(tiny);
        d.max_rel = d.max_rel.max(if apart.is_finite() { apart / scale } else { apart });
        d.max_ulp = d.max_ulp.max(ulps(a.elem(), x, y, p, q));
    }
    d.norm_rel = if d.max_abs > 0.0 && d.max_abs.is_finite() { d.max_abs / largest } else { d.max_abs };
}

fn distance(a: Number, b: Number) -> f64 {
    if let (Number::Int(a), Number::Int(b)) = (a, b) {
        return a.abs_diff(b) as f64;
    }
    let (a, b) = (a.as_f64(), b.as_f64());
    match (a.is_nan(), b.is_nan()) {
        (true, true) => 0.0,
        (false, false) => (a - b).abs(),
        (true, false) | (false, true) => f64::INFINITY,
    }
}

/// The distance in steps between neighbouring values of the type.
fn ulps(elem: ElemType, a: Number, b: Number, a_bits: &[u8], b_bits: &[u8]) -> u64 {
    let steps = match (a, b) {
        (Number::Int(a), Number::Int(b)) => a.abs_diff(b),
        _ if a.as_f64().is_nan() && b.as_f64().is_nan() => 0,
        _ if a.as_f64().is_nan() || b.as_f64().is_nan() => u128::MAX,
        _ => rank(elem, a_bits).abs_diff(rank(elem, b_bits)),
    };
    u64::try_from(steps).unwrap_or(u64::MAX)
}

/// The rank of a float in the order of all floats of its type; 0 for both zeros.
fn rank(elem: ElemType, bits: &[u8]) -> i128 {
    let bits = bits.iter().rev().fold(0u64, |all, byte| all << 8 | u64::from(*byte));
    let sign = 1u64 << (elem.size().clamp(1, 8) * 8 - 1);
    let magnitude = i128::from(bits & (sign - 1));
    if bits & sign == 0 { magnitude } else { -magnitude }
}

/// The smallest positive normal number of the type; 1 for integers.
fn tiny(elem: ElemType) -> f64 {
    match elem {
        ElemType::F16 => 2f64.powi(-14),
        ElemType::F32 | ElemType::BF16 => f32::MIN_POSITIVE.into(),
        ElemType::F64 => f64::MIN_POSITIVE,
        ElemType::Bool
        | ElemType::I8
        | ElemType::I16
        | ElemType::I32
        | ElemType::I64
        | ElemType::U8
        | ElemType::U16
        | ElemType::U32
        | ElemType::U64
        | ElemType::Str
        | ElemType::Any
        | ElemType::Narrow(_) => 1.0,
    }
}

/// The multi-dimensional index of element number `place` in a tensor of shape `dims`.
fn index(mut place: u64, dims: &[u64]) -> Vec<u64> {
    let mut out: Vec<u64> = Vec::with_capacity(dims.len());
    for n in dims.iter().rev().map(|n| (*n).max(1)) {
        out.push(place % n);
        place /= n;
    }
    out.reverse();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f32s(values: &[f32]) -> Tensor {
        Tensor::from_f32(&[values.len() as u64], values).unwrap()
    }

    #[track_caller]
    fn check(a: &[f32], b: &[f32], abs: f64, rel: f64, norm: f64, ulp: u64) {
        let d = compare(&f32s(a), &f32s(b)).unwrap();
        assert_eq!([d.max_abs, d.max_rel, d.norm_rel].map(f64::to_bits), [abs, rel, norm].map(f64::to_bits), "{d:?}");
        assert_eq!(d.max_ulp, ulp);
    }

    #[test]
    fn distances_are_absolute_relative_and_in_ulps() {
        let next = f32::from_bits(1f32.to_bits() + 1);
        let ulp = f64::from(next) - 1.0;
        check(&[1.0, 4.0], &[1.0, 4.0], 0.0, 0.0, 0.0, 0);
        check(&[1.0, 4.0], &[next, 4.0], ulp, ulp / f64::from(next), ulp / 4.0, 1);
        check(&[0.0], &[-0.0], 0.0, 0.0, 0.0, 0);
        check(&[f32::from_bits(1)], &[-f32::from_bits(1)], 2f64.powi(-148), 2f64.powi(-22), 2.0, 2);
        check(&[f32::NAN, 1.0], &[f32::NAN, 1.0], 0.0, 0.0, 0.0, 0);
        check(&[f32::NAN], &[f32::from_bits(0x7fc0_0001)], 0.0, 0.0, 0.0, 0);
        check(&[f32::NAN], &[1.0], f64::INFINITY, f64::INFINITY, f64::INFINITY, u64::MAX);
        check(&[f32::INFINITY], &[f32::INFINITY], 0.0, 0.0, 0.0, 0);
        check(&[f32::INFINITY], &[f32::MAX], f64::INFINITY, f64::INFINITY, f64::INFINITY, 1);
    }

    #[test]
    fn first_and_worst_differences_have_an_index() {
        let a = Tensor::from_f32(&[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        let b = Tensor::from_f32(&[2, 3], &[0.0, 1.0, 2.5, 3.0, 6.0, 5.0]).unwrap();
        let d = compare(&a, &b).unwrap();
        assert_eq!((d.first, d.worst, d.differing), (Some(vec![0, 2]), Some(vec![1, 1]), 2));
        let error = compare(&a, &f32s(&[1.0])).unwrap_err();
        assert_eq!(error.to_string(), "the tensor is f32[2,3], expected f32[1]");
    }

    #[test]
    fn ulps_of_half_floats_and_integers() {
        let half = |bits: u16| Tensor::new(ElemType::F16, &[1], bits.to_le_bytes().to_vec()).unwrap();
        assert_eq!(compare(&half(0x3c00), &half(0x3c03)).unwrap().max_ulp, 3);
        let int = |n| Tensor::from_i64(&[1], &[n]).unwrap();
        assert_eq!(compare(&int(i64::MIN), &int(i64::MAX)).unwrap().max_ulp, u64::MAX);
    }
}
