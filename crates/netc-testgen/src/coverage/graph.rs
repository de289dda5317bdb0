//! Properties of graphs that are hard for passes.

use std::collections::BTreeSet;

use netc_dialect::{Dialects, LowerError};
use netc_ir::{Func, LayerId, Module, Op, OpId, OpKind, Uses, ValueId, callees};
use netc_passes::analysis::live_ops;

use super::diamonds::Diamonds;

/// Distance in ops at which a reader counts as far.
const FAR: usize = 10;

/// Number of readers that counts as many.
const MANY: usize = 4;

/// The properties of a program's graph, each with whether `module` has it.
pub(super) fn properties(module: &Module) -> [(&'static str, bool); 21] {
    let empty = Func::default();
    let main = module.main().unwrap_or(&empty);
    let calls: Vec<_> = module.funcs.iter().flat_map(callees).collect();
    let called: BTreeSet<_> = calls.iter().collect();
    let in_called = |holds: fn(&Func) -> bool| called.iter().any(|id| holds(&module[**id]));
    let outputs: Vec<ValueId> = main.outputs.iter().map(|o| o.value).collect();
    let uses = Uses::of(main);
    let live = live_ops(main);
    let read = |value: ValueId| !uses.readers(value).is_empty();
    let returned = |value: ValueId| outputs.contains(&value);
    let diamonds = Diamonds::of(main);
    let is_param = |value: &ValueId| main.producer(*value).is_none();
    [
        ("several inputs", main.params.len() > 1),
        ("several outputs", outputs.len() > 1),
        ("a value that several ops read", main.values_in_order().any(|v| !is_one(uses.readers(v)))),
        ("a value that many ops read", main.values_in_order().any(|v| distinct(uses.readers(v)) >= MANY)),
        ("a diamond", diamonds.is_one()),
        ("a diamond in a diamond", diamonds.is_nested()),
        ("a value that one op reads twice", main.ops().any(|(_, op)| has_twice(&op.operands))),
        ("a value that is read far below", reads_far(main)),
        ("a chain", longest_chain(main) >= FAR),
        ("an output that is read", outputs.iter().any(|v| read(*v) && !is_param(v))),
        ("an output that is an input", outputs.iter().any(is_param)),
        ("an output that is constant", outputs.iter().any(|v| is_source(main, *v))),
        ("a value that is returned twice", has_twice(&outputs)),
        ("an input that is not read", main.params.iter().any(|p| !read(p.value) && !returned(p.value))),
        ("a dead op", main.op_ids().any(|op| !live[op.index()])),
        ("a call", main.ops().any(|(_, op)| matches!(op.kind, OpKind::Call(_)))),
        ("a function that is called twice", called.len() < calls.len()),
        ("a call in a function that is called", in_called(|f| callees(f).next().is_some())),
        ("a function without parameters", in_called(|f| f.params.is_empty())),
        ("a function of several results", in_called(|f| f.outputs.len() > 1)),
        ("a function that returns a parameter", in_called(|f| f.outputs.iter().any(|o| f.producer(o.value).is_none()))),
    ]
}

/// The properties of a model's layers, each with whether `module` has it.
pub(super) fn of_layers(module: &Module, dialects: &Dialects) -> [(&'static str, bool); 9] {
    let applied = |op: &Op| op.kind.layer();
    let layers: Vec<LayerId> = module.funcs.iter().flat_map(Func::ops).filter_map(|(_, op)| applied(op)).collect();
    let models = |func: &Func| func.ops().any(|(_, op)| is_model(op));
    let nested: Vec<&Func> = module.funcs.iter().flat_map(callees).map(|id| &module[id]).collect();
    let classes = |func: &Func| func.attrs.get("class").and_then(|class| class.as_str()).map(str::to_string);
    let main = module.main().into_iter();
    let has_unsupported = |func: &Func| func.ops().any(|(_, op)| is_unknown(module, func, op, dialects));
    [
        ("a layer that is applied twice", has_twice(&layers)),
        ("a layer applied to two inputs that meet", module.funcs.iter().any(is_siamese)),
        ("a model that is a layer", module.funcs.iter().any(models)),
        ("a model that is applied twice", module.funcs.iter().any(|f| has_twice(&models_in(f)))),
        ("a model in a model that is a layer", nested.iter().any(|f| models(f))),
        ("a chain of layers", main.clone().any(|f| classes(f).as_deref() == Some("Sequential"))),
        ("a chain that is a layer", nested.iter().any(|f| classes(f).as_deref() == Some("Sequential"))),
        ("a layer that makes masks", dialects.makes_masks(module)),
        ("an unsupported layer", module.funcs.iter().any(has_unsupported)),
    ]
}

/// Whether `op` applies an unsupported layer: no dialect and no layer library knows it.
fn is_unknown(module: &Module, func: &Func, op: &Op, dialects: &Dialects) -> bool {
    let OpKind::Source(source) = &op.kind else { return false };
    let given: Vec<_> = op.operands.iter().map(|x| func[*x].ty.clone()).collect();
    let types = dialects.result_types(module, source, source.layer.map(|id| &module[id]), &given);
    matches!(types, Err(LowerError::Unknown { .. }))
}

fn is_model(op: &Op) -> bool {
    matches!(op.kind, OpKind::Call(_)) && op.kind.layer().is_some()
}

/// The nested models applied in `func`, with repetitions.
fn models_in(func: &Func) -> Vec<LayerId> {
    func.ops().filter(|(_, op)| is_model(op)).filter_map(|(_, op)| op.kind.layer()).collect()
}

/// Whether the results of two applications of a layer to different tensors meet.
fn is_siamese(func: &Func) -> bool {
    let diamonds = Diamonds::of(func);
    let calls: Vec<(LayerId, &Op)> = func.ops().filter_map(|(_, op)| Some((op.kind.layer()?, op))).collect();
    calls.iter().enumerate().any(|(i, (layer, one))| {
        let others = calls[i + 1..].iter().filter(|(other, op)| other == layer && op.operands != one.operands);
        others.into_iter().any(|(_, other)| diamonds.meet(one.results[0], other.results[0]))
    })
}

fn distinct(ops: &[OpId]) -> usize {
    ops.iter().collect::<BTreeSet<_>>().len()
}

/// Whether at most one op reads, possibly several times.
fn is_one(readers: &[OpId]) -> bool {
    readers.iter().all(|reader| *reader == readers[0])
}

fn has_twice<T: Ord>(values: &[T]) -> bool {
    values.iter().collect::<BTreeSet<_>>().len() < values.len()
}

/// Whether the value is a weight or a constant.
fn is_source(func: &Func, value: ValueId) -> bool {
    func.producer(value).is_some_and(|op| func[op].operands.is_empty())
}

fn reads_far(func: &Func) -> bool {
    let order: Vec<OpId> = func.op_ids().collect();
    let place = |op: OpId| order.iter().position(|o| *o == op).unwrap_or(0);
    let far = |reader: usize, value: &ValueId| {
        func.producer(*value).is_some_and(|op| !is_source(func, *value) && reader - place(op) > FAR)
    };
    order.iter().enumerate().any(|(i, op)| func[*op].operands.iter().any(|v| far(i, v)))
}

/// The number of ops on the longest path.
fn longest_chain(func: &Func) -> usize {
    let mut depth = vec![0; func.num_values()];
    for (_, op) in func.ops() {
        let below = op.operands.iter().map(|v| depth[v.index()]).max().unwrap_or(0);
        op.results.iter().for_each(|r| depth[r.index()] = below + 1);
    }
    depth.into_iter().max().unwrap_or(0)
}
