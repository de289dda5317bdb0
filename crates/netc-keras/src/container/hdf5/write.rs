//! Writes the weights of a model as an HDF5 file without holding them in memory.
//!
//! First it lays out a [`Tree`] of groups, weights and attributes: all headers, with the addresses of the weights,
//! which follow from their types alone. Then it writes the headers and streams the bytes of the weights after them. The
//! file uses the oldest version of every structure (`layout`), as h5py does, so that every HDF5 reader can read it.

mod encode;
mod layout;

use std::collections::BTreeMap;
use std::io::Write;

use netc_data::{Hashed, Store};
use netc_ir::{Module, Weight, WeightId};

use crate::error::Result;

/// The least size of a weight that is streamed on its own. Smaller weights are collected in memory first.
const STREAMED: u64 = 64 * 1024;

/// A group to write, with its subgroups, weights and attributes.
#[derive(Default)]
pub(crate) struct Tree {
    pub(crate) groups: BTreeMap<String, Tree>,
    pub(crate) weights: BTreeMap<String, WeightId>,
    pub(crate) attrs: BTreeMap<String, Value>,
}

/// The value of an attribute.
pub(crate) enum Value {
    /// Fixed-length text of at most [`MAX_FIXED`] bytes.
    Fixed(String),
    /// Variable-length text marked as ASCII, the only kind that the first releases of Keras 2 read.
    Ascii(String),
    /// Variable-length text in UTF-8.
    Text(String),
    /// A list of fixed-length texts of at most 64 KB in total.
    Texts(Vec<String>),
}

/// The longest name to write as fixed-length text, in bytes.
const MAX_FIXED: usize = 1024;

impl Tree {
    /// The group at `path` below this one, created if needed.
    pub(crate) fn at(&mut self, path: &str) -> &mut Self {
        path.split('/').filter(|p| !p.is_empty()).fold(self, |tree, part| tree.groups.entry(part.into()).or_default())
    }

    /// Adds a weight at `path` below this group.
    pub(crate) fn add_weight(&mut self, path: &str, weight: WeightId) {
        let (above, leaf) = path.rsplit_once('/').unwrap_or(("", path));
        self.at(above).weights.insert(leaf.into(), weight);
    }

    /// Sets an attribute to variable-length ASCII text.
    pub(crate) fn set_ascii(&mut self, key: &str, text: &str) {
        self.attrs.insert(key.into(), Value::Ascii(text.into()));
    }

    /// Sets the attribute `name`, as Keras does for the groups of layers.
    pub(crate) fn set_name(&mut self, name: &str) {
        let value = match name.len() {
            1..=MAX_FIXED => Value::Fixed(name.into()),
            _ => Value::Text(name.into()),
        };
        self.attrs.insert("name".into(), value);
    }
}

/// The layout of an HDF5 file: everything but the bytes of its weights.
pub(crate) struct Laid {
    /// All bytes of the file before the weights.
    headers: Vec<u8>,
    /// The weights that follow, in order.
    weights: Vec<WeightId>,
}

/// Lays `tree` out as an HDF5 file.
pub(crate) fn lay_out(tree: &Tree, module: &Module) -> Result<Laid> {
    layout::Layout::new(module).file(tree)
}

impl Laid {
    /// Writes the whole file, reading the weights from `store`.
    pub(crate) fn write(&self, module: &Module, store: &Store, out: &mut Hashed<'_>) -> Result<()> {
        let is_streamed = |weight: &&Weight| weight.ty.num_bytes().is_some_and(|size| size >= STREAMED);
        let weights = || self.weights.iter().map(|id| &module[*id]);
        let streamed: Vec<&Weight> = weights().filter(is_streamed).collect();
        out.write_all(&self.headers)?;
        store.ahead(&streamed, |ahead| {
            let mut small = Vec::new();
            for weight in weights() {
                if is_streamed(&weight) {
                    out.write_all(&small)?;
                    small.clear();
                    out.splice(|out| ahead.copy(out))?;
                } else {
                    small.extend(store.read(weight)?);
                }
                let size = weight.ty.num_bytes().unwrap_or(0);
                small.resize(small.len() + layout::padding(size) as usize, 0);
                if small.len() as u64 >= STREAMED {
                    out.write_all(&small)?;
                    small.clear();
                }
            }
            Ok(out.write_all(&small)?)
        })
    }
}

#[cfg(test)]
mod tests;
