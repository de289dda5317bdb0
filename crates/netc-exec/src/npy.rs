//! NumPy's `.npy` files: versions 1 to 3 of the format, little- or big-endian, in C or Fortran order.
//!
//! NumPy has no `bf16`; it is stored as two raw bytes (`V2`), as `ml_dtypes` does.

use std::io::{self, Write};
use std::path::Path;

use netc_ir::ElemType;

use crate::error::TensorError;
use crate::tensor::{Tensor, byte_size, room};

const MAGIC: &[u8] = b"\x93NUMPY";

/// Element types and their NumPy names, without the byte order.
const TYPES: &[(ElemType, &str)] = &[
    (ElemType::Bool, "b1"),
    (ElemType::U8, "u1"),
    (ElemType::U16, "u2"),
    (ElemType::U32, "u4"),
    (ElemType::U64, "u8"),
    (ElemType::I8, "i1"),
    (ElemType::I16, "i2"),
    (ElemType::I32, "i4"),
    (ElemType::I64, "i8"),
    (ElemType::F16, "f2"),
    (ElemType::BF16, "V2"),
    (ElemType::F32, "f4"),
    (ElemType::F64, "f8"),
];

/// Reads the tensor in the file at `path`.
///
/// # Errors
/// The file cannot be read, is malformed, or has an unsupported element type.
pub fn read(path: &Path) -> Result<Tensor, TensorError> {
    let place = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|source| TensorError::File { path: place.clone(), source })?;
    decode(&bytes).map_err(|error| error.at(&place))
}

/// Writes `tensor` to a file at `path`.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, tensor: &Tensor) -> Result<(), TensorError> {
    let place = path.display().to_string();
    let written = std::fs::File::create(path).and_then(|file| write_to(tensor, file));
    written.map_err(|source| TensorError::File { path: place, source })
}

/// Writes `tensor` to `out` as a `.npy` file.
pub fn write_to(tensor: &Tensor, mut out: impl Write) -> io::Result<()> {
    out.write_all(&start(tensor))?;
    out.write_all(tensor.bytes())
}

/// Encodes `tensor` as a `.npy` file.
pub fn encode(tensor: &Tensor) -> Vec<u8> {
    let mut out = start(tensor);
    out.extend(tensor.bytes());
    out
}

/// The magic bytes, version and header of the `.npy` file of `tensor`.
fn start(tensor: &Tensor) -> Vec<u8> {
    let name = TYPES.iter().find(|(elem, _)| *elem == tensor.elem()).map_or("V1", |(_, name)| name);
    let order = if tensor.elem().size() == 1 { '|' } else { '<' };
    let mut shape: String = tensor.dims().iter().map(|d| format!("{d}, ")).collect();
    if tensor.dims().len() > 1 {
        shape.truncate(shape.len() - 2);
    } else {
        shape.truncate(shape.trim_end().len());
    }
    let mut header = format!("{{'descr': '{order}{name}', 'fortran_order': False, 'shape': ({shape}), }}");
    // The data starts at a multiple of 64; the header ends with a line feed.
    let start = (MAGIC.len() + 4 + header.len() + 1).next_multiple_of(64);
    let padding = start - MAGIC.len() - 4 - header.len() - 1;
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');
    // Version 1 stores the length in 16 bits. Some 3000 axes exceed that and need version 2.
    let length = header.len() as u32;
    let mut out = MAGIC.to_vec();
    match u16::try_from(length) {
        Ok(length) => {
            out.extend([1, 0]);
            out.extend(length.to_le_bytes());
        }
        Err(_) => {
            out.extend([2, 0]);
            out.extend(length.to_le_bytes());
        }
    }
    out.extend(header.bytes());
    out
}

/// A decoding error without the path of the file; [`DecodeError::at`] adds it.
#[derive(Debug)]
pub(crate) enum DecodeError {
    Format(String),
    Tensor(TensorError),
}

impl DecodeError {
    pub(crate) fn at(self, path: &str) -> TensorError {
        match self {
            Self::Format(note) => TensorError::Format { path: path.to_owned(), note },
            Self::Tensor(error) => error,
        }
    }
}

fn format_error<T>(note: impl Into<String>) -> Result<T, DecodeError> {
    Err(DecodeError::Format(note.into()))
}

/// Decodes the bytes of a `.npy` file.
pub(crate) fn decode(bytes: &[u8]) -> Result<Tensor, DecodeError> {
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        return format_error("it does not begin with \\x93NUMPY");
    };
    let (length, rest) = match rest {
        [1, _, a, b, rest @ ..] => (usize::from(u16::from_le_bytes([*a, *b])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        [version, _, ..] => return format_error(format!("version {version} of the format, expected 1 to 3")),
        _ => return format_error("it ends before its header"),
    };
    let Some((header, data)) = rest.split_at_checked(length) else {
        return format_error(format!("its header should have {length} bytes, found {}", rest.len()));
    };
    let header = HeaderParser { rest: String::from_utf8_lossy(header).trim().to_owned() }.header()?;
    let size = byte_size(header.elem, &header.dims).map_err(DecodeError::Tensor)?;
    let Some(data) = usize::try_from(size).ok().and_then(|n| data.get(..n)) else {
        return format_error(format!("its shape {:?} needs {size} bytes, found {}", header.dims, data.len()));
    };
    let item = header.elem.size().max(1) as usize;
    let mut own = room(header.elem, &header.dims).map_err(DecodeError::Tensor)?;
    own.extend_from_slice(data);
    let mut data = own;
    if header.big_endian {
        data.chunks_exact_mut(item).for_each(<[u8]>::reverse);
    }
    if header.fortran_order {
        let mut ordered = room(header.elem, &header.dims).map_err(DecodeError::Tensor)?;
        row_major(&data, &header.dims, item, &mut ordered);
        data = ordered;
    }
    Tensor::new(header.elem, &header.dims, data).map_err(DecodeError::Tensor)
}

/// Appends the column-major elements of `data`, each of `item` bytes, to `out` in row-major order.
fn row_major(data: &[u8], dims: &[u64], item: usize, out: &mut Vec<u8>) {
    for place in 0..data.len() / item {
        let (mut rest, mut from, mut stride) = (place, 0, data.len() / item);
        // The last axis varies fastest in `out` and has the largest stride in `data`.
        for extent in dims.iter().rev().map(|d| *d as usize) {
            stride /= extent.max(1);
            from += rest % extent.max(1) * stride;
            rest /= extent.max(1);
        }
        out.extend_from_slice(data.get(from * item..(from + 1) * item).unwrap_or_default());
    }
}

struct Header {
    elem: ElemType,
    big_endian: bool,
    fortran_order: bool,
    dims: Vec<u64>,
}

/// Parses the header: a Python dictionary with three known keys.
struct HeaderParser {
    rest: String,
}

impl HeaderParser {
    fn header(mut self) -> Result<Header, DecodeError> {
        let (mut descr, mut fortran_order, mut dims) = (None, None, None);
        self.expect("{")?;
        while !self.eat("}") {
            let key = self.string()?;
            self.expect(":")?;
            match key.as_str() {
                "descr" => descr = Some(self.string()?),
                "fortran_order" => fortran_order = Some(self.boolean()?),
                "shape" => dims = Some(self.tuple()?),
                key => return format_error(format!("its header has the unknown key `{key}`")),
            }
            if !self.eat(",") && !self.rest.starts_with('}') {
                return format_error(format!("its header has `{}`, expected `,` or `}}`", self.rest));
            }
        }
        let (Some(descr), Some(fortran_order), Some(dims)) = (descr, fortran_order, dims) else {
            return format_error("its header lacks one of descr, fortran_order, shape");
        };
        let (elem, big_endian) = elem_type(&descr)?;
        Ok(Header { elem, big_endian, fortran_order, dims })
    }

    fn eat(&mut self, token: &str) -> bool {
        let eaten = self.rest.strip_prefix(token).map(|rest| rest.trim_start().to_owned());
        eaten.map(|rest| self.rest = rest).is_some()
    }

    fn expect(&mut self, token: &str) -> Result<(), DecodeError> {
        if self.eat(token) {
            return Ok(());
        }
        format_error(format!("its header has `{}`, expected `{token}`", self.rest))
    }

    fn string(&mut self) -> Result<String, DecodeError> {
        let quote = self.rest.chars().next().filter(|c| matches!(c, '\'' | '"'));
        let parts = quote.and_then(|q| self.rest[1..].split_once(q));
        let Some((text, rest)) = parts.map(|(text, rest)| (text.to_owned(), rest.trim_start().to_owned())) else {
            return format_error(format!("its header has `{}`, expected a string", self.rest));
        };
        self.rest = rest;
        Ok(text)
    }

    fn boolean(&mut self) -> Result<bool, DecodeError> {
        if self.eat("True") {
            return Ok(true);
        }
        self.expect("False").map(|()| false)
    }

    fn tuple(&mut self) -> Result<Vec<u64>, DecodeError> {
        self.expect("(")?;
        let mut items = Vec::new();
        while !self.eat(")") {
            let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
            let Ok(extent) = self.rest[..end].parse() else {
                return format_error(format!("its header has `{}`, expected an extent", self.rest));
            };
            items.push(extent);
            self.rest = self.rest[end..].trim_start().to_owned();
            if !self.eat(",") && !self.rest.starts_with(')') {
                return format_error(format!("its header has `{}`, expected `)`", self.rest));
            }
        }
        Ok(items)
    }
}

fn elem_type(descr: &str) -> Result<(ElemType, bool), DecodeError> {
    let name = descr.trim_start_matches(['<', '>', '|', '=']);
    match TYPES.iter().find(|(_, known)| *known == name) {
        Some((elem, _)) => Ok((*elem, descr.starts_with('>'))),
        None => format_error(format!("elements of NumPy type `{descr}` are not supported")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netc_ir::Number;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([1, 0]);
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.bytes());
        bytes.extend(data);
        bytes
    }

    #[track_caller]
    fn check_error(bytes: &[u8], expect: &str) {
        let error = decode(bytes).unwrap_err().at("x.npy").to_string();
        assert!(error.contains(expect), "{error}");
    }

    #[test]
    fn every_element_type_round_trips() {
        for (elem, _) in TYPES {
            for dims in [&[][..], &[3], &[2, 3], &[0, 2]] {
                let n = dims.iter().product::<u64>();
                let numbers = (0..n).map(|i| Number::Int(i128::from(i % 2)));
                let tensor = Tensor::from_numbers(*elem, dims, numbers).unwrap();
                assert_eq!(decode(&encode(&tensor)).unwrap(), tensor);
                assert_eq!((encode(&tensor).len() - tensor.bytes().len()) % 64, 0);
            }
        }
    }

    #[test]
    fn headers_match_those_that_numpy_writes() {
        let header = |dims: &[u64]| {
            let tensor = Tensor::from_f32(dims, &vec![0.0; dims.iter().product::<u64>() as usize]).unwrap();
            String::from_utf8_lossy(&encode(&tensor)[10..]).split("  ").next().unwrap().to_owned()
        };
        assert_eq!(header(&[]), "{'descr': '<f4', 'fortran_order': False, 'shape': (), }");
        assert_eq!(header(&[3]), "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }");
        assert_eq!(header(&[1, 2]), "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }");
    }

    #[test]
    fn big_endian_and_fortran_order_are_converted() {
        let header = "{'descr': '>i2', 'fortran_order': True, 'shape': (2, 3), }\n";
        let tensor = decode(&file(header, &[0, 1, 0, 4, 0, 2, 0, 5, 0, 3, 0, 6])).unwrap();
        assert_eq!(tensor, Tensor::from_numbers(ElemType::I16, &[2, 3], (1..7).map(Number::Int)).unwrap());
    }

    #[test]
    fn malformed_files_are_errors() {
        let whole = encode(&Tensor::from_f32(&[2], &[1.0, 2.0]).unwrap());
        for end in 0..whole.len() {
            assert!(decode(&whole[..end]).is_err(), "{end}");
        }
        check_error(b"PK", "does not begin with");
        check_error(
            &file("{'descr': '<f4', 'fortran_order': False, 'shape': (9,), }", &[0; 8]),
            "needs 36 bytes, found 8",
        );
        check_error(&file("{'descr': '<f4', 'shape': (9,), }", &[]), "lacks one of");
        check_error(&file("{'descr': '<c8', 'fortran_order': False, 'shape': (9,), }", &[]), "`<c8` are not supported");
        check_error(&file("{'descr': [('a', '<f4')], }", &[]), "expected a string");
        check_error(&file("{'é': '", &[]), "has the unknown key `é`");
        let huge = "{'descr': '<f4', 'fortran_order': False, 'shape': (18446744073709551615, 18446744073709551615), }";
        check_error(&file(huge, &[]), "larger than");
    }
}
