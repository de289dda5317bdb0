//! The names of layers and values in a file.

use std::collections::BTreeMap;

use netc_data::dtype_name;
use netc_format::Written;
use netc_ir::{Attr, Attrs, ElemType, Func, LayerId, Module, Op, OpId, Output, UniqueNames, ValueId};

use crate::config::call::{fill, tensor_object};
use crate::config::declaration::shape;

/// The names of a function's values in its file.
pub(super) struct Names {
    pub(super) inputs: Vec<String>,
    /// The layer, call and output of each value.
    values: BTreeMap<ValueId, (String, usize, usize)>,
}

impl Names {
    pub(super) fn of(module: &Module, func: &Func, calls: &BTreeMap<LayerId, Vec<OpId>>) -> Self {
        let mut taken = UniqueNames::without(func.layers().iter().map(|l| module[*l].name.clone()));
        let mut names = Self { inputs: Vec::new(), values: BTreeMap::new() };
        for param in &func.params {
            let name = match param.layer {
                Some(layer) => module[layer].name.to_string(),
                None => input_name(&param.name, &mut taken),
            };
            names.values.insert(param.value, (name.clone(), 0, 0));
            names.inputs.push(name);
        }
        for (layer, ops) in calls {
            for (node, op) in ops.iter().enumerate() {
                for (i, value) in func[*op].results.iter().enumerate() {
                    names.values.insert(*value, (module[*layer].name.to_string(), node, i));
                }
            }
        }
        names
    }

    /// The value as `[layer, call, output]`.
    pub(super) fn history(&self, value: ValueId, from_one: bool) -> Attr {
        let (layer, call, output) = &self.values[&value];
        Attr::List(vec![
            layer.as_str().into(),
            Attr::Int((call + usize::from(from_one)) as i128),
            Attr::Int(*output as i128),
        ])
    }

    /// The entry of `inbound_nodes` for the op with the arguments `call`.
    pub(super) fn node(&self, func: &Func, op: &Op, call: &Attrs) -> Attr {
        let tensor = |i: u32| match op.operands.get(i as usize) {
            Some(value) => self.tensor(func, *value),
            None => Attr::Null,
        };
        let part = |key, empty| call.get(key).map_or(empty, |tree| fill(tree, &tensor));
        let args = part("args", Attr::List(Vec::new()));
        let kwargs = part("kwargs", Attr::Map(Attrs::new()));
        Attr::Map(Attrs::new().with("args", args).with("kwargs", kwargs))
    }

    fn tensor(&self, func: &Func, value: ValueId) -> Attr {
        let ty = &func[value].ty;
        let shape = shape(ty).filter(|_| ty.elem != ElemType::Any);
        tensor_object(shape, dtype_name(ty.elem), self.history(value, false))
    }

    pub(super) fn written(&self, func: &Func) -> Written {
        let mut unique = UniqueNames::default();
        // A model has its own output names; a stage uses the names of the layers, as Keras does.
        let own = func.attrs.get("outputs").is_some();
        let name = |o: &Output| if own { o.name.to_string() } else { self.values[&o.value].0.clone() };
        let outputs = func.outputs.iter().map(|o| unique.take(&name(o)).to_string()).collect();
        Written { inputs: self.inputs.clone(), outputs, checksums: Vec::new() }
    }
}

/// An unused name for an input layer that Keras accepts.
fn input_name(wanted: &str, taken: &mut UniqueNames) -> String {
    let clean: String =
        wanted.chars().map(|c| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '_' }).collect();
    let wanted = if clean.starts_with(|c: char| c.is_ascii_alphanumeric()) { clean } else { format!("input{clean}") };
    taken.take(&wanted).to_string()
}
