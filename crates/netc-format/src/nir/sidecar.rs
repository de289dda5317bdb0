//! Stores the large weights of a program in a file next to it, `x.safetensors`.
//!
//! The format (<https://github.com/huggingface/safetensors>) is the length of a header in eight bytes, the header as
//! JSON, and the bytes of the tensors without gaps. The program has the offset of each weight in the file.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::Arc;

use netc_ir::{ElemType, Module, Narrow, WeightData, WeightId};
use serde_json::{Map, Value, json};

/// The extension of the file.
pub(super) const EXTENSION: &str = "safetensors";

/// Inline weights with more bytes than this go into the file. Splats stay inline.
const INLINE: usize = 256;

/// Alignment of the data in bytes, so that elements are aligned in a memory-mapped file.
const ALIGNMENT: usize = 8;

/// The content of the file.
pub(super) struct Sidecar {
    header: Vec<u8>,
    tensors: Vec<Arc<[u8]>>,
}

impl Sidecar {
    /// Moves the large inline weights of `module` to the file `name`. Returns `None` if there are none.
    pub(super) fn take(module: &mut Module, name: &str) -> Option<Self> {
        let ids = (0..module.weights.len()).map(WeightId::new);
        let mut taken: Vec<(WeightId, Arc<[u8]>, &str)> = ids.filter_map(|id| large(module, id)).collect();
        if taken.is_empty() {
            return None;
        }
        // Widest elements first, so that every tensor is aligned.
        taken.sort_by_key(|(id, ..)| Reverse(module[*id].ty.elem.size()));
        let header = header(module, &taken);
        let file = module.intern_file(name);
        let mut offset = header.len() as u64;
        for (id, bytes, _) in &taken {
            let len = bytes.len() as u64;
            module[*id].data = WeightData::File { file, offset, len };
            offset += len;
        }
        Some(Self { header, tensors: taken.into_iter().map(|(_, bytes, _)| bytes).collect() })
    }

    /// Writes the file.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.header)?;
        self.tensors.iter().try_for_each(|bytes| out.write_all(bytes))
    }
}

/// The bytes of a weight that belongs in the file, and the name of its type in the format.
fn large(module: &Module, id: WeightId) -> Option<(WeightId, Arc<[u8]>, &'static str)> {
    match &module[id].data {
        WeightData::Inline(literal) if literal.bytes.len() > INLINE => {
            Some((id, literal.bytes.clone(), dtype(literal.elem)?))
        }
        WeightData::Inline(_) | WeightData::File { .. } | WeightData::Random { .. } => None,
    }
}

/// The length and text of the header. Repeated names get the id of the weight appended.
fn header(module: &Module, taken: &[(WeightId, Arc<[u8]>, &str)]) -> Vec<u8> {
    let (mut entries, mut offset) = (Map::new(), 0);
    let mut names = BTreeSet::from(["__metadata__".to_string()]);
    for (id, bytes, dtype) in taken {
        let weight = &module[*id];
        let mut name = weight.name.to_string();
        while !names.insert(name.clone()) {
            name = format!("{name}.{id}");
        }
        let end = offset + bytes.len();
        let shape = weight.ty.fixed_dims().unwrap_or_default();
        entries.insert(name, json!({"dtype": dtype, "shape": shape, "data_offsets": [offset, end]}));
        offset = end;
    }
    let mut text = Value::Object(entries).to_string();
    let padding = text.len().next_multiple_of(ALIGNMENT) - text.len();
    text.push_str(&" ".repeat(padding));
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

/// The name of an element type in the format, if it has one.
fn dtype(elem: ElemType) -> Option<&'static str> {
    Some(match elem {
        ElemType::F64 => "F64",
        ElemType::F32 => "F32",
        ElemType::F16 => "F16",
        ElemType::BF16 => "BF16",
        ElemType::I64 => "I64",
        ElemType::I32 => "I32",
        ElemType::I16 => "I16",
        ElemType::I8 => "I8",
        ElemType::U64 => "U64",
        ElemType::U32 => "U32",
        ElemType::U16 => "U16",
        ElemType::U8 => "U8",
        ElemType::Bool => "BOOL",
        ElemType::Narrow(Narrow::F8E4M3FN) => "F8_E4M3",
        ElemType::Narrow(Narrow::F8E5M2) => "F8_E5M2",
        ElemType::Narrow(Narrow::F8E8M0) => "F8_E8M0",
        // Sub-byte elements are stored unpacked in the program, and stay there.
        ElemType::Narrow(_) | ElemType::Str | ElemType::Any => return None,
    })
}
