//! The weights of a file, which the layers of a model claim.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use netc_ir::{Attr, Attrs, Name};

use crate::compiled;
use crate::error::Problem;
use crate::graph::join;
use crate::h5read::{Variable, Variables};
use crate::h5whole::WeightLists;
use crate::json::MAX_NESTING;
use crate::legacy::{Era, Places, exact_places, layers_of_model, places};
use crate::names::numeric_order;

/// The weights of a model.
pub(crate) struct Weights {
    pub(crate) table: WeightTable,
    /// The files that they are in, as the table numbers them.
    pub(crate) files: Vec<PathBuf>,
}

impl Weights {
    /// Those of one file.
    pub(crate) fn of_file(path: &Path, table: WeightTable) -> Self {
        Self { table, files: vec![path.into()] }
    }
}

/// How a file says which weights are a layer's.
pub(crate) enum WeightTable {
    /// `.keras`: each layer has a group, with groups for what is in it.
    Groups(Variables),
    /// HDF5: each layer of the outermost model has a list, a model in it one of the weights of all of its layers.
    Lists(WeightLists),
}

/// A layer that claims its weights.
pub(crate) struct Claim<'a> {
    /// The layer's group, or in lists the outermost layer that it is in.
    pub(crate) group: &'a str,
    pub(crate) name: &'a str,
    /// The dialect's name of its class.
    pub(crate) class: &'a str,
    pub(crate) config: Option<&'a Attrs>,
    /// Whether it is a model, whose layers have weights of their own.
    pub(crate) nested: bool,
    /// Its path in the model.
    pub(crate) path: &'a str,
    /// The layers whose weights are in the same list; none where a layer has a list of its own.
    pub(crate) listed: &'a Listed,
    /// The Keras that declares it.
    pub(crate) era: Era,
}

/// The layers whose weights are in one list.
#[derive(Default)]
pub(crate) struct Listed {
    names: BTreeSet<Name>,
    /// Their paths, where the names of the weights begin with these.
    paths: Option<BTreeSet<String>>,
}

impl Listed {
    /// Whether the weight is that of the layer which is claimed.
    fn is_own(&self, weight: &str, claim: &Claim<'_>) -> bool {
        match &self.paths {
            Some(paths) => path_of(weight, paths) == Some(claim.path),
            None => self.names.is_empty() || owner(weight, &self.names) == Some(claim.name),
        }
    }
}

/// Renames the weights in the list of a model to begin with the paths of their layers, by the order in which Keras lists
/// them; whether that is known.
fn name_by_order(list: &mut [(String, Variable)], class: &str, config: &Attrs, era: Era, path: &str) -> bool {
    let Some(Places { of_listed, .. }) = exact_places(class, config, era, list.len()) else { return false };
    let groups: BTreeMap<String, String> =
        layers_of_model(class, config, era, path).into_iter().map(|(path, group)| (group, path)).collect();
    let layer = |place: &Name| {
        let mut ends = place.match_indices('/').map(|(end, _)| &place[..end]);
        ends.find_map(|group| groups.get(group))
    };
    let Some(layers) = of_listed.iter().map(layer).collect::<Option<Vec<_>>>() else { return false };
    for (i, ((name, _), path)) in list.iter_mut().zip(layers).enumerate() {
        *name = format!("{path}/{i}");
    }
    true
}

/// The longest of the paths that the name of a weight begins with.
fn path_of<'w>(weight: &'w str, paths: &BTreeSet<String>) -> Option<&'w str> {
    let mut ends = weight.rmatch_indices('/').map(|(end, _)| &weight[..end]);
    ends.find(|path| paths.contains(*path))
}

impl WeightTable {
    /// Takes the weights of a layer out of the table, each with its place in the layer's group of a `.keras` file.
    pub(crate) fn claim(&mut self, claim: &Claim<'_>) -> Vec<(Name, Variable)> {
        match self {
            Self::Groups(variables) => claim_group(&mut variables.datasets, claim),
            Self::Lists(_) if claim.nested => Vec::new(),
            Self::Lists(lists) => claim_list(lists, claim),
        }
    }

    /// The layers whose weights are in the list `group`, which is that of the model at `path` of this class and with this
    /// configuration.
    ///
    /// Their names tell whose they are. Where these do not, as with those of a layer in a wrapper, their order does.
    pub(crate) fn listed(
        &mut self,
        config: &Attrs,
        class: &str,
        era: Era,
        group: &str,
        path: &str,
    ) -> Result<Listed, Problem> {
        let Self::Lists(lists) = self else { return Ok(Listed::default()) };
        let (mut names, mut paths, mut twice) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        add_listed(config, path, 0, &mut |name: Name, path: String| {
            paths.insert(path);
            if !names.insert(name.clone()) {
                twice.insert(name);
            }
        })?;
        let Some(list) = lists.get_mut(group) else { return Ok(Listed { names, paths: None }) };
        let weights = || list.iter().map(|(weight, _)| weight.as_str());
        if weights().all(|weight| path_of(weight, &paths).is_some()) {
            return Ok(Listed { names, paths: Some(paths) });
        }
        let owners: Option<Vec<&str>> = weights().map(|weight| owner(weight, &names)).collect();
        let is_clear = owners.is_some_and(|owners| !owners.iter().any(|name| twice.contains(*name)));
        if !is_clear && name_by_order(list, class, config, era, path) {
            return Ok(Listed { names, paths: Some(paths) });
        }
        let found = list.iter().filter_map(|(weight, _)| owner(weight, &names)).find(|name| twice.contains(*name));
        match found {
            Some(name) => {
                let note =
                    format!("two layers in it are named `{name}`, and its weights are told apart by their names");
                Err(Problem::config(path, note))
            }
            None => Ok(Listed { names, paths: None }),
        }
    }

    /// The layer whose the group is, where the file says it.
    pub(crate) fn owner(&self, group: &str) -> Option<&str> {
        match self {
            Self::Groups(variables) => variables.names.get(group).map(String::as_str),
            Self::Lists(_) => None,
        }
    }

    /// Whether the file shows that the model in `group` is functional, whatever its class: it has an input layer.
    pub(crate) fn is_functional(&self, group: &str) -> bool {
        match self {
            Self::Groups(variables) => variables.names.contains_key(&join(group, "layers/input_layer")),
            Self::Lists(_) => false,
        }
    }

    /// The names of the weights that no layer claimed.
    pub(crate) fn unclaimed(&self) -> Vec<&str> {
        match self {
            Self::Groups(variables) => variables.datasets.keys().map(String::as_str).collect(),
            Self::Lists(lists) => lists.values().flatten().map(|(name, _)| name.as_str()).collect(),
        }
    }
}

/// The weights of a layer. The optimizer of a model that was compiled before it became part of another is dropped: Keras
/// trains the outer one.
fn claim_group(datasets: &mut BTreeMap<String, Variable>, claim: &Claim<'_>) -> Vec<(Name, Variable)> {
    if claim.nested {
        drop(take_below(datasets, &join(claim.group, compiled::GROUP), |_| true));
    }
    take_below(datasets, claim.group, |place| !(claim.nested && place.starts_with("layers/")))
}

/// Takes the weights below a group out of the table, those at places that `is_own`, in the order of their numbers.
pub(crate) fn take_below(
    datasets: &mut BTreeMap<String, Variable>,
    group: &str,
    is_own: impl Fn(&str) -> bool,
) -> Vec<(Name, Variable)> {
    let prefix = format!("{group}/");
    let below = datasets.range(prefix.clone()..).map(|(key, _)| key).take_while(|key| key.starts_with(&prefix));
    let mut keys: Vec<String> = below.filter(|key| is_own(&key[prefix.len()..])).cloned().collect();
    keys.sort_by_cached_key(|key| numeric_order(key));
    let take = |key: String| Some((key[prefix.len()..].into(), datasets.remove(&key)?));
    keys.into_iter().filter_map(take).collect()
}

/// The weights of a list, or those of them that belong to the layer: the list of a model is that of the layers in it,
/// whose names are parts of those of their weights.
fn claim_list(lists: &mut WeightLists, claim: &Claim<'_>) -> Vec<(Name, Variable)> {
    let Some(list) = lists.get_mut(claim.group) else { return Vec::new() };
    let (own, others): (Vec<_>, Vec<_>) =
        std::mem::take(list).into_iter().partition(|(name, _)| claim.listed.is_own(name, claim));
    *list = others;
    let names: Vec<&str> = own.iter().map(|(name, _)| name.as_str()).collect();
    let Places { of_listed, twice } = places(claim.class, claim.config.unwrap_or(&Attrs::new()), claim.era, &names);
    let mut placed: Vec<(Name, Variable)> =
        of_listed.into_iter().zip(own.into_iter().map(|(_, variable)| variable)).collect();
    for (place, first) in twice {
        let same = placed.iter().find(|(place, _)| *place == first).map(|(_, variable)| variable.clone());
        placed.extend(same.map(|variable| (place, variable)));
    }
    placed.sort_by_cached_key(|(place, _)| numeric_order(place));
    placed
}

/// The outermost layers of a model, by the layers in them that are no models.
pub(crate) struct Owners {
    names: BTreeSet<Name>,
    outermost: BTreeMap<Name, Name>,
}

/// The owners of the weights of the model with this configuration.
pub(crate) fn owners(config: &Attrs) -> Result<Owners, Problem> {
    let mut outermost = BTreeMap::new();
    for layer in config.get("layers").and_then(Attr::as_list).unwrap_or_default() {
        let alone = Attrs::new().with("layers", Attr::List(vec![layer.clone()]));
        let config = layer.get("config");
        let name = layer.get("name").or_else(|| config?.get("name")).and_then(Attr::as_str).unwrap_or_default();
        add_listed(&alone, name, 0, &mut |inner, _| drop(outermost.insert(inner, name.into())))?;
    }
    Ok(Owners { names: outermost.keys().cloned().collect(), outermost })
}

impl Owners {
    /// The outermost layer whose weight the name is, by the name of a layer in it.
    pub(crate) fn of(&self, weight: &str) -> Option<&str> {
        self.outermost.get(owner(weight, &self.names)?).map(|name| &**name)
    }
}

/// Longer names of weights name no layer: looking for one takes time by the square of the number of slashes.
pub(crate) const MAX_WEIGHT_NAME: usize = 1024;

/// The layer that the name of a weight names first. Names may have slashes.
fn owner<'w>(weight: &'w str, listed: &BTreeSet<Name>) -> Option<&'w str> {
    if weight.len() > MAX_WEIGHT_NAME {
        return None;
    }
    let slashes: Vec<usize> = weight.match_indices('/').map(|(at, _)| at).collect();
    let starts = std::iter::once(0).chain(slashes.iter().map(|at| at + 1));
    let ends = |start: usize| {
        std::iter::once(weight.len()).chain(slashes.iter().rev().copied()).take_while(move |end| *end > start)
    };
    starts.flat_map(|start| ends(start).map(move |end| &weight[start..end])).find(|name| listed.contains(*name))
}

/// Gives the names and paths of all layers in the model at `path` that are no models.
fn add_listed(config: &Attrs, path: &str, depth: usize, add: &mut impl FnMut(Name, String)) -> Result<(), Problem> {
    if depth > MAX_NESTING {
        return Err(Problem::config(path, format!("models nest deeper than {MAX_NESTING} levels")));
    }
    for layer in config.get("layers").and_then(Attr::as_list).unwrap_or_default() {
        let config = layer.get("config").and_then(Attr::as_map);
        let name = layer.get("name").or_else(|| config?.get("name")).and_then(Attr::as_str).unwrap_or_default();
        match config.filter(|c| c.get("layers").is_some()) {
            Some(model) => add_listed(model, &join(path, name), depth + 1, add)?,
            None => add(name.into(), join(path, name)),
        }
    }
    Ok(())
}
