//! One-tensor cuts: the places where a single tensor separates a function in two.
//!
//! Let the first part be a value `v`, the op that defines it, and everything these need; the second part is the rest
//! of the live ops. `v` is a one-tensor cut if it is the only value that the second part reads of the first, where a
//! model input that both parts read counts as a value of the first. Weights and constants do not count: each part has
//! its own. So the second part has ops, and the first must depend on an input: what follows from weights alone is no
//! part of a model.
//!
//! The first part is then the subtree of `v` in the [post-dominator tree](super::post_dominators): everything in it
//! leads only to `v`. Conversely a subtree is a first part if no edge enters it from outside. An edge `a -> b` enters
//! the subtrees of the nodes from `b` up to, and without, the immediate post-dominator of `a`; marking both ends and
//! summing over subtrees counts them all at once.

use netc_ir::{Func, Module, OpId, ValueId};

use super::names::OpNames;
use super::post_dominators::{Node, PostDominators};

/// A place where a single tensor separates a function in two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The tensor.
    pub value: ValueId,
    /// The op that computes it.
    pub op: OpId,
    /// The name that `split` knows the place by.
    pub name: String,
}

/// The one-tensor cuts of `func`, a function of `module`, in the order of the function. What the parts cost is told by
/// [`Costs::cuts`](super::Costs::cuts).
///
/// The parts before them are nested or, where the function has several inputs, separate.
pub fn one_tensor_cuts(module: &Module, func: &Func) -> Vec<Cut> {
    let names = OpNames::of(module, func);
    let cuts = OneTensorCuts::of(func);
    cuts.iter().map(|(op, value)| Cut { value, op, name: names.op(op) }).collect()
}

/// The one-tensor cuts of a function with the tree that they were found in.
pub(crate) struct OneTensorCuts {
    tree: PostDominators,
    /// The value that crosses after a node, by node.
    value: Vec<Option<ValueId>>,
}

impl OneTensorCuts {
    /// Finds the one-tensor cuts of `func`.
    pub(crate) fn of(func: &Func) -> Self {
        let tree = PostDominators::of(func);
        let entering = tree.subtree_sums(entering_edges(&tree));
        let from_input = depends_on_input(&tree, func.params.len());
        let mut value = single_read_result(func, &tree);
        for (node, value) in value.iter_mut().enumerate() {
            if entering[node] != 0 || !from_input[node] {
                *value = None;
            }
        }
        Self { tree, value }
    }

    /// The tree.
    pub(crate) fn tree(&self) -> &PostDominators {
        &self.tree
    }

    /// The cuts in the order of the function: after which op, and what crosses.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (OpId, ValueId)> + '_ {
        (0..self.tree.exit()).filter_map(|node| Some((self.tree.op(node)?, self.value[node as usize]?)))
    }

    /// The last cut whose first part lies within `inside`.
    pub(crate) fn last_within(&self, inside: impl Fn(OpId) -> bool) -> Option<OpId> {
        self.iter().rev().map(|(op, _)| op).find(|op| inside(*op))
    }

    /// The first cut outside of `inside` whose first part holds all of `ops`.
    pub(crate) fn first_around(&self, ops: &[OpId], inside: impl Fn(OpId) -> bool) -> Option<OpId> {
        let nodes = ops.iter().filter_map(|op| self.tree.node(*op));
        let mut node = nodes.reduce(|a, b| self.tree.common(a, b))?;
        loop {
            let op = self.tree.op(node)?;
            if self.value[node as usize].is_some() && !inside(op) {
                return Some(op);
            }
            node = self.tree.parent(node);
        }
    }
}

fn entering_edges(tree: &PostDominators) -> Vec<i64> {
    let mut marks = vec![0; tree.exit() as usize + 1];
    for (from, to) in tree.edges() {
        marks[*to as usize] += 1;
        marks[tree.parent(*from) as usize] -= 1;
    }
    marks
}

/// Which nodes are computed from a parameter.
fn depends_on_input(tree: &PostDominators, params: usize) -> Vec<bool> {
    let mut depends: Vec<bool> = (0..=tree.exit() as usize).map(|node| node < params).collect();
    // Edges are grouped by reader, the last reader first.
    for (from, to) in tree.edges().iter().rev() {
        depends[*to as usize] |= depends[*from as usize];
    }
    depends
}

/// The one result of each op that live ops read, by node.
fn single_read_result(func: &Func, tree: &PostDominators) -> Vec<Option<ValueId>> {
    let mut read = vec![false; func.num_values()];
    let ops = (0..tree.exit()).filter_map(|node: Node| Some((node, tree.op(node)?)));
    for (_, op) in ops.clone() {
        func[op].operands.iter().for_each(|v| read[v.index()] = true);
    }
    let mut single = vec![None; tree.exit() as usize + 1];
    for (node, op) in ops {
        let mut results = func[op].results.iter().filter(|v| read[v.index()]);
        if let (Some(value), None) = (results.next(), results.next()) {
            single[node as usize] = Some(*value);
        }
    }
    single
}

#[cfg(test)]
mod tests;
