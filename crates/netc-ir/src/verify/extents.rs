//! V19: computed symbols.

use std::collections::{BTreeMap, BTreeSet};

use super::{Place, Verifier};
use crate::dim::Dim;
use crate::extents::uncarried;
use crate::id::OpId;
use crate::module::Func;
use crate::name::Name;
use crate::op::{CoreOp, OpKind};
use crate::types::Type;

impl<'m> Verifier<'m> {
    /// V19: one `iota` defines each computed symbol, and ops that name it have an operand that carries it.
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
                format!("{symbol} is an extent of a parameter, but of no operand")
            });
        }
        for id in func.op_ids().filter(|id| id.index() < func.num_op_slots()) {
            let op = &func[id];
            let OpKind::Core(core) = &op.kind else { continue };
            let operands: Vec<&Type> =
                op.operands.iter().filter_map(|v| func.values.get(v.index())).map(|v| &v.ty).collect();
            for dim in core.own_dims() {
                let mut missing = uncarried(dim, &operands);
                let is_iota = is_iota(id);
                missing.retain(|symbol| match defined.get(symbol) {
                    Some(definition) => *definition != id,
                    None => is_iota,
                });
                self.require(19, missing.is_empty(), Place::Op(func, id), || {
                    let missing: Vec<&str> = missing.iter().map(|name| &**name).collect();
                    format!("no operand has the extent {dim} or {}", missing.join(", "))
                });
            }
        }
    }
}
