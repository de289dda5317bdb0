//! In-place edits of functions.
//!
//! Edits do not check their arguments. The caller keeps definitions before their uses; [`crate::verify()`] checks that.
//! Ids stay valid: an op removed from the order remains in the table.

use std::collections::BTreeMap;

use crate::id::{OpId, ValueId};
use crate::module::Func;
use crate::op::OpKind;
use crate::types::Type;

impl Func {
    /// Keeps the ops for which `keep` returns true. Nothing may read or return the results of the removed ops.
    ///
    /// ```
    /// # let text = "netc 1
    /// # func @main(%x: f32[N,4]) -> (%y) {
    /// #   %a = relu(%x) : f32[N,4]
    /// #   %y = add(%a, %a) : f32[N,4]
    /// # }";
    /// use netc_ir::Uses;
    ///
    /// let mut module = netc_ir::parse(text)?;
    /// let main = &mut module.funcs[0];
    /// main.outputs[0].value = main.params[0].value;
    /// let uses = Uses::of(main);
    /// let unused: Vec<_> = main.ops().filter(|(_, op)| uses.is_unused(op.results[0])).map(|(id, _)| id).collect();
    /// main.retain_ops(|op| !unused.contains(&op));
    /// assert_eq!(main.num_ops(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn retain_ops(&mut self, mut keep: impl FnMut(OpId) -> bool) {
        self.order.retain(|op| keep(*op));
    }

    /// Replaces every use of a key of `replacement` by its value, following chains of replacements to their end.
    ///
    /// Covers ops and outputs. The end of a chain must be defined before the readers. Keys that lead into a cycle are
    /// not replaced. Linear in the size of the function and the map.
    ///
    /// ```
    /// # let text = "netc 1
    /// # func @main(%x: f32[N,4]) -> (%y) {
    /// #   %a = relu(%x) : f32[N,4]
    /// #   %y = add(%a, %a) : f32[N,4]
    /// # }";
    /// use std::collections::BTreeMap;
    ///
    /// let mut module = netc_ir::parse(text)?;
    /// let main = &mut module.funcs[0];
    /// let (x, a) = (main.params[0].value, main[main.op_ids().next().ok_or("no op")?].results[0]);
    /// main.replace_uses(&BTreeMap::from([(a, x)]));
    /// assert!(netc_ir::print(&module).contains("add(%x, %x)"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn replace_uses(&mut self, replacement: &BTreeMap<ValueId, ValueId>) {
        let resolved = resolve(replacement);
        self.reads(|value| resolved.get(&value).copied().unwrap_or(value));
    }

    /// Applies `renaming` to the operands of every op and to the outputs.
    ///
    /// An unnamed value that replaces others takes the first name among them. Linear in the size of the function.
    pub fn rename(&mut self, renaming: &Renaming) {
        self.reads(|value| renaming.get(value));
        for (old, new) in renaming.0.iter().enumerate().filter(|(old, new)| *old != new.index()) {
            if self[*new].name.is_none() {
                self[*new].name = self[ValueId::new(old)].name.take();
            }
        }
    }

    /// Replaces every use of `v` by `new(v)`.
    fn reads(&mut self, new: impl Fn(ValueId) -> ValueId) {
        for i in 0..self.order.len() {
            let op = self.order[i];
            if self[op].operands.iter().any(|v| new(*v) != *v) {
                self[op].operands.iter_mut().for_each(|v| *v = new(*v));
            }
        }
        self.outputs.iter_mut().for_each(|o| o.value = new(o.value));
    }

    /// Sets what `op` computes. Its operands, results and their types do not change.
    pub fn set_kind(&mut self, op: OpId, kind: impl Into<OpKind>) {
        self[op].kind = kind.into();
    }

    /// Sets the operands of `op`, which must be defined before it.
    pub fn set_operands(&mut self, op: OpId, operands: Vec<ValueId>) {
        self[op].operands = operands;
    }

    /// Sets the type of `value`. The types of values computed from it do not change.
    pub fn set_type(&mut self, value: ValueId, ty: Type) {
        self[value].ty = ty;
    }
}

/// Maps each value of a function to its replacement, while a pass walks the ops in order.
pub struct Renaming(Vec<ValueId>);

impl Renaming {
    /// Maps every value of `func` to itself.
    pub fn of(func: &Func) -> Self {
        Self((0..func.num_values()).map(ValueId::new).collect())
    }

    /// The replacement of `value`.
    pub fn get(&self, value: ValueId) -> ValueId {
        self.0[value.index()]
    }

    /// Replaces `old` by the current replacement of `new`. No other value may be mapped to `old`.
    pub fn set(&mut self, old: ValueId, new: ValueId) {
        self.0[old.index()] = self.get(new);
    }
}

/// The end of each chain in `next`. Keys that lead into a cycle are left out.
fn resolve(next: &BTreeMap<ValueId, ValueId>) -> BTreeMap<ValueId, ValueId> {
    // `None` marks values on the chain being followed, and later those that lead into a cycle.
    let mut ends: BTreeMap<ValueId, Option<ValueId>> = BTreeMap::new();
    for start in next.keys() {
        let mut chain = Vec::new();
        let mut at = *start;
        let end = loop {
            if let Some(known) = ends.get(&at) {
                break *known;
            }
            let Some(to) = next.get(&at) else { break Some(at) };
            ends.insert(at, None);
            chain.push(at);
            at = *to;
        };
        ends.extend(chain.into_iter().map(|value| (value, end)));
    }
    ends.into_iter().filter_map(|(value, end)| Some((value, end?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{CoreOp, Unary};
    use crate::types::ElemType;
    use crate::{MAIN, Module, parse, print, verify};

    const TEXT: &str = "netc 1
func @main(%x: f32[N]) -> (%d \"y\", %a \"z\") {
  %a = neg(%x) : f32[N]
  %b = abs(%a) : f32[N]
  %c = relu(%b) : f32[N]
  %d = add(%c, %b) : f32[N]
}";

    /// Applies `edit` to [`TEXT`] and compares the printed function. `edit` gets the ids of the values `%x`, `%a`, ...
    /// and of the ops.
    #[track_caller]
    fn check(edit: impl FnOnce(&mut Func, &[ValueId], &[OpId]), expect: &[&str]) {
        let mut module: Module = parse(TEXT).unwrap();
        let main = module.func_named(MAIN).unwrap();
        let values: Vec<ValueId> = module[main].values_in_order().collect();
        let ops: Vec<OpId> = module[main].op_ids().collect();
        edit(&mut module[main], &values, &ops);
        verify(&module).unwrap();
        let text = print(&module);
        assert_eq!(text.lines().filter(|l| l.starts_with("func") || l.starts_with("  ")).collect::<Vec<_>>(), expect);
    }

    #[test]
    fn uses_are_replaced_along_chains_and_in_outputs() {
        let edit = |f: &mut Func, v: &[ValueId], ops: &[OpId]| {
            f.replace_uses(&BTreeMap::from([(v[3], v[2]), (v[2], v[1]), (v[1], v[0])]));
            f.retain_ops(|op| op == ops[3]);
        };
        check(edit, &["func @main(%x: f32[N]) -> (%d \"y\", %x \"z\") {", "  %d = add(%x, %x) : f32[N]"]);
    }

    #[test]
    fn renaming_follows_earlier_replacements_and_keeps_names() {
        let edit = |f: &mut Func, v: &[ValueId], ops: &[OpId]| {
            f[v[1]].name = None;
            let mut renaming = Renaming::of(f);
            renaming.set(v[2], v[1]);
            renaming.set(v[3], v[2]);
            f.rename(&renaming);
            f.retain_ops(|op| op == ops[0] || op == ops[3]);
        };
        let head = "func @main(%x: f32[N]) -> (%d \"y\", %b \"z\") {";
        check(edit, &[head, "  %b = neg(%x) : f32[N]", "  %d = add(%b, %b) : f32[N]"]);
    }

    #[test]
    fn resolve_handles_long_chains_and_cycles() {
        let value = ValueId::new;
        let chain: BTreeMap<_, _> = (1..=100_000).map(|i| (value(i), value(i - 1))).collect();
        assert!(resolve(&chain).values().all(|v| *v == value(0)));
        let cycle = BTreeMap::from([(value(1), value(2)), (value(2), value(1)), (value(3), value(1))]);
        assert!(resolve(&cycle).is_empty());
    }

    #[test]
    fn kind_operands_and_type_can_be_set() {
        let edit = |f: &mut Func, v: &[ValueId], ops: &[OpId]| {
            f.set_kind(ops[3], CoreOp::Unary(Unary::Exp));
            f.set_operands(ops[3], vec![v[0]]);
            f.set_kind(ops[0], CoreOp::Cast(ElemType::F64));
            f.set_type(v[1], Type::new(ElemType::F64, [crate::Dim::symbol("N")]));
            f.retain_ops(|op| op == ops[0] || op == ops[3]);
        };
        let head = "func @main(%x: f32[N]) -> (%d \"y\", %a \"z\") {";
        check(edit, &[head, "  %a = cast(%x) : f64[N]", "  %d = exp(%x) : f32[N]"]);
    }
}
