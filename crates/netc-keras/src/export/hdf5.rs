//! What differs in an HDF5 file: weights are listed by outermost layer, and before Keras 3 calls are lists of tensors.

use hdf5_pure::AttrValue;
use netc_ir::{Attr, Attrs, Layer, Name, OpId, WeightId};

use super::{Exporter, Scope, fill};
use crate::error::Problem;
use crate::graph::join;
use crate::h5write::Tree;
use crate::legacy;

/// The weights of an outermost layer.
pub(crate) struct WeightList {
    layer: Name,
    /// In Keras's order, with their names.
    trained: Vec<(String, WeightId)>,
    /// Those that training does not change, which stand behind the others.
    frozen: Vec<(String, WeightId)>,
}

/// What an attribute holds at most, as a message in the header of its object.
const MAX_ATTRIBUTE: usize = 64_512;

/// The group of weights that has these lists.
pub(crate) fn group(lists: &[WeightList]) -> Tree {
    let mut group = Tree::default();
    set_names(&mut group, "layer_names", lists.iter().map(|list| &*list.layer));
    for list in lists {
        let of_layer = group.at(&list.layer);
        let weights = || list.trained.iter().chain(&list.frozen);
        set_names(of_layer, "weight_names", weights().map(|(name, _)| &**name));
        weights().for_each(|(name, weight)| of_layer.add_weight(name, *weight));
    }
    group
}

/// Gives the group a list of texts of one width, spread over as many attributes as it takes. One of no texts is left out:
/// there is no width for it.
fn set_names<'n>(group: &mut Tree, key: &str, names: impl Iterator<Item = &'n str>) {
    let names: Vec<&str> = names.collect();
    let width = names.iter().map(|name| name.len()).max().unwrap_or(0).max(1);
    let chunks: Vec<&[&str]> = names.chunks((MAX_ATTRIBUTE / width).max(1)).collect();
    for (i, chunk) in chunks.iter().enumerate() {
        let key = if chunks.len() == 1 { key.to_string() } else { format!("{key}{i}") };
        let texts = chunk.iter().map(|name| (*name).to_string()).collect();
        group.attrs.insert(key, AttrValue::StringArray(texts));
    }
}

/// Whether a value in the arguments of a call is one that Keras 3 takes, in an HDF5 file alone, for that of an older
/// encoding of the same name (`_decode_helper` in its `json_utils.py`).
pub(super) fn is_misread(tree: &Attr) -> bool {
    match tree {
        Attr::Map(map) => {
            let class = map.get("class_name").and_then(Attr::as_str);
            matches!(class, Some("__ellipsis__" | "__tuple__" | "__bytes__")) || map.iter().any(|(_, v)| is_misread(v))
        }
        Attr::List(items) => items.iter().any(is_misread),
        Attr::Null | Attr::Bool(_) | Attr::Int(_) | Attr::Float(_) | Attr::Str(_) | Attr::Operand(_) => false,
    }
}

impl<'m> Exporter<'m> {
    /// Lists the weights of a layer, and gives the path that the names of its weights begin with.
    pub(super) fn list_weights(&mut self, scope: &Scope<'m>, layer: &Layer) -> Result<String, Problem> {
        let path = join(&scope.place.group, &layer.name);
        let refuse = |note: &str| {
            let note = format!("netc does not know {note}; write the model as .keras");
            Problem::NotKeras { place: format!("layer `{path}`"), note }
        };
        if scope.place.depth == 0 {
            self.lists.push(WeightList { layer: layer.name.clone(), trained: Vec::new(), frozen: Vec::new() });
        }
        let places: Vec<Name> = layer.weights.iter().map(|(place, _)| place.clone()).collect();
        let config = layer.config.get("config").and_then(Attr::as_map).cloned().unwrap_or_default();
        let listed = legacy::listing(&layer.class, &config, self.era, &places);
        let listed = listed.ok_or_else(|| refuse("in which order Keras lists the weights of the layers in it"))?;
        let suffix = if self.is_old() { ":0" } else { "" };
        for weight in listed {
            let is_trained = match weight.trained {
                Some(trained) => trained && scope.place.trained,
                // Alone in its list, or in one that is in the order of the layers, a layer has its own order.
                None if scope.place.depth == 0 => true,
                None if !scope.place.trained => false,
                None => return Err(refuse("which of its weights are trained, which stand first in a list")),
            };
            let id = layer.weights.iter().find(|(place, _)| *place == weight.place).map(|(_, id)| *id);
            let named = id.map(|id| (format!("{path}/{}{suffix}", weight.name), id));
            if let Some(list) = self.lists.last_mut() {
                if is_trained { &mut list.trained } else { &mut list.frozen }.extend(named);
            }
        }
        Ok(path)
    }

    /// An entry of `inbound_nodes` as before Keras 3: the tensors that are read, each with the arguments that have names.
    pub(super) fn old_node(&self, scope: &Scope<'_>, op: OpId) -> Result<Attr, Problem> {
        let (func, op) = (scope.func, &scope.func[op]);
        let tensor = |i: u32| match op.operands.get(i as usize) {
            Some(value) => scope.names.history(*value, self.counts_from_one(func, *value)),
            None => Attr::Null,
        };
        let part = |key| op.kind.attrs().and_then(|attrs| attrs.get(key));
        let read = match part("args").and_then(Attr::as_list) {
            Some([Attr::List(tensors)]) => tensors,
            Some(one @ [_]) => one,
            Some(_) | None => &[],
        };
        let named = part("kwargs").map_or(Attr::Map(Attrs::new()), |kwargs| fill(kwargs, &tensor));
        let entry = |arg: &Attr| {
            let mut entry = match arg {
                Attr::Operand(i) => tensor(*i).as_list().map(<[Attr]>::to_vec)?,
                Attr::Null | Attr::Bool(_) | Attr::Int(_) | Attr::Float(_) | Attr::Str(_) => {
                    vec!["_CONSTANT_VALUE".into(), Attr::Int(-1), arg.clone()]
                }
                Attr::List(_) | Attr::Map(_) => return None,
            };
            entry.push(named.clone());
            Some(Attr::List(entry))
        };
        let entries: Option<Vec<Attr>> = read.iter().map(entry).collect();
        entries.filter(|entries| !entries.is_empty()).map(Attr::List).ok_or_else(|| Problem::NotKeras {
            place: format!("the call at {}", op.loc),
            note: "before Keras 3 a call is of one tensor or of a list of them; write the model as .keras".into(),
        })
    }
}
