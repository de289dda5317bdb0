//! The ops that a set of values depends on: liveness, and the ancestors of a cut.

use netc_ir::{CoreOp, Func, OpId, OpKind, ValueId};

/// Marks the ops, by id, that must run to compute `values`.
pub fn needed_by(func: &Func, values: impl IntoIterator<Item = ValueId>) -> Vec<bool> {
    let mut read = vec![false; func.num_values()];
    for value in values {
        read[value.index()] = true;
    }
    let mut needed = vec![false; func.num_op_slots()];
    for (id, op) in func.ops().rev() {
        if op.results.iter().any(|r| read[r.index()]) {
            needed[id.index()] = true;
            op.operands.iter().for_each(|v| read[v.index()] = true);
        }
    }
    needed
}

/// Marks the ops, by id, that the function's outputs need.
pub fn live_ops(func: &Func) -> Vec<bool> {
    needed_by(func, func.outputs.iter().map(|o| o.value))
}

/// Whether an op is a weight or a constant.
///
/// Such an op reads nothing and costs nothing, so each part of a function has its own copy and none crosses a cut.
pub(crate) fn is_constant(kind: &OpKind) -> bool {
    match kind {
        OpKind::Core(core) => matches!(core, CoreOp::Weight(_) | CoreOp::Constant(_)),
        OpKind::Source(_) | OpKind::Call(_) => false,
    }
}

/// The op that defines `value`, if it is a weight or a constant.
pub(crate) fn constant_producer(func: &Func, value: ValueId) -> Option<OpId> {
    func.producer(value).filter(|op| is_constant(&func[*op].kind))
}
