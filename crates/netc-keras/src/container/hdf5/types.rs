//! Converts element types from HDF5.

use hdf5_pure::{Datatype, DatatypeByteOrder};
use netc_ir::ElemType;

/// How the elements of a dataset are stored.
#[derive(Clone, Copy)]
pub(crate) struct Stored {
    pub(crate) elem: ElemType,
    /// Whether they are big-endian.
    pub(crate) is_swapped: bool,
}

impl Stored {
    /// Converts the bytes of elements to little-endian.
    pub(crate) fn in_order(self, bytes: &mut [u8]) {
        if self.is_swapped {
            bytes.chunks_exact_mut(self.elem.size() as usize).for_each(<[u8]>::reverse);
        }
    }
}

/// How the elements of a dataset are stored. Keras stores bfloat16 as opaque bytes and marks it by an attribute, which
/// `marked_bfloat16` reports.
///
/// # Errors
/// An unsupported type or byte order.
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
            return Err("its numbers have VAX byte order; write them little-endian".into());
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
            _ => Err(format!("floats of {size} bytes with {} exponent bits are not supported", layout.exponent_size)),
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
            _ => Err(format!("integers of {size} bytes are not supported")),
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
