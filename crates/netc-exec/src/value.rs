//! Tensors of a running plan: contiguous elements, shared between values by reference counting.

use std::fmt::Debug;
use std::sync::Arc;

use bytemuck::Pod;
use half::{bf16, f16};
use netc_data::Store;
use netc_ir::{ElemType, Literal, MAX_RANK, Number, Type, Weight};

use crate::error::kernel::Result;
use crate::error::{ExecError, KernelError, TensorError};
use crate::tensor::{Tensor, byte_size};

/// A tensor of a running plan, in row-major order. Booleans are the bytes 0 and 1.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    elem: ElemType,
    dims: Vec<usize>,
    bits: Arc<Bits>,
}

/// Elements as bit patterns of their size. A kernel that only moves elements is thus compiled once per size, not once
/// per element type.
#[derive(Debug, PartialEq)]
pub(crate) enum Bits {
    B8(Vec<u8>),
    B16(Vec<u16>),
    B32(Vec<u32>),
    B64(Vec<u64>),
}

impl Value {
    /// Creates a tensor from `data` in row-major order. `T` is the storage type of `elem`.
    pub(crate) fn from_vec<T: Element>(elem: ElemType, dims: &[usize], data: Vec<T>) -> Result<Self> {
        let words = bytemuck::allocation::try_cast_vec(data).map_err(|_| KernelError::Element { elem })?;
        Self::from_words::<T::Word>(elem, dims, words)
    }

    /// Creates a tensor from the bit patterns of its elements.
    pub(crate) fn from_words<W: Word>(elem: ElemType, dims: &[usize], words: Vec<W>) -> Result<Self> {
        let expected = dims.iter().product();
        if words.len() != expected {
            return Err(KernelError::Count { found: words.len(), expected });
        }
        if elem.size() != size_of::<W>() as u64 {
            return Err(KernelError::Element { elem });
        }
        Ok(Self { elem, dims: dims.to_vec(), bits: Arc::new(W::wrap(words)) })
    }

    pub(crate) fn elem(&self) -> ElemType {
        self.elem
    }

    pub(crate) fn dims(&self) -> &[usize] {
        &self.dims
    }

    pub(crate) fn num_elements(&self) -> usize {
        self.dims.iter().product()
    }

    pub(crate) fn ty(&self) -> Type {
        Type::fixed(self.elem, &self.dims.iter().map(|d| *d as u64).collect::<Vec<_>>())
    }

    /// The elements.
    pub(crate) fn slice<T: Element>(&self) -> Result<&[T]> {
        bytemuck::try_cast_slice(self.words::<T::Word>()?).map_err(|_| KernelError::Element { elem: self.elem })
    }

    /// The bit patterns of the elements.
    pub(crate) fn words<W: Word>(&self) -> Result<&[W]> {
        W::of(&self.bits).ok_or(KernelError::Element { elem: self.elem })
    }

    /// The elements, mutable. Copies them first if another value shares them.
    pub(crate) fn slice_mut<T: Element>(&mut self) -> Result<&mut [T]> {
        let elem = self.elem;
        if Arc::get_mut(&mut self.bits).is_none() {
            let mut copy = allocate(self.num_elements(), &self.ty())?;
            copy.extend_from_slice(self.words::<T::Word>()?);
            self.bits = Arc::new(T::Word::wrap(copy));
        }
        let words = Arc::get_mut(&mut self.bits).and_then(T::Word::of_mut).ok_or(KernelError::Element { elem })?;
        bytemuck::try_cast_slice_mut(words).map_err(|_| KernelError::Element { elem })
    }

    /// The same elements with another shape of the same size, without a copy.
    pub(crate) fn reshape(&self, dims: &[usize]) -> Result<Self> {
        let (found, expected) = (self.num_elements(), dims.iter().product());
        if found != expected {
            return Err(KernelError::Count { found, expected });
        }
        Ok(Self { elem: self.elem, dims: dims.to_vec(), bits: self.bits.clone() })
    }

    /// Expands a constant of the program; a splat is repeated to its full shape.
    pub(crate) fn from_literal(literal: &Literal) -> Result<Self> {
        let ty = literal.ty();
        let count = extents(&ty)?.iter().product();
        let one = usize::try_from(literal.elem.size()).unwrap_or(1);
        if literal.bytes.len() != one || count == 1 {
            return Self::from_bytes(&ty, &literal.bytes);
        }
        let splat = Self::from_bytes(&Type::fixed(literal.elem, &[1]), &literal.bytes)?;
        for_word!(literal.elem, W => {
            let mut all: Vec<W> = allocate(count, &ty)?;
            all.resize(count, splat.words::<W>()?[0]);
            Self::from_words(literal.elem, &extents(&ty)?, all)
        })
    }

    /// Creates a tensor of the fixed type `ty` from little-endian elements. Any byte other than 0 is a true `bool`.
    pub(crate) fn from_bytes(ty: &Type, bytes: &[u8]) -> Result<Self> {
        let dims = extents(ty)?;
        for_word!(ty.elem, W => {
            let mut words: Vec<W> = allocate(bytes.len() / size_of::<W>(), ty)?;
            words.extend(bytes.chunks_exact(size_of::<W>()).map(W::from_little_endian));
            truth(ty.elem, &mut words);
            Self::from_words(ty.elem, &dims, words)
        })
    }

    /// Reads a weight without an intermediate copy. Also returns the checksum of its bytes.
    pub(crate) fn read(store: &Store, weight: &Weight) -> Result<(Self, u32), ExecError> {
        let failed = |source: KernelError| ExecError::Held { weight: weight.name.clone(), source: Box::new(source) };
        let dims = extents(&weight.ty).map_err(failed)?;
        for_word!(weight.ty.elem, W => Ok(Self::read_words::<W>(store, weight, &dims))).map_err(failed)?
    }

    fn read_words<W: Word>(store: &Store, weight: &Weight, dims: &[usize]) -> Result<(Self, u32), ExecError> {
        let failed = |source: KernelError| ExecError::Held { weight: weight.name.clone(), source: Box::new(source) };
        let count = dims.iter().product();
        let mut words: Vec<W> = allocate(count, &weight.ty).map_err(failed)?;
        words.resize(count, W::default());
        let crc = store.read_into(weight, bytemuck::cast_slice_mut(&mut words))?;
        if cfg!(target_endian = "big") {
            words.iter_mut().for_each(|word| *word = W::from_little_endian(bytemuck::bytes_of(word)));
        }
        truth(weight.ty.elem, &mut words);
        Ok((Self::from_words(weight.ty.elem, dims, words).map_err(failed)?, crc))
    }

    /// Whether both have the same element type and bits; shapes may differ.
    pub(crate) fn same_bits(&self, other: &Self) -> bool {
        self.elem == other.elem && self.bits == other.bits
    }

    pub(crate) fn from_tensor(tensor: &Tensor) -> Result<Self> {
        Self::from_bytes(&tensor.ty(), tensor.bytes())
    }

    pub(crate) fn to_tensor(&self) -> Result<Tensor, TensorError> {
        let bytes = for_word!(self.elem, W => self.little_endian::<W>());
        let bytes = bytes.map_err(|_| TensorError::Memory { ty: self.ty().to_string() })?;
        let dims: Vec<u64> = self.dims.iter().map(|d| *d as u64).collect();
        Tensor::new(self.elem, &dims, bytes)
    }

    fn little_endian<W: Word>(&self) -> Result<Vec<u8>> {
        let words = self.words::<W>()?;
        let mut bytes = allocate(size_of_val(words), &self.ty())?;
        words.iter().for_each(|word| word.put_little_endian(&mut bytes));
        Ok(bytes)
    }
}

/// Normalizes booleans to the bytes 0 and 1.
fn truth<W: Word>(elem: ElemType, words: &mut [W]) {
    if elem == ElemType::Bool {
        words.iter_mut().filter(|word| **word != W::default()).for_each(|word| *word = W::ONE);
    }
}

/// The extents of a fixed type. An error if a tensor of that type cannot be held in memory.
pub(crate) fn extents(ty: &Type) -> Result<Vec<usize>> {
    let memory = || KernelError::Memory { ty: ty.to_string() };
    let dims = ty.fixed_dims().ok_or_else(|| KernelError::Unbound { dim: ty.to_string() })?;
    if dims.len() > MAX_RANK {
        return Err(KernelError::Rank { found: dims.len(), limit: MAX_RANK });
    }
    if ty.elem.size() == 0 {
        return Err(KernelError::Element { elem: ty.elem });
    }
    byte_size(ty.elem, &dims).map_err(|_| memory())?;
    dims.iter().map(|d| usize::try_from(*d).map_err(|_| memory())).collect()
}

/// An empty vector with capacity for `count` elements. `ty` is the type that an error names.
pub(crate) fn allocate<T>(count: usize, ty: &Type) -> Result<Vec<T>> {
    let mut out = Vec::new();
    out.try_reserve_exact(count).map_err(|_| KernelError::Memory { ty: ty.to_string() })?;
    Ok(out)
}

/// The bit pattern of an element.
pub(crate) trait Word: Pod + Default + PartialEq + Debug + Send + Sync {
    /// The bits of the number 1.
    const ONE: Self;
    /// Decodes `bytes`, which must have the size of the pattern; returns 0 if they have not.
    fn from_little_endian(bytes: &[u8]) -> Self;
    /// Appends the pattern as little-endian bytes.
    fn put_little_endian(self, out: &mut Vec<u8>);
    /// Wraps patterns as the storage of a value.
    fn wrap(words: Vec<Self>) -> Bits;
    /// The patterns of a value, if they have this size.
    fn of(bits: &Bits) -> Option<&[Self]>;
    /// The mutable version of [`Self::of`].
    fn of_mut(bits: &mut Bits) -> Option<&mut [Self]>;
}

macro_rules! word {
    ($($t:ty, $variant:ident;)*) => {$(
        impl Word for $t {
            const ONE: Self = 1;
            fn from_little_endian(bytes: &[u8]) -> Self {
                bytes.try_into().map_or(0, Self::from_le_bytes)
            }
            fn put_little_endian(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            fn wrap(words: Vec<Self>) -> Bits {
                Bits::$variant(words)
            }
            fn of(bits: &Bits) -> Option<&[Self]> {
                if let Bits::$variant(words) = bits { Some(words) } else { None }
            }
            fn of_mut(bits: &mut Bits) -> Option<&mut [Self]> {
                if let Bits::$variant(words) = bits { Some(words) } else { None }
            }
        }
    )*};
}

word! {
    u8, B8;
    u16, B16;
    u32, B32;
    u64, B64;
}

/// A storage type of elements.
pub(crate) trait Element: Pod + Default + PartialOrd + Debug + Send + Sync {
    /// Its bit pattern.
    type Word: Word;
    /// The value.
    fn number(self) -> Number;
    /// Converts a number to this type: to floats by rounding to nearest, between integers by wrapping, from floats to
    /// integers as `as` does.
    fn from_number(number: Number) -> Self;
}

macro_rules! element {
    ($($t:ty, $word:ty, $variant:ident, |$x:ident| $number:expr, |$n:ident| $from_int:expr, |$f:ident| $from_float:expr;)*) => {$(
        impl Element for $t {
            type Word = $word;
            fn number(self) -> Number {
                let $x = self;
                Number::$variant($number)
            }
            fn from_number(number: Number) -> Self {
                match number {
                    Number::Int($n) => $from_int,
                    Number::Float($f) => $from_float,
                }
            }
        }
    )*};
}

element! {
    u8, u8, Int, |x| x.into(), |n| n as Self, |f| f as Self;
    i8, u8, Int, |x| x.into(), |n| n as Self, |f| f as Self;
    i16, u16, Int, |x| x.into(), |n| n as Self, |f| f as Self;
    u32, u32, Int, |x| x.into(), |n| n as Self, |f| f as Self;
    i32, u32, Int, |x| x.into(), |n| n as Self, |f| f as Self;
    i64, u64, Int, |x| x.into(), |n| n as Self, |f| f as Self;
    f32, u32, Float, |x| x.into(), |n| n as Self, |f| f as Self;
    f64, u64, Float, |x| x, |n| n as Self, |f| f;
    f16, u16, Float, |x| x.to_f64(), |n| Self::from_f32(odd_f32(odd_f64(n))), |f| Self::from_f32(odd_f32(f));
    bf16, u16, Float, |x| x.to_f64(), |n| Self::from_f32(odd_f32(odd_f64(n))), |f| Self::from_f32(odd_f32(f));
}

/// Rounds `x` to `f32` by rounding to odd: if inexact, takes the neighbour with an odd last bit. Rounding the result to
/// half precision then gives the half nearest to `x`; rounding to nearest twice could miss it (S. Boldo, G. Melquiond,
/// *Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd*, IEEE TC 57(4), 2008).
fn odd_f32(x: f64) -> f32 {
    let near = x as f32;
    let wide = f64::from(near);
    if x.is_nan() || near.to_bits() & 1 == 1 || wide.total_cmp(&x).is_eq() {
        return near;
    }
    f32::from_bits(if wide.abs() < x.abs() { near.to_bits() + 1 } else { near.to_bits() - 1 })
}

/// Rounds `n` to `f64` by rounding to odd, as [`odd_f32`] does.
fn odd_f64(n: i128) -> f64 {
    let near = n as f64;
    let wide = near as i128;
    if near.to_bits() & 1 == 1 || wide == n {
        return near;
    }
    f64::from_bits(if wide.unsigned_abs() < n.unsigned_abs() { near.to_bits() + 1 } else { near.to_bits() - 1 })
}

/// Evaluates the expression with `$W` as the bit pattern of the element type; an error for types without a size in
/// bytes.
macro_rules! for_word {
    ($elem:expr, $W:ident => $body:expr) => {
        match netc_ir::ElemType::size($elem) {
            1 => {
                type $W = u8;
                $body
            }
            2 => {
                type $W = u16;
                $body
            }
            4 => {
                type $W = u32;
                $body
            }
            8 => {
                type $W = u64;
                $body
            }
            _ => Err($crate::error::KernelError::Element { elem: $elem }),
        }
    };
}
pub(crate) use for_word;

/// Evaluates the expression with `$T` as the storage type of the element type; an error for types without one.
macro_rules! for_element {
    ($elem:expr, $T:ident => $body:expr) => {
        match $elem {
            netc_ir::ElemType::F32 => {
                type $T = f32;
                $body
            }
            netc_ir::ElemType::F64 => {
                type $T = f64;
                $body
            }
            netc_ir::ElemType::F16 => {
                type $T = half::f16;
                $body
            }
            netc_ir::ElemType::BF16 => {
                type $T = half::bf16;
                $body
            }
            netc_ir::ElemType::I64 => {
                type $T = i64;
                $body
            }
            netc_ir::ElemType::I32 => {
                type $T = i32;
                $body
            }
            netc_ir::ElemType::I16 => {
                type $T = i16;
                $body
            }
            netc_ir::ElemType::I8 => {
                type $T = i8;
                $body
            }
            netc_ir::ElemType::U32 => {
                type $T = u32;
                $body
            }
            netc_ir::ElemType::U8 | netc_ir::ElemType::Bool => {
                type $T = u8;
                $body
            }
            elem @ (netc_ir::ElemType::U16
            | netc_ir::ElemType::U64
            | netc_ir::ElemType::Str
            | netc_ir::ElemType::Any
            | netc_ir::ElemType::Narrow(_)) => Err($crate::error::KernelError::Element { elem }),
        }
    };
}
pub(crate) use for_element;
