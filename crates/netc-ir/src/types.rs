//! Tensor types: an element type and, if known, a shape.

mod narrow;

use std::fmt;

pub use narrow::Narrow;

use crate::dim::Dim;

macro_rules! elem_types {
    ($($(#[$doc:meta])* $variant:ident, $text:literal, $size:literal;)*) => {
        /// The type of a tensor's elements.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum ElemType {
            $($(#[$doc])* $variant,)*
            /// A storage-only type of 8 bits or less.
            Narrow(Narrow),
        }

        impl ElemType {
            /// Its spelling in `.nir` text.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* Self::Narrow(narrow) => narrow.name() }
            }

            /// Bits per element; 0 if elements have no fixed size.
            pub fn bits(self) -> u64 {
                match self { $(Self::$variant => 8 * $size,)* Self::Narrow(narrow) => narrow.bits() }
            }

            /// The element type spelled `name`.
            pub fn parse(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)* _ => Narrow::parse(name).map(Self::Narrow) }
            }
        }
    };
}

elem_types! {
    /// True or false, one byte.
    Bool, "bool", 1;
    /// Unsigned 8-bit integer.
    U8, "u8", 1;
    /// Unsigned 16-bit integer.
    U16, "u16", 2;
    /// Unsigned 32-bit integer.
    U32, "u32", 4;
    /// Unsigned 64-bit integer.
    U64, "u64", 8;
    /// Signed 8-bit integer.
    I8, "i8", 1;
    /// Signed 16-bit integer.
    I16, "i16", 2;
    /// Signed 32-bit integer.
    I32, "i32", 4;
    /// Signed 64-bit integer.
    I64, "i64", 8;
    /// IEEE 754 binary16.
    F16, "f16", 2;
    /// The upper half of an IEEE 754 binary32.
    BF16, "bf16", 2;
    /// IEEE 754 binary32.
    F32, "f32", 4;
    /// IEEE 754 binary64.
    F64, "f64", 8;
    /// Text of any length.
    Str, "str", 0;
    /// Unknown: the result of an unsupported layer.
    Any, "any", 0;
}

impl ElemType {
    /// Bytes per element of a tensor; 0 if elements take less than a byte or have no fixed size.
    pub fn size(self) -> u64 {
        if self.is_packed() { 0 } else { self.bits() / 8 }
    }

    /// Bytes of one unpacked element, as in a [`Literal`](crate::Literal); 0 if elements have no fixed size.
    pub fn unit(self) -> u64 {
        self.bits().div_ceil(8)
    }

    /// Whether elements take less than a byte, so that a tensor packs several into one.
    pub fn is_packed(self) -> bool {
        !self.bits().is_multiple_of(8)
    }

    /// The size of `n` elements in bytes, or `None` if it overflows.
    fn bytes_of(self, n: u64) -> Option<u64> {
        if self.is_packed() {
            n.checked_mul(self.bits()).map(|bits| bits.div_ceil(8))
        } else {
            n.checked_mul(self.size())
        }
    }

    /// Whether it is a floating-point type.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::BF16 | Self::F32 | Self::F64)
    }

    /// Whether it is a signed or unsigned integer type.
    pub fn is_int(self) -> bool {
        self.is_signed_int() || matches!(self, Self::U8 | Self::U16 | Self::U32 | Self::U64)
    }

    /// Whether it is a signed integer type.
    pub fn is_signed_int(self) -> bool {
        matches!(self, Self::I8 | Self::I16 | Self::I32 | Self::I64)
    }
}

impl fmt::Display for ElemType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The maximum rank of a tensor, larger than any model needs. Bounds code that is quadratic or recursive over axes.
pub const MAX_RANK: usize = 64;

/// The type of a tensor. Text: `f32[N,299,299,3]`, `f32[]` for a scalar, `f32[*]` if the rank is unknown.
///
/// ```
/// use netc_ir::{Dim, ElemType, Type};
///
/// let image = Type::new(ElemType::F32, [Dim::symbol("N"), Dim::Known(8), Dim::Known(8), Dim::Known(3)]);
/// assert_eq!(image.to_string(), "f32[N,8,8,3]");
/// assert_eq!(image.num_bytes(), None);
/// assert_eq!(image.bytes_per_example(), Some(8 * 8 * 3 * 4));
/// assert!(image.agrees_with(&Type::fixed(ElemType::F32, &[5, 8, 8, 3])));
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Type {
    /// The type of the elements.
    pub elem: ElemType,
    /// The extents, or `None` if the rank is unknown.
    pub dims: Option<Vec<Dim>>,
}

impl Type {
    /// A tensor of `elem` with the extents `dims`.
    pub fn new(elem: ElemType, dims: impl IntoIterator<Item = Dim>) -> Self {
        Self { elem, dims: Some(dims.into_iter().collect()) }
    }

    /// A tensor whose extents are all numbers.
    pub fn fixed(elem: ElemType, dims: &[u64]) -> Self {
        Self::new(elem, dims.iter().map(|d| Dim::Known(*d)))
    }

    /// A tensor of unknown rank.
    pub fn unranked(elem: ElemType) -> Self {
        Self { elem, dims: None }
    }

    /// The extents as numbers, if all are known.
    pub fn fixed_dims(&self) -> Option<Vec<u64>> {
        self.dims.as_ref()?.iter().map(Dim::known).collect()
    }

    /// The number of axes, if known.
    pub fn rank(&self) -> Option<usize> {
        self.dims.as_ref().map(Vec::len)
    }

    /// Whether the tensor has at most [`MAX_RANK`] axes or an unknown rank.
    pub fn has_few_axes(&self) -> bool {
        self.rank().is_none_or(|rank| rank <= MAX_RANK)
    }

    /// The number of elements, if all extents are known and the product fits.
    pub fn num_elements(&self) -> Option<u64> {
        self.fixed_dims()?.iter().try_fold(1u64, |n, d| n.checked_mul(*d))
    }

    /// The size in bytes, if all extents are known.
    pub fn num_bytes(&self) -> Option<u64> {
        self.elem.bytes_of(self.num_elements()?)
    }

    /// Bytes per example: the size without a symbolic leading axis, if all other extents are known.
    pub fn bytes_per_example(&self) -> Option<u64> {
        let dims = self.dims.as_ref()?;
        let inner = match dims.first() {
            Some(Dim::Expr(_)) => &dims[1..],
            Some(Dim::Known(_)) | None => &dims[..],
        };
        self.elem.bytes_of(inner.iter().try_fold(1u64, |n, d| n.checked_mul(d.known()?))?)
    }

    /// Whether a value of this type may be used where `other` is expected: where both types are known, they are equal.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let elem = self.elem == other.elem || self.elem == ElemType::Any || other.elem == ElemType::Any;
        let dims = match (&self.dims, &other.dims) {
            (Some(a), Some(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| dims_agree(a, b)),
            _ => true,
        };
        elem && dims
    }
}

/// Whether two extents can be equal. Symbolic extents are compared at run time.
pub(crate) fn dims_agree(a: &Dim, b: &Dim) -> bool {
    match (a.known(), b.known()) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(dims) = &self.dims else { return write!(f, "{}[*]", self.elem) };
        write!(f, "{}[", self.elem)?;
        for (i, dim) in dims.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write!(f, "{dim}")?;
        }
        f.write_str("]")
    }
}

impl fmt::Debug for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_per_example_excludes_the_batch() {
        let ty = Type::new(ElemType::F32, [Dim::symbol("N"), Dim::Known(8), Dim::Known(3)]);
        assert_eq!(ty.bytes_per_example(), Some(96));
        assert_eq!(Type::unranked(ElemType::F32).bytes_per_example(), None);
        assert_eq!(Type::fixed(ElemType::F32, &[u64::MAX, 8]).num_bytes(), None);
    }

    #[test]
    fn sub_byte_elements_are_packed() {
        let bytes = |elem, n| Type::fixed(ElemType::Narrow(elem), &[n]).num_bytes();
        assert_eq!([0, 1, 2, 3].map(|n| bytes(Narrow::I4, n)), [0, 1, 1, 2].map(Some));
        assert_eq!([4, 5].map(|n| bytes(Narrow::U2, n)), [1, 2].map(Some));
        assert_eq!(bytes(Narrow::F8E5M2, 3), Some(3));
        assert_eq!(bytes(Narrow::I4, u64::MAX), None);
        let batch = Type::new(ElemType::Narrow(Narrow::F4E2M1), [Dim::symbol("N"), Dim::Known(3)]);
        assert_eq!(batch.bytes_per_example(), Some(2));
    }
}
