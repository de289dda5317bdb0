//! Ties between layers: a layer's configuration can contain another layer of the model.
//!
//! Keras writes the shared weights once, in the group of the layer that it reaches first. A file with only the other
//! layer would lack them. netc cannot write them there either: their group is named after the Python attribute in which
//! the user's class stores the layer, and netc does not know it.

use std::collections::{BTreeMap, BTreeSet};

use netc_ir::{Attr, Attrs, Layer, LayerId, Module};

use crate::config::attrs::has_lists;

/// The key that numbers an object which appears several times in a file.
pub(crate) const SHARED: &str = "shared_object_id";

/// The tied layers of `module`, as pairs of the layer that lacks the shared weights and the layer that owns them.
pub(crate) fn ties(module: &Module) -> Vec<(LayerId, LayerId)> {
    if has_lists(&module.attrs) {
        // An `.h5` file lists all weights of each layer.
        return Vec::new();
    }
    let mut owners: BTreeMap<i64, LayerId> = BTreeMap::new();
    let mut ties = BTreeSet::new();
    for (i, layer) in module.layers.iter().enumerate() {
        let id = LayerId::new(i);
        let mut held = Vec::new();
        for (_, value) in layer.config.get("config").and_then(Attr::as_map).into_iter().flat_map(Attrs::iter) {
            add_held(value, &mut held);
        }
        for number in held {
            let owner = *owners.entry(number).or_insert(id);
            if owner != id && has_weights_of(&module[owner], number) {
                ties.insert((id, owner));
            }
        }
        if let Some(number) = number(&layer.config) {
            let owner = *owners.entry(number).or_insert(id);
            if owner != id && layer.weights.is_empty() && has_weights_of(&module[owner], number) {
                ties.insert((id, owner));
            }
        }
    }
    ties.into_iter().collect()
}

/// Whether `owner` may have the weights of the numbered object, which is the layer itself or an inner layer.
fn has_weights_of(owner: &Layer, object: i64) -> bool {
    let is_itself = number(&owner.config) == Some(object);
    owner.weights.iter().any(|(place, _)| is_itself || !place.starts_with("vars/"))
}

/// Whether the layer, or a layer inside it, also appears elsewhere in the file.
pub(crate) fn has_shared(object: &Attrs) -> bool {
    let mut held = Vec::new();
    object.get("config").into_iter().for_each(|config| add_held(config, &mut held));
    number(object).is_some() || !held.is_empty()
}

fn number(object: &Attrs) -> Option<i64> {
    object.get(SHARED).and_then(Attr::as_int)
}

/// Collects the numbers of the layers in a configuration value. A layer is an object whose configuration has
/// `trainable`.
fn add_held(value: &Attr, held: &mut Vec<i64>) {
    if let Some(map) = value.as_map() {
        let is_layer = map.get("config").is_some_and(|config| config.get("trainable").is_some());
        held.extend(number(map).filter(|_| is_layer));
    }
    value.children().for_each(|value| add_held(value, held));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks the ties of layers, by name. A layer is written as its own number, `:`, the numbers of its inner layers,
    /// and `+` if it has weights.
    fn check(layers: &[(&str, &str)], expected: &[(&str, &str)]) {
        let mut module = Module::new();
        for (name, text) in layers {
            let (own, held) = text.trim_end_matches('+').split_once(':').unwrap();
            let held = held.split_whitespace().map(|number| {
                let config = Attrs::new().with("trainable", true);
                Attr::Map(Attrs::new().with(SHARED, number.parse::<i64>().unwrap()).with("config", config))
            });
            let config = Attrs::new().with("parts", Attr::List(held.collect()));
            let mut config = Attrs::new().with("config", config);
            if let Ok(number) = own.parse::<i64>() {
                config.set(SHARED, number);
            }
            let weights = text.ends_with('+').then(|| ("part/vars/0".into(), netc_ir::WeightId::new(0)));
            let weights = weights.into_iter().collect();
            let class = "custom.Own".into();
            module.add_layer(Layer { name: (*name).into(), class, config, weights, assets: Vec::new() });
        }
        let name = |id: LayerId| module[id].name.to_string();
        let found: Vec<(String, String)> = ties(&module).into_iter().map(|(a, b)| (name(a), name(b))).collect();
        let found: Vec<(&str, &str)> = found.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn shared_weights_belong_to_the_first_layer() {
        check(&[("embedding", "7:+"), ("head", ":7")], &[("head", "embedding")]);
        check(&[("head", ":7+"), ("embedding", "7:")], &[("embedding", "head")]);
        check(&[("first", ":7+"), ("second", ":7")], &[("second", "first")]);
    }

    #[test]
    fn inner_layers_without_weights_make_no_ties() {
        check(&[("activation", "7:"), ("head", ":7+")], &[]);
    }
}
