//! What functions cost: parameters, and multiply-accumulates.
//!
//! Multiply-accumulates are those of the convolutions and matrix products that the layers mean, for one example: the
//! symbols of the parameters' first axes count as 1. Where a layer has no meaning, or a shape is not known, so is
//! their number. A weight that is used several times is one weight.

use std::collections::BTreeSet;

use netc_dialect::Dialects;
use netc_ir::{CoreOp, Dim, Func, FuncId, Module, Name, Op, OpClass, OpId, OpKind, Type, WeightId, callees};

use super::calls::callees_first;
use super::names::{model_layers, undeclared_inputs};
use crate::lower::{LoweredFunc, lower_funcs};

/// What a function or a part of it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// The elements of its weights.
    pub params: u64,
    /// Multiply-accumulates per example, if they are known.
    pub macs: Option<u64>,
    /// The layers, as their framework counts them, or the ops where the model declares no layers.
    pub layers: usize,
}

/// The costs of every op of a module.
pub struct Costs<'m> {
    module: &'m Module,
    dialects: &'m Dialects,
    /// By function, by op id.
    macs: Vec<Vec<Option<u64>>>,
    /// The sum of `macs`, by function: a function that is called often is summed once.
    total_macs: Vec<Option<u64>>,
    weights: WeightUse<'m>,
}

/// The weights that each function uses, itself and through calls.
pub(super) struct WeightUse<'m> {
    module: &'m Module,
    by_func: Vec<BTreeSet<WeightId>>,
}

impl<'m> Costs<'m> {
    /// Computes the costs of the ops of `module` from what they mean in `dialects`.
    pub fn of(module: &'m Module, dialects: &'m Dialects) -> Self {
        // Keeping what cannot be lowered leaves nothing to fail; if it did, nothing would be known.
        let lowered = lower_funcs(module, dialects);
        let n = module.funcs.len();
        let (macs, total_macs) = (vec![Vec::new(); n], vec![None; n]);
        let mut costs = Self { module, dialects, macs, total_macs, weights: WeightUse::of(module) };
        for id in callees_first(module) {
            let macs = costs.func_macs(&module[id], lowered.get(id.index()));
            costs.total_macs[id.index()] = total(&module[id], &macs);
            costs.macs[id.index()] = macs;
        }
        costs
    }

    /// The cost of the function `id`.
    pub fn func(&self, id: FuncId) -> Cost {
        let func = &self.module[id];
        let declared = model_layers(self.module, func, self.dialects).len();
        Cost {
            params: self.weights.by_func[id.index()]
                .iter()
                .map(|w| self.weights.elements(*w))
                .fold(0, u64::saturating_add),
            macs: self.total_macs[id.index()],
            layers: if func.layers().is_empty() {
                func.num_ops()
            } else {
                declared + undeclared_inputs(self.module, func, self.dialects)
            },
        }
    }

    /// The multiply-accumulates of an op of the function `id` per example, if they are known.
    pub fn macs(&self, id: FuncId, op: OpId) -> Option<u64> {
        self.macs[id.index()][op.index()]
    }

    /// The weights that `op` uses: its layer's and all of the function that it calls, or the weight that it is.
    pub fn weights(&self, op: &Op) -> Vec<WeightId> {
        self.weights.of_op(op)
    }

    fn func_macs(&self, func: &Func, lowered: Option<&LoweredFunc>) -> Vec<Option<u64>> {
        let Some(lowered) = lowered else { return vec![None; func.num_op_slots()] };
        let mut macs = vec![Some(0u64); func.num_op_slots()];
        let batch = batch_symbols(&lowered.func);
        let mut times = vec![1u64; lowered.func.num_op_slots()];
        for repeat in &lowered.repeats {
            times[repeat.ops.clone()].iter_mut().for_each(|n| *n = n.saturating_mul(repeat.times));
        }
        for (id, op) in lowered.func.ops() {
            let cost = match &op.kind {
                OpKind::Core(core) => core_macs(&lowered.func, core, op, &batch),
                OpKind::Call(call) => self.total_macs[call.callee.index()],
                OpKind::Source(_) => None,
            };
            let total = &mut macs[lowered.origin[id.index()].index()];
            let cost = cost.map(|one| one.saturating_mul(times[id.index()]));
            *total = total.zip(cost).map(|(a, b)| a.saturating_add(b));
        }
        macs
    }
}

impl<'m> WeightUse<'m> {
    pub(super) fn of(module: &'m Module) -> Self {
        let mut weights = Self { module, by_func: vec![BTreeSet::new(); module.funcs.len()] };
        for id in callees_first(module) {
            let func = &module[id];
            let mut own: BTreeSet<WeightId> = func.ops().flat_map(|(_, op)| weights.direct(op)).collect();
            for callee in callees(func).collect::<BTreeSet<_>>() {
                own.extend(&weights.by_func[callee.index()]);
            }
            weights.by_func[id.index()] = own;
        }
        weights
    }

    /// The weights that `op` uses: its layer's, those that it names, and all of the functions that it calls or names.
    pub(super) fn of_op(&self, op: &Op) -> Vec<WeightId> {
        let funcs = op.kind.funcs().into_iter().flat_map(|id| self.by_func[id.index()].iter().copied());
        self.direct(op).chain(funcs).collect()
    }

    /// The weights that `op` uses but for those of the function that it calls.
    fn direct(&self, op: &Op) -> impl Iterator<Item = WeightId> + use<'m> {
        let layer = op.kind.layer().map_or(&[][..], |id| &self.module[id].weights);
        layer.iter().map(|(_, w)| *w).chain(op.kind.weights())
    }

    pub(super) fn elements(&self, weight: WeightId) -> u64 {
        self.module[weight].ty.num_elements().unwrap_or(0)
    }
}

fn total(func: &Func, macs: &[Option<u64>]) -> Option<u64> {
    func.op_ids().try_fold(0u64, |n, op| Some(n.saturating_add(macs[op.index()]?)))
}

/// The weight that `op` is.
pub(super) fn weight_of(op: &Op) -> Option<WeightId> {
    match &op.kind {
        OpKind::Core(CoreOp::Weight(weight)) => Some(*weight),
        OpKind::Core(_) | OpKind::Source(_) | OpKind::Call(_) => None,
    }
}

/// The symbols that stand for the number of examples.
fn batch_symbols(func: &Func) -> BTreeSet<Name> {
    let first = func.params.iter().filter_map(|p| func[p.value].ty.dims.as_ref()?.first());
    first.filter_map(Dim::as_symbol).cloned().collect()
}

fn core_macs(func: &Func, core: &CoreOp, op: &Op, batch: &BTreeSet<Name>) -> Option<u64> {
    let extent = |dim: &Dim| dim.substitute(&|name| batch.contains(name).then_some(Dim::Known(1))).known();
    let product = |dims: &[Dim]| dims.iter().try_fold(1u64, |n, d| Some(n.saturating_mul(extent(d)?)));
    let operand = |i: usize| op.operands.get(i).and_then(|v| func[*v].ty.dims.as_deref());
    let out = || op.results.first().and_then(|v| dims(&func[*v].ty)).and_then(product);
    match core.class() {
        // The kernel is `spatial..., in/groups, out`: each output element reads all but the last.
        OpClass::Product if matches!(core, CoreOp::Conv { .. }) => {
            Some(out()?.saturating_mul(product(operand(1)?.split_last()?.1)?))
        }
        OpClass::Product => Some(out()?.saturating_mul(extent(operand(0)?.last()?)?)),
        OpClass::Stored | OpClass::Elementwise | OpClass::Reduction | OpClass::Movement | OpClass::Extent => Some(0),
    }
}

fn dims(ty: &Type) -> Option<&[Dim]> {
    ty.dims.as_deref()
}

#[cfg(test)]
mod tests;
