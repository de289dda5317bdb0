//! The nested models of a model, one entry per call, and the places in them.
//!
//! A nested model is *open* if its ops count as ops of `@main`, as for the models that `split` dissolves around a cut.
//! Opening is per function: either all calls of a function are open, or none. [`Models`] lists every call that can be
//! opened, without copying anything.

use std::collections::BTreeSet;

use netc_ir::{Func, FuncId, Module, Op, OpId, OpKind};

use super::calls::callees_first;
use crate::inline::MAX_OPS;

/// The index that means "no entry".
pub(crate) const NONE: u32 = u32::MAX;

/// The maximum nesting depth, deeper than any real model. Bounds the length of paths.
const MAX_DEPTH: u32 = 512;

/// The number of an op of `@main` or of a nested model. A model that is called twice has two slots for each of its ops.
pub(crate) type Slot = u32;

/// `@main` and its nested models, one entry per call.
pub(crate) struct Models<'m> {
    pub(crate) module: &'m Module,
    /// `@main` comes first; every other model follows its caller.
    all: Vec<Model>,
    /// The model called by the call in each slot, or [`NONE`].
    called: Vec<u32>,
}

/// A function at one of its calls.
struct Model {
    func: FuncId,
    /// The slot of its first op.
    first: Slot,
    /// The slot of the call; [`NONE`] for `@main`.
    call: Slot,
    depth: u32,
}

impl<'m> Models<'m> {
    /// `main` and its nested models whose functions are marked in `open`, by id.
    pub(crate) fn of(module: &'m Module, main: FuncId, open: &[bool]) -> Self {
        let mut models = Self { module, all: Vec::new(), called: Vec::new() };
        models.add(main, NONE, 0);
        let mut next = 0;
        while let Some(Model { func, first, depth, .. }) = models.all.get(next) {
            let (first, depth) = (*first, *depth);
            for (op, callee) in module[*func].ops().filter_map(|(id, op)| Some((id, callee(op)?))) {
                if open[callee.index()] {
                    let call = first + op.index() as Slot;
                    models.called[call as usize] = models.all.len() as u32;
                    models.add(callee, call, depth + 1);
                }
            }
            next += 1;
        }
        models
    }

    /// `main` and all its nested models that can be opened.
    pub(crate) fn openable(module: &'m Module, main: FuncId) -> Self {
        Self::of(module, main, &openable(module, main))
    }

    fn add(&mut self, func: FuncId, call: Slot, depth: u32) {
        let first = self.called.len() as Slot;
        self.called.resize(self.called.len() + self.module[func].num_op_slots(), NONE);
        self.all.push(Model { func, first, call, depth });
    }

    /// The number of models, including `@main`.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Marks the open functions, by id.
    pub(crate) fn open(&self) -> Vec<bool> {
        let mut open = vec![false; self.module.funcs.len()];
        self.all.iter().skip(1).for_each(|model| open[model.func.index()] = true);
        open
    }

    /// The number of slots.
    pub(crate) fn num_slots(&self) -> usize {
        self.called.len()
    }

    pub(crate) fn func_id(&self, model: u32) -> FuncId {
        self.all[model as usize].func
    }

    pub(crate) fn func(&self, model: u32) -> &'m Func {
        &self.module[self.func_id(model)]
    }

    /// The slot of the call of `model`; [`NONE`] for `@main`.
    pub(crate) fn call(&self, model: u32) -> Slot {
        self.all[model as usize].call
    }

    /// The model of the slot, and the op in its function.
    pub(crate) fn place(&self, slot: Slot) -> (u32, OpId) {
        let model = self.all.partition_point(|model| model.first <= slot) - 1;
        (model as u32, OpId::new((slot - self.all[model].first) as usize))
    }

    pub(crate) fn slot(&self, model: u32, op: OpId) -> Slot {
        self.all[model as usize].first + op.index() as Slot
    }

    pub(crate) fn op(&self, slot: Slot) -> &'m Op {
        let (model, op) = self.place(slot);
        &self.func(model)[op]
    }

    /// The model that the op in the slot calls, if it can be opened.
    pub(crate) fn called(&self, slot: Slot) -> Option<u32> {
        Some(self.called[slot as usize]).filter(|model| *model != NONE)
    }

    /// The model that contains `model`.
    pub(crate) fn parent(&self, model: u32) -> Option<u32> {
        let call = self.call(model);
        (call != NONE).then(|| self.place(call).0)
    }

    /// The functions on the path to `model`, without `@main`.
    pub(crate) fn path(&self, model: u32) -> BTreeSet<FuncId> {
        let outwards = std::iter::successors(Some(model), |model| self.parent(*model));
        outwards.filter(|model| self.call(*model) != NONE).map(|model| self.func_id(model)).collect()
    }

    /// The slot of `op`, reached from `@main` through `calls`. `None` if one of these is not open.
    pub(crate) fn find(&self, calls: &[OpId], op: OpId) -> Option<Slot> {
        let model = calls.iter().try_fold(0, |model, call| self.called(self.slot(model, *call)))?;
        Some(self.slot(model, op))
    }
}

/// The function that an op calls.
pub(crate) fn callee(op: &Op) -> Option<FuncId> {
    match &op.kind {
        OpKind::Call(call) => Some(call.callee),
        OpKind::Source(_) | OpKind::Core(_) => None,
    }
}

/// Marks the functions, by id, reached from `main` and called by a layer with weights or assets of its own. Inlining
/// would lose these.
pub(crate) fn sealed(module: &Module, main: FuncId) -> Vec<bool> {
    let mut sealed = vec![false; module.funcs.len()];
    let reached = crate::prune::reachable(&module.funcs, [main]);
    let funcs = module.funcs.iter().zip(reached).filter(|(_, reached)| *reached);
    for (_, op) in funcs.flat_map(|(func, _)| func.ops()) {
        if let OpKind::Call(call) = &op.kind
            && call.layer.is_some_and(|layer| module[layer].data().next().is_some())
        {
            sealed[call.callee.index()] = true;
        }
    }
    sealed
}

/// Marks the functions, by id, that can be opened: those that layers of the model apply and that are not [`sealed`].
/// Considers the outermost first, and stops at the maximum number of ops of a function.
fn openable(module: &Module, main: FuncId) -> Vec<bool> {
    let sealed = sealed(module, main);
    let mut open = vec![false; module.funcs.len()];
    let (mut calls, mut depth) = (vec![0usize; open.len()], vec![0u32; open.len()]);
    let mut named = vec![false; open.len()];
    (calls[main.index()], named[main.index()]) = (1, true);
    let mut total = 0usize;
    for id in callees_first(module).into_iter().rev() {
        let (func, times) = (&module[id], calls[id.index()]);
        let size = times.saturating_mul(func.num_op_slots());
        let fits = depth[id.index()] < MAX_DEPTH && total.saturating_add(size) <= MAX_OPS;
        if id != main && (times == 0 || !named[id.index()] || sealed[id.index()] || func.is_fused() || !fits) {
            continue;
        }
        total = total.saturating_add(size);
        open[id.index()] = id != main;
        for (_, op) in func.ops() {
            if let OpKind::Call(call) = &op.kind {
                let callee = call.callee.index();
                calls[callee] = calls[callee].saturating_add(times);
                depth[callee] = depth[callee].max(depth[id.index()] + 1);
                named[callee] |= call.layer.is_some();
            }
        }
    }
    open
}
