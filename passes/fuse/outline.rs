//! Turns groups into functions.

use std::collections::BTreeSet;

use netc_ir::{Attrs, CallOp, FUSED, Func, FuncId, Loc, Module, Name, OpKind, UniqueNames, ValueId};

use super::group::Group;
use crate::analysis::OpNames;
use crate::copy::{Copy, PartCopy, named};

/// Names for new functions: the unused ones of `fused0`, `fused1`, ...
pub(super) struct Names {
    taken: BTreeSet<Name>,
    next: usize,
}

impl Names {
    pub(super) fn of(module: &Module) -> Self {
        Self { taken: module.funcs.iter().map(|f| f.name.clone()).collect(), next: 0 }
    }

    fn take(&mut self) -> Name {
        loop {
            let name: Name = format!("fused{}", self.next).into();
            self.next += 1;
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}

/// Turns the groups of the function `id` into functions, and replaces their heads by calls. The new functions are added
/// at the end of the module.
pub(super) fn apply(module: &mut Module, id: FuncId, groups: &[Group], names: &mut Names) {
    if groups.is_empty() {
        return;
    }
    let func = &module[id];
    let parts: Vec<Part<'_>> = groups.iter().map(|group| Part::of(func, group)).collect();
    let caller = caller(module, func, &parts);
    let tensors = OpNames::of(module, func);
    let callees: Vec<Func> = parts.iter().map(|part| part.func(module, &tensors, names.take())).collect();
    module[id] = caller;
    module.funcs.extend(callees);
}

/// A group with its inputs and its result.
struct Part<'f> {
    whole: &'f Func,
    group: &'f Group,
    /// The values that it reads but does not compute, in the order of reading.
    inputs: Vec<ValueId>,
    result: ValueId,
}

impl<'f> Part<'f> {
    fn of(whole: &'f Func, group: &'f Group) -> Self {
        let results: BTreeSet<ValueId> = group.ops.iter().map(|op| whole[*op].results[0]).collect();
        let mut inputs = Vec::new();
        for value in group.ops.iter().flat_map(|op| &whole[*op].operands) {
            if !results.contains(value) && !inputs.contains(value) {
                inputs.push(*value);
            }
        }
        let last = group.ops[group.ops.len() - 1];
        Self { whole, group, inputs, result: whole[last].results[0] }
    }

    /// Builds the function `name` from the group.
    fn func(&self, module: &Module, tensors: &OpNames<'_>, name: Name) -> Func {
        let mut copy = PartCopy::new(module, self.whole, name);
        let mut names = UniqueNames::default();
        for value in &self.inputs {
            copy.param_for(*value, names.take(&tensors.tensor(*value)));
        }
        self.group.ops.iter().for_each(|op| copy.op(&self.whole[*op]));
        let mut func = copy.finish([(tensors.tensor(self.result).into(), self.result)]);
        func.attrs = Attrs::new().with(FUSED, true);
        func
    }

    /// Adds the call of `callee`, the function of the group, preceded by its constants that are not yet copied.
    fn call(&self, copy: &mut Copy<'_>, callee: FuncId, is_there: &mut [bool]) {
        for op in &self.group.constants {
            if !std::mem::replace(&mut is_there[op.index()], true) {
                copy.op(&self.whole[*op]);
            }
        }
        let call = CallOp { callee, layer: None, attrs: Attrs::new() };
        let loc = Loc::fuse(self.group.ops.iter().map(|op| self.whole[*op].loc.clone()));
        let (operands, ty) = (copy.get_all(&self.inputs), self.whole[self.result].ty.clone());
        let op = copy.builder.at(loc).op(OpKind::Call(Box::new(call)), &operands, [(ty, None)]);
        let result = copy.builder.results(op)[0];
        copy.set(self.result, result);
    }
}

/// Copies `func` with a call in place of each part's head, and without the other ops of the parts.
fn caller(module: &Module, func: &Func, parts: &[Part<'_>]) -> Func {
    let mut copy = Copy::new(module, func, func.name.clone());
    func.params.iter().for_each(|p| copy.param(p));
    let mut part_of: Vec<Option<(FuncId, &Part<'_>)>> = vec![None; func.num_op_slots()];
    for (i, part) in parts.iter().enumerate() {
        let callee = FuncId::new(module.funcs.len() + i);
        part.group.ops.iter().for_each(|op| part_of[op.index()] = Some((callee, part)));
    }
    let mut is_there = vec![false; func.num_op_slots()];
    for (id, op) in func.ops() {
        match part_of[id.index()] {
            Some((callee, part)) if part.group.ops[0] == id => part.call(&mut copy, callee, &mut is_there),
            None if !is_there[id.index()] => copy.op(op),
            Some(_) | None => {}
        }
    }
    let mut caller = copy.finish(named(&func.outputs));
    caller.attrs = func.attrs.clone();
    caller
}
