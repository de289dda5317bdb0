//! A model in the configuration of a layer, such as the one that a `TimeDistributed` wraps.

use std::collections::BTreeMap;

use netc_dialect::{LowerError, LoweredOp, OpContext};
use netc_ir::{Attr, Attrs, Layer, Name, SourceOp, ValueId};

use crate::config::call::{TensorRef, structure};
use crate::config::declaration::layer_name;
use crate::config::keys::INNER;
use crate::config::version::KerasVersion;
use crate::legacy::{grouped, is_model, read_call};
use crate::lower::call::Call;
use crate::lower::result::{Result, bad};

/// A layer of the model.
struct Inner<'o> {
    name: &'o str,
    class: Name,
    object: &'o Attrs,
    /// The group of its weights, relative to the model's.
    group: String,
}

/// Limit on the layer calls of a wrapped model. Each level of nested models that are called twice doubles their number.
const MAX_CALLS: usize = 1 << 12;

/// The number of layer calls in a model with this configuration.
fn calls(config: &Attrs) -> usize {
    let of_object = |object: &Attr| {
        let config = object.get("config").and_then(Attr::as_map);
        let times = object.get("inbound_nodes").and_then(Attr::as_list).map_or(1, |nodes| nodes.len().max(1));
        config.map_or(0, calls).saturating_add(1).saturating_mul(times)
    };
    let layers = config.get("layers").and_then(Attr::as_list).unwrap_or_default();
    let wrapped = INNER.iter().filter_map(|key| config.get(key)).filter(|value| value.as_map().is_some());
    layers.iter().chain(wrapped).fold(0, |sum, object| sum.saturating_add(of_object(object)))
}

/// The results of calls, by layer and call.
type Values = BTreeMap<(Name, usize), Vec<ValueId>>;

impl Call<'_, '_> {
    /// Lowers the model declared by `config`, whose weights are below `place`, on the input `x`.
    pub(crate) fn model(&mut self, place: &str, config: &Attrs, x: ValueId) -> Result<LoweredOp> {
        if calls(config) > MAX_CALLS {
            return Err(self.unsupported(format!("an inner model of more than {MAX_CALLS} calls")));
        }
        let version = KerasVersion::of(&self.b.module().attrs);
        let layers = layers(config, version);
        let results = match config.get("input_layers") {
            Some(inputs) => self.graph(place, &layers, (inputs, config.get("output_layers")), x, version)?,
            None => {
                let mut y = vec![x];
                let args = Attr::List(vec![Attr::Operand(0)]);
                let call = Attrs::new().with("args", args).with("kwargs", Attrs::new());
                for layer in layers.iter().filter(|layer| &*layer.class != "keras.InputLayer") {
                    y = self.inner(place, layer, call.clone(), &y)?;
                }
                y
            }
        };
        Ok(results.into())
    }

    /// Lowers a functional model with the inputs and outputs of `signature`.
    fn graph(
        &mut self,
        place: &str,
        layers: &[Inner<'_>],
        signature: (&Attr, Option<&Attr>),
        x: ValueId,
        version: KerasVersion,
    ) -> Result<Vec<ValueId>> {
        let is_functional = |name: &Name| {
            let layer = layers.iter().find(|layer| *layer.name == **name);
            layer.is_some_and(|layer| layer.object.get("config").is_some_and(|c| c.get("input_layers").is_some()))
        };
        let tensors = |key: &str, tree: Option<&Attr>| {
            let found = tree.and_then(|tree| structure(tree, key).ok());
            found.map(|(_, tensors)| tensors).ok_or_else(|| bad(key, tree, "tensors of the model"))
        };
        let [input] = &tensors("input_layers", Some(signature.0))?[..] else {
            return Err(self.unsupported("an inner model of several inputs"));
        };
        let mut values = Values::from([((input.layer.clone(), input.node), vec![x])]);
        let mut waiting = Vec::new();
        for layer in layers {
            let nodes = layer.object.get("inbound_nodes").and_then(Attr::as_list).unwrap_or_default();
            for (i, node) in nodes.iter().enumerate() {
                let node = read_call(node.clone(), &layer.class, version, layer.name);
                waiting.push((
                    layer,
                    i,
                    node.map_err(|error| self.unsupported(format!("an invalid call in its inner model ({error})")))?,
                ));
            }
        }
        // Keras writes a layer after the layers that it reads, except for layers that are called more than once.
        while !waiting.is_empty() {
            let before = waiting.len();
            let mut later = Vec::new();
            for (layer, i, node) in waiting {
                match operands(&values, &node.tensors) {
                    Some(operands) => {
                        let results = self.inner(place, layer, node.attrs, &operands)?;
                        values.insert((layer.name.into(), i), results);
                    }
                    None => later.push((layer, i, node)),
                }
            }
            if later.len() == before {
                return Err(self.unsupported("an inner model with calls whose inputs are never computed"));
            }
            waiting = later;
        }
        let mut outputs = tensors("output_layers", signature.1)?;
        for output in outputs.iter_mut().filter(|output| is_functional(&output.layer)) {
            output.node = output.node.saturating_sub(1);
        }
        operands(&values, &outputs).ok_or_else(|| bad("output_layers", signature.1, "tensors of the model"))
    }

    /// Lowers one call of a layer of the model.
    fn inner(&mut self, place: &str, inner: &Inner<'_>, call: Attrs, operands: &[ValueId]) -> Result<Vec<ValueId>> {
        let prefix = format!("{place}/{}/", inner.group);
        let class = inner.class.clone();
        let LoweredOp { results, masks, repeats, .. } = match inner.object.get("config").and_then(Attr::as_map) {
            Some(config) if is_model(&class, config) => {
                let [x] = operands else { return Err(self.unsupported("an inner model of several inputs")) };
                self.model(prefix.trim_end_matches('/'), config, *x)?
            }
            Some(_) | None => {
                let below = |at: &str| at.strip_prefix(&prefix).map(Into::into);
                let weights = self.weights().iter().filter_map(|(at, weight)| Some((below(at)?, *weight))).collect();
                let (name, config) = (self.class().into(), inner.object.clone());
                let layer = Layer { name, class: class.clone(), config, weights, assets: Vec::new() };
                let op = SourceOp::new(class, None, call);
                let (purpose, dialects) = (self.purpose, self.dialects);
                let context = OpContext { op: &op, layer: Some(&layer), operands, masks: &[], purpose, dialects };
                self.lower_inner(context).map_err(|error| {
                    let LowerError::Unknown { class } = error else {
                        // The error may hold the result types of this layer, which are not the wrapper's.
                        return error.giving(Vec::new());
                    };
                    self.unsupported(format!("the inner layer `{class}`"))
                })?
            }
        };
        self.repeats.extend(repeats);
        if masks.iter().any(Option::is_some) {
            return Err(self.unsupported(format!("a mask of the inner layer `{}`", inner.name)));
        }
        Ok(results)
    }
}

/// The layers of a model, with their weight groups.
fn layers(config: &Attrs, version: KerasVersion) -> Vec<Inner<'_>> {
    let mut layers = Vec::new();
    for (object, class, group) in grouped(config, "layers", version) {
        let name = layer_name(object).map_or("", |name| name);
        layers.push(Inner { name, class, object, group: group.unwrap_or_default() });
    }
    layers
}

/// The values of the tensors; `None` if one is not computed yet.
fn operands(values: &Values, tensors: &[TensorRef]) -> Option<Vec<ValueId>> {
    let value = |tensor: &TensorRef| values.get(&(tensor.layer.clone(), tensor.node))?.get(tensor.tensor).copied();
    tensors.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::json;

    #[test]
    fn calls_of_models_in_models_multiply() {
        let mut config = r#"{"layers": [{"config": {}, "inbound_nodes": [[], []]}]}"#.to_string();
        let number = |config: &str| calls(json::parsed(config).as_map().unwrap());
        assert_eq!(number(&config), 2);
        for _ in 0..2 {
            config = format!(r#"{{"layers": [{{"config": {config}, "inbound_nodes": [[], []]}}]}}"#);
        }
        assert_eq!(number(&config), 2 * (1 + 2 * (1 + 2)));
        assert_eq!(number(&format!(r#"{{"layer": {{"config": {config}}}}}"#)), 15);
    }
}
