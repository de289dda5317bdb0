//! The graph of a model inside a wrapper's configuration, with its calls converted to Keras 3.

use std::collections::BTreeSet;

use netc_ir::{Attr, Attrs, Layer, Name};

use crate::config::call::{fill, tensor_object};
use crate::config::classes::{dialect_class, is_graph};
use crate::config::tf;
use crate::config::version::KerasVersion;
use crate::legacy::calls::layer_call;
use crate::legacy::old_call::read_call;
use crate::legacy::upgrade::upgrade_object;

/// Converts the `layers` of a Keras 2 model. Leaves calls that Keras 3 does not support unchanged: see
/// [`has_old_calls`].
pub(super) fn modern_layers(layers: &Attr) -> Attr {
    let objects = layers.as_list().unwrap_or_default();
    let is_model = |object: &&Attr| object.get("class_name").and_then(Attr::as_str).is_some_and(is_graph);
    let name = |object: &Attr| object.get("name").and_then(Attr::as_str).map(Name::from);
    let models: BTreeSet<Name> = objects.iter().filter(is_model).filter_map(name).collect();
    let upgraded = |object: &Attr| match object.as_map() {
        Some(object) => with_modern_calls(object, &models).into(),
        None => object.clone(),
    };
    Attr::List(objects.iter().map(upgraded).collect())
}

fn with_modern_calls(object: &Attrs, models: &BTreeSet<Name>) -> Attrs {
    let upgraded = upgrade_object(object, KerasVersion::Legacy);
    let Some(nodes) = object.get("inbound_nodes").and_then(Attr::as_list) else { return upgraded };
    let class = dialect_class(object, KerasVersion::Legacy);
    if tf::is_operation(&class) {
        return upgraded;
    }
    let (config, weights, assets) = (object.clone(), Vec::new(), Vec::new());
    let layer = Layer { name: "".into(), class, config, weights, assets };
    match nodes.iter().map(|node| modern_node(node, &layer, models)).collect() {
        Some(nodes) => upgraded.with("inbound_nodes", Attr::List(nodes)),
        None => upgraded,
    }
}

fn modern_node(node: &Attr, layer: &Layer, models: &BTreeSet<Name>) -> Option<Attr> {
    let call = read_call(node.clone(), &layer.class, KerasVersion::Legacy, "").ok()?;
    let upgraded = layer_call(layer, &call.attrs).ok()?;
    let mut tensors = Vec::new();
    for tensor in &call.tensors {
        // Keras 2 numbers the calls of nested models from 1.
        let node = tensor.node.checked_sub(usize::from(models.contains(&tensor.layer)))?;
        let history = Attr::List(vec![Attr::str(&*tensor.layer), as_int(node), as_int(tensor.tensor)]);
        tensors.push(tensor_object(None, "float32", history));
    }
    let tensor = |i: u32| tensors.get(i as usize).cloned().unwrap_or(Attr::Null);
    let part = |key| upgraded.get(key).map(|tree| fill(tree, &tensor));
    Some(Attr::Map(Attrs::new().with("args", part("args")?).with("kwargs", part("kwargs")?)))
}

fn as_int(n: usize) -> Attr {
    Attr::Int(n as i128)
}

/// Whether an entry of a graph has Keras 2 calls.
pub(super) fn has_old_calls(object: &Attrs) -> bool {
    let nodes = object.get("inbound_nodes").and_then(Attr::as_list).unwrap_or_default();
    nodes.iter().any(|node| node.get("args").is_none())
}
