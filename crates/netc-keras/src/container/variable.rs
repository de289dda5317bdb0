//! The weights of a file, and where their bytes are.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use netc_ir::{Literal, Name, Type};

use crate::config::path::numeric_order;

/// One dataset.
#[derive(Clone)]
pub(crate) struct Variable {
    pub(crate) ty: Type,
    pub(crate) bytes: Bytes,
}

/// Where the bytes of a dataset are.
#[derive(Clone)]
pub(crate) enum Bytes {
    /// In one piece, at an offset from the start of one of the files that hold the weights.
    At { file: usize, offset: u64, len: u64 },
    /// In pieces, or nowhere: read.
    Read(Literal),
}

/// What a file of weights holds, by path.
#[derive(Default)]
pub(crate) struct Variables {
    pub(crate) datasets: BTreeMap<String, Variable>,
    /// The `name` attributes of `vars` groups, by the path of the group above.
    pub(crate) names: BTreeMap<String, String>,
}

/// The weights of a model.
pub(crate) struct Weights {
    pub(crate) table: WeightTable,
    /// The files that they are in, as the table numbers them.
    pub(crate) files: Vec<PathBuf>,
    /// The names of the lists in the order of the file, where they are given apart from the model.
    pub(crate) order: Vec<String>,
}

impl Weights {
    /// Those of one file.
    pub(crate) fn of_file(path: &Path, table: WeightTable) -> Self {
        Self { table, files: vec![path.into()], order: Vec::new() }
    }
}

/// How a file says which weights are a layer's.
pub(crate) enum WeightTable {
    /// `.keras`: each layer has a group, with groups for what is in it.
    Groups(Variables),
    /// HDF5: each layer of the outermost model has a list, a model in it one of the weights of all of its layers.
    Lists(WeightLists),
}

/// Takes the weights below a group out of the table, those at places that `is_own`, in the order of their numbers.
pub(crate) fn take_below(
    datasets: &mut BTreeMap<String, Variable>,
    group: &str,
    is_own: impl Fn(&str) -> bool,
) -> Vec<(Name, Variable)> {
    let prefix = format!("{group}/");
    let below = datasets
        .range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded))
        .map(|(key, _)| key)
        .take_while(|key| key.starts_with(&prefix));
    let mut keys: Vec<String> = below.filter(|key| is_own(&key[prefix.len()..])).cloned().collect();
    keys.sort_by_cached_key(|key| numeric_order(key));
    let take = |key: String| Some((key[prefix.len()..].into(), datasets.remove(&key)?));
    keys.into_iter().filter_map(take).collect()
}

/// Longer names of weights name no layer: looking for one takes time by the square of the number of slashes.
pub(crate) const MAX_WEIGHT_NAME: usize = 1024;

/// The weights of each layer in the order in which it lists them, with their names.
pub(crate) type WeightLists = BTreeMap<String, Vec<(String, Variable)>>;
