//! The weight lists of an HDF5 file, one per outermost layer.

use netc_ir::{Name, WeightId};

use crate::container::hdf5::write::{Tree, Value};

/// The weights of an outermost layer.
pub(super) struct WeightList {
    pub(super) layer: Name,
    /// In the order of its inner layers, until `Exporter::finish_list` puts the trainable ones first.
    pub(super) weights: Vec<Entry>,
}

impl WeightList {
    /// The weights with their names.
    pub(super) fn weights(&self) -> impl Iterator<Item = (&str, WeightId)> + Clone {
        self.weights.iter().map(|entry| (entry.name.as_str(), entry.weight))
    }
}

/// A weight with its name, and whether it is trainable.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) weight: WeightId,
    pub(super) trained: bool,
}

/// The most bytes of an attribute, which is a message in an object header.
const MAX_ATTRIBUTE: usize = 64_512;

/// Makes the group with the weights of these lists.
pub(super) fn group(lists: &[WeightList]) -> Tree {
    let mut group = Tree::default();
    set_names(&mut group, "layer_names", lists.iter().map(|list| &*list.layer));
    for list in lists {
        add_list(group.at(&list.layer), list.weights());
    }
    group
}

/// Adds weights to a group, and the attribute that lists their names.
pub(super) fn add_list<'n>(group: &mut Tree, weights: impl Iterator<Item = (&'n str, WeightId)> + Clone) {
    set_names(group, "weight_names", weights.clone().map(|(name, _)| name));
    weights.for_each(|(name, weight)| group.add_weight(name, weight));
}

/// Sets an attribute to a list of fixed-length texts, split over several attributes if needed. Sets none for an empty
/// list, which has no width.
fn set_names<'n>(group: &mut Tree, key: &str, names: impl Iterator<Item = &'n str>) {
    let names: Vec<&str> = names.collect();
    let width = names.iter().map(|name| name.len()).max().unwrap_or(0).max(1);
    let chunks: Vec<&[&str]> = names.chunks((MAX_ATTRIBUTE / width).max(1)).collect();
    for (i, chunk) in chunks.iter().enumerate() {
        let key = if chunks.len() == 1 { key.to_string() } else { format!("{key}{i}") };
        let texts = chunk.iter().map(|name| (*name).to_string()).collect();
        group.attrs.insert(key, Value::Texts(texts));
    }
}
