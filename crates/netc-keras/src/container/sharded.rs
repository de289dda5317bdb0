//! Sharded weights: Keras 3 can spread the weights over several files.
//!
//! `model.weights.json` maps each group to the shard with its datasets, or to several shards if they did not fit into
//! one: `{"weight_map": {"/layers/dense/vars": "model_00000.weights.h5", ...}}` (`ShardedH5IOStore` in Keras's
//! `saving_lib.py`). The shards are next to it, in the archive or in the folder. Each is an HDF5 file like
//! `model.weights.h5`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use netc_data::{Folders, ReadAt};
use netc_ir::{Attr, Budget};

use crate::config::json;
use crate::config::path::is_file_name;
use crate::container::hdf5;
use crate::container::variable::{Bytes, Variable, Variables, WeightTable, Weights};
use crate::container::zip::Archive;
use crate::error::{Problem, Result};

/// The member of an archive that lists its shards.
pub(crate) const MAP: &str = "model.weights.json";

/// Whether the object lists shards.
pub(crate) fn is_map(object: &Attr) -> bool {
    object.get("weight_map").is_some()
}

/// The error for a list of shards given as the model.
pub(crate) fn without_model(path: &Path, json: &Attr) -> String {
    let files = json.get("weight_map").and_then(Attr::as_map);
    let is_of_keras = |file: &Attr| file.as_str().is_none_or(|name| name.ends_with(".h5"));
    if files.is_some_and(|files| !files.iter().any(|(_, file)| is_of_keras(file))) {
        return "it lists weight shards of PyTorch or safetensors, which netc does not read; give a Keras model".into();
    }
    let shown = path.display();
    format!("it lists the shards of weights without a model; give the model too: `netc model.json --weights {shown}`")
}

/// Reads the shards next to the list at `path`; `json` is its content.
pub(crate) fn read_beside(path: &Path, folders: &Folders, json: &Attr) -> Result<Weights> {
    let map = Map::of(json)?;
    let (mut merged, mut files) = (Merged::default(), Vec::new());
    for shard in map.0.keys() {
        let file = path.with_file_name(shard);
        let variables = folders.check(&file).map_err(Problem::from).and_then(|()| read_file(&file));
        let variables = variables.map_err(|problem| problem.in_shard(shard))?;
        merged.add(&map, shard, files.len(), variables)?;
        files.push(file);
    }
    Ok(Weights { table: WeightTable::Groups(merged.found), files, order: Vec::new() })
}

fn read_file(path: &Path) -> Result<Variables> {
    let file = Arc::new(File::open(path)?);
    let len = file.num_bytes()?;
    hdf5::read::read(file, 0, len, false, &Arc::new(Budget::for_file(len)))
}

/// Reads the shards of the archive `file`, including the optimizer's variables if `optimizer` is set.
pub(crate) fn read_archive(archive: &Archive, file: &Arc<dyn ReadAt>, optimizer: bool) -> Result<Variables> {
    let json =
        json::parse(&archive.text(MAP)?, &archive.budget).map_err(|problem| Problem::Json { member: MAP, problem })?;
    let map = Map::of(&json)?;
    let mut merged = Merged::default();
    for shard in map.0.keys() {
        let missing = || Problem::config(MAP, format!("the archive has no shard `{shard}`"));
        let member = archive.member(shard).ok_or_else(missing)?;
        let variables = match member.is_stored() {
            true => hdf5::read::read(file.clone(), member.offset, member.stored, optimizer, &archive.budget),
            false => archive.bytes(member).and_then(|bytes| hdf5::read::read_bytes(bytes, optimizer, &archive.budget)),
        };
        merged.add(&map, shard, 0, variables.map_err(|problem| problem.in_shard(shard))?)?;
    }
    Ok(merged.found)
}

/// The groups of each shard, by path.
struct Map(BTreeMap<String, BTreeSet<String>>);

impl Map {
    fn of(json: &Attr) -> Result<Self> {
        let map = json.get("weight_map").and_then(Attr::as_map);
        let map = map.ok_or_else(|| Problem::config("weight_map", "expected an object that maps groups to files"))?;
        let mut shards: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (group, files) in map.iter() {
            for file in files.as_list().unwrap_or(std::slice::from_ref(files)) {
                let name = file.as_str().unwrap_or_default();
                if !is_file_name(name) {
                    let note = format!("`{name}` is not the name of a file next to the list");
                    return Err(Problem::config(format!("weight_map, `{group}`"), note));
                }
                shards.entry(name.into()).or_default().insert(group.trim_matches('/').into());
            }
        }
        Ok(Self(shards))
    }

    /// Whether the map assigns the dataset at `path` to the shard.
    fn says(&self, shard: &str, path: &str) -> bool {
        let groups = self.0.get(shard);
        path.rmatch_indices('/').any(|(end, _)| groups.is_some_and(|groups| groups.contains(&path[..end])))
    }
}

/// The weights of all shards read so far.
#[derive(Default)]
struct Merged {
    found: Variables,
}

impl Merged {
    /// Adds the variables of a shard; `file` is the number of the file with its bytes.
    fn add(&mut self, map: &Map, shard: &str, file: usize, variables: Variables) -> Result<()> {
        let wrong = |place: &str, note: String| Err(Problem::whole(place, note).in_shard(shard));
        for group in map.0.get(shard).into_iter().flatten() {
            let prefix = format!("{group}/");
            if !variables.datasets.range(prefix.clone()..).next().is_some_and(|(path, _)| path.starts_with(&prefix)) {
                return wrong(
                    group,
                    "the list assigns it to this shard, which has no weights of it: the shards come from different saves"
                        .into(),
                );
            }
        }
        for (path, variable) in variables.datasets {
            if !map.says(shard, &path) {
                return wrong(
                    &path,
                    "the list does not assign it to this shard: the shards come from different saves".into(),
                );
            }
            if self.found.datasets.contains_key(&path) {
                return wrong(&path, "another shard has it too".into());
            }
            let bytes = match variable.bytes {
                Bytes::At { offset, len, .. } => Bytes::At { file, offset, len },
                Bytes::Read(literal) => Bytes::Read(literal),
            };
            self.found.datasets.insert(path, Variable { ty: variable.ty, bytes });
        }
        let names = variables.names.into_iter().filter(|(group, _)| map.says(shard, &format!("{group}/vars/")));
        self.found.names.extend(names);
        Ok(())
    }
}
