//! Lays out an HDF5 file ("HDF5 File Format Specification", version 3).
//!
//! The headers come first, the members of a group before the group, then all variable-length texts, then the weights.
//! The structures are those of HDF5 1.0: superblock version 0, object headers version 1, groups as symbol tables. They
//! have no checksums, so addresses can be filled in as soon as they are known.

use std::collections::BTreeMap;

use netc_ir::{ElemType, Module, WeightId};

use crate::config::path::join;
use crate::container::hdf5::write::encode::{TEXT_SIZE, fixed_text, number_type, shape, text};
use crate::container::hdf5::write::{Laid, Tree, Value};
use crate::error::{Problem, Result};

/// The undefined address.
const UNDEFINED: u64 = u64::MAX;

/// A symbol node has at most `2 * LEAF_K` symbols, a B-tree node at most `2 * INTERNAL_K` children.
const LEAF_K: u16 = 4;

const INTERNAL_K: u16 = 4;

/// Bytes per symbol.
const SYMBOL: usize = 40;

/// The most texts in one heap. Their indices have 16 bits.
const MAX_TEXTS: usize = 60_000;

/// The least size of a heap of texts, in bytes.
const MIN_HEAP: u64 = 4096;

/// The most bytes of a message, such as an attribute's header and value.
const MAX_MESSAGE: usize = 65_528;

/// Kinds of messages in object headers.
const SHAPE: u16 = 0x1;

const TYPE: u16 = 0x3;

const FILL: u16 = 0x5;

const PLACE: u16 = 0x8;

const ATTRIBUTE: u16 = 0xc;

const SYMBOLS: u16 = 0x11;

/// A file whose layout is in progress.
pub(super) struct Layout<'t> {
    module: &'t Module,
    image: Vec<u8>,
    /// The weights, with the position in `image` for each address.
    weights: Vec<(WeightId, usize)>,
    /// The variable-length texts, with the position in `image` for each address.
    texts: Vec<(&'t str, usize)>,
}

/// The addresses of the parts of a group.
struct Group {
    header: u64,
    tree: u64,
    names: u64,
}

/// A member of a group.
enum Member {
    Group(Group),
    /// A dataset, with the address of its header.
    Dataset(u64),
}

impl<'t> Layout<'t> {
    pub(super) fn new(module: &'t Module) -> Self {
        Self { module, image: Vec::new(), weights: Vec::new(), texts: Vec::new() }
    }

    /// Lays out the file whose root group is `tree`.
    pub(super) fn file(mut self, tree: &'t Tree) -> Result<Laid> {
        let version = [0, 0, 0, 0, 0, 8, 8, 0];
        self.bytes(b"\x89HDF\r\n\x1a\n");
        self.bytes(&version);
        self.bytes(&LEAF_K.to_le_bytes());
        self.bytes(&INTERNAL_K.to_le_bytes());
        self.bytes(&[0; 4]);
        self.numbers(&[0, UNDEFINED]);
        let end_of_file = self.image.len();
        self.numbers(&[0, UNDEFINED]);
        let root = self.image.len();
        self.bytes(&[0; SYMBOL]);
        let group = self.group(tree, "")?;
        let symbol = symbol(0, &Member::Group(group));
        self.image[root..root + SYMBOL].copy_from_slice(&symbol);
        self.place_texts();
        let mut at = self.image.len() as u64;
        for i in 0..self.weights.len() {
            let (id, place) = self.weights[i];
            let size = self.module[id].ty.num_bytes().unwrap_or(0);
            self.put(place, if size == 0 { UNDEFINED } else { at });
            at = at.saturating_add(size).saturating_add(padding(size));
        }
        self.put(end_of_file, at);
        Ok(Laid { headers: self.image, weights: self.weights.into_iter().map(|(id, _)| id).collect() })
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.image.extend_from_slice(bytes);
    }

    fn numbers(&mut self, numbers: &[u64]) {
        numbers.iter().for_each(|n| self.bytes(&n.to_le_bytes()));
    }

    /// Overwrites the bytes at `at` with a number.
    fn put(&mut self, at: usize, number: u64) {
        self.image[at..at + 8].copy_from_slice(&number.to_le_bytes());
    }

    /// Pads to the next aligned address and returns it.
    fn align(&mut self) -> u64 {
        let len = self.image.len() + padding(self.image.len() as u64) as usize;
        self.image.resize(len, 0);
        len as u64
    }

    fn group(&mut self, tree: &'t Tree, path: &str) -> Result<Group> {
        let mut members: Vec<(&str, Member)> = Vec::new();
        for (name, weight) in &tree.weights {
            if tree.groups.contains_key(name) {
                let note = "the name is used for both a weight and a group of weights, which HDF5 does not allow";
                return Err(Problem::weights(join(path, name), note));
            }
            members.push((name, Member::Dataset(self.dataset(*weight, &join(path, name))?)));
        }
        for (name, child) in &tree.groups {
            members.push((name, Member::Group(self.group(child, &join(path, name))?)));
        }
        if let Some((name, _)) = members.iter().find(|(name, _)| *name == "." || name.contains('\0')) {
            return Err(Problem::weights(join(path, name), "HDF5 does not allow this name"));
        }
        members.sort_by_key(|(name, _)| *name);
        let (names, offsets) = self.names(&members);
        let symbols: Vec<(u64, Member)> =
            offsets.into_iter().zip(members).map(|(offset, (_, member))| (offset, member)).collect();
        let tree_at = self.symbols(&symbols);
        let header = self.header(path, |layout| {
            layout.message(SYMBOLS, |layout| layout.numbers(&[tree_at, names]));
            layout.attributes(&tree.attrs)
        })?;
        Ok(Group { header, tree: tree_at, names })
    }

    /// Writes the heap of the members' names. Returns its address, and the offset of each name in it.
    fn names(&mut self, members: &[(&str, Member)]) -> (u64, Vec<u64>) {
        // The empty name comes first.
        let (mut data, mut offsets) = (vec![0; 8], Vec::new());
        for (name, _) in members {
            offsets.push(data.len() as u64);
            data.extend_from_slice(name.as_bytes());
            data.push(0);
            data.resize(data.len() + padding(data.len() as u64) as usize, 0);
        }
        let at = self.align();
        self.bytes(b"HEAP\0\0\0\0");
        let no_free_list = 1;
        self.numbers(&[data.len() as u64, no_free_list, at + 32]);
        self.bytes(&data);
        (at, offsets)
    }

    /// Writes the B-tree of the symbols, which are sorted by name. Returns the address of its root.
    fn symbols(&mut self, symbols: &[(u64, Member)]) -> u64 {
        let mut level: Vec<(u64, u64)> = Vec::new();
        for symbols in symbols.chunks(2 * usize::from(LEAF_K)) {
            let at = self.align();
            self.bytes(b"SNOD\x01\0");
            self.bytes(&(symbols.len() as u16).to_le_bytes());
            symbols.iter().for_each(|(name, member)| self.bytes(&symbol(*name, member)));
            self.image.resize(at as usize + 8 + 2 * usize::from(LEAF_K) * SYMBOL, 0);
            level.extend(symbols.last().map(|(last, _)| (at, *last)));
        }
        let mut height = 0;
        loop {
            level = self.nodes(height, &level);
            if let [(root, _)] = level[..] {
                return root;
            }
            height += 1;
        }
    }

    /// Writes one level of a B-tree. `below` has the address and the last name of each node one level down; returns the
    /// same for the new nodes. An empty group still has one node.
    fn nodes(&mut self, height: u8, below: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let children = 2 * usize::from(INTERNAL_K);
        let size = 24 + 8 * (2 * children + 1);
        let first = self.align();
        let num = below.len().div_ceil(children).max(1);
        let address = |i: usize| if i < num { first + (i * size) as u64 } else { UNDEFINED };
        let mut nodes = Vec::new();
        let mut least = 0;
        for i in 0..num {
            let below = &below[i * children..below.len().min((i + 1) * children)];
            let group_node = 0;
            self.bytes(b"TREE");
            self.bytes(&[group_node, height]);
            self.bytes(&(below.len() as u16).to_le_bytes());
            self.numbers(&[i.checked_sub(1).map_or(UNDEFINED, address), address(i + 1), least]);
            for (at, last) in below {
                self.numbers(&[*at, *last]);
                least = *last;
            }
            self.image.resize(first as usize + (i + 1) * size, 0);
            nodes.push((address(i), least));
        }
        nodes
    }

    fn dataset(&mut self, id: WeightId, path: &str) -> Result<u64> {
        let ty = &self.module[id].ty;
        let known = (number_type(ty.elem), ty.fixed_dims(), ty.num_bytes());
        let (Some(elem), Some(dims), Some(size)) = known else {
            return Err(Problem::weights(path, format!("a weight of type {ty} cannot be written")));
        };
        let is_bfloat16 = ty.elem == ElemType::BF16;
        self.header(path, |layout| {
            layout.message(SHAPE, |layout| layout.bytes(&shape(&dims)));
            layout.message(TYPE, |layout| layout.bytes(&elem));
            // Storage is allocated late, and filled only if a fill value is set; none is.
            layout.message(FILL, |layout| layout.bytes(&[2, 2, 2, 1, 0, 0, 0, 0]));
            layout.message(PLACE, |layout| {
                let (version, contiguous) = (3, 1);
                layout.bytes(&[version, contiguous]);
                layout.weights.push((id, layout.image.len()));
                layout.numbers(&[UNDEFINED, size]);
            });
            if is_bfloat16 {
                // h5py reads fixed-length text as bytes, which Keras would not recognize.
                layout.text("dtype", "bfloat16", false);
            }
            Ok(())
        })
    }

    /// Writes an object header; `write` adds its messages. Returns its address.
    fn header(&mut self, path: &str, write: impl FnOnce(&mut Self) -> Result<(), &'static str>) -> Result<u64> {
        let at = self.align();
        let (version, references) = (1, 1u32);
        self.bytes(&[version, 0, 0, 0]);
        self.bytes(&references.to_le_bytes());
        self.bytes(&[0; 8]);
        let start = self.image.len();
        write(self).map_err(|note| Problem::weights(path, note))?;
        let at = at as usize;
        let (number, size) = (count(&self.image[start..]), self.image.len() - start);
        let number = u16::try_from(number).map_err(|_| Problem::weights(path, "it has more than 65,000 attributes"))?;
        let size = u32::try_from(size).map_err(|_| Problem::weights(path, "its attributes take more than 4 GB"))?;
        self.image[at + 2..at + 4].copy_from_slice(&number.to_le_bytes());
        self.image[at + 8..at + 12].copy_from_slice(&size.to_le_bytes());
        Ok(at as u64)
    }

    /// Writes a message; `write` writes its body of at most [`MAX_MESSAGE`] bytes.
    fn message(&mut self, kind: u16, write: impl FnOnce(&mut Self)) {
        self.bytes(&kind.to_le_bytes());
        self.bytes(&[0; 6]);
        let start = self.image.len();
        write(self);
        let size = self.align() as usize - start;
        self.image[start - 6..start - 4].copy_from_slice(&(size as u16).to_le_bytes());
    }

    fn attributes(&mut self, attrs: &'t BTreeMap<String, Value>) -> Result<(), &'static str> {
        for (key, value) in attrs {
            match value {
                Value::Ascii(value) => self.text(key, value, true),
                Value::Text(value) => self.text(key, value, false),
                Value::Fixed(value) => self.fixed(key, &[], std::slice::from_ref(value))?,
                Value::Texts(values) => self.fixed(key, &[values.len() as u64], values)?,
            }
        }
        Ok(())
    }

    /// Writes an attribute of variable-length text.
    fn text(&mut self, key: &str, value: &'t str, is_ascii: bool) {
        self.attribute(key, &text(is_ascii), &shape(&[]), |layout| {
            layout.bytes(&(value.len() as u32).to_le_bytes());
            layout.texts.push((value, layout.image.len()));
            layout.bytes(&[0; TEXT_SIZE as usize - 4]);
        });
    }

    /// Writes an attribute of fixed-length texts, padded to the longest.
    fn fixed(&mut self, key: &str, dims: &[u64], values: &[String]) -> Result<(), &'static str> {
        let len = values.iter().map(String::len).max().unwrap_or(0).max(1);
        if values.len().saturating_mul(len) > MAX_MESSAGE - 512 {
            return Err("one of its attributes takes more than 64 KB");
        }
        self.attribute(key, &fixed_text(len as u32), &shape(dims), |layout| {
            for value in values {
                let end = layout.image.len() + len;
                layout.bytes(value.as_bytes());
                layout.image.resize(end, 0);
            }
        });
        Ok(())
    }

    fn attribute(&mut self, key: &str, ty: &[u8], shape: &[u8], write: impl FnOnce(&mut Self)) {
        self.message(ATTRIBUTE, |layout| {
            let name = [key.as_bytes(), &[0]].concat();
            let (version, parts) = (1, [&name[..], ty, shape]);
            layout.bytes(&[version, 0]);
            parts.iter().for_each(|part| layout.bytes(&(part.len() as u16).to_le_bytes()));
            for part in parts {
                layout.bytes(part);
                layout.align();
            }
            write(layout);
        });
    }

    /// Writes the heaps of the variable-length texts.
    fn place_texts(&mut self) {
        let texts = std::mem::take(&mut self.texts);
        for texts in texts.chunks(MAX_TEXTS) {
            let at = self.align();
            self.bytes(b"GCOL\x01\0\0\0");
            self.numbers(&[0]);
            for (i, (text, place)) in texts.iter().enumerate() {
                let (number, references) = (i as u16 + 1, 1u16);
                self.put(*place, at);
                self.image[place + 8..place + 10].copy_from_slice(&number.to_le_bytes());
                self.bytes(&number.to_le_bytes());
                self.bytes(&references.to_le_bytes());
                self.bytes(&[0; 4]);
                self.numbers(&[text.len() as u64]);
                self.bytes(text.as_bytes());
                self.align();
            }
            let end = at + (self.image.len() as u64 - at).max(MIN_HEAP);
            let free = end - self.image.len() as u64;
            if free >= 16 {
                self.numbers(&[0, free]);
            }
            self.image.resize(end as usize, 0);
            self.put(at as usize + 8, end - at);
        }
    }
}

/// The number of bytes from `len` to the next aligned address.
pub(super) fn padding(len: u64) -> u64 {
    len.wrapping_neg() % 8
}

/// Encodes an entry of a symbol node.
fn symbol(name: u64, member: &Member) -> [u8; SYMBOL] {
    let (header, is_group, tree, names) = match member {
        Member::Group(group) => (group.header, 1, group.tree, group.names),
        Member::Dataset(header) => (*header, 0, 0, 0),
    };
    let mut bytes = [0; SYMBOL];
    for (at, number) in [name, header, is_group, tree, names].into_iter().enumerate() {
        bytes[8 * at..8 * at + 8].copy_from_slice(&number.to_le_bytes());
    }
    bytes
}

/// Counts the messages.
fn count(mut messages: &[u8]) -> usize {
    let mut number = 0;
    while let [_, _, low, high, _, _, _, _, rest @ ..] = messages {
        messages = &rest[usize::from(u16::from_le_bytes([*low, *high]))..];
        number += 1;
    }
    number
}
