//! Tensors as they enter and leave the executor: an element type, extents and bytes.

use std::sync::Arc;

use netc_ir::{ElemType, Literal, Number, Type, literal};

use crate::error::TensorError;

/// The size limit of one tensor in bytes. Larger tensors are rejected before any allocation.
pub(crate) const MAX_BYTES: u64 = 1 << 40;

/// A tensor with little-endian elements in row-major order. The number of bytes matches the shape.
///
/// Two tensors are equal if their types and bits are equal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tensor {
    elem: ElemType,
    dims: Vec<u64>,
    bytes: Arc<Vec<u8>>,
}

impl Tensor {
    /// Creates a tensor from little-endian elements in row-major order.
    ///
    /// # Errors
    /// The number of bytes does not match the shape, or the shape exceeds the largest supported size.
    pub fn new(elem: ElemType, dims: &[u64], bytes: Vec<u8>) -> Result<Self, TensorError> {
        let expected = byte_size(elem, dims)?;
        if bytes.len() as u64 != expected {
            let ty = Type::fixed(elem, dims).to_string();
            return Err(TensorError::Bytes { ty, expected, found: bytes.len() as u64 });
        }
        Ok(Self { elem, dims: dims.to_vec(), bytes: bytes.into() })
    }

    /// Creates a tensor of `f32`.
    ///
    /// # Errors
    /// Those of [`Self::new`].
    pub fn from_f32(dims: &[u64], values: &[f32]) -> Result<Self, TensorError> {
        Self::new(ElemType::F32, dims, values.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    /// Creates a tensor of `i64`.
    ///
    /// # Errors
    /// Those of [`Self::new`].
    pub fn from_i64(dims: &[u64], values: &[i64]) -> Result<Self, TensorError> {
        Self::new(ElemType::I64, dims, values.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    /// Creates a tensor of `elem` from numbers, converting each as Rust's `as` does.
    ///
    /// # Errors
    /// Those of [`Self::new`], or the tensor does not fit into memory.
    pub fn from_numbers(
        elem: ElemType,
        dims: &[u64],
        values: impl IntoIterator<Item = Number>,
    ) -> Result<Self, TensorError> {
        let mut bytes = room(elem, dims)?;
        values.into_iter().for_each(|value| literal::encode(elem, value, &mut bytes));
        Self::new(elem, dims, bytes)
    }

    /// The element type.
    pub fn elem(&self) -> ElemType {
        self.elem
    }

    /// The extents.
    pub fn dims(&self) -> &[u64] {
        &self.dims
    }

    /// The elements: little-endian, row-major.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Converts the tensor to a constant of a program.
    pub(crate) fn into_literal(self) -> Literal {
        Literal { elem: self.elem, dims: self.dims, bytes: self.bytes.as_slice().into() }
    }

    /// The type.
    pub fn ty(&self) -> Type {
        Type::fixed(self.elem, &self.dims)
    }

    /// The number of elements.
    pub fn num_elements(&self) -> u64 {
        self.bytes.len() as u64 / self.elem.size().max(1)
    }

    /// The elements as numbers, in row-major order.
    pub fn numbers(&self) -> impl Iterator<Item = Number> + '_ {
        literal::numbers(self.elem, &self.bytes)
    }

    /// The elements as `f64`, rounded to nearest, in row-major order.
    pub fn to_f64s(&self) -> Vec<f64> {
        self.numbers().map(Number::as_f64).collect()
    }

    /// Converts the elements to `elem`.
    ///
    /// Conversion to floats rounds to nearest. Conversion to integers and booleans must be exact: `3.0` becomes `3`.
    ///
    /// # Errors
    /// A number is not an integer or out of range, or the result does not fit into memory.
    pub fn convert(&self, elem: ElemType) -> Result<Self, TensorError> {
        if elem == self.elem() {
            return Ok(self.clone());
        }
        let out = Self::from_numbers(elem, self.dims(), self.numbers())?;
        let lost = self.numbers().zip(out.numbers()).position(|(a, b)| !elem.is_float() && !same(a, b));
        match lost {
            Some(index) => {
                let value = self.numbers().nth(index).map_or(f64::NAN, Number::as_f64);
                Err(TensorError::Inexact { index, value, elem })
            }
            None => Ok(out),
        }
    }
}

/// An empty vector with capacity for the bytes of a tensor.
pub(crate) fn room(elem: ElemType, dims: &[u64]) -> Result<Vec<u8>, TensorError> {
    let size = usize::try_from(byte_size(elem, dims)?).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    let memory = |_| TensorError::Memory { ty: Type::fixed(elem, dims).to_string() };
    bytes.try_reserve_exact(size).map_err(memory)?;
    Ok(bytes)
}

/// Whether two numbers are equal; exact when one is an integer and one a float.
fn same(a: Number, b: Number) -> bool {
    match (a, b) {
        (Number::Int(a), Number::Int(b)) => a == b,
        (Number::Float(x), Number::Int(i)) | (Number::Int(i), Number::Float(x)) => {
            x.fract().abs() < f64::MIN_POSITIVE && x.is_finite() && x as i128 == i
        }
        (Number::Float(a), Number::Float(b)) => a.to_bits() == b.to_bits(),
    }
}

/// The size of a tensor in bytes. An error if it exceeds the limit or the element type has no size.
pub(crate) fn byte_size(elem: ElemType, dims: &[u64]) -> Result<u64, TensorError> {
    // Counting an empty axis as 1 also bounds every partial product of the extents.
    let bound = dims.iter().try_fold(elem.size(), |n, d| n.checked_mul((*d).max(1))).filter(|n| *n <= MAX_BYTES);
    if bound.is_none() || elem.size() == 0 {
        return Err(TensorError::Size { ty: Type::fixed(elem, dims).to_string(), limit: MAX_BYTES });
    }
    Ok(dims.iter().fold(elem.size(), |n, d| n.saturating_mul(*d)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(values: &[f64]) -> Tensor {
        let numbers = values.iter().map(|x| Number::Float(*x));
        Tensor::from_numbers(ElemType::F64, &[values.len() as u64], numbers).unwrap()
    }

    #[test]
    fn number_of_bytes_must_match_the_shape() {
        let error = Tensor::new(ElemType::F32, &[2], vec![0; 7]).unwrap_err();
        assert_eq!(error.to_string(), "a tensor of type f32[2] has 8 bytes, found 7");
        assert!(Tensor::new(ElemType::F32, &[1 << 40, 1 << 40, 0], vec![]).is_err());
        assert!(Tensor::new(ElemType::Str, &[0], vec![]).is_err());
        assert_eq!(Tensor::new(ElemType::F32, &[0, 4], vec![]).unwrap().num_elements(), 0);
    }

    #[test]
    fn conversion_rounds_to_floats_and_is_exact_to_integers() {
        assert_eq!(floats(&[0.1, 2.0]).convert(ElemType::F32).unwrap(), Tensor::from_f32(&[2], &[0.1, 2.0]).unwrap());
        assert_eq!(floats(&[3.0, -2.0]).convert(ElemType::I64).unwrap(), Tensor::from_i64(&[2], &[3, -2]).unwrap());
        let error = floats(&[1.0, 3.5]).convert(ElemType::I32).unwrap_err();
        assert_eq!(error.to_string(), "element 1 is 3.5, which i32 cannot hold exactly");
        for (value, elem) in
            [(256.0, ElemType::U8), (f64::NAN, ElemType::I32), (2.0, ElemType::Bool), (-1.0, ElemType::U32)]
        {
            assert!(floats(&[value]).convert(elem).is_err(), "{value} as {elem}");
        }
    }
}
