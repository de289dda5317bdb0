//! From the calls that were made to the module that importing their file gives: what no output needs is left out,
//! layers stand in Keras's order, and calls as near to that order as what they read allows.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use netc_ir::{Attrs, Builder, Func, LayerId, Loc, MAIN, Module, Name, OpKind, SourceOp, ValueId, Weight};

use super::{Declared, Made, Tensor};
use crate::order::{Operation, keras_order};

/// A model whose calls are known and whose parts have no order yet.
pub(super) struct Draft<'a> {
    pub(super) name: &'a Name,
    pub(super) module: &'a Module,
    pub(super) declared: &'a [Declared],
    pub(super) tensors: &'a [Made],
    /// Tensors of the model.
    pub(super) outputs: &'a [(&'a str, Tensor)],
}

impl Draft<'_> {
    pub(super) fn assemble(&self) -> Module {
        let unordered: Vec<LayerId> = (0..self.module.layers.len()).map(LayerId::new).collect();
        let live = self.live();
        let nodes: Vec<usize> = (0..self.tensors.len()).filter(|n| live[*n]).collect();
        let draft = self.main(self.module, &ranks(&unordered), &nodes);
        let order: Vec<LayerId> = keras_order(&draft).into_iter().filter_map(|o| layer_of(&draft, o)).collect();
        let mut module = self.tables(&order);
        let ranks = ranks(&order);
        let main = self.main(&module, &ranks, &self.sorted(&ranks, &nodes));
        module.add_func(main);
        module
    }

    /// Which tensors an output needs; inputs stay even if none does.
    fn live(&self) -> Vec<bool> {
        let mut live: Vec<bool> = self.tensors.iter().map(|made| made.operands.is_none()).collect();
        for (_, output) in self.outputs {
            live[output.index()] = true;
        }
        for (n, made) in self.tensors.iter().enumerate().rev() {
            for operand in made.operands.iter().flatten().filter(|_| live[n]).collect::<Vec<_>>() {
                live[operand.index()] = true;
            }
        }
        live
    }

    /// The layers in `order`, with their weights.
    fn tables(&self, order: &[LayerId]) -> Module {
        let mut module = Module::new();
        for id in order {
            let mut layer = self.module[*id].clone();
            for (_, weight) in &mut layer.weights {
                let moved: Weight = self.module[*weight].clone();
                *weight = module.add_weight(moved);
            }
            module.add_layer(layer);
        }
        module
    }

    /// `nodes` so that each follows what it reads: inputs as they were made, calls by layer, then by call.
    fn sorted(&self, ranks: &Ranks, nodes: &[usize]) -> Vec<usize> {
        let (mut sorted, calls): (Vec<usize>, Vec<usize>) =
            nodes.iter().partition(|n| self.tensors[**n].operands.is_none());
        let key = |n: usize| Reverse((ranks[&self.tensors[n].layer.index()], n));
        let reads = |n: usize| self.tensors[n].operands.iter().flatten().map(|t| t.index());
        let mut readers: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut waiting: BTreeMap<usize, usize> = BTreeMap::new();
        for n in &calls {
            let made = reads(*n).filter(|source| self.tensors[*source].operands.is_some());
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

    /// The function of `nodes` over the layers of `module`.
    fn main(&self, module: &Module, ranks: &Ranks, nodes: &[usize]) -> Func {
        let mut b = Builder::new(module, MAIN);
        let mut values: BTreeMap<usize, ValueId> = BTreeMap::new();
        let mut calls: BTreeMap<LayerId, u32> = BTreeMap::new();
        for n in nodes {
            let made = &self.tensors[*n];
            let id = LayerId::new(ranks[&made.layer.index()]);
            let name = module[id].name.clone();
            let value = match &made.operands {
                None => b.param(name, made.ty.clone(), Some(id)),
                Some(operands) => {
                    let call = calls.entry(id).and_modify(|k| *k += 1).or_insert(0);
                    let result = if *call == 0 { name.clone() } else { format!("{name}.{call}").into() };
                    b.at(Loc::Call { file: None, path: name, call: *call });
                    let operands: Vec<ValueId> = operands.iter().map(|t| values[&t.index()]).collect();
                    let op = source_op(module, id, &self.declared[made.layer.index()]);
                    let op = b.op(OpKind::Source(Box::new(op)), &operands, [(made.ty.clone(), Some(result))]);
                    b.results(op)[0]
                }
            };
            values.insert(*n, value);
        }
        let mut func = b.finish(self.outputs.iter().map(|(name, t)| (Name::from(*name), values[&t.index()])));
        func.attrs = Attrs::new().with("class", "Functional").with("name", &**self.name);
        func
    }
}

/// The place of each layer, by the index of its declaration.
type Ranks = BTreeMap<usize, usize>;

fn ranks(order: &[LayerId]) -> Ranks {
    order.iter().enumerate().map(|(rank, id)| (id.index(), rank)).collect()
}

fn layer_of(func: &Func, operation: Operation) -> Option<LayerId> {
    match operation {
        Operation::Input(i) => func.params[i].layer,
        Operation::Layer(id) => Some(id),
        Operation::Op(_) => None,
    }
}

/// A call of the layer `id`.
pub(super) fn source_op(module: &Module, id: LayerId, declared: &Declared) -> SourceOp {
    SourceOp { name: module[id].class.clone(), layer: Some(id), attrs: declared.call_attrs.clone() }
}
