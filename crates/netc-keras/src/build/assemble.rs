//! Assembles the recorded calls to a module equal to the one imported from the model's file: without anything that no
//! output needs, with layers in Keras's order and calls as close to it as their operands allow.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use netc_ir::{
    Attrs, Builder, CallOp, Func, FuncId, LayerId, Loc, MAIN, Module, Name, OpKind, SourceOp, Type, ValueId, Weight,
};

use crate::build::embed::embed;
use crate::build::parts::{Declared, Node, Tensor, TensorSource};
use crate::config::order::{Operation, keras_order};

/// A model with all calls recorded, whose layers and calls are not ordered yet.
pub(super) struct Draft<'a> {
    pub(super) name: &'a Name,
    pub(super) module: &'a Module,
    pub(super) declared: &'a [Declared],
    pub(super) nodes: &'a [Node],
    pub(super) tensors: &'a [TensorSource],
    /// The tensors of the model.
    pub(super) outputs: &'a [(&'a str, Tensor)],
}

/// The place of each declared layer in a module, with its function if it is a model.
type Places = BTreeMap<usize, (LayerId, Option<FuncId>)>;

impl Draft<'_> {
    pub(super) fn assemble(&self) -> Module {
        let live = self.live();
        let nodes: Vec<usize> = (0..self.nodes.len()).filter(|n| live[*n]).collect();
        let draft = self.main(self.module, &self.unordered(), &nodes);
        let order: Vec<LayerId> = keras_order(&draft).into_iter().filter_map(|o| layer_of(&draft, o)).collect();
        let (mut module, places) = self.tables(&order);
        let main = self.main(&module, &places, &self.sorted(&places, &nodes));
        module.add_func(main);
        module
    }

    /// The layers in the order of declaration, without functions, which do not affect Keras's order.
    fn unordered(&self) -> Places {
        let func = |declared: &Declared| declared.model.as_ref().map(|_| FuncId::new(0));
        let place = |(i, declared)| (i, (LayerId::new(i), func(declared)));
        self.declared.iter().enumerate().map(place).collect()
    }

    /// Marks the nodes that an output needs, and all inputs.
    fn live(&self) -> Vec<bool> {
        let mut live: Vec<bool> = self.nodes.iter().map(|node| node.operands.is_none()).collect();
        for (_, output) in self.outputs {
            live[self.node_of(output)] = true;
        }
        for (n, node) in self.nodes.iter().enumerate().rev().filter(|(_, node)| node.operands.is_some()) {
            for operand in node.operands.iter().flatten().filter(|_| live[n]).collect::<Vec<_>>() {
                live[self.node_of(operand)] = true;
            }
        }
        live
    }

    fn node_of(&self, tensor: &Tensor) -> usize {
        self.tensors[tensor.index()].node
    }

    /// The layers in `order`, with their weights; for nested models also their layers and functions.
    fn tables(&self, order: &[LayerId]) -> (Module, Places) {
        let mut module = Module::new();
        let mut places = Places::new();
        for id in order {
            let mut layer = self.module[*id].clone();
            for weight in layer.data_mut() {
                let moved: Weight = self.module[*weight].clone();
                *weight = module.add_weight(moved);
            }
            let name = layer.name.clone();
            let place = module.add_layer(layer);
            let model = self.declared[id.index()].model.as_ref();
            places.insert(id.index(), (place, model.and_then(|model| embed(&mut module, model, &name))));
        }
        (module, places)
    }

    /// `nodes` in topological order: inputs in creation order, calls by layer, then by call.
    fn sorted(&self, places: &Places, nodes: &[usize]) -> Vec<usize> {
        let (mut sorted, calls): (Vec<usize>, Vec<usize>) =
            nodes.iter().partition(|n| self.nodes[**n].operands.is_none());
        let key = |n: usize| Reverse((places[&self.nodes[n].layer.index()].0, n));
        let reads = |n: usize| self.nodes[n].operands.iter().flatten().map(|t| self.node_of(t));
        let mut readers: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut waiting: BTreeMap<usize, usize> = BTreeMap::new();
        for n in &calls {
            let made = reads(*n).filter(|source| self.nodes[*source].operands.is_some());
            for source in made {
                readers.entry(source).or_default().push(*n);
                *waiting.entry(*n).or_default() += 1;
            }
        }
        let mut ready: BinaryHeap<_> = calls.iter().filter(|n| !waiting.contains_key(n)).map(|n| key(*n)).collect();
        while let Some(Reverse((_, n))) = ready.pop() {
            sorted.push(n);
            for reader in readers.get(&n).into_iter().flatten() {
                let left = waiting.entry(*reader).or_default();
                *left -= 1;
                if *left == 0 {
                    ready.push(key(*reader));
                }
            }
        }
        sorted
    }

    /// Builds the function with `nodes` over the layers of `module`.
    fn main(&self, module: &Module, places: &Places, nodes: &[usize]) -> Func {
        let mut b = Builder::new(module, MAIN);
        // Values by tensor index.
        let mut values: BTreeMap<usize, ValueId> = BTreeMap::new();
        let mut calls: BTreeMap<LayerId, u32> = BTreeMap::new();
        for n in nodes {
            let node = &self.nodes[*n];
            let (id, callee) = places[&node.layer.index()];
            let name = module[id].name.clone();
            let types = self.tensors[node.results.clone()].iter().map(|made| made.ty.clone());
            let made: Vec<ValueId> = match &node.operands {
                None => types.map(|ty| b.param(name.clone(), ty, Some(id))).collect(),
                Some(operands) => {
                    let call = calls.entry(id).and_modify(|k| *k += 1).or_insert(0);
                    let results: Vec<(Type, Option<Name>)> =
                        types.enumerate().map(|(i, ty)| (ty, Some(result_name(&name, *call, i)))).collect();
                    b.at(Loc::Call { file: None, path: name, call: *call });
                    let operands: Vec<ValueId> = operands.iter().map(|t| values[&t.index()]).collect();
                    let op = b.op(call_of(module, id, callee, &self.declared[node.layer.index()]), &operands, results);
                    b.results(op).to_vec()
                }
            };
            values.extend(node.results.clone().zip(made));
        }
        let mut func = b.finish(self.outputs.iter().map(|(name, t)| (Name::from(*name), values[&t.index()])));
        func.attrs = Attrs::new().with("class", "Functional").with("name", &**self.name);
        func
    }
}

fn result_name(layer: &Name, call: u32, result: usize) -> Name {
    let stem = if call == 0 { layer.to_string() } else { format!("{layer}.{call}") };
    if result == 0 { stem.into() } else { format!("{stem}.out{result}").into() }
}

fn layer_of(func: &Func, operation: Operation) -> Option<LayerId> {
    match operation {
        Operation::Input(i) => func.params[i].layer,
        Operation::Layer(id) => Some(id),
        Operation::Op(_) => None,
    }
}

fn call_of(module: &Module, id: LayerId, callee: Option<FuncId>, declared: &Declared) -> OpKind {
    match callee {
        None => OpKind::Source(Box::new(source_op(module, id, declared))),
        Some(callee) => OpKind::Call(Box::new(CallOp { callee, layer: Some(id), attrs: declared.call_attrs.clone() })),
    }
}

/// A call of the layer `id`, which is not a nested model.
pub(super) fn source_op(module: &Module, id: LayerId, declared: &Declared) -> SourceOp {
    SourceOp::new(module[id].class.clone(), Some(id), declared.call_attrs.clone())
}
