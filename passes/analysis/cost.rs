//! The cost of functions: parameter counts and MACs.
//!
//! MACs are counted in the convolutions and matrix products of the lowered layers, per example: symbols in the first
//! axes of parameters count as 1. The number is unknown if a layer is unsupported or a shape is unknown. A weight that
//! is used several times counts once.

use std::collections::BTreeSet;

use netc_dialect::Dialects;
use netc_ir::{CoreOp, Dim, Func, FuncId, Module, Name, Op, OpClass, OpId, OpKind, Type, WeightId, callees};

use super::calls::callees_first;
use super::names::{model_layers, undeclared_inputs};
use crate::lower::{LoweredFunc, lower_funcs};

/// The cost of a function or a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// The parameter count: the number of elements of its weights.
    pub params: u64,
    /// MACs per example, if known.
    pub macs: Option<u64>,
    /// The number of layers, as their framework counts them, or of ops if the model declares no layers.
    pub layers: usize,
}

/// The costs of every op of a module.
pub struct Costs<'m> {
    module: &'m Module,
    dialects: &'m Dialects,
    /// MACs by function and op id.
    macs: Vec<Vec<Option<u64>>>,
    /// The sum of `macs` by function, so that a function with many calls is summed once.
    total_macs: Vec<Option<u64>>,
    weights: WeightUse<'m>,
}

/// The weights that each function uses, directly and through calls.
pub(super) struct WeightUse<'m> {
    module: &'m Module,
    by_func: Vec<BTreeSet<WeightId>>,
}

impl<'m> Costs<'m> {
    /// Computes the costs of the ops of `module` by lowering them with `dialects`.
    pub fn of(module: &'m Module, dialects: &'m Dialects) -> Self {
        // This lowering never fails. If it did, all costs would be unknown.
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

    /// The MACs per example of an op of the function `id`, if known.
    pub fn macs(&self, id: FuncId, op: OpId) -> Option<u64> {
        self.macs[id.index()][op.index()]
    }

    /// The weights that `op` uses: its layer's weights, the weights that it names, and all weights of the functions
    /// that it calls or names.
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

    /// The weights that `op` uses: its layer's weights, the weights that it names, and all weights of the functions
    /// that it calls or names.
    pub(super) fn of_op(&self, op: &Op) -> Vec<WeightId> {
        let funcs = op.kind.funcs().into_iter().flat_map(|id| self.by_func[id.index()].iter().copied());
        self.direct(op).chain(funcs).collect()
    }

    /// The weights that `op` uses, without those of functions that it calls.
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

/// The weight that `op` brings in, if it is a weight op.
pub(super) fn weight_of(op: &Op) -> Option<WeightId> {
    match &op.kind {
        OpKind::Core(CoreOp::Weight(weight)) => Some(*weight),
        OpKind::Core(_) | OpKind::Source(_) | OpKind::Call(_) => None,
    }
}

/// The symbols for the batch size.
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
        // The kernel has the shape `spatial..., in/groups, out`. Each output element reads all axes but the last.
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
