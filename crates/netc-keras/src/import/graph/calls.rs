//! The calls of a graph, their operands and their order.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, hash_map};

use foldhash::fast::RandomState;
use netc_ir::{Attrs, Dim, ElemType, Func, Module};

use crate::config::call::{Call, Recorded, TensorRef, extents};
use crate::config::path::join;
use crate::error::{Problem, Result};
use crate::import::graph::{Entry, EntryKind, Graph, counts_from_one};

/// The number of a call in a graph. The calls of an entry have consecutive numbers. An input counts as one call.
pub(super) type Node = usize;

/// Result `.1` of call `.0`.
pub(super) type Tensor = (Node, usize);

/// The most results of a call. Limits what a malicious index makes netc allocate.
const MAX_RESULTS: usize = 1 << 10;

/// The most unread results of all calls. Limits the same for many calls together.
const MAX_UNREAD: usize = 1 << 17;

/// The calls of a graph with their operands, resolved by the names of their layers.
pub(super) struct Calls<'g> {
    graph: &'g Graph,
    index: HashMap<&'g str, usize, RandomState>,
    /// The first call of each entry.
    first: Vec<Node>,
    /// The entry of each call.
    entries: Vec<u32>,
    /// The operands of all calls, one call after the other.
    operands: Vec<Tensor>,
    /// The end of each call's operands in `operands`.
    ends: Vec<usize>,
}

impl<'g> Calls<'g> {
    pub(super) fn of(graph: &'g Graph) -> Result<Self> {
        let index = graph.entries.iter().enumerate().map(|(i, e)| (&*e.name, i)).collect();
        let mut calls =
            Self { graph, index, first: Vec::new(), entries: Vec::new(), operands: Vec::new(), ends: Vec::new() };
        for (i, entry) in graph.entries.iter().enumerate() {
            calls.first.push(calls.entries.len());
            let len = match entry.kind {
                EntryKind::Input(_) => 1,
                EntryKind::Layer | EntryKind::Nested(_) => entry.calls.len(),
            };
            calls.entries.resize(calls.entries.len() + len, i as u32);
        }
        for node in 0..calls.entries.len() {
            for tensor in calls.call(node).map_or(&[][..], |call| &call.tensors) {
                let operand = calls.resolve(tensor)?;
                calls.operands.push(operand);
            }
            calls.ends.push(calls.operands.len());
        }
        Ok(calls)
    }

    pub(super) fn graph(&self) -> &'g Graph {
        self.graph
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entry of the call.
    pub(super) fn entry(&self, node: Node) -> &'g Entry {
        &self.graph.entries[self.entries[node] as usize]
    }

    /// The index of the call among the calls of its entry.
    pub(super) fn number(&self, node: Node) -> usize {
        node - self.first[self.entries[node] as usize]
    }

    /// The call, unless the node is an input.
    pub(super) fn call(&self, node: Node) -> Option<&'g Call> {
        let entry = self.entry(node);
        match entry.kind {
            EntryKind::Input(_) => None,
            EntryKind::Layer | EntryKind::Nested(_) => entry.calls.get(self.number(node)),
        }
    }

    /// The operands of the call.
    pub(super) fn operands(&self, node: Node) -> &[Tensor] {
        let start = node.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.operands[start..self.ends[node]]
    }

    /// The inputs of the model.
    pub(super) fn inputs(&self) -> impl Iterator<Item = Node> {
        (0..self.len()).filter(|node| self.is_input(*node))
    }

    fn is_input(&self, node: Node) -> bool {
        matches!(self.entry(node).kind, EntryKind::Input(_))
    }

    pub(super) fn resolve(&self, tensor: &TensorRef) -> Result<Tensor> {
        let entry = self.index.get(&*tensor.layer).copied().ok_or_else(|| self.dangling(tensor))?;
        let end = self.first.get(entry + 1).copied().unwrap_or(self.entries.len());
        let node = self.first[entry].checked_add(tensor.node).filter(|node| *node < end);
        match node.filter(|_| tensor.tensor < MAX_RESULTS) {
            Some(node) => Ok((node, tensor.tensor)),
            None => Err(self.dangling(tensor)),
        }
    }

    /// Resolves an output of the model, whose calls may be numbered from 1 (see [`counts_from_one`]).
    pub(super) fn output(&self, module: &Module, output: &TensorRef) -> Result<Tensor> {
        let entry = self.index.get(&*output.layer).map(|i| &self.graph.entries[*i]);
        if !entry.is_some_and(|e| counts_from_one(module, e)) {
            return self.resolve(output);
        }
        let mut output = output.clone();
        output.node = output.node.checked_sub(1).ok_or_else(|| self.dangling(&output))?;
        self.resolve(&output)
    }

    pub(super) fn dangling(&self, tensor: &TensorRef) -> Problem {
        let place = if self.graph.path.is_empty() { "the graph" } else { &self.graph.path };
        let TensorRef { layer, node, tensor, .. } = tensor;
        Problem::config(
            place,
            format!("refers to output {tensor} of call {node} of layer `{layer}`, which does not exist"),
        )
    }

    /// The calls in a topological order that stays close to the file's order.
    pub(super) fn order(&self) -> Result<Vec<Node>> {
        // Each call waits for its operands and for the previous call of the same layer, because a layer's calls are
        // numbered in the file's order.
        let before = |node: Node| node.checked_sub(1).filter(|_| self.number(node) > 0);
        let sources = |node: Node| {
            let read = self.operands(node).iter().map(|(source, _)| *source).filter(|source| !self.is_input(*source));
            read.chain(before(node))
        };
        let mut waiting: Vec<usize> = (0..self.len()).map(|node| sources(node).count()).collect();
        let mut ends = vec![0; self.len()];
        (0..self.len()).flat_map(&sources).for_each(|source| ends[source] += 1);
        let mut num = 0;
        for end in &mut ends {
            num += *end;
            *end = num - *end;
        }
        let mut readers = vec![0; num];
        for node in 0..self.len() {
            for source in sources(node) {
                readers[ends[source]] = node;
                ends[source] += 1;
            }
        }
        let runs = |node: &Node| !self.is_input(*node);
        let mut ready: BinaryHeap<Reverse<Node>> =
            (0..self.len()).filter(runs).filter(|node| waiting[*node] == 0).map(Reverse).collect();
        let mut order = Vec::new();
        while let Some(Reverse(node)) = ready.pop() {
            order.push(node);
            let start = node.checked_sub(1).map_or(0, |before| ends[before]);
            for reader in &readers[start..ends[node]] {
                waiting[*reader] -= 1;
                if waiting[*reader] == 0 {
                    ready.push(Reverse(*reader));
                }
            }
        }
        match waiting.iter().position(|n| *n > 0) {
            Some(node) => {
                let path = join(&self.graph.path, &self.entry(node).name);
                Err(Problem::config(path, "the layer depends on its own result; the graph has a cycle"))
            }
            None => Ok(order),
        }
    }
}

/// What the readers of each result record about it.
pub(super) struct Links {
    /// The type that a reader records for a tensor. A shape with the element type `Any` is one that a reader was built
    /// for.
    recorded: HashMap<Tensor, Recorded, RandomState>,
    /// Tensors whose readers were built for different ranks.
    contradicted: BTreeSet<Tensor>,
    /// The number of results of each call that readers refer to.
    arity: Vec<usize>,
}

impl Links {
    /// Collects the readers of all results: the calls, and the model's outputs with the types that the file records.
    pub(super) fn of(calls: &Calls<'_>, module: &Module, outputs: &[(Tensor, Option<&Recorded>)]) -> Result<Self> {
        let arity = vec![0; calls.len()];
        let mut links = Self { recorded: HashMap::default(), contradicted: BTreeSet::new(), arity };
        for node in 0..calls.len() {
            let Some(call) = calls.call(node) else { continue };
            let entry = calls.entry(node);
            for (i, (tensor, operand)) in call.tensors.iter().zip(calls.operands(node)).enumerate() {
                let recorded = tensor.recorded.clone().or_else(|| match entry.kind {
                    EntryKind::Nested(func) => declared_input(&module[func], i),
                    EntryKind::Layer if calls.number(node) == 0 && call.tensors.len() == 1 => {
                        built_shape(&module[entry.layer].config).map(|extents| (ElemType::Any, extents))
                    }
                    EntryKind::Layer | EntryKind::Input(_) => None,
                });
                links.add(*operand, recorded);
            }
        }
        for (tensor, recorded) in outputs {
            links.add(*tensor, recorded.cloned());
        }
        let read: usize = links.arity.iter().sum();
        if read > calls.operands.len() + outputs.len() + MAX_UNREAD {
            let place = if calls.graph.path.is_empty() { "the graph" } else { &calls.graph.path };
            let note =
                format!("refers to results by indices so large that more than {MAX_UNREAD} results are never used");
            return Err(Problem::config(place, note));
        }
        Ok(links)
    }

    /// The number of results of the call that readers refer to.
    pub(super) fn arity(&self, node: Node) -> usize {
        self.arity[node]
    }

    /// The type that readers record for the tensor.
    pub(super) fn recorded(&self, tensor: Tensor) -> Option<&Recorded> {
        self.recorded.get(&tensor)
    }

    /// Adds a reader and the type that it records. A type recorded in a call is certain. A shape that a reader was
    /// built for is not, and counts only where all readers agree.
    fn add(&mut self, tensor: Tensor, recorded: Option<Recorded>) {
        let (node, i) = tensor;
        self.arity[node] = self.arity[node].max(i + 1);
        let Some(new) = recorded else { return };
        if new.0 == ElemType::Any && self.contradicted.contains(&tensor) {
            return;
        }
        match self.recorded.entry(tensor) {
            hash_map::Entry::Vacant(vacant) => {
                vacant.insert(new);
            }
            hash_map::Entry::Occupied(mut known) => {
                let (elem, extents) = known.get();
                if new.0 != ElemType::Any {
                    known.insert(new);
                } else if *elem == ElemType::Any && *extents != new.1 {
                    let same_rank = extents.len() == new.1.len();
                    let agreed = extents.iter().zip(&new.1).map(|(a, b)| a.filter(|_| a == b)).collect();
                    if same_rank {
                        known.insert((ElemType::Any, agreed));
                    } else {
                        known.remove();
                        self.contradicted.insert(tensor);
                    }
                }
            }
        }
    }
}

/// The shape that a nested model declares for its input `i`. The element type stays open, because Keras casts inputs.
fn declared_input(func: &Func, i: usize) -> Option<Recorded> {
    let dims = func[func.params.get(i)?.value].ty.dims.as_ref()?;
    let mut extents: Vec<Option<u64>> = dims.iter().map(Dim::known).collect();
    if let Some(batch) = extents.first_mut() {
        *batch = None;
    }
    Some((ElemType::Any, extents))
}

/// The shape that a layer was built for, with an open batch, which may differ between calls.
fn built_shape(object: &Attrs) -> Option<Vec<Option<u64>>> {
    let mut shape = extents(object.get("build_config")?.get("input_shape")?.as_list()?)?;
    if let Some(batch) = shape.first_mut() {
        *batch = None;
    }
    Some(shape)
}
