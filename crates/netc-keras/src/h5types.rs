//! Element types as HDF5 spells them.

use hdf5_pure::{
    Datatype, DatatypeByteOrder, EnumTypeBuilder, FloatingPointLayout, make_f32_type, make_f64_type, make_i8_type,
    make_i16_type, make_i32_type, make_i64_type, make_u8_type, make_u16_type, make_u32_type, make_u64_type,
};
use netc_ir::ElemType;

/// IEEE 754 binary16, as h5py writes it.
const BINARY16: FloatingPointLayout = FloatingPointLayout {
    bit_offset: 0,
    bit_precision: 16,
    exponent_location: 10,
    exponent_size: 5,
    mantissa_location: 0,
    mantissa_size: 10,
    exponent_bias: 15,
};

/// How the elements of a dataset are stored.
#[derive(Clone, Copy)]
pub(crate) struct Stored {
    pub(crate) elem: ElemType,
    /// Whether the highest byte of each is the first.
    pub(crate) is_swapped: bool,
}

impl Stored {
    /// Puts the bytes of elements into their order.
    pub(crate) fn in_order(self, bytes: &mut [u8]) {
        if self.is_swapped {
            bytes.chunks_exact_mut(self.elem.size() as usize).for_each(<[u8]>::reverse);
        }
    }
}

/// How the elements of a dataset are stored, or what is wrong with them. `marked_bfloat16`: Keras stores bfloat16 as
/// opaque bytes with an attribute that says so.
pub(crate) fn from_hdf5(ty: &Datatype, marked_bfloat16: bool) -> Result<Stored, String> {
    let order =
        if let Datatype::FloatingPoint { byte_order, .. } | Datatype::FixedPoint { byte_order, size: 2.., .. } = ty {
            Some(byte_order)
        } else {
            None
        };
    let is_swapped = match order {
        None | Some(DatatypeByteOrder::LittleEndian) => false,
        Some(DatatypeByteOrder::BigEndian) => true,
        Some(DatatypeByteOrder::Vax) => {
            return Err("its numbers have the byte order of the VAX; write them little-endian".into());
        }
    };
    Ok(Stored { elem: elem_type(ty, marked_bfloat16)?, is_swapped })
}

fn elem_type(ty: &Datatype, marked_bfloat16: bool) -> Result<ElemType, String> {
    match ty {
        Datatype::FloatingPoint { size, layout, .. } => match (size, layout.exponent_size) {
            (2, 5) => Ok(ElemType::F16),
            (4, 8) => Ok(ElemType::F32),
            (8, 11) => Ok(ElemType::F64),
            _ => Err(format!("floats of {size} bytes with {} exponent bits are not known", layout.exponent_size)),
        },
        Datatype::FixedPoint { size, layout, .. } => match (size, layout.signed) {
            (1, true) => Ok(ElemType::I8),
            (2, true) => Ok(ElemType::I16),
            (4, true) => Ok(ElemType::I32),
            (8, true) => Ok(ElemType::I64),
            (1, false) => Ok(ElemType::U8),
            (2, false) => Ok(ElemType::U16),
            (4, false) => Ok(ElemType::U32),
            (8, false) => Ok(ElemType::U64),
            _ => Err(format!("integers of {size} bytes are not known")),
        },
        Datatype::Enumeration { size: 1, .. } => Ok(ElemType::Bool),
        Datatype::Opaque { size: 2, .. } if marked_bfloat16 => Ok(ElemType::BF16),
        Datatype::String { .. } | Datatype::VariableLength { .. } => Err("it holds text, expected numbers".into()),
        Datatype::Time { .. }
        | Datatype::BitField { .. }
        | Datatype::Opaque { .. }
        | Datatype::Compound { .. }
        | Datatype::Reference { .. }
        | Datatype::Enumeration { .. }
        | Datatype::Array { .. }
        | _ => Err("its elements are neither numbers nor booleans".into()),
    }
}

/// How h5py stores elements of a type; `None` for those that Keras has no weights of.
pub(crate) fn to_hdf5(elem: ElemType) -> Option<Datatype> {
    Some(match elem {
        ElemType::Bool => EnumTypeBuilder::with_base(make_i8_type()).value("FALSE", 0).value("TRUE", 1).build().ok()?,
        ElemType::U8 => make_u8_type(),
        ElemType::U16 => make_u16_type(),
        ElemType::U32 => make_u32_type(),
        ElemType::U64 => make_u64_type(),
        ElemType::I8 => make_i8_type(),
        ElemType::I16 => make_i16_type(),
        ElemType::I32 => make_i32_type(),
        ElemType::I64 => make_i64_type(),
        ElemType::F16 => {
            Datatype::FloatingPoint { size: 2, byte_order: DatatypeByteOrder::LittleEndian, layout: BINARY16 }
        }
        ElemType::BF16 => Datatype::Opaque { size: 2, tag: Vec::new() },
        ElemType::F32 => make_f32_type(),
        ElemType::F64 => make_f64_type(),
        ElemType::Str | ElemType::Any => return None,
    })
}
