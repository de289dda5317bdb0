//! What functions and the parts before and after their one-tensor cuts cost: parameters, and multiply-accumulates.
//!
//! Multiply-accumulates are those of the convolutions and matrix products that the layers mean, for one example: the
//! symbols of the parameters' first axes count as 1. Where a layer has no meaning, or a shape is not known, so is
//! their number. A weight that is used several times is one weight.

use std::collections::BTreeSet;

use netc_ir::{CoreOp, Dim, Func, FuncId, Module, Name, Op, OpId, OpKind, Type, WeightId, callees};
use netc_pass::{Dialects, Fuel};

use super::calls::callees_first;
use super::names::{OpNames, model_layers, undeclared_inputs};
use super::needed::constant_producer;
use super::one_tensor::{Cut, OneTensorCuts};
use super::post_dominators::{Node, PostDominators};
use crate::lower::{LoweredFunc, OnError, lower_funcs};

/// What a function or a part of it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// The elements of its weights.
    pub params: u64,
    /// Multiply-accumulates per example, if they are known.
    pub macs: Option<u64>,
    /// The layers, as Keras counts them, or the ops where the model declares no layers.
    pub layers: usize,
}

/// A one-tensor cut with what the two parts cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutCost {
    /// The cut.
    pub cut: Cut,
    /// The elements of the weights before the cut.
    pub params_before: u64,
    /// The elements of the weights after the cut. A weight that both parts use counts in both.
    pub params_after: u64,
    /// Multiply-accumulates per example before the cut, if they are known.
    pub macs_before: Option<u64>,
    /// Multiply-accumulates per example after the cut, if they are known.
    pub macs_after: Option<u64>,
}

/// The costs of every op of a module.
pub struct Costs<'m> {
    module: &'m Module,
    /// By function, by op id.
    macs: Vec<Vec<Option<u64>>>,
    /// The sum of `macs`, by function: a function that is called often is summed once.
    total_macs: Vec<Option<u64>>,
    /// The weights that a function uses, itself and through calls.
    weights: Vec<BTreeSet<WeightId>>,
}

impl<'m> Costs<'m> {
    /// Computes the costs of the ops of `module` from what they mean in `dialects`.
    pub fn of(module: &'m Module, dialects: &Dialects) -> Self {
        // Keeping what cannot be lowered leaves nothing to fail; if it did, nothing would be known.
        let lowered = lower_funcs(module, dialects, OnError::Keep, &mut Fuel::unlimited()).unwrap_or_default();
        let n = module.funcs.len();
        let (macs, total_macs, weights) = (vec![Vec::new(); n], vec![None; n], vec![BTreeSet::new(); n]);
        let mut costs = Self { module, macs, total_macs, weights };
        for id in callees_first(module) {
            let macs = costs.func_macs(&module[id], lowered.get(id.index()));
            costs.total_macs[id.index()] = total(&module[id], &macs);
            costs.macs[id.index()] = macs;
            costs.weights[id.index()] = costs.func_weights(&module[id]);
        }
        costs
    }

    /// The cost of the function `id`.
    pub fn func(&self, id: FuncId) -> Cost {
        let func = &self.module[id];
        let declared = model_layers(self.module, func).len();
        Cost {
            params: self.weights[id.index()].iter().map(|w| self.elements(*w)).fold(0, u64::saturating_add),
            macs: self.total_macs[id.index()],
            layers: if func.layers().is_empty() { func.num_ops() } else { declared + undeclared_inputs(func) },
        }
    }

    /// The multiply-accumulates of an op of the function `id` per example, if they are known.
    pub fn macs(&self, id: FuncId, op: OpId) -> Option<u64> {
        self.macs[id.index()][op.index()]
    }

    /// The weights that `op` uses: its layer's and all of the function that it calls, or the weight that it is.
    pub fn weights(&self, op: &Op) -> Vec<WeightId> {
        let direct = self.direct_weights(op);
        match &op.kind {
            OpKind::Call(call) => direct.chain(self.weights[call.callee.index()].iter().copied()).collect(),
            OpKind::Source(_) | OpKind::Core(_) => direct.collect(),
        }
    }

    /// The one-tensor cuts of the function `id` with what the parts cost. Near-linear in the size of the function,
    /// where a call counts as many times as its callee has weights.
    pub fn cuts(&self, id: FuncId) -> Vec<CutCost> {
        let func = &self.module[id];
        let (cuts, names) = (OneTensorCuts::of(func), OpNames::of(self.module, func));
        let parts = Parts::of(self, id, cuts.tree());
        let cost = |(op, value)| {
            let node = cuts.tree().node(op)? as usize;
            let cut = Cut { value, op, name: names.op(op) };
            Some(parts.at(cut, node))
        };
        cuts.iter().filter_map(cost).collect()
    }

    fn func_macs(&self, func: &Func, lowered: Option<&LoweredFunc>) -> Vec<Option<u64>> {
        let Some(lowered) = lowered else { return vec![None; func.num_op_slots()] };
        let mut macs = vec![Some(0u64); func.num_op_slots()];
        let batch = batch_symbols(&lowered.func);
        for (id, op) in lowered.func.ops() {
            let cost = match &op.kind {
                OpKind::Core(core) => core_macs(&lowered.func, core, op, &batch),
                OpKind::Call(call) => self.total_macs[call.callee.index()],
                OpKind::Source(_) => None,
            };
            let total = &mut macs[lowered.origin[id.index()].index()];
            *total = total.zip(cost).map(|(a, b)| a.saturating_add(b));
        }
        macs
    }

    fn func_weights(&self, func: &Func) -> BTreeSet<WeightId> {
        let mut weights: BTreeSet<WeightId> = func.ops().flat_map(|(_, op)| self.direct_weights(op)).collect();
        for callee in callees(func).collect::<BTreeSet<_>>() {
            weights.extend(&self.weights[callee.index()]);
        }
        weights
    }

    /// The weights that `op` uses but for those of the function that it calls.
    fn direct_weights(&self, op: &Op) -> impl Iterator<Item = WeightId> + use<'_> {
        let layer = op.kind.layer().map_or(&[][..], |id| &self.module[id].weights);
        layer.iter().map(|(_, w)| *w).chain(weight_of(op))
    }

    fn elements(&self, weight: WeightId) -> u64 {
        self.module[weight].ty.num_elements().unwrap_or(0)
    }
}

fn total(func: &Func, macs: &[Option<u64>]) -> Option<u64> {
    func.op_ids().try_fold(0u64, |n, op| Some(n.saturating_add(macs[op.index()]?)))
}

fn weight_of(op: &Op) -> Option<WeightId> {
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
    match core {
        // The kernel is `spatial..., in/groups, out`: each output element reads all but the last.
        CoreOp::Conv { .. } => Some(out()?.saturating_mul(product(operand(1)?.split_last()?.1)?)),
        CoreOp::MatMul => Some(out()?.saturating_mul(extent(operand(0)?.last()?)?)),
        CoreOp::Constant(_)
        | CoreOp::Weight(_)
        | CoreOp::Unary(_)
        | CoreOp::Binary(_)
        | CoreOp::Compare(_)
        | CoreOp::Select
        | CoreOp::Cast(_)
        | CoreOp::Pool { .. }
        | CoreOp::Reduce { .. }
        | CoreOp::Reshape(_)
        | CoreOp::Transpose(_)
        | CoreOp::Broadcast(_)
        | CoreOp::Concat(_)
        | CoreOp::Slice(_)
        | CoreOp::Pad { .. }
        | CoreOp::Gather(_)
        | CoreOp::Sort { .. }
        | CoreOp::CumSum(_)
        | CoreOp::Reverse(_) => Some(0),
    }
}

fn dims(ty: &Type) -> Option<&[Dim]> {
    ty.dims.as_deref()
}

/// Sums over the part before each node, which is its subtree, and over the whole.
///
/// A weight counts once in a subtree however often it is used there: +1 at each use, and -1 where the paths of uses
/// that are neighbours in depth-first order meet. It is in no other part if the subtree holds the node where all of
/// its uses meet.
struct Parts {
    macs: Vec<i128>,
    unknown: Vec<u64>,
    params: Vec<i128>,
    params_only_here: Vec<i128>,
}

impl Parts {
    fn of(costs: &Costs<'_>, id: FuncId, tree: &PostDominators) -> Self {
        let size = tree.exit() as usize + 1;
        let (mut macs, mut unknown) = (vec![0; size], vec![0; size]);
        for node in 0..tree.exit() {
            match tree.op(node).map(|op| costs.macs(id, op)) {
                Some(Some(n)) => macs[node as usize] = i128::from(n),
                Some(None) => unknown[node as usize] = 1,
                None => {}
            }
        }
        let (mut params, mut only_here) = (vec![0; size], vec![0; size]);
        for (weight, nodes) in weight_uses(costs, id, tree) {
            let elements = i128::from(costs.elements(weight));
            nodes.iter().for_each(|n| params[*n as usize] += elements);
            for pair in nodes.windows(2) {
                params[tree.common(pair[0], pair[1]) as usize] -= elements;
            }
            if let [first, .., last] | [first @ last] = nodes[..] {
                only_here[tree.common(first, last) as usize] += elements;
            }
        }
        Self {
            macs: tree.subtree_sums(macs),
            unknown: tree.subtree_sums(unknown),
            params: tree.subtree_sums(params),
            params_only_here: tree.subtree_sums(only_here),
        }
    }

    fn at(&self, cut: Cut, node: usize) -> CutCost {
        let exit = self.macs.len() - 1;
        let number = |n: i128| u64::try_from(n).unwrap_or(u64::MAX);
        let (unknown, all_unknown) = (self.unknown[node], self.unknown[exit]);
        CutCost {
            cut,
            params_before: number(self.params[node]),
            params_after: number(self.params_only_here[exit] - self.params_only_here[node]),
            macs_before: (unknown == 0).then(|| number(self.macs[node])),
            macs_after: (unknown == all_unknown).then(|| number(self.macs[exit] - self.macs[node])),
        }
    }
}

/// For each weight the nodes that use it, in depth-first order of the tree. A weight op is no node: its readers use the
/// weight, and the exit if it is only returned.
fn weight_uses(costs: &Costs<'_>, id: FuncId, tree: &PostDominators) -> Vec<(WeightId, Vec<Node>)> {
    let func = &costs.module[id];
    let preorder = tree.preorder();
    let mut uses = vec![Vec::new(); costs.module.weights.len()];
    let mut read = vec![false; func.num_values()];
    let weight = |value| weight_of(&func[constant_producer(func, value)?]);
    for node in 0..tree.exit() {
        let Some(op) = tree.op(node).map(|op| &func[op]) else { continue };
        let operands = op.operands.iter().filter_map(|v| weight(*v));
        costs.weights(op).into_iter().chain(operands).for_each(|w| uses[w.index()].push(node));
        op.operands.iter().for_each(|v| read[v.index()] = true);
    }
    let only_returned = func.outputs.iter().map(|o| o.value).filter(|v| !read[v.index()]);
    only_returned.filter_map(weight).for_each(|w| uses[w.index()].push(tree.exit()));
    for nodes in &mut uses {
        nodes.sort_unstable_by_key(|n| preorder[*n as usize]);
        nodes.dedup();
    }
    uses.into_iter().enumerate().map(|(w, nodes)| (WeightId::new(w), nodes)).collect()
}

#[cfg(test)]
mod tests;
