//! What must run to compute a set of values: liveness, and the ancestors of a cut.

use netc_ir::{CoreOp, Func, OpId, OpKind, ValueId};

/// Which ops must run to compute `values`, by op id: those that define them, and those that these read, and so on.
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

/// Which ops the function's outputs need, by op id.
pub fn live_ops(func: &Func) -> Vec<bool> {
    needed_by(func, func.outputs.iter().map(|o| o.value))
}

/// Whether an op only brings in numbers that are there before anything runs.
///
/// Such an op reads nothing and costs nothing, so each part of a function has its own and none crosses a cut.
pub(crate) fn is_constant(kind: &OpKind) -> bool {
    match kind {
        OpKind::Core(core) => matches!(core, CoreOp::Weight(_) | CoreOp::Constant(_)),
        OpKind::Source(_) | OpKind::Call(_) => false,
    }
}

/// The weight op or constant op that defines `value`, if one does.
pub(crate) fn constant_producer(func: &Func, value: ValueId) -> Option<OpId> {
    func.producer(value).filter(|op| is_constant(&func[*op].kind))
}
