//! Tables of the weights in a file, with the places of their bytes.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use netc_ir::{Literal, Name, Type};

use crate::config::path::numeric_order;

/// A weight in a file: its type and its bytes.
#[derive(Clone)]
pub(crate) struct Variable {
    pub(crate) ty: Type,
    pub(crate) bytes: Bytes,
}

/// The bytes of a weight.
#[derive(Clone)]
pub(crate) enum Bytes {
    /// Contiguous, at an offset in one of the weight files.
    At { file: usize, offset: u64, len: u64 },
    /// Read into memory, because the file does not store them contiguously and as they are.
    Read(Literal),
}

/// The datasets of a weights file, by path.
#[derive(Default)]
pub(crate) struct Variables {
    pub(crate) datasets: BTreeMap<String, Variable>,
    /// The `name` attributes of `vars` groups, by the path of the parent group.
    pub(crate) names: BTreeMap<String, String>,
}

/// The weights of a model.
pub(crate) struct Weights {
    pub(crate) table: WeightTable,
    /// The files that contain them. The table refers to them by index.
    pub(crate) files: Vec<PathBuf>,
    /// The names of the weight lists in file order, if they come from a separate file.
    pub(crate) order: Vec<String>,
}

impl Weights {
    /// The weights of a single file.
    pub(crate) fn of_file(path: &Path, table: WeightTable) -> Self {
        Self { table, files: vec![path.into()], order: Vec::new() }
    }
}

/// How a file assigns weights to layers.
pub(crate) enum WeightTable {
    /// `.keras`: each layer has a group, with subgroups for its inner layers.
    Groups(Variables),
    /// HDF5: each layer of the outermost model has a list. A nested model has one list for all of its layers.
    Lists(WeightLists),
}

/// Takes the weights below a group out of the table, if `is_own` holds for their place in it. Sorts them by number.
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

/// The longest weight name that can refer to a layer. The search for the layer is quadratic in the number of slashes.
pub(crate) const MAX_WEIGHT_NAME: usize = 1024;

/// The weight list of each layer, by name. Each weight comes with its name.
pub(crate) type WeightLists = BTreeMap<String, Vec<(String, Variable)>>;
