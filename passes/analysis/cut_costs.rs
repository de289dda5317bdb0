//! The parameter counts and MACs of the parts before and after one-tensor cuts.

use netc_dialect::Dialects;
use netc_ir::{Module, WeightId};

use super::cost::{Costs, WeightUse, weight_of};
use super::flat::{Flat, Tensor};
use super::models::{Models, NONE};
use super::one_tensor::{Cut, Graph, OneTensorCuts};
use super::opened::Opened;
use super::post_dominators::Node;

/// A one-tensor cut with the cost of its two parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutCost {
    /// The cut.
    pub cut: Cut,
    /// The parameter count before the cut.
    pub params_before: u64,
    /// The parameter count after the cut. A weight that both parts use counts in both.
    pub params_after: u64,
    /// MACs per example before the cut, if known.
    pub macs_before: Option<u64>,
    /// MACs per example after the cut, if known.
    pub macs_after: Option<u64>,
}

/// The [one-tensor cuts](super::one_tensor_cuts) of `@main` with the costs of their parts.
///
/// Takes near-linear time in the size of the model with nested models opened; each closed one adds its number of
/// weights.
pub fn cut_costs(module: &Module, dialects: &Dialects) -> Vec<CutCost> {
    let Some(opened) = Opened::of(module, dialects) else { return Vec::new() };
    let cuts = OneTensorCuts::of(&opened, dialects);
    let macs = macs(&opened, dialects);
    let weights = WeightUse::of(module);
    let parts: Vec<Parts> = cuts.graphs.iter().map(|graph| Parts::of(graph, &opened, &macs, &weights)).collect();
    let cost = |found| {
        let cut = cuts.cut(&opened, found);
        parts[found.graph].at(cut, found.node as usize)
    };
    cuts.found.iter().map(cost).collect()
}

/// The MACs of each op of the graph with all models opened.
fn macs(opened: &Opened<'_>, dialects: &Dialects) -> Vec<Option<u64>> {
    let costs = Costs::of(&opened.module, dialects);
    (0..opened.whole.len() as u32).map(|op| costs.macs(opened.opened_main, opened.op(op))).collect()
}

/// Sums over the part before each node, which is its subtree, and over the whole.
///
/// A weight counts once per subtree, however often it is used there. To do that, each use counts +1, and the common
/// ancestor of each two uses adjacent in depth-first order counts -1. A weight is used only within a subtree if the
/// subtree contains the common ancestor of all its uses.
struct Parts {
    macs: Vec<i128>,
    unknown: Vec<u64>,
    params: Vec<i128>,
    params_only_here: Vec<i128>,
}

impl Parts {
    fn of(graph: &Graph, opened: &Opened<'_>, macs: &[Option<u64>], weights: &WeightUse<'_>) -> Self {
        let tree = &graph.tree;
        let size = tree.exit() as usize + 1;
        let (mut known, mut unknown) = (vec![0; size], vec![0; size]);
        let closed = graph.flat.closed_around(&opened.models);
        for (op, macs) in (0..).zip(macs) {
            let slot = opened.whole.slot(op);
            let around = closed[opened.models.place(slot).0 as usize];
            let op = graph.flat.op_in(if around == NONE { slot } else { around });
            let Some(node) = op.and_then(|op| tree.node(op)) else { continue };
            match macs {
                Some(n) => known[node as usize] += i128::from(*n),
                None => unknown[node as usize] += 1,
            }
        }
        let (mut params, mut only_here) = (vec![0; size], vec![0; size]);
        for (weight, nodes) in weight_uses(graph, &opened.models, weights) {
            let elements = i128::from(weights.elements(weight));
            nodes.iter().for_each(|n| params[*n as usize] += elements);
            for pair in nodes.windows(2) {
                params[tree.common(pair[0], pair[1]) as usize] -= elements;
            }
            if let [first, .., last] | [first @ last] = nodes[..] {
                only_here[tree.common(first, last) as usize] += elements;
            }
        }
        Self {
            macs: tree.subtree_sums(known),
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

/// The nodes that use each weight, in depth-first order of the tree. Weight ops are not nodes, so the readers of a
/// weight op count as users, or the exit if it is only returned.
fn weight_uses(graph: &Graph, models: &Models<'_>, weights: &WeightUse<'_>) -> Vec<(WeightId, Vec<Node>)> {
    let Graph { flat, tree, .. } = graph;
    let preorder = tree.preorder();
    let mut uses = vec![Vec::new(); models.module.weights.len()];
    let mut read = vec![false; flat.num_tensors()];
    for node in 0..tree.exit() {
        let op = tree.op(node);
        let operands = flat.reads(op).iter().filter_map(|tensor| weight(flat, models, *tensor));
        let own = weights.of_op(models.op(flat.slot(op)));
        own.into_iter().chain(operands).for_each(|w| uses[w.index()].push(node));
        flat.reads(op).iter().for_each(|tensor| read[*tensor as usize] = true);
    }
    let only_returned = flat.outputs().iter().filter(|tensor| !read[**tensor as usize]);
    only_returned.filter_map(|tensor| weight(flat, models, *tensor)).for_each(|w| uses[w.index()].push(tree.exit()));
    for nodes in &mut uses {
        nodes.sort_unstable_by_key(|n| preorder[*n as usize]);
        nodes.dedup();
    }
    uses.into_iter().enumerate().map(|(w, nodes)| (WeightId::new(w), nodes)).collect()
}

/// The weight of a tensor, if a weight op brings it in.
fn weight(flat: &Flat, models: &Models<'_>, tensor: Tensor) -> Option<WeightId> {
    weight_of(models.op(flat.slot(flat.producer(tensor)?)))
}

#[cfg(test)]
mod tests;
