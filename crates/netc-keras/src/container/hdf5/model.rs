//! Whole models in HDF5 files, as Keras 2 saves them, and Keras 3 still does.
//!
//! The attributes `model_config`, `keras_version` and `backend` of the file are the model without its weights. The
//! group `model_weights` has a group for each layer of the outermost model, whose attribute `weight_names` lists the
//! weights below it: those that are trained first. Where a list is longer than the 64 KB that an attribute holds, it is
//! spread over `weight_names0`, `weight_names1` and so on.

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
use crate::container::compiled::{Compiled, OPTIMIZER_WEIGHTS, TRAINING_CONFIG};
use crate::container::hdf5::read::{self, Headers};
use crate::container::variable::{Variable, WeightLists, WeightTable, Weights};
use crate::error::{Problem, Result};

/// A model as the file has it.
pub(crate) struct WholeModel {
    pub(crate) object: Attr,
    pub(crate) keras_version: Option<String>,
    pub(crate) backend: Option<String>,
    /// Whether netc wrote the file.
    pub(crate) is_own: bool,
    pub(crate) weights: WeightLists,
    /// Whether it was compiled: there is the configuration of that, or a group besides that of the weights, the optimizer's.
    pub(crate) is_compiled: bool,
    /// How, where that was asked for.
    pub(crate) compiled: Option<Compiled>,
}

/// The attribute that holds the model.
pub(crate) const CONFIG: &str = "model_config";

pub(crate) const WEIGHTS: &str = "model_weights";

/// Reads the headers of the file; with `compiled`, how the model was compiled too.
pub(crate) fn read(file: Arc<dyn ReadAt>, path: &Path, compiled: bool) -> Result<WholeModel> {
    let len = file.num_bytes()?;
    let headers = Headers::open(file, 0, len, &Arc::new(Budget::for_file(len)));
    headers.and_then(|headers| read_headers(headers, path, compiled)).map_err(Problem::in_whole_model)
}

/// Reads what the root says of the model while its weights are looked up: either takes as long as the other.
fn read_headers(mut headers: Headers, path: &Path, compiled: bool) -> Result<WholeModel> {
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
    let config = training_config.filter(|_| compiled);
    let compiled = config.map(|config| read_compiled(&mut headers, &root, &config, has_state).map_err(with_hint));
    let compiled = compiled.transpose()?;
    let (keras_version, backend) = (text("keras_version"), text("backend"));
    let is_own = text(WRITTEN_BY).as_deref() == Some(NETC);
    Ok(WholeModel { object, keras_version, backend, is_own, weights, is_compiled, compiled })
}

/// How the model was compiled, as `config` says, with the variables of the optimizer, if it has any.
fn read_compiled(headers: &mut Headers, root: &Group, config: &str, has_state: bool) -> Result<Compiled> {
    let config = json::parse(config, headers.budget());
    let config = config.map_err(|e| Problem::whole(TRAINING_CONFIG, format!("it is not JSON: {e}")))?;
    let variables = if has_state { optimizer_weights(headers, root)? } else { Vec::new() };
    Ok(Compiled::of_hdf5(config, variables))
}

fn optimizer_weights(headers: &mut Headers, root: &Group) -> Result<Vec<(String, Variable)>> {
    let group = root.group(OPTIMIZER_WEIGHTS).map_err(|e| broken(OPTIMIZER_WEIGHTS, &e))?;
    let names = names(&attrs(&group, OPTIMIZER_WEIGHTS)?, "weight_names");
    take_listed(&mut headers.datasets(&group, OPTIMIZER_WEIGHTS)?, "", names, OPTIMIZER_WEIGHTS)
}

/// Says how to read the rest of the model.
fn with_hint(problem: Problem) -> Problem {
    let problem = problem.in_whole_model();
    if let Problem::WholeModel { place, note } = problem {
        return Problem::whole(place, format!("{note}; --no-optimizer leaves the optimizer's state out"));
    }
    problem
}

/// The weights of a file with or without a model: listed by layer, or in groups as in a `.keras` file.
pub(crate) fn read_weights(file: Arc<dyn ReadAt>, path: &Path) -> Result<Weights> {
    let len = file.num_bytes()?;
    let budget = Arc::new(Budget::for_file(len));
    let mut headers = Headers::open(file.clone(), 0, len, &budget).map_err(Problem::in_whole_model)?;
    let root = headers.root();
    let groups = root.groups().map_err(|e| broken("/", &e))?;
    let attrs = attrs(&root, "/")?;
    if groups.iter().any(|g| g == "_layer_checkpoint_dependencies") {
        let note =
            "it names weights as only Keras 2.12 to 2.15 did in `.weights.h5`; save them as `.h5`, or the model whole";
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

/// The lists in `group`, which is at `place`, and their order.
fn lists_of(headers: &mut Headers, group: &Group, place: &str, path: &Path) -> Result<Weights> {
    let lists = weights(headers, group, place).map_err(Problem::in_whole_model)?;
    let order = names(&attrs(group, place)?, "layer_names");
    Ok(Weights { order, ..Weights::of_file(path, WeightTable::Lists(lists)) })
}

/// Groups at the root of files with weights alone: those of Keras 3, and those of the last releases of Keras 2.
const OF_WEIGHTS: [&str; 3] = ["layers", "vars", "_layer_checkpoint_dependencies"];

/// Why the file at `path` is no model.
fn no_config(root: &Group, path: &Path) -> Problem {
    let is_weights = root.groups().is_ok_and(|groups| groups.iter().any(|g| OF_WEIGHTS.contains(&g.as_str())))
        || root.attrs().is_ok_and(|attrs| attrs.contains_key("layer_names") || attrs.contains_key("layer_names0"));
    if is_weights {
        let shown = path.display();
        return Problem::NoModel(format!(
            "it holds weights without a model; give that too: `netc model.json --weights {shown}`"
        ));
    }
    Problem::NoModel(format!("it is HDF5 without the attribute `{CONFIG}`, which a model that Keras saved has"))
}

/// The weights of a file with a model.
fn weights_in(headers: &mut Headers, root: &Group) -> Result<WeightLists> {
    weights(headers, &root.group(WEIGHTS).map_err(|e| broken(WEIGHTS, &e))?, WEIGHTS)
}

/// The weights below `group`, which is at `place`.
fn weights(headers: &mut Headers, group: &Group, place: &str) -> Result<WeightLists> {
    let of_group = attrs(group, place)?;
    if of_group.get("backend").and_then(AttrValue::as_str) == Some("theano") {
        let note = "Keras wrote it on theano, whose kernels are mirrored; load it in Keras 2 and save it anew";
        return Err(Problem::whole(place, note));
    }
    let mut datasets = headers.datasets(group, place)?;
    let mut lists = WeightLists::new();
    let mut layers = Layers { root: group, children: HashMap::new() };
    for name in names(&of_group, "layer_names") {
        let place = join(place, &name);
        if let Some(list) = lists.get(&name) {
            // The first took its weights. Reading its attributes again could take hours.
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

/// The groups of layers. To look a group up by name reads all of its parent's links, so each parent is read once.
struct Layers<'g> {
    root: &'g Group,
    /// The groups in a group, by its path; the path of the root is empty.
    children: HashMap<String, HashMap<String, Group>>,
}

impl Layers<'_> {
    /// The group of a layer. A layer whose name has slashes is a group in groups.
    fn group(&mut self, name: &str) -> Result<Group, hdf5_pure::Error> {
        let mut found = self.root.clone();
        let mut path = String::new();
        for part in name.split('/') {
            if !self.children.contains_key(&path) {
                self.children.insert(path.clone(), found.iter_groups()?.collect());
            }
            match self.children.get(&path).and_then(|groups| groups.get(part)) {
                Some(group) => found = group.clone(),
                // The library may read the name otherwise, or says what is wrong.
                None => return self.root.group(name),
            }
            path = join(&path, part);
        }
        Ok(found)
    }
}

/// Takes the weights out of `datasets` that the group at `place` lists, whose path is `group` there.
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
    Problem::whole(place, format!("lists the weight `{weight}`, which is not there, or is listed twice"))
}

/// The texts of a list that may be spread over several attributes.
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

    /// A file whose list of layers is this, in which the layer `q` has attributes of 1 MB.
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
    fn a_layer_that_is_listed_often_is_read_once() {
        assert_eq!(file(vec!["q".into(); 60_000], &[]).unwrap().len(), 1);
        let twice = file(vec!["q".into(); 2], &["w"]).map(drop).unwrap_err().to_string();
        assert!(twice.contains("lists the weight `w`, which is not there, or is listed twice"), "{twice}");
    }
}
