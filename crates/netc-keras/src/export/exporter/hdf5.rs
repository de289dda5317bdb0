//! The exporter's code for HDF5 and TensorFlow.js: it lists weights by outermost layer, and before Keras 3 calls are
//! lists of tensors.

use std::collections::BTreeMap;

use netc_ir::{Attr, Attrs, ElemType, Layer, Name, OpId, WeightId};

use crate::config::attrs::has_lists;
use crate::config::call::{fill, has_tensors, trains};
use crate::config::path::join;
use crate::error::{Problem, Result};
use crate::export::exporter::{Container, Exporter, Scope};
use crate::export::lists::{Entry, WeightList};
use crate::export::tfjs;
use crate::legacy::{self, ListedWeight, old_call};

/// Whether Keras 3 would misread a value in the arguments of a call. In an HDF5 file only, it takes some encodings for
/// older ones of the same name (`_decode_helper` in its `json_utils.py`).
pub(super) fn is_misread(tree: &Attr) -> bool {
    let class = tree.get("class_name").and_then(Attr::as_str);
    matches!(class, Some("__ellipsis__" | "__tuple__" | "__bytes__")) || tree.children().any(is_misread)
}

impl<'m> Exporter<'m> {
    /// Adds the weights of a layer to its list. Returns the path with which the names of its weights begin.
    pub(super) fn list_weights(&mut self, scope: &Scope<'m>, layer: &Layer) -> Result<String> {
        let path = join(&scope.place.group, &layer.name);
        let refuse = |note: &str| {
            let note = format!("{note}; write the model as .keras");
            Problem::NotKeras { place: format!("layer `{path}`"), note }
        };
        if !layer.assets.is_empty() {
            return Err(refuse("it has assets, which only a .keras file can store"));
        }
        if self.is_old()
            && !has_lists(&self.module.attrs)
            && layer.class.starts_with("custom.")
            && legacy::holds_object(&layer.config)
        {
            return Err(refuse("tf.keras cannot find the class of an object in its configuration in an HDF5 file"));
        }
        if self.holders.contains(&layer.name) {
            return Err(refuse("it contains another layer of the model, whose weights Keras lists here too"));
        }
        if scope.place.depth == 0 {
            self.lists.push(WeightList { layer: layer.name.clone(), weights: Vec::new() });
        }
        let places: Vec<Name> = layer.weights.iter().map(|(place, _)| place.clone()).collect();
        let config = layer.config.get("config").and_then(Attr::as_map).cloned().unwrap_or_default();
        let listed = legacy::weight_list(&layer.class, &config, self.version, &places);
        let listed = listed.ok_or_else(|| refuse("netc does not know the order in which Keras lists its weights"))?;
        let suffix = if self.is_old() { ":0" } else { "" };
        let weights: BTreeMap<&Name, &WeightId> = layer.weights.iter().map(|(place, weight)| (place, weight)).collect();
        for ListedWeight { place, name, trained } in listed {
            let Some(weight) = weights.get(&place).copied() else { continue };
            let elem = self.module[*weight].ty.elem;
            if elem == ElemType::BF16 {
                return Err(refuse("Keras cannot read bfloat16 from an HDF5 file"));
            }
            let name = match self.container {
                Container::Archive | Container::Hdf5 => format!("{path}/{name}{suffix}"),
                Container::Tfjs => tfjs::weight_name(layer, &name),
            };
            if self.container == Container::Tfjs {
                if tfjs::dtype(elem).is_none() {
                    return Err(refuse(&format!("TensorFlow.js does not support weights of type {elem}")));
                }
                if !self.taken.insert(name.clone()) {
                    let note = "TensorFlow.js finds weights by the names of their layers, and another layer has a";
                    return Err(refuse(&format!("{note} `{name}` too")));
                }
            }
            let trained = match trained {
                Some(trained) => trained,
                // A layer alone in its list keeps its own order.
                None if scope.place.depth == 0 => true,
                None => {
                    return Err(refuse("netc does not know which of its weights are trainable, to list them first"));
                }
            };
            if let Some(list) = self.lists.last_mut() {
                list.weights.push(Entry { name, weight: *weight, trained });
            }
        }
        Ok(path)
    }

    /// Orders the weights of an outermost layer that is a model: trainable ones first.
    ///
    /// Keras loads weights in the order of the loaded model, in which only layers have the flag `trainable`. Exception: in
    /// Keras 3 a Functional that is frozen as a whole keeps the order of its layers (`Layer.weights`).
    pub(super) fn finish_list(&mut self, config: &Attrs, is_functional: bool) {
        let keeps_order = !self.is_old() && is_functional && !legacy::trains(config);
        if let Some(list) = self.lists.last_mut().filter(|_| !keeps_order) {
            list.weights.sort_by_key(|entry| !entry.trained);
        }
    }

    /// An entry of `inbound_nodes` as before Keras 3: the input tensors, each with the keyword arguments.
    pub(super) fn old_node(&self, scope: &Scope<'_>, op: OpId) -> Result<Attr> {
        let (func, op) = (scope.func, &scope.func[op]);
        let tensor = |i: u32| match op.operands.get(i as usize) {
            Some(value) => scope.names.history(*value, self.counts_from_one(func, *value)),
            None => Attr::Null,
        };
        let part = |key| op.kind.attrs().and_then(|attrs| attrs.get(key));
        let refuse = |note: &str| Problem::NotKeras { place: format!("the call at {}", op.loc), note: note.into() };
        if self.container == Container::Tfjs && part("kwargs").is_some_and(has_tensors) {
            return Err(refuse(
                "TensorFlow.js ignores tensors in keyword arguments, such as `mask` and `initial_state`",
            ));
        }
        if self.container == Container::Tfjs && op.kind.attrs().is_some_and(trains) {
            return Err(refuse("TensorFlow.js ignores `training` = true in a call"));
        }
        let named = part("kwargs").map_or(Attr::Map(Attrs::new()), |kwargs| fill(kwargs, &tensor));
        let (class, call) = (op.kind.name(), op.kind.attrs().cloned().unwrap_or_default());
        let first = call.get("args").and_then(Attr::as_list).and_then(<[Attr]>::first);
        if self.container == Container::Tfjs && !first.is_some_and(is_of_tensors) {
            return Err(refuse("TensorFlow.js can call a layer only with a tensor or a list of tensors"));
        }
        old_call::write(&call, class, &tensor, &named).ok_or_else(|| {
            refuse("before Keras 3, a layer takes one tensor or a list of tensors; write the model as .keras")
        })
    }
}

/// Whether the argument is a tensor or a list of tensors.
fn is_of_tensors(arg: &Attr) -> bool {
    let is_tensor = |arg: &Attr| matches!(arg, Attr::Operand(_));
    is_tensor(arg) || arg.as_list().is_some_and(|items| !items.is_empty() && items.iter().all(is_tensor))
}
