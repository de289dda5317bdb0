//! What must run to compute a set of values: liveness, and the ancestors of a cut.

use netc_ir::{Func, ValueId};

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
