//! Assigns the weights of a file to layers: each layer claims its own.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use netc_ir::{Attr, Attrs, Name};

use crate::config::classes::class_by_name;
use crate::config::path::{join, numeric_order};
use crate::config::ties::has_shared;
use crate::config::version::KerasVersion;
use crate::container::training_state;
use crate::container::variable::{Variable, WeightLists, WeightTable, take_below};
use crate::error::{Problem, Result};
use crate::import::owners::{Member, add_listed, name_of, owner};
use crate::legacy::{Places, exact_places, layers_of_model, least, makes_weights, places};

/// A layer that claims its weights.
pub(crate) struct Claim<'a> {
    /// The layer's weight group; for weights in lists, the outermost layer that contains it.
    pub(crate) group: &'a str,
    pub(crate) name: &'a str,
    /// The dialect's name of its class.
    pub(crate) class: &'a str,
    pub(crate) config: Option<&'a Attrs>,
    /// Whether it is a model, whose layers claim their own weights.
    pub(crate) nested: bool,
    /// The layer's path in the model.
    pub(crate) path: &'a str,
    /// The weights of the list that the layer shares with others, by layer.
    pub(crate) listed: &'a Assignment,
    /// The Keras generation of the declaration.
    pub(crate) version: KerasVersion,
}

/// The weights of one list, by the layer that owns them.
#[derive(Default)]
pub(crate) enum Assignment {
    /// All belong to the first layer that claims them.
    #[default]
    First,
    /// By layer name. A layer takes its weights out.
    ByName(RefCell<BTreeMap<String, List>>),
    /// By layer path. A layer takes its weights out.
    ByPath(RefCell<BTreeMap<String, List>>),
}

/// Weights with their names, in file order.
type List = Vec<(String, Variable)>;

impl Assignment {
    /// Takes the weights of the claiming layer. `None` if it may take everything that is left in the list.
    fn take(&self, claim: &Claim<'_>) -> Option<List> {
        let (lists, key) = match self {
            Self::First => return None,
            Self::ByName(lists) => (lists, claim.name),
            Self::ByPath(lists) => (lists, claim.path),
        };
        Some(lists.borrow_mut().remove(key).unwrap_or_default())
    }

    /// The weights that no layer took.
    fn rest(&self) -> List {
        match self {
            Self::First => Vec::new(),
            Self::ByName(lists) | Self::ByPath(lists) => lists.take().into_values().flatten().collect(),
        }
    }
}

/// Moves each weight of `list` with a known owner to the owner's list.
fn by_owner(list: &mut List, owner: impl Fn(&str) -> Option<String>) -> RefCell<BTreeMap<String, List>> {
    let mut lists: BTreeMap<String, List> = BTreeMap::new();
    let mut others = Vec::new();
    for (weight, variable) in std::mem::take(list) {
        match owner(&weight) {
            Some(owner) => lists.entry(owner).or_default().push((weight, variable)),
            None => others.push((weight, variable)),
        }
    }
    *list = others;
    RefCell::new(lists)
}

/// Assigns the lists of a separate file to the layers of a model by position, as Keras does: each layer with weights
/// gets the next non-empty list, whatever its name. `order` is the order of the lists in the file. Returns the layers
/// whose list has another name, with that name.
///
/// If the number of layers with weights is unclear, the lists stay with the layers of the same name.
pub(crate) fn give_in_order(
    lists: &mut WeightLists,
    order: &[String],
    model: &Attrs,
    version: KerasVersion,
) -> Vec<(Name, String)> {
    let given: Vec<&String> =
        order.iter().filter(|name| lists.get(*name).is_some_and(|list| !list.is_empty())).collect();
    let layers = |needs: fn(&str, &Attrs, KerasVersion) -> bool| {
        let objects = model.get("layers").and_then(Attr::as_list).unwrap_or_default();
        let mut layers = Vec::new();
        for object in objects {
            let (Some(layer), Some(config)) = (object.as_map(), object.get("config").and_then(Attr::as_map)) else {
                continue;
            };
            if needs(&class_by_name(layer, version), config, version) {
                layers.push(Name::from(name_of(object)));
            }
        }
        layers
    };
    let mut takers = layers(makes_weights);
    if takers.len() != given.len() {
        takers = layers(|class, config, version| least(class, config, version) > 0);
    }
    if takers.len() != given.len() {
        return Vec::new();
    }
    let pairs: Vec<(Name, String)> = takers.into_iter().zip(given.into_iter().cloned()).collect();
    let taken: Vec<_> = pairs.iter().map(|(_, list)| lists.remove(list).unwrap_or_default()).collect();
    lists.extend(pairs.iter().map(|(layer, _)| layer.to_string()).zip(taken));
    pairs.into_iter().filter(|(layer, list)| **layer != **list).collect()
}

/// Renames the weights in a model's list so that they begin with the paths of their layers, using the order in which
/// Keras lists them. Returns false if netc does not know that order.
fn name_by_order(
    list: &mut [(String, Variable)],
    class: &str,
    config: &Attrs,
    version: KerasVersion,
    path: &str,
) -> bool {
    let Some(Places { of_listed, .. }) = exact_places(class, config, version, list.len()) else { return false };
    let groups: BTreeMap<String, String> =
        layers_of_model(class, config, version, path).into_iter().map(|(path, group)| (group, path)).collect();
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

/// The longest path that is a prefix of the weight's name.
fn path_of<'w>(weight: &'w str, paths: &BTreeSet<String>) -> Option<&'w str> {
    let mut ends = weight.rmatch_indices('/').map(|(end, _)| &weight[..end]);
    ends.find(|path| paths.contains(*path))
}

impl WeightTable {
    /// Takes the weights of a layer out of the table. Returns each with its place in the layer's group of a `.keras`
    /// file.
    pub(crate) fn claim(&mut self, claim: &Claim<'_>) -> Vec<(Name, Variable)> {
        match self {
            Self::Groups(variables) => claim_group(&mut variables.datasets, claim),
            Self::Lists(_) if claim.nested => Vec::new(),
            Self::Lists(lists) => claim_list(lists, claim),
        }
    }

    /// Takes the weights out of the list `group` and distributes them over the layers of the model at `path`, which has
    /// this class and configuration.
    ///
    /// The name of a weight tells which layer owns it. If it does not, as for a layer in a wrapper, the order decides.
    pub(crate) fn listed(
        &mut self,
        config: &Attrs,
        class: &str,
        version: KerasVersion,
        group: &str,
        path: &str,
    ) -> Result<Assignment> {
        let Self::Lists(lists) = self else { return Ok(Assignment::First) };
        let (mut names, mut paths, mut twice) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        let mut others = Vec::new();
        add_listed(config, (path, version), 0, &mut |Member { name, path, has_weights, in_wrapper }| {
            paths.insert(path);
            others.extend(in_wrapper.into_iter().map(|inner| (inner, name.clone())));
            if !has_weights {
                others.push((name.clone(), name));
            } else if names.insert(name.clone(), name.clone()).is_some() {
                twice.insert(name);
            }
        })?;
        for (inner, layer) in others {
            let first = names.entry(inner.clone()).or_insert_with(|| layer.clone());
            if *first != layer && inner != layer {
                twice.extend([first.clone(), layer]);
            }
        }
        let Some(list) = lists.get_mut(group) else { return Ok(Assignment::First) };
        let by_path =
            |list: &mut List| Assignment::ByPath(by_owner(list, |weight| path_of(weight, &paths).map(str::to_string)));
        let weights = || list.iter().map(|(weight, _)| weight.as_str());
        if weights().all(|weight| path_of(weight, &paths).is_some()) {
            return Ok(by_path(list));
        }
        let owners: Option<Vec<&Name>> = weights().map(|weight| owner(weight, &names)).collect();
        let is_clear = owners.is_some_and(|owners| !owners.iter().any(|name| twice.contains(*name)));
        if !is_clear && name_by_order(list, class, config, version, path) {
            return Ok(by_path(list));
        }
        let found = list.iter().filter_map(|(weight, _)| owner(weight, &names)).find(|name| twice.contains(*name));
        match found {
            Some(name) => {
                let note =
                    format!("two of its layers are named `{name}`, so netc cannot tell which weights belong to which");
                Err(Problem::config(path, note))
            }
            None if names.is_empty() => Ok(Assignment::First),
            None => Ok(Assignment::ByName(by_owner(list, |weight| owner(weight, &names).map(|name| name.to_string())))),
        }
    }

    /// Returns the weights that no layer of the model took to the list `group`.
    pub(crate) fn give_back(&mut self, group: &str, listed: &Assignment) {
        if let Self::Lists(lists) = self {
            lists.get_mut(group).into_iter().for_each(|list| list.extend(listed.rest()));
        }
    }

    /// The problem of a layer with only `number` weights, if its configuration creates more.
    pub(crate) fn lack(&self, claim: &Claim<'_>, object: &Attrs, number: usize) -> Option<Problem> {
        let config = claim.config.filter(|_| !claim.nested)?;
        let has_adapters = config.get("lora_rank").is_some_and(|rank| !rank.is_null());
        if has_adapters && number > 0 && matches!(self, Self::Lists(_)) {
            let note = "its LoRA adapters are separate weights in an HDF5 file, and netc does not merge them into the \
                        kernel; save the model as .keras with Keras, which merges them";
            return Some(Problem::config(format!("layer `{}`", claim.path), note));
        }
        let least = least(claim.class, config, claim.version);
        // An archive stores the weights of a shared layer only where Keras reaches it first.
        let is_shared = matches!(self, Self::Groups(_)) && has_shared(object);
        let note = || format!("its configuration creates {least} weights, but the file has {number} for it");
        (number < least && !is_shared).then(|| Problem::config(format!("layer `{}`", claim.path), note()))
    }

    /// The layer that owns `group`, if the file records it.
    pub(crate) fn owner(&self, group: &str) -> Option<&str> {
        match self {
            Self::Groups(variables) => variables.names.get(group).map(String::as_str),
            Self::Lists(_) => None,
        }
    }

    /// Whether the model in `group` is functional, whatever its class, because the file has a group for its input
    /// layer.
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

/// Takes the weights of a layer out of its group. Drops the optimizer variables of a nested model, because Keras trains
/// the outer model.
fn claim_group(datasets: &mut BTreeMap<String, Variable>, claim: &Claim<'_>) -> Vec<(Name, Variable)> {
    if claim.nested {
        drop(take_below(datasets, &join(claim.group, training_state::GROUP), |_| true));
    }
    take_below(datasets, claim.group, |place| !(claim.nested && place.starts_with("layers/")))
}

/// Takes the layer's weights out of its list: all of them, or the layer's share of a model's list.
fn claim_list(lists: &mut WeightLists, claim: &Claim<'_>) -> Vec<(Name, Variable)> {
    let Some(list) = lists.get_mut(claim.group) else { return Vec::new() };
    let own = claim.listed.take(claim).unwrap_or_else(|| std::mem::take(list));
    let names: Vec<&str> = own.iter().map(|(name, _)| name.as_str()).collect();
    let Places { of_listed, twice } = places(claim.class, claim.config.unwrap_or(&Attrs::new()), claim.version, &names);
    let mut placed: Vec<(Name, Variable)> =
        of_listed.into_iter().zip(own.into_iter().map(|(_, variable)| variable)).collect();
    let again: BTreeMap<Name, Variable> = match twice.is_empty() {
        true => BTreeMap::new(),
        false => placed.iter().cloned().collect(),
    };
    placed.extend(twice.into_iter().filter_map(|(place, first)| Some((place, again.get(&first)?.clone()))));
    placed.sort_by_cached_key(|(place, _)| numeric_order(place));
    placed
}

#[cfg(test)]
mod tests;
