//! One-tensor cuts: the places where a single computed tensor separates a model in two, as `split` takes them.
//!
//! Let the first part be a tensor `v`, the op that computes it, and everything these need; the second part is the rest
//! of the live ops. `v` is a one-tensor cut if it is the only computed tensor that the second part reads of the first, and
//! no mask that the first part makes is read in the second. Inputs of the model that both parts read, weights and
//! constants do not count: each part reads its own. The first part must depend on an input: what follows from weights
//! alone is no part of a model.
//!
//! The first part is then the subtree of `v` in the [post-dominator tree](super::post_dominators): everything in it
//! leads only to `v`. Conversely a subtree is a first part if no edge enters it from outside. An edge `a -> b` enters
//! the subtrees of the nodes from `b` up to, and without, the immediate post-dominator of `a`; marking both ends and
//! summing over subtrees counts them all at once. A mask that `m` makes and `r` reads is severed at the nodes on the ways
//! from both up to where they meet, which is counted the same way.
//!
//! `split` opens the nested models on the way to a cut and leaves all others as they are. So each place counts in the
//! graph that has these models open. Most models make no difference there: one output that needs every input is the same
//! graph open or closed ([`Openings`]). All of those are opened at once, which leaves one graph, and one more for each
//! way through models that do make a difference.

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
    /// The name that `split` knows the place by.
    pub name: String,
    /// The type of the tensor.
    pub ty: Type,
    /// The inputs of the model that both parts read, by name.
    pub shared_inputs: Vec<Name>,
}

/// The one-tensor cuts of `@main`, in the order of the model, those inside nested models included: each before the model
/// that it is in. What the parts cost is told by [`cut_costs`](super::cut_costs).
pub fn one_tensor_cuts(module: &Module, dialects: &Dialects) -> Vec<Cut> {
    let Some(opened) = Opened::of(module, dialects) else { return Vec::new() };
    let cuts = OneTensorCuts::of(&opened, dialects);
    cuts.found.iter().map(|found| cuts.cut(&opened, found)).collect()
}

/// The one-tensor cuts of a model with the graphs that they were found in.
pub(crate) struct OneTensorCuts {
    pub(crate) graphs: Vec<Graph>,
    /// The cuts in the order of the model.
    pub(crate) found: Vec<Found>,
}

/// A graph with its tree.
pub(crate) struct Graph {
    pub(crate) flat: Flat,
    pub(crate) tree: PostDominators,
    /// The tensor that crosses after a node, by node; [`NONE`] where it is no cut.
    crossing: Vec<Tensor>,
    /// For each node the inputs of the model that are read before and after it, where it is a cut.
    shared: Vec<Vec<Tensor>>,
}

/// A cut.
pub(crate) struct Found {
    pub(crate) name: String,
    pub(crate) slot: Slot,
    /// The graph that the place counts in.
    pub(crate) graph: usize,
    pub(crate) node: Node,
}

/// More ops than all graphs together may have. A model with so many nested models of several outputs, and that large, has
/// places that are not looked at.
const MAX_SIZE: usize = 1 << 25;

impl OneTensorCuts {
    /// Finds the cuts of `@main` of the module that was `opened`.
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

    /// Which of the results in the cut's slot crosses. A model that is opened there has one.
    fn result_index(&self, found: &Found) -> usize {
        let graph = &self.graphs[found.graph];
        let crossing = graph.crossing[found.node as usize];
        if graph.flat.op_in(found.slot).is_some() { graph.flat.result_index(crossing) } else { 0 }
    }
}

/// The masks that are read by other ops than made them, by slot: maker and reader.
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

    /// The node after which the place in `slot` is a cut, if it is one.
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

/// The marks of masks that are read elsewhere than made, where ops of closed models count as the call of the model.
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

/// Which nodes are computed from an input of the model.
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

/// The one result of each op that live ops read, by node.
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

/// For each cut the inputs of the model that are read on both sides of it: the cuts on the ways from the readers of an
/// input up to where all of these meet.
fn shared_inputs(flat: &Flat, tree: &PostDominators, crossing: &[Tensor]) -> Vec<Vec<Tensor>> {
    let exit = tree.exit();
    let mut readers: Vec<Vec<Node>> = vec![Vec::new(); flat.num_inputs() as usize];
    for node in 0..exit {
        for tensor in flat.reads(tree.op(node)).iter().filter(|tensor| **tensor < flat.num_inputs()) {
            readers[*tensor as usize].push(node);
        }
    }
    // The nearest cut that a node is in the first part of.
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

/// `@main` of a module, if it has one that is not split already.
pub(crate) fn main_of(module: &Module) -> Option<FuncId> {
    let main = module.func_named(MAIN)?;
    super::calls::stages(module, &module[main]).is_empty().then_some(main)
}

#[cfg(test)]
mod tests;
