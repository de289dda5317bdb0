//! The models inside a model, each as often as it is called, and the places in them.
//!
//! A nested model is *opened* where its ops count as ops of `@main`: that is what `split` does to the models on the way
//! to a cut. Opening is by function: all calls of a function are opened, or none. [`Models`] lists every call that could
//! be opened; nothing is copied.

use std::collections::BTreeSet;

use netc_ir::{Func, FuncId, Module, Op, OpId, OpKind};

use super::calls::callees_first;
use crate::inline::MAX_OPS;

/// No entry of a table.
pub(crate) const NONE: u32 = u32::MAX;

/// Nested deeper than any model; bounds the length of paths.
const MAX_DEPTH: u32 = 512;

/// An op of `@main` or of a model inside it, counted over all of them: a model that is called twice has two slots for
/// each of its ops.
pub(crate) type Slot = u32;

/// `@main` and the models inside it, as often as they are called.
pub(crate) struct Models<'m> {
    pub(crate) module: &'m Module,
    /// `@main` is the first; every other follows the one that calls it.
    all: Vec<Model>,
    /// The model that the call in a slot calls.
    called: Vec<u32>,
}

/// A function at one of its calls.
struct Model {
    func: FuncId,
    /// The slot of its first op.
    first: Slot,
    /// The slot of the call; `@main` has none.
    call: Slot,
    depth: u32,
}

impl<'m> Models<'m> {
    /// `main`, and the models in it whose functions are among `open`, by id.
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

    /// `main`, and every model in it that can be opened.
    pub(crate) fn openable(module: &'m Module, main: FuncId) -> Self {
        Self::of(module, main, &openable(module, main))
    }

    fn add(&mut self, func: FuncId, call: Slot, depth: u32) {
        let first = self.called.len() as Slot;
        self.called.resize(self.called.len() + self.module[func].num_op_slots(), NONE);
        self.all.push(Model { func, first, call, depth });
    }

    /// The number of models, `@main` counted.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Which functions are opened, by id.
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

    /// The slot of the call that `model` is called by; [`NONE`] for `@main`.
    pub(crate) fn call(&self, model: u32) -> Slot {
        self.all[model as usize].call
    }

    /// The model that has the slot, and the op in its function.
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

    /// The functions on the way to `model`, `@main` left out.
    pub(crate) fn path(&self, model: u32) -> BTreeSet<FuncId> {
        let outwards = std::iter::successors(Some(model), |model| self.parent(*model));
        outwards.filter(|model| self.call(*model) != NONE).map(|model| self.func_id(model)).collect()
    }

    /// The slot of `op`, which is reached from `@main` through `calls`; `None` if one of them is not opened.
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

/// Whether each function, by id, is called from `main` by a layer that has weights or assets of its own: inlined, they
/// would be lost.
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

/// Which functions can be opened, by id: those that layers of the model apply and that are not [`sealed`]. The outermost
/// come first, as long as all together have no more ops than a function may.
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
