//! V19: computed symbols.

use std::collections::{BTreeMap, BTreeSet};

use super::{Place, Verifier};
use crate::dim::Dim;
use crate::extents::uncarried;
use crate::id::{OpId, ValueId};
use crate::module::Func;
use crate::name::Name;
use crate::op::{CoreOp, OpKind};
use crate::types::Type;

impl<'m> Verifier<'m> {
    /// V19: one `iota` defines each computed symbol, calls and source ops with it in a result have it in an operand, and
    /// ops that name it have an operand that carries it.
    pub(super) fn computed_symbols(&mut self, func: &'m Func) {
        let is_iota =
            |id: OpId| matches!(func.ops.get(id.index()), Some(op) if matches!(op.kind, OpKind::Core(CoreOp::Iota(_))));
        if !func.op_ids().any(is_iota) {
            return;
        }
        let types = func.params.iter().filter_map(|p| func.values.get(p.value.index())).map(|v| &v.ty);
        let params: BTreeSet<&Name> =
            types.flat_map(|ty| ty.dims.iter().flatten()).filter_map(Dim::as_symbol).collect();
        let mut defined: BTreeMap<&Name, OpId> = BTreeMap::new();
        for (symbol, op) in func.computed_symbols() {
            let first = *defined.entry(symbol).or_insert(op);
            self.require(19, first == op, Place::Op(func, op), || format!("{symbol} is already defined by {first}"));
            self.require(19, !params.contains(symbol), Place::Op(func, op), || {
                format!("{symbol} is an extent of a parameter, but of no operand: add an operand that has it")
            });
        }
        for id in func.op_ids().filter(|id| id.index() < func.num_op_slots()) {
            let op = &func[id];
            let operands = types_of(func, &op.operands);
            let OpKind::Core(core) = &op.kind else {
                self.brought_symbols(func, id, &operands, &defined);
                continue;
            };
            for dim in core.own_dims() {
                let mut missing = uncarried(dim, &operands);
                let is_iota = is_iota(id);
                missing.retain(|symbol| match defined.get(symbol) {
                    Some(definition) => *definition != id,
                    None => is_iota,
                });
                self.require(19, missing.is_empty(), Place::Op(func, id), || {
                    let missing: Vec<&str> = missing.iter().map(|name| &**name).collect();
                    format!(
                        "no operand carries the extent {dim}: add one with that extent, or with {} alone",
                        missing.join(", ")
                    )
                });
            }
        }
    }

    /// V19: every computed symbol in the results of `id`, a call or source op, is also in an operand.
    fn brought_symbols(&mut self, func: &'m Func, id: OpId, operands: &[&'m Type], defined: &BTreeMap<&'m Name, OpId>) {
        if defined.is_empty() {
            return;
        }
        let given = symbols_of(operands);
        for symbol in symbols_of(&types_of(func, &func[id].results)).difference(&given) {
            let definition = defined.get(symbol);
            self.require(19, definition.is_none(), Place::Op(func, id), || {
                let definition = definition.map_or_else(String::new, ToString::to_string);
                format!("a result has {symbol}, which {definition} defines, and no operand has it: use another symbol")
            });
        }
    }
}

/// The types of the values. Skips values that are not in the table: V1 and V4 report them.
fn types_of<'m>(func: &'m Func, values: &[ValueId]) -> Vec<&'m Type> {
    values.iter().filter_map(|v| func.values.get(v.index())).map(|v| &v.ty).collect()
}

fn symbols_of(types: &[&Type]) -> BTreeSet<Name> {
    types.iter().flat_map(|ty| ty.dims.iter().flatten()).flat_map(Dim::symbols).collect()
}
