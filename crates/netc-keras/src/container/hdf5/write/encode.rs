//! Encodes types and shapes as HDF5 messages ("HDF5 File Format Specification", version 3, IV.A.2).

use netc_ir::ElemType;

/// Float formats: exponent position, exponent bits, mantissa bits, exponent bias.
const BINARY16: [u32; 4] = [10, 5, 10, 15];

const BINARY32: [u32; 4] = [23, 8, 23, 127];

const BINARY64: [u32; 4] = [52, 11, 52, 1023];

/// The bytes that reference a variable-length text: its length and its place.
pub(super) const TEXT_SIZE: u32 = 16;

/// The type message that h5py writes for an element type; `None` for types that no Keras weight has.
pub(super) fn number_type(elem: ElemType) -> Option<Vec<u8>> {
    Some(match elem {
        ElemType::U8 | ElemType::U16 | ElemType::U32 | ElemType::U64 => integer(elem.size() as u32, false),
        ElemType::I8 | ElemType::I16 | ElemType::I32 | ElemType::I64 => integer(elem.size() as u32, true),
        ElemType::F16 => float(2, BINARY16),
        ElemType::F32 => float(4, BINARY32),
        ElemType::F64 => float(8, BINARY64),
        ElemType::Bool => {
            // An enumeration of two members: base type, names, values.
            let names = *b"FALSE\0\0\0TRUE\0\0\0\0";
            [header(8, [2, 0], 1), integer(1, true), names.into(), vec![0, 1]].concat()
        }
        // Opaque bytes without a tag. An attribute marks them as bfloat16.
        ElemType::BF16 => header(5, [0, 0], 2),
        ElemType::Str | ElemType::Any | ElemType::Narrow(_) => return None,
    })
}

fn header(class: u8, bits: [u8; 2], size: u32) -> Vec<u8> {
    let version = 1 << 4;
    [&[version | class, bits[0], bits[1], 0][..], &size.to_le_bytes()].concat()
}

fn integer(size: u32, signed: bool) -> Vec<u8> {
    let (offset, precision) = (0u16, (8 * size) as u16);
    [header(0, [if signed { 8 } else { 0 }, 0], size), offset.to_le_bytes().into(), precision.to_le_bytes().into()]
        .concat()
}

fn float(size: u32, [exponent, exponent_bits, mantissa_bits, bias]: [u32; 4]) -> Vec<u8> {
    // The leading bit of the mantissa is implied; the sign is the highest bit.
    let bits = [2 << 4, (8 * size - 1) as u8];
    let (offset, precision) = (0u16, (8 * size) as u16);
    let parts = [exponent as u8, exponent_bits as u8, 0, mantissa_bits as u8];
    let numbers = [&offset.to_le_bytes()[..], &precision.to_le_bytes(), &parts, &bias.to_le_bytes()];
    [header(1, bits, size), numbers.concat()].concat()
}

/// The type of fixed-length UTF-8 text, padded with zeros.
pub(super) fn fixed_text(len: u32) -> Vec<u8> {
    header(3, [1 | 1 << 4, 0], len)
}

/// The type of variable-length text.
pub(super) fn text(is_ascii: bool) -> Vec<u8> {
    let charset = if is_ascii { 0 } else { 1 };
    [header(9, [1, charset], TEXT_SIZE), header(3, [charset << 4, 0], 1)].concat()
}

/// A shape message. A scalar has no extents.
pub(super) fn shape(dims: &[u64]) -> Vec<u8> {
    let version = 1;
    let mut bytes = vec![version, dims.len() as u8, 0, 0, 0, 0, 0, 0];
    dims.iter().for_each(|n| bytes.extend(n.to_le_bytes()));
    bytes
}
