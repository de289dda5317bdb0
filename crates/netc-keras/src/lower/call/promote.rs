//! Type promotion in Keras, which follows JAX.

use netc_ir::{ElemType, Literal, Number, ValueId};

use crate::lower::call::Call;
use crate::lower::result::Result;

/// An argument of an operation. Python numbers are weakly typed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arg {
    /// A tensor.
    Tensor(ValueId),
    /// A Python integer.
    Int(i128),
    /// A Python float.
    Float(f64),
}

/// A type in JAX's promotion lattice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// The element type of a tensor.
    Elem(ElemType),
    /// The type of a Python integer.
    WeakInt,
    /// The type of a Python float.
    WeakFloat,
}

impl Kind {
    /// The element type of a tensor of this kind.
    fn elem(self) -> ElemType {
        match self {
            Self::Elem(elem) => elem,
            Self::WeakInt => ElemType::I32,
            Self::WeakFloat => ElemType::F32,
        }
    }

    fn is_float(self) -> bool {
        self == Self::WeakFloat || matches!(self, Self::Elem(e) if e.is_float())
    }
}

/// The least type of the lattice that both `a` and `b` convert to.
pub(crate) fn join(a: Kind, b: Kind) -> Kind {
    use Kind::{Elem, WeakFloat, WeakInt};
    match (a, b) {
        _ if a == b => a,
        (Elem(ElemType::Any | ElemType::Str), _) => a,
        (_, Elem(ElemType::Any | ElemType::Str)) => b,
        (Elem(ElemType::Bool), other) | (other, Elem(ElemType::Bool)) => other,
        (Elem(x), Elem(y)) if x.is_float() && y.is_float() => Elem(wider_float(x, y)),
        (WeakFloat, other) | (other, WeakFloat) if other.is_float() => other,
        (WeakFloat, _) | (_, WeakFloat) => WeakFloat,
        (WeakInt, other) | (other, WeakInt) => other,
        (Elem(x), _) if x.is_float() => a,
        (_, Elem(y)) if y.is_float() => b,
        (Elem(x), Elem(y)) => join_ints(x, y),
    }
}

fn wider_float(x: ElemType, y: ElemType) -> ElemType {
    // `f16` and `bf16` meet in `f32`.
    if x.size() == y.size() { ElemType::F32 } else { if x.size() > y.size() { x } else { y } }
}

fn join_ints(x: ElemType, y: ElemType) -> Kind {
    let wider = if x.size() >= y.size() { x } else { y };
    if x.is_signed_int() == y.is_signed_int() {
        return Kind::Elem(wider);
    }
    let (signed, unsigned) = if x.is_signed_int() { (x, y) } else { (y, x) };
    if signed.size() > unsigned.size() {
        return Kind::Elem(signed);
    }
    match unsigned {
        ElemType::U8 => Kind::Elem(ElemType::I16),
        ElemType::U16 => Kind::Elem(ElemType::I32),
        ElemType::U32 => Kind::Elem(ElemType::I64),
        ElemType::Bool
        | ElemType::U64
        | ElemType::I8
        | ElemType::I16
        | ElemType::I32
        | ElemType::I64
        | ElemType::F16
        | ElemType::BF16
        | ElemType::F32
        | ElemType::F64
        | ElemType::Str
        | ElemType::Any
        | ElemType::Narrow(_) => Kind::WeakFloat,
    }
}

/// The element type that Keras calls `name`.
pub(crate) fn dtype(name: &str) -> Option<ElemType> {
    Some(match name {
        "bool" => ElemType::Bool,
        "uint8" => ElemType::U8,
        "uint16" => ElemType::U16,
        "uint32" => ElemType::U32,
        "uint64" => ElemType::U64,
        "int8" => ElemType::I8,
        "int16" => ElemType::I16,
        "int32" | "int" => ElemType::I32,
        "int64" => ElemType::I64,
        "float16" => ElemType::F16,
        "bfloat16" => ElemType::BF16,
        "float32" | "float" => ElemType::F32,
        "float64" => ElemType::F64,
        _ => return None,
    })
}

impl Call<'_, '_> {
    fn kind(&self, arg: Arg) -> Kind {
        match arg {
            Arg::Tensor(x) => Kind::Elem(self.elem(x)),
            Arg::Int(_) => Kind::WeakInt,
            Arg::Float(_) => Kind::WeakFloat,
        }
    }

    /// Converts `args` to the common type of all of them and of `more`.
    pub(crate) fn promote(&mut self, args: &[Arg], more: &[Kind]) -> Result<Vec<ValueId>> {
        let kinds = args.iter().map(|a| self.kind(*a)).chain(more.iter().copied());
        let elem = kinds.reduce(join).map_or(ElemType::F32, Kind::elem);
        args.iter().map(|a| self.convert(*a, elem)).collect()
    }

    /// Converts `a` and `b` to the common type of both and of `more`.
    pub(crate) fn promote2(&mut self, a: Arg, b: Arg, more: &[Kind]) -> Result<(ValueId, ValueId)> {
        let elem = more.iter().copied().fold(join(self.kind(a), self.kind(b)), join).elem();
        Ok((self.convert(a, elem)?, self.convert(b, elem)?))
    }

    /// `x` as a float: `f32` unless it is a float already.
    pub(crate) fn inexact(&mut self, x: ValueId) -> Result<ValueId> {
        let elem = join(Kind::Elem(self.elem(x)), Kind::WeakFloat).elem();
        Ok(self.b.cast(x, elem)?)
    }

    /// `x` in at least the precision of `f32`, for sums and statistics.
    pub(crate) fn at_least_f32(&mut self, x: ValueId) -> Result<ValueId> {
        let elem = join(Kind::Elem(self.elem(x)), Kind::Elem(ElemType::F32)).elem();
        Ok(self.b.cast(x, elem)?)
    }

    pub(crate) fn materialize(&mut self, arg: Arg) -> Result<ValueId> {
        let elem = self.kind(arg).elem();
        self.convert(arg, elem)
    }

    pub(crate) fn convert(&mut self, arg: Arg, elem: ElemType) -> Result<ValueId> {
        let number = match arg {
            Arg::Tensor(x) => return Ok(self.b.cast(x, elem)?),
            Arg::Int(i) => Number::Int(i),
            Arg::Float(x) => Number::Float(x),
        };
        Ok(self.b.constant(Literal::splat_number(elem, &[], number))?)
    }
}
