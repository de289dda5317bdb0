//! One-tensor cuts: the places where a single computed tensor separates a model in two, as `split` accepts them.
//!
//! For a tensor `v`, the first part is the op that computes it and everything that it needs. The second part is the
//! rest of the live ops. `v` is a one-tensor cut if the second part reads no other computed tensor of the first, and no
//! mask that the first part makes. Weights, constants and shared inputs of the model do not count, because each part
//! reads its own. The first part must depend on an input: ops on weights alone are not a part of a model.
//!
//! The first part is then the subtree of `v` in the [post-dominator tree](super::post_dominators), because everything
//! in it leads only to `v`. Conversely, a subtree is a first part if no edge enters it from outside. An edge `a -> b`
//! enters the subtrees of the nodes from `b` up to, but not including, the immediate post-dominator of `a`. Marking
//! both ends and summing over subtrees counts all entering edges at once. A mask that `m` makes and `r` reads is
//! severed at the nodes on the paths from both up to their common ancestor. These are counted the same way.
//!
//! `split` opens the nested models around a cut and leaves all others closed, so each place must be examined in the
//! graph with those models open. Most models make no difference: if a model has one output that needs every input, open
//! and closed are equivalent ([`Openings`]). All such models are opened at once. This leaves one graph, and one more
//! for each path through models that do make a difference.

mod openings;

use netc_dialect::Dialects;
use netc_ir::{FuncId, MAIN, Module, Name, Type};

use super::flat::{Flat, Tensor};
use super::masks::MaskReads;
use super::models::{Models, NONE, Slot};
use super::names::Names;
use super::opened::Opened;
use super::post_dominators::{Node, PostDominators};
use openings::Openings;

/// A place where a single computed tensor separates a model in two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The name of the place for `split`.
    pub name: String,
    /// The type of the tensor.
    pub ty: Type,
    /// The inputs of the model that both parts read, by name.
    pub shared_inputs: Vec<Name>,
}

/// The one-tensor cuts of `@main`, in the order of the model. Cuts inside a nested model come before the cut after it.
/// For the costs of the parts, see [`cut_costs`](super::cut_costs).
pub fn one_tensor_cuts(module: &Module, dialects: &Dialects) -> Vec<Cut> {
    let Some(opened) = Opened::of(module, dialects) else { return Vec::new() };
    let cuts = OneTensorCuts::of(&opened, dialects);
    cuts.found.iter().map(|found| cuts.cut(&opened, found)).collect()
}

/// The one-tensor cuts of a model, with the graphs in which they were found.
pub(crate) struct OneTensorCuts {
    pub(crate) graphs: Vec<Graph>,
    /// The cuts in the order of the model.
    pub(crate) found: Vec<Found>,
}

/// A graph with its tree.
pub(crate) struct Graph {
    pub(crate) flat: Flat,
    pub(crate) tree: PostDominators,
    /// The tensor that crosses after each node; [`NONE`] if the node is not a cut.
    crossing: Vec<Tensor>,
    /// For each cut, by node, the inputs of the model that are read on both sides.
    shared: Vec<Vec<Tensor>>,
}

/// A cut.
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) slot: Slot,
    /// The graph in which the place is a cut.
    pub(crate) graph: usize,
    pub(crate) node: Node,
}

/// The maximum number of ops of all graphs together. In a larger model, with many nested models of several outputs,
/// some places are not examined.
const MAX_SIZE: usize = 1 << 25;

impl OneTensorCuts {
    /// Finds the one-tensor cuts of `@main`.
    pub(crate) fn of(opened: &Opened<'_>, dialects: &Dialects) -> Self {
        let Opened { models, whole, .. } = opened;
        let masks = mask_reads(opened, dialects);
        let openings = Openings::of(models);
        let mut cuts = Self { graphs: Vec::new(), found: Vec::new() };
        let mut size = 0;
        for open in openings.all() {
            if size <= MAX_SIZE {
                let graph = Graph::of(Flat::of(models, open), models, &masks);
                size += graph.flat.len();
                cuts.graphs.push(graph);
            }
        }
        let names = Names::of(models.module, opened.main, dialects);
        for slot in whole.finished() {
            let graph = openings.graph_of(models.place(*slot).0);
            let found = cuts.graphs.get(graph).and_then(|it| it.cut_at(*slot));
            if let Some(node) = found
                && let Some(name) = names.path(models, *slot)
            {
                cuts.found.push(Found { name, slot: *slot, graph, node });
            }
        }
        cuts
    }

    pub(crate) fn cut(&self, opened: &Opened<'_>, found: &Found) -> Cut {
        let main = opened.models.func(0);
        let shared = &self.graphs[found.graph].shared[found.node as usize];
        let inputs = shared.iter().filter_map(|input| main.params.get(*input as usize));
        let shared_inputs = inputs.map(|param| param.name.clone()).collect();
        let index = self.result_index(found);
        Cut { name: found.name.clone(), ty: opened.result_type(found.slot, index), shared_inputs }
    }

    /// The index of the crossing result in the cut's slot. An opened model has one result there.
    fn result_index(&self, found: &Found) -> usize {
        let graph = &self.graphs[found.graph];
        let crossing = graph.crossing[found.node as usize];
        if graph.flat.op_in(found.slot).is_some() { graph.flat.result_index(crossing) } else { 0 }
    }
}

/// The pairs of maker and certain reader of each mask, as slots.
fn mask_reads(opened: &Opened<'_>, dialects: &Dialects) -> Vec<(Slot, Slot)> {
    let reads = MaskReads::of(&opened.module, dialects);
    let certain = reads.certain();
    certain.map(|(maker, reader)| (opened.slot_of(maker), opened.slot_of(reader))).collect()
}

impl Graph {
    fn of(flat: Flat, models: &Models<'_>, masks: &[(Slot, Slot)]) -> Self {
        let tree = PostDominators::of(&flat);
        let entering = tree.subtree_sums(entering_edges(&tree));
        let severed = tree.subtree_sums(severed_masks(&flat, &tree, models, masks));
        let from_input = depends_on_input(&flat, &tree);
        let mut crossing = single_read_result(&flat, &tree);
        for (node, crossing) in crossing.iter_mut().enumerate() {
            if entering[node] != 0 || severed[node] != 0 || !from_input[node] {
                *crossing = NONE;
            }
        }
        let shared = shared_inputs(&flat, &tree, &crossing);
        Self { flat, tree, crossing, shared }
    }

    /// The node of the cut after the op in `slot`, if that is a cut.
    fn cut_at(&self, slot: Slot) -> Option<Node> {
        let op = match self.flat.op_in(slot) {
            Some(op) => op,
            None => self.flat.producer(*self.flat.results_in(slot).first()?)?,
        };
        let node = self.tree.node(op)?;
        let crossing = self.crossing[node as usize];
        let is_result = || self.flat.results_in(slot).contains(&crossing);
        (crossing != NONE && is_result()).then_some(node)
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

/// The marks for severed masks. Ops of a closed model count as the call of the model.
fn severed_masks(flat: &Flat, tree: &PostDominators, models: &Models<'_>, masks: &[(Slot, Slot)]) -> Vec<i64> {
    let mut marks = vec![0; tree.exit() as usize + 1];
    if masks.is_empty() {
        return marks;
    }
    let closed = flat.closed_around(models);
    let node = |slot: Slot| {
        let around = closed[models.place(slot).0 as usize];
        let slot = if around == NONE { slot } else { around };
        tree.node(flat.op_in(slot)?)
    };
    for (maker, reader) in masks {
        if let (Some(maker), Some(reader)) = (node(*maker), node(*reader)) {
            marks[maker as usize] += 1;
            marks[reader as usize] += 1;
            marks[tree.common(maker, reader) as usize] -= 2;
        }
    }
    marks
}

/// Marks the nodes that depend on an input of the model.
fn depends_on_input(flat: &Flat, tree: &PostDominators) -> Vec<bool> {
    let mut depends = vec![false; tree.exit() as usize + 1];
    for node in 0..tree.exit() {
        depends[node as usize] = flat.reads(tree.op(node)).iter().any(|tensor| match flat.producer(*tensor) {
            None => true,
            Some(op) => tree.node(op).is_some_and(|from| depends[from as usize]),
        });
    }
    depends
}

/// The only result of each node that live ops read; [`NONE`] if there is not exactly one.
fn single_read_result(flat: &Flat, tree: &PostDominators) -> Vec<Tensor> {
    let mut read = vec![false; flat.num_tensors()];
    for node in 0..tree.exit() {
        flat.reads(tree.op(node)).iter().for_each(|tensor| read[*tensor as usize] = true);
    }
    let mut single = vec![NONE; tree.exit() as usize + 1];
    for node in 0..tree.exit() {
        let mut results = flat.results(tree.op(node)).filter(|tensor| read[*tensor as usize]);
        if let (Some(tensor), None) = (results.next(), results.next()) {
            single[node as usize] = tensor;
        }
    }
    single
}

/// For each cut, the inputs of the model that are read on both sides. An input is shared at the cuts on the paths from
/// its readers up to their common ancestor.
fn shared_inputs(flat: &Flat, tree: &PostDominators, crossing: &[Tensor]) -> Vec<Vec<Tensor>> {
    let exit = tree.exit();
    let mut readers: Vec<Vec<Node>> = vec![Vec::new(); flat.num_inputs() as usize];
    for node in 0..exit {
        for tensor in flat.reads(tree.op(node)).iter().filter(|tensor| **tensor < flat.num_inputs()) {
            readers[*tensor as usize].push(node);
        }
    }
    // The nearest cut whose first part contains the node.
    let mut cut_around = vec![NONE; exit as usize + 1];
    for node in (0..exit).rev() {
        let is_cut = crossing[node as usize] != NONE;
        cut_around[node as usize] = if is_cut { node } else { cut_around[tree.parent(node) as usize] };
    }
    let mut shared = vec![Vec::new(); exit as usize + 1];
    for (input, nodes) in (0..).zip(readers) {
        let Some(all) = nodes.iter().copied().reduce(|a, b| tree.common(a, b)) else { continue };
        for reader in nodes {
            let mut cut = cut_around[reader as usize];
            while cut != NONE && tree.depth(cut) > tree.depth(all) && shared[cut as usize].last() != Some(&input) {
                shared[cut as usize].push(input);
                cut = cut_around[tree.parent(cut) as usize];
            }
        }
    }
    shared
}

/// `@main` of a module, if there is one that is not already split.
pub(crate) fn main_of(module: &Module) -> Option<FuncId> {
    let main = module.func_named(MAIN)?;
    super::calls::stages(module, &module[main]).is_empty().then_some(main)
}

#[cfg(test)]
mod tests;
