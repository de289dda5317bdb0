//! Reads whole models from HDF5 files, as Keras 2 and 3 save them.
//!
//! The file's attributes `model_config`, `keras_version` and `backend` hold the model without its weights. The group
//! `model_weights` has a group for each layer of the outermost model. That group's attribute `weight_names` lists the
//! layer's weights, trainable ones first. An attribute holds at most 64 KB; a longer list is split into
//! `weight_names0`, `weight_names1` and so on.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use hdf5_pure::{AttrValue, Group};
use netc_data::ReadAt;
use netc_format::stack;
use netc_ir::{Attr, Budget};

use crate::config::attrs::{NETC, WRITTEN_BY};
use crate::config::path::join;
use crate::config::{declaration, json};
use crate::container::hdf5::read::{self, Headers};
use crate::container::training_state::{OPTIMIZER_WEIGHTS, TRAINING_CONFIG, TrainingState};
use crate::container::variable::{Variable, WeightLists, WeightTable, Weights};
use crate::error::{Problem, Result};

/// A model as stored in an HDF5 file.
pub(crate) struct WholeModel {
    pub(crate) object: Attr,
    pub(crate) keras_version: Option<String>,
    pub(crate) backend: Option<String>,
    /// Whether netc wrote the file.
    pub(crate) is_own: bool,
    pub(crate) weights: WeightLists,
    /// Whether the file has training state: a compile configuration, or any group besides the weights.
    pub(crate) is_compiled: bool,
    /// The training state, if requested.
    pub(crate) training_state: Option<TrainingState>,
}

/// The attribute that holds the model.
pub(crate) const CONFIG: &str = "model_config";

pub(crate) const WEIGHTS: &str = "model_weights";

/// Reads the headers of the file, and the training state if `training_state` is set.
pub(crate) fn read(file: Arc<dyn ReadAt>, path: &Path, training_state: bool) -> Result<WholeModel> {
    let len = file.num_bytes()?;
    let headers = Headers::open(file, 0, len, &Arc::new(Budget::for_file(len)));
    headers.and_then(|headers| read_headers(headers, path, training_state)).map_err(Problem::in_whole_model)
}

/// Parses the configuration and finds the weights in parallel, because both take about the same time.
fn read_headers(mut headers: Headers, path: &Path, training_state: bool) -> Result<WholeModel> {
    let root = headers.root();
    let attrs = attrs(&root, "/")?;
    let text = |key: &str| attrs.get(key).and_then(AttrValue::as_str).map(str::to_string);
    let budget = headers.budget().clone();
    let config = text(CONFIG).ok_or_else(|| no_config(&root, path))?;
    let groups = root.groups().map_err(|e| broken("/", &e))?;
    let training_config = text(TRAINING_CONFIG);
    let is_compiled = training_config.is_some() || groups.iter().any(|g| g != WEIGHTS);
    let weights = || match groups.iter().any(|g| g == WEIGHTS) {
        true => weights_in(&mut headers, &root),
        false => Ok(WeightLists::new()),
    };
    let (weights, object) = stack::both(weights, || json::parse(&config, &budget).map(declaration::model))?;
    let object = object.map_err(|problem| Problem::Json { member: CONFIG, problem })?;
    let weights = weights?;
    let has_state = groups.iter().any(|g| g == OPTIMIZER_WEIGHTS);
    let config = training_config.filter(|_| training_state);
    let training_state = config.map(|config| read_compiled(&mut headers, &root, &config, has_state).map_err(with_hint));
    let training_state = training_state.transpose()?;
    let (keras_version, backend) = (text("keras_version"), text("backend"));
    let is_own = text(WRITTEN_BY).as_deref() == Some(NETC);
    Ok(WholeModel { object, keras_version, backend, is_own, weights, is_compiled, training_state })
}

/// Reads the training state: the compile configuration `config`, and the optimizer's variables if `has_state` is set.
fn read_compiled(headers: &mut Headers, root: &Group, config: &str, has_state: bool) -> Result<TrainingState> {
    let config = json::parse(config, headers.budget());
    let config = config.map_err(|e| Problem::whole(TRAINING_CONFIG, format!("it is not JSON: {e}")))?;
    let variables = if has_state { optimizer_weights(headers, root)? } else { Vec::new() };
    Ok(TrainingState::of_hdf5(config, variables))
}

fn optimizer_weights(headers: &mut Headers, root: &Group) -> Result<Vec<(String, Variable)>> {
    let group = root.group(OPTIMIZER_WEIGHTS).map_err(|e| broken(OPTIMIZER_WEIGHTS, &e))?;
    let names = names(&attrs(&group, OPTIMIZER_WEIGHTS)?, "weight_names");
    take_listed(&mut headers.datasets(&group, OPTIMIZER_WEIGHTS)?, "", names, OPTIMIZER_WEIGHTS)
}

/// Adds a hint on how to read the model without the training state.
fn with_hint(problem: Problem) -> Problem {
    let problem = problem.in_whole_model();
    if let Problem::WholeModel { place, note } = problem {
        return Problem::whole(place, format!("{note}; --no-optimizer skips the training state"));
    }
    problem
}

/// Reads the weights of a file, with or without a model: in lists by layer, or in groups as in a `.keras` file.
pub(crate) fn read_weights(file: Arc<dyn ReadAt>, path: &Path) -> Result<Weights> {
    let len = file.num_bytes()?;
    let budget = Arc::new(Budget::for_file(len));
    let mut headers = Headers::open(file.clone(), 0, len, &budget).map_err(Problem::in_whole_model)?;
    let root = headers.root();
    let groups = root.groups().map_err(|e| broken("/", &e))?;
    let attrs = attrs(&root, "/")?;
    if groups.iter().any(|g| g == "_layer_checkpoint_dependencies") {
        let note = "it uses the `.weights.h5` layout of Keras 2.12 to 2.15, which netc does not read; save the weights as `.h5`, or \
             save the whole model";
        return Err(Problem::whole("/", note));
    }
    if groups.iter().any(|g| g == WEIGHTS) {
        let group = root.group(WEIGHTS).map_err(|e| broken(WEIGHTS, &e))?;
        return lists_of(&mut headers, &group, WEIGHTS, path);
    }
    if attrs.contains_key("layer_names") || attrs.contains_key("layer_names0") {
        return lists_of(&mut headers, &root, "/", path);
    }
    let groups = read::read(file, 0, len, false, &budget).map_err(Problem::in_whole_model)?;
    Ok(Weights::of_file(path, WeightTable::Groups(groups)))
}

/// Reads the weight lists in `group`, which is at `place`, and their order.
fn lists_of(headers: &mut Headers, group: &Group, place: &str, path: &Path) -> Result<Weights> {
    let lists = weights(headers, group, place).map_err(Problem::in_whole_model)?;
    let order = names(&attrs(group, place)?, "layer_names");
    Ok(Weights { order, ..Weights::of_file(path, WeightTable::Lists(lists)) })
}

/// Root groups of weights files, written by Keras 3 and by the last releases of Keras 2.
const OF_WEIGHTS: [&str; 3] = ["layers", "vars", "_layer_checkpoint_dependencies"];

/// The error for a file at `path` without a model.
fn no_config(root: &Group, path: &Path) -> Problem {
    let is_weights = root.groups().is_ok_and(|groups| groups.iter().any(|g| OF_WEIGHTS.contains(&g.as_str())))
        || root.attrs().is_ok_and(|attrs| attrs.contains_key("layer_names") || attrs.contains_key("layer_names0"));
    if is_weights {
        let shown = path.display();
        return Problem::NoModel(format!(
            "it holds weights without a model; give the model too: `netc model.json --weights {shown}`"
        ));
    }
    Problem::NoModel(format!("it is HDF5 without the attribute `{CONFIG}`, so Keras did not save it as a model"))
}

/// Reads the weights of a file with a model.
fn weights_in(headers: &mut Headers, root: &Group) -> Result<WeightLists> {
    weights(headers, &root.group(WEIGHTS).map_err(|e| broken(WEIGHTS, &e))?, WEIGHTS)
}

/// Reads the weight lists below `group`, which is at `place`.
fn weights(headers: &mut Headers, group: &Group, place: &str) -> Result<WeightLists> {
    let of_group = attrs(group, place)?;
    if of_group.get("backend").and_then(AttrValue::as_str) == Some("theano") {
        let note = "Keras saved it with Theano, whose kernels are flipped; load it in Keras 2 and save it again";
        return Err(Problem::whole(place, note));
    }
    let mut datasets = headers.datasets(group, place)?;
    let mut lists = WeightLists::new();
    let mut layers = Layers { root: group, children: HashMap::new() };
    for name in names(&of_group, "layer_names") {
        let place = join(place, &name);
        if let Some(list) = lists.get(&name) {
            // The layer is listed twice. The first entry took its weights, and reading its attributes again could take
            // hours.
            if let Some((weight, _)) = list.first() {
                return Err(not_there(weight, &place));
            }
            continue;
        }
        let layer = layers.group(&name).map_err(|e| broken(&place, &e))?;
        let list = names(&attrs(&layer, &place)?, "weight_names");
        lists.insert(name.clone(), take_listed(&mut datasets, &name, list, &place)?);
    }
    Ok(lists)
}

/// The groups of layers. Looking up a group by name reads all links of its parent, so this reads each parent once.
struct Layers<'g> {
    root: &'g Group,
    /// The subgroups of each group read so far, by path. The root has an empty path.
    children: HashMap<String, HashMap<String, Group>>,
}

impl Layers<'_> {
    /// The group of a layer. Slashes in its name lead to nested groups.
    fn group(&mut self, name: &str) -> Result<Group, hdf5_pure::Error> {
        let mut found = self.root.clone();
        let mut path = String::new();
        for part in name.split('/') {
            if !self.children.contains_key(&path) {
                self.children.insert(path.clone(), found.iter_groups()?.collect());
            }
            match self.children.get(&path).and_then(|groups| groups.get(part)) {
                Some(group) => found = group.clone(),
                // The library may find it another way, or returns the error.
                None => return self.root.group(name),
            }
            path = join(&path, part);
        }
        Ok(found)
    }
}

/// Takes the listed weights out of `datasets`. `group` is their group's path in `datasets`, `place` its path in the
/// file.
fn take_listed(
    datasets: &mut BTreeMap<String, Variable>,
    group: &str,
    names: Vec<String>,
    place: &str,
) -> Result<Vec<(String, Variable)>> {
    let take = |name: String| match datasets.remove(&join(group, &name)) {
        Some(variable) => Ok((name, variable)),
        None => Err(not_there(&name, place)),
    };
    names.into_iter().map(take).collect()
}

fn not_there(weight: &str, place: &str) -> Problem {
    Problem::whole(place, format!("lists the weight `{weight}`, which is missing or listed twice"))
}

/// Reads a list of names, which may be split over several attributes.
fn names(attrs: &HashMap<String, AttrValue>, key: &str) -> Vec<String> {
    let list = |key: &str| attrs.get(key).and_then(AttrValue::as_strings).map(<[String]>::to_vec);
    match list(key) {
        Some(names) => names,
        None => (0..).map_while(|i| list(&format!("{key}{i}"))).flatten().collect(),
    }
}

fn attrs(group: &Group, place: &str) -> Result<HashMap<String, AttrValue>> {
    group.attrs().map_err(|e| broken(place, &e))
}

fn broken(place: &str, error: &hdf5_pure::Error) -> Problem {
    read::broken(place, error).in_whole_model()
}

#[cfg(test)]
mod tests {
    use hdf5_pure::FileBuilder;

    use super::*;

    /// The weights of a file with the layer list `names`, in which layer `q` has 1 MB of attributes.
    fn file(names: Vec<String>, weights: &[&str]) -> Result<WeightLists> {
        let mut builder = FileBuilder::new();
        let mut group = builder.create_group(WEIGHTS);
        for (i, names) in names.chunks(30_000).enumerate() {
            group.set_attr(&format!("layer_names{i}"), AttrValue::StringArray(names.to_vec()));
        }
        let mut layer = group.create_group("q");
        for i in 0..20 {
            layer.set_attr(&format!("a{i}"), AttrValue::AsciiString("x".repeat(50_000)));
        }
        let listed: Vec<String> = weights.iter().map(|name| (*name).to_string()).collect();
        layer.set_attr("weight_names", AttrValue::StringArray(listed));
        for name in weights {
            layer.create_dataset(name).with_f32_data(&[1.0]);
        }
        group.add_group(layer.finish());
        builder.add_group(group.finish());
        let mut temporary = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut temporary, &builder.finish().unwrap()).unwrap();
        let len = temporary.metadata().unwrap().len();
        let mut headers = Headers::open(Arc::new(temporary), 0, len, &Arc::new(Budget::for_file(len))).unwrap();
        let root = headers.root();
        weights_in(&mut headers, &root)
    }

    #[test]
    fn layer_that_is_listed_often_is_read_once() {
        assert_eq!(file(vec!["q".into(); 60_000], &[]).unwrap().len(), 1);
        let twice = file(vec!["q".into(); 2], &["w"]).map(drop).unwrap_err().to_string();
        assert!(twice.contains("lists the weight `w`, which is missing or listed twice"), "{twice}");
    }
}
