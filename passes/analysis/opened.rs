//! A module with all nested models opened, and the original place of each op.

use std::borrow::Cow;

use netc_dialect::Dialects;
use netc_ir::{ElemType, FuncId, MAIN, Module, OpId, Type};
use netc_pass::Context;

use super::flat::Flat;
use super::models::{Models, Slot};
use super::one_tensor::main_of;
use crate::inline::inline;
use crate::prune::replace_funcs;

/// `@main` of a module, with every nested model opened that can be.
pub(crate) struct Opened<'m> {
    pub(crate) models: Models<'m>,
    /// The graph.
    pub(crate) whole: Flat,
    pub(crate) main: FuncId,
    /// The module with the models inlined.
    pub(crate) module: Cow<'m, Module>,
    /// `@main` in `module`.
    pub(crate) opened_main: FuncId,
    /// The ops of `@main` in `module`, by their number in `whole`.
    ops: Vec<OpId>,
    /// The index of each op in `ops`, by op id.
    place: Vec<u32>,
}

impl<'m> Opened<'m> {
    /// Opens the models of `module`. `None` if it has no `@main` or is already split.
    pub(crate) fn of(module: &'m Module, dialects: &Dialects) -> Option<Self> {
        let main = main_of(module)?;
        let models = Models::openable(module, main);
        let opened = Self::with(module, main, models, dialects);
        // If inlining fails, no cut can be inside a nested model.
        opened
            .or_else(|| Self::with(module, main, Models::of(module, main, &vec![false; module.funcs.len()]), dialects))
    }

    fn with(module: &'m Module, main: FuncId, models: Models<'m>, dialects: &Dialects) -> Option<Self> {
        let open = models.open();
        let inlined =
            if models.len() == 1 { Cow::Borrowed(module) } else { Cow::Owned(inlined(module, &open, dialects)?) };
        let whole = Flat::of(&models, &open);
        let opened_main = inlined.func_named(MAIN)?;
        let ops: Vec<OpId> = inlined[opened_main].op_ids().collect();
        let mut place = vec![0; inlined[opened_main].num_op_slots()];
        ops.iter().zip(0..).for_each(|(op, i)| place[op.index()] = i);
        (ops.len() == whole.len()).then_some(Self { models, whole, main, module: inlined, opened_main, ops, place })
    }

    /// The op of `@main` in `module` for an op of the graph.
    pub(crate) fn op(&self, op: u32) -> OpId {
        self.ops[op as usize]
    }

    /// The original slot of an op of `@main` in `module`.
    pub(crate) fn slot_of(&self, op: OpId) -> Slot {
        self.whole.slot(self.place[op.index()])
    }

    /// The type of a result of the op or opened call in a slot.
    pub(crate) fn result_type(&self, slot: Slot, result: usize) -> Type {
        let main = &self.module[self.opened_main];
        let tensor = self.whole.results_in(slot).get(result).copied();
        let value = tensor.and_then(|tensor| match self.whole.producer(tensor) {
            Some(op) => main[self.op(op)].results.get(self.whole.result_index(tensor)),
            None => main.params.get(tensor as usize).map(|param| &param.value),
        });
        value.map_or_else(|| Type::unranked(ElemType::Any), |value| main[*value].ty.clone())
    }
}

fn inlined(module: &Module, open: &[bool], dialects: &Dialects) -> Option<Module> {
    let mut module = module.clone();
    let inlined = inline(&mut module, open, &mut Context::new(dialects)).ok()?;
    replace_funcs(&mut module, inlined.funcs, &inlined.keep);
    Some(module)
}
