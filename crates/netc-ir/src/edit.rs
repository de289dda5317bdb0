//! Changing functions in place. Each edit keeps definitions before uses.

use std::collections::BTreeMap;

use crate::Name;
use crate::id::{OpId, ValueId};
use crate::module::{Func, Module};
use crate::op::OpKind;
use crate::types::Type;

impl Func {
    /// Keeps the ops for which `keep` holds. The results of the others must not be read or returned any more.
    pub fn retain_ops(&mut self, mut keep: impl FnMut(OpId) -> bool) {
        self.order.retain(|op| keep(*op));
    }

    /// Makes every reader of `from`, and the function's outputs, read `to`, which must be defined before them.
    pub fn replace_uses(&mut self, replacement: &BTreeMap<ValueId, ValueId>) {
        let resolve = |value: &mut ValueId| {
            // Chains are short; a cycle would be an error of the caller, and ends here.
            for _ in 0..=replacement.len() {
                match replacement.get(value) {
                    Some(to) => *value = *to,
                    None => return,
                }
            }
        };
        for op in &self.order {
            self.ops[op.index()].operands.iter_mut().for_each(resolve);
        }
        self.outputs.iter_mut().for_each(|o| resolve(&mut o.value));
    }

    /// Replaces what an op computes; operands and results stay.
    pub fn set_kind(&mut self, op: OpId, kind: impl Into<OpKind>) {
        self[op].kind = kind.into();
    }

    /// Replaces the operands of an op. They must be defined before it.
    pub fn set_operands(&mut self, op: OpId, operands: Vec<ValueId>) {
        self[op].operands = operands;
    }

    /// Refines the type of a value.
    pub fn set_type(&mut self, value: ValueId, ty: Type) {
        self[value].ty = ty;
    }

    /// Renames the function.
    pub fn set_name(&mut self, name: impl Into<Name>) {
        self.name = name.into();
    }

    /// Removes parameters for which `keep` does not hold; they must not be read or returned.
    pub fn retain_params(&mut self, mut keep: impl FnMut(ValueId) -> bool) {
        self.params.retain(|p| keep(p.value));
        for (i, param) in self.params.iter().enumerate() {
            self.values[param.value.index()].def = crate::module::Def::Param(u32::try_from(i).unwrap_or(u32::MAX));
        }
    }
}

impl Module {
    /// Replaces the function of the same name, or adds it.
    pub fn put_func(&mut self, func: Func) {
        match self.func_named(&func.name) {
            Some(id) => self[id] = func,
            None => drop(self.add_func(func)),
        }
    }
}
