//! Finds the outermost layer that owns a weight, by the names of its inner layers.

use std::collections::{BTreeMap, BTreeSet};

use netc_ir::{Attr, Attrs, Name};

use crate::config::classes::class_by_name;
use crate::config::path::join;
use crate::config::version::KerasVersion;
use crate::container::variable::{MAX_WEIGHT_NAME, Variable, WeightLists};
use crate::error::{Problem, Result};
use crate::legacy::{is_model, layers_with_weights, makes_weights};
use netc_format::stack::MAX_NESTING;

/// Groups the weights into one list per outermost layer.
pub(super) fn by_layer(
    object: &Attr,
    version: KerasVersion,
    variables: Vec<(String, Variable)>,
) -> Result<WeightLists> {
    let config = object.get("config").and_then(Attr::as_map).cloned().unwrap_or_default();
    let owners = owners(&config, version)?;
    let mut lists = WeightLists::new();
    for (name, variable) in variables {
        let owner = owners.of(&name).unwrap_or_default().to_string();
        lists.entry(owner).or_default().push((name, variable));
    }
    Ok(lists)
}

/// The outermost layers of a model, by the names of the leaf layers inside them.
pub(super) struct Owners(BTreeMap<Name, Name>);

/// Finds the owners for the model with this configuration.
pub(super) fn owners(config: &Attrs, version: KerasVersion) -> Result<Owners> {
    let (mut outermost, mut wrapped, mut idle) = (BTreeMap::new(), Vec::new(), Vec::new());
    for layer in config.get("layers").and_then(Attr::as_list).unwrap_or_default() {
        let alone = Attrs::new().with("layers", Attr::List(vec![layer.clone()]));
        let name = Name::from(name_of(layer));
        add_listed(&alone, ("", version), 0, &mut |member| {
            wrapped.extend(member.in_wrapper.into_iter().map(|inner| (inner, name.clone())));
            if member.has_weights {
                outermost.insert(member.name, name.clone());
            } else {
                idle.push((member.name, name.clone()));
            }
        })?;
    }
    for (inner, name) in wrapped.into_iter().chain(idle) {
        outermost.entry(inner).or_insert(name);
    }
    Ok(Owners(outermost))
}

impl Owners {
    /// The outermost layer that owns the weight of this name.
    pub(super) fn of(&self, weight: &str) -> Option<&str> {
        owner(weight, &self.0).map(|name| &**name)
    }
}

/// The layer whose name occurs first in the name of a weight. Layer names may contain slashes.
pub(super) fn owner<'l>(weight: &str, layers: &'l BTreeMap<Name, Name>) -> Option<&'l Name> {
    if weight.len() > MAX_WEIGHT_NAME {
        return None;
    }
    let slashes: Vec<usize> = weight.match_indices('/').map(|(at, _)| at).collect();
    let starts = std::iter::once(0).chain(slashes.iter().map(|at| at + 1));
    let ends = |start: usize| {
        std::iter::once(weight.len()).chain(slashes.iter().rev().copied()).take_while(move |end| *end > start)
    };
    starts.flat_map(|start| ends(start).map(move |end| &weight[start..end])).find_map(|name| layers.get(name))
}

/// A leaf layer of a model: one that is not itself a model.
pub(super) struct Member {
    pub(super) name: Name,
    pub(super) path: String,
    /// Whether it may have weights.
    pub(super) has_weights: bool,
    /// For a wrapper of a model, the names of the model's layers with weights. TensorFlow.js names weights after them.
    pub(super) in_wrapper: BTreeSet<Name>,
}

/// Calls `add` for every leaf layer of the model at `path`, including those of nested models.
pub(super) fn add_listed(
    config: &Attrs,
    (path, version): (&str, KerasVersion),
    depth: usize,
    add: &mut impl FnMut(Member),
) -> Result<()> {
    if depth > MAX_NESTING {
        return Err(Problem::config(path, format!("models nest deeper than {MAX_NESTING} levels")));
    }
    for layer in config.get("layers").and_then(Attr::as_list).unwrap_or_default() {
        let (name, path) = (name_of(layer), join(path, name_of(layer)));
        let config = layer.get("config").and_then(Attr::as_map);
        match config.filter(|c| c.get("layers").is_some()) {
            Some(model) => add_listed(model, (&path, version), depth + 1, add)?,
            None => {
                let class = layer.as_map().map_or_else(|| Name::from(""), |layer| class_by_name(layer, version));
                let mut in_wrapper = BTreeSet::new();
                add_wrapped(config, version, &mut in_wrapper);
                let has_weights = makes_weights(&class, config.unwrap_or(&Attrs::new()), version);
                add(Member { name: name.into(), path, has_weights, in_wrapper });
            }
        }
    }
    Ok(())
}

/// If a layer with this configuration wraps a model, adds the names of the model's layers with weights.
fn add_wrapped(mut config: Option<&Attrs>, version: KerasVersion, names: &mut BTreeSet<Name>) {
    while let Some(inner) = config.and_then(|config| config.get("layer")?.as_map()) {
        config = inner.get("config").and_then(Attr::as_map);
        if let Some(model) = config.filter(|config| is_model(&class_by_name(inner, version), config)) {
            names.extend(layers_with_weights(model, version));
        }
    }
}

pub(super) fn name_of(layer: &Attr) -> &str {
    let name = layer.get("name").or_else(|| layer.get("config")?.get("name"));
    name.and_then(Attr::as_str).unwrap_or_default()
}
