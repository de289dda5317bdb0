//! Writing the weights of a model as an HDF5 file, without holding them.
//!
//! A [`Tree`] of groups, weights and attributes is laid out first: all headers, with the addresses of the weights, which
//! follow from their types alone. Then the headers are written, and the bytes of the weights are streamed after them. The
//! file has the oldest version of every structure (`layout`), which every reader of HDF5 knows, and which h5py writes too.

mod encode;
mod layout;

use std::collections::BTreeMap;
use std::io::Write;

use netc_data::{Hashed, Store};
use netc_ir::{Module, Weight, WeightId};

use crate::error::Result;

/// Weights of at least this size are copied from file to file; smaller ones are collected.
const STREAMED: u64 = 64 * 1024;

/// What is written: groups with their weights and attributes.
#[derive(Default)]
pub(crate) struct Tree {
    pub(crate) groups: BTreeMap<String, Tree>,
    pub(crate) weights: BTreeMap<String, WeightId>,
    pub(crate) attrs: BTreeMap<String, Value>,
}

/// The value of an attribute.
pub(crate) enum Value {
    /// Text of fixed length, of at most [`MAX_FIXED`] bytes.
    Fixed(String),
    /// Text of any length, marked as ASCII: the first releases of Keras 2 read no other.
    Ascii(String),
    /// Text of any length.
    Text(String),
    /// Texts of one length, of at most 64 KB together.
    Texts(Vec<String>),
}

/// The longest names that are written as text of fixed length, in bytes.
const MAX_FIXED: usize = 1024;

impl Tree {
    /// The group at `path` below this one, made if new.
    pub(crate) fn at(&mut self, path: &str) -> &mut Self {
        path.split('/').filter(|p| !p.is_empty()).fold(self, |tree, part| tree.groups.entry(part.into()).or_default())
    }

    /// Adds a weight at `path` below this group.
    pub(crate) fn add_weight(&mut self, path: &str, weight: WeightId) {
        let (above, leaf) = path.rsplit_once('/').unwrap_or(("", path));
        self.at(above).weights.insert(leaf.into(), weight);
    }

    /// Gives the group a text of any length.
    pub(crate) fn set_ascii(&mut self, key: &str, text: &str) {
        self.attrs.insert(key.into(), Value::Ascii(text.into()));
    }

    /// Gives the group the name of a layer.
    pub(crate) fn set_name(&mut self, name: &str) {
        let value = match name.len() {
            1..=MAX_FIXED => Value::Fixed(name.into()),
            _ => Value::Text(name.into()),
        };
        self.attrs.insert("name".into(), value);
    }
}

/// An HDF5 file without the bytes of its weights.
pub(crate) struct Laid {
    /// What the file begins with.
    headers: Vec<u8>,
    /// The weights whose bytes follow, in order.
    weights: Vec<WeightId>,
}

/// Lays `tree` out as an HDF5 file.
pub(crate) fn lay_out(tree: &Tree, module: &Module) -> Result<Laid> {
    layout::Layout::new(module).file(tree)
}

impl Laid {
    /// Writes the file, with the bytes of the weights.
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
