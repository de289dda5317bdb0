//! Tensors while a plan runs: candle's storage, always contiguous, with netc's element type.

use std::cell::{Cell, RefCell};
use std::fmt::Debug;
use std::marker::PhantomData;
use std::ops::Deref;

use candle_core::{CpuStorage, Device, InplaceOp1, Layout, Storage, StorageRef, WithDType};
use half::{bf16, f16};
use netc_ir::{ElemType, Literal, Number, Type};

use crate::error::{KernelError, TensorError};
use crate::tensor::{Tensor, byte_size};

/// More axes than any model has; bounds recursion over axes.
const MAX_RANK: usize = 64;

type Made<T> = Result<T, KernelError>;

/// A tensor of a running plan. Truth values are stored as bytes 0 and 1, and `i8` as `i16`: candle has none.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    elem: ElemType,
    data: candle_core::Tensor,
}

impl Value {
    /// A tensor of `data` in row-major order. `data` has the storage type of `elem`.
    pub(crate) fn from_vec<T: Element>(elem: ElemType, dims: &[usize], data: Vec<T>) -> Made<Self> {
        Ok(Self { elem, data: candle_core::Tensor::from_vec(data, dims, &Device::Cpu)? })
    }

    /// A tensor of elements of type `elem` whose storage is `data`, contiguous.
    pub(crate) fn from_candle(elem: ElemType, data: candle_core::Tensor) -> Self {
        Self { elem, data }
    }

    pub(crate) fn elem(&self) -> ElemType {
        self.elem
    }

    pub(crate) fn dims(&self) -> &[usize] {
        self.data.dims()
    }

    pub(crate) fn num_elements(&self) -> usize {
        self.data.elem_count()
    }

    pub(crate) fn candle(&self) -> &candle_core::Tensor {
        &self.data
    }

    pub(crate) fn ty(&self) -> Type {
        Type::fixed(self.elem, &self.dims().iter().map(|d| *d as u64).collect::<Vec<_>>())
    }

    /// The elements, in row-major order.
    pub(crate) fn slice<T: Element>(&self) -> Made<impl Deref<Target = [T]> + '_> {
        let (storage, layout) = self.data.storage_and_layout();
        let range = layout.contiguous_offsets();
        StorageRef::try_map(storage, |storage| match storage {
            Storage::Cpu(cpu) => cpu.as_slice::<T>().ok()?.get(range?.0..range?.1),
            Storage::Cuda(_) | Storage::Metal(_) => None,
        })
        .map_err(|_| KernelError::Element { elem: self.elem })
    }

    /// Changes the elements, in row-major order, in place. Nothing else may refer to them.
    pub(crate) fn update<T: InPlace>(&self, change: impl FnMut(&mut [T]) -> Made<()>) -> Made<()> {
        let update = Update { change: RefCell::new(change), outcome: Cell::new(Ok(())), of: PhantomData };
        self.data.inplace_op1(&update)?;
        update.outcome.into_inner()
    }

    /// The same elements under another shape with as many elements.
    pub(crate) fn reshape(&self, dims: &[usize]) -> Made<Self> {
        Ok(Self { elem: self.elem, data: self.data.reshape(dims)? })
    }

    /// A constant of the program, with every element present.
    pub(crate) fn from_literal(literal: &Literal) -> Made<Self> {
        let dims = extents(&literal.ty())?;
        let count: usize = dims.iter().product();
        for_element!(literal.elem, T => {
            let mut all: Vec<T> = allocate(count, &literal.ty())?;
            let stored = decode::<T>(literal.elem, &literal.bytes);
            match stored.as_slice() {
                [splat] => all.resize(count, *splat),
                stored => all.extend_from_slice(stored),
            }
            Self::from_vec(literal.elem, &dims, all)
        })
    }

    /// A tensor of little-endian elements of the type `ty`, which is fixed.
    pub(crate) fn from_bytes(ty: &Type, bytes: &[u8]) -> Made<Self> {
        let dims = extents(ty)?;
        for_element!(ty.elem, T => Self::from_vec(ty.elem, &dims, decode::<T>(ty.elem, bytes)))
    }

    pub(crate) fn from_tensor(tensor: &Tensor) -> Made<Self> {
        Self::from_bytes(&tensor.ty(), tensor.bytes())
    }

    pub(crate) fn to_tensor(&self) -> Result<Tensor, TensorError> {
        let bytes = for_element!(self.elem, T => self.little_endian::<T>());
        let dims: Vec<u64> = self.dims().iter().map(|d| *d as u64).collect();
        Tensor::new(self.elem, &dims, bytes.unwrap_or_default())
    }

    fn little_endian<T: Element>(&self) -> Made<Vec<u8>> {
        let data = self.slice::<T>()?;
        let mut bytes = allocate(data.len() * size_of::<T>(), &self.ty())?;
        if self.elem == ElemType::I8 {
            bytes.extend(data.iter().map(|x| to_i8(x.number()).to_le_bytes()[0]));
        } else {
            data.iter().for_each(|x| x.put(&mut bytes));
        }
        Ok(bytes)
    }
}

/// A change of the elements, as candle asks for it.
struct Update<F, T> {
    change: RefCell<F>,
    outcome: Cell<Made<()>>,
    of: PhantomData<T>,
}

impl<F: FnMut(&mut [T]) -> Made<()>, T: InPlace> InplaceOp1 for Update<F, T> {
    fn name(&self) -> &'static str {
        "update"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let range = layout.contiguous_offsets();
        let elements = T::elements(storage).zip(range).and_then(|(all, (from, to))| all.get_mut(from..to));
        let elements = elements.ok_or_else(|| candle_core::Error::Msg("other elements than expected".into()))?;
        self.outcome.set((self.change.borrow_mut())(elements));
        Ok(())
    }
}

/// The number as `i8`: floats become integers as with `as`, integers wrap.
pub(crate) fn to_i8(number: Number) -> i8 {
    match number {
        Number::Int(n) => n as i8,
        Number::Float(x) => x as i8,
    }
}

/// The elements that `bytes` holds; a byte that is not 0 is a true `bool`.
fn decode<T: Element>(elem: ElemType, bytes: &[u8]) -> Vec<T> {
    let items = bytes.chunks_exact(size_of::<T>());
    match elem {
        ElemType::I8 => bytes.iter().map(|b| T::from_number(Number::Int(i8::from_le_bytes([*b]).into()))).collect(),
        ElemType::Bool => items.map(|b| T::from_number(Number::Int(i128::from(b != [0])))).collect(),
        ElemType::I16
        | ElemType::I32
        | ElemType::I64
        | ElemType::U8
        | ElemType::U16
        | ElemType::U32
        | ElemType::U64
        | ElemType::F16
        | ElemType::BF16
        | ElemType::F32
        | ElemType::F64
        | ElemType::Str
        | ElemType::Any => items.map(T::get).collect(),
    }
}

/// The extents of a fixed type, if a tensor of it can be held.
pub(crate) fn extents(ty: &Type) -> Made<Vec<usize>> {
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

/// An empty vector with room for `count` elements of a result of type `ty`.
pub(crate) fn allocate<T>(count: usize, ty: &Type) -> Made<Vec<T>> {
    let mut out = Vec::new();
    out.try_reserve_exact(count).map_err(|_| KernelError::Memory { ty: ty.to_string() })?;
    Ok(out)
}

/// A type that elements are stored as.
pub(crate) trait Element: WithDType + Default + PartialOrd + Debug {
    /// The value.
    fn number(self) -> Number;
    /// The value as this type: floats round to the nearest, integers wrap, floats become integers as with `as`.
    fn from_number(number: Number) -> Self;
    /// The element in little-endian `bytes`, which are as many as its size; 0 if they are not.
    fn get(bytes: &[u8]) -> Self;
    /// Appends the element in little-endian bytes.
    fn put(self, out: &mut Vec<u8>);
}

/// A type whose tensors can be changed in place.
pub(crate) trait InPlace: Element {
    /// The elements of the storage, if it is of this type.
    fn elements(storage: &mut CpuStorage) -> Option<&mut [Self]>;
}

impl InPlace for f32 {
    fn elements(storage: &mut CpuStorage) -> Option<&mut [Self]> {
        if let CpuStorage::F32(all) = storage { Some(all) } else { None }
    }
}

impl InPlace for f64 {
    fn elements(storage: &mut CpuStorage) -> Option<&mut [Self]> {
        if let CpuStorage::F64(all) = storage { Some(all) } else { None }
    }
}

macro_rules! element {
    ($($t:ty, $variant:ident, |$x:ident| $number:expr, |$n:ident| $from_int:expr, |$f:ident| $from_float:expr;)*) => {$(
        impl Element for $t {
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
            fn get(bytes: &[u8]) -> Self {
                bytes.try_into().map_or(Self::default(), Self::from_le_bytes)
            }
            fn put(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}

element! {
    u8, Int, |x| x.into(), |n| n as Self, |f| f as Self;
    u32, Int, |x| x.into(), |n| n as Self, |f| f as Self;
    i16, Int, |x| x.into(), |n| n as Self, |f| f as Self;
    i32, Int, |x| x.into(), |n| n as Self, |f| f as Self;
    i64, Int, |x| x.into(), |n| n as Self, |f| f as Self;
    f32, Float, |x| x.into(), |n| n as Self, |f| f as Self;
    f64, Float, |x| x, |n| n as Self, |f| f;
    f16, Float, |x| x.to_f64(), |n| Self::from_f64(n as f64), |f| Self::from_f64(f);
    bf16, Float, |x| x.to_f64(), |n| Self::from_f64(n as f64), |f| Self::from_f64(f);
}

/// Runs the expression with `$T` the storage type of an element type; an error for those without one.
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
            netc_ir::ElemType::I8 | netc_ir::ElemType::I16 => {
                type $T = i16;
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
            | netc_ir::ElemType::Any) => Err($crate::error::KernelError::Element { elem }),
        }
    };
}
pub(crate) use for_element;
