//! From the e-graph back to a function: computes costs, chooses nodes, and builds the ops.

use std::collections::BTreeMap;

use egg::Id;
use netc_ir::{Func, Module, OpId, ValueId};
use netc_pass::{OpCosts, Operand};

use super::classes::{Classes, Node, NodeKind};
use super::extract::{self, Candidate, Choice, Problem};
use crate::copy::{Copy, named};

/// The minimum cost of a node, in seconds. Constants have this cost because they are computed before the program runs.
const LEAST: f64 = 1e-12;

/// The result of extraction.
pub(super) struct Extraction {
    /// The classes by number, with their sorted nodes.
    classes: Vec<(Id, Vec<Node>)>,
    problem: Problem,
    choice: Choice,
    /// The cost of the original function, in seconds.
    pub(super) before: f64,
    /// The cost of the choice, in seconds.
    pub(super) after: f64,
    /// Whether the choice is proven optimal.
    pub(super) exact: bool,
}

impl Extraction {
    pub(super) fn of(classes: &Classes<'_>, func: &Func, costs: &dyn OpCosts, exact: bool) -> Self {
        let graph = &classes.graph;
        let mut ids: Vec<Id> = graph.classes().map(|class| class.id).collect();
        ids.sort_unstable();
        let number: BTreeMap<Id, usize> = ids.iter().enumerate().map(|(i, id)| (*id, i)).collect();
        let nodes = |id: &Id| {
            let mut nodes: Vec<Node> = graph[*id].nodes.iter().map(|node| classes.canonical(node)).collect();
            nodes.sort_unstable();
            nodes.dedup();
            (*id, nodes)
        };
        let table: Vec<(Id, Vec<Node>)> = ids.iter().map(nodes).collect();
        let candidate = |id: &Id, node: &Node| Candidate {
            cost: cost(classes, costs, *id, node),
            reads: node.operands.iter().map(|id| number[id]).collect(),
        };
        let candidates =
            table.iter().map(|(id, nodes)| nodes.iter().map(|node| candidate(id, node)).collect()).collect();
        let roots = func.outputs.iter().map(|o| number[&graph.find(classes.class_of[&o.value])]).collect();
        let problem = Problem { classes: candidates, roots };

        let place = |(id, node): &(Id, Node)| {
            let class = number[&graph.find(*id)];
            let node = classes.canonical(node);
            table[class].1.binary_search(&node).ok().map(|candidate| (class, candidate))
        };
        let trees = problem.cheapest_trees();
        let mut original = trees.clone();
        // If the function computes equal values in several ways, the first is the original.
        classes.original.iter().rev().filter_map(place).for_each(|(class, candidate)| original[class] = candidate);
        let together: Vec<Vec<(usize, usize)>> =
            classes.together.iter().filter_map(|change| change.iter().map(place).collect()).collect();
        let before = problem.cost(&original).unwrap_or(f64::INFINITY);
        let cost = |choice: &Choice| problem.cost(choice).unwrap_or(f64::INFINITY);
        let [a, b] = [original, trees].map(|start| problem.descend(start, &together));
        let descent = if cost(&b) < cost(&a) { b } else { a };
        let cheapest = if exact { problem.cheapest(&descent) } else { None };
        let no_worse = |(choice, _): &(Choice, bool)| cost(choice) <= cost(&descent) * (1.0 + extract::LEAST);
        let (choice, exact) = cheapest.filter(no_worse).unwrap_or((descent, false));
        let after = cost(&choice);
        Self { classes: table, problem, choice, before, after, exact }
    }

    /// Builds the function of the choice.
    pub(super) fn func(&self, classes: &Classes<'_>, module: &Module, func: &Func) -> Func {
        let mut copy = Copy::new(module, func, func.name.clone());
        func.params.iter().for_each(|p| copy.param(p));
        let mut values: BTreeMap<Id, ValueId> = BTreeMap::new();
        let mut opaque: BTreeMap<OpId, Vec<ValueId>> = BTreeMap::new();
        let locs = classes.locs();
        for class in self.problem.order(&self.choice).unwrap_or_default() {
            let (id, nodes) = &self.classes[class];
            let node = &nodes[self.choice[class]];
            let operands: Vec<ValueId> = node.operands.iter().map(|id| values[id]).collect();
            let value = match &node.kind {
                NodeKind::Param(value) => copy.get_all(&[*value])[0],
                NodeKind::Core(op) => {
                    let ty = classes.graph[*id].data.ty.clone();
                    let loc = locs.get(id).cloned().unwrap_or_default();
                    let new = copy.builder.at(loc).op(op.clone(), &operands, [(ty, None)]);
                    copy.builder.results(new)[0]
                }
                NodeKind::Opaque(op, result) => {
                    let new = opaque.entry(*op).or_insert_with(|| {
                        let types = func[*op].results.iter().map(|v| (func[*v].ty.clone(), None));
                        let new = copy.builder.at(func[*op].loc.clone()).op(func[*op].kind.clone(), &operands, types);
                        copy.builder.results(new).to_vec()
                    });
                    new[*result]
                }
            };
            values.insert(*id, value);
        }
        for (old, class) in &classes.class_of {
            if let Some(new) = values.get(&classes.graph.find(*class)) {
                copy.set(*old, *new);
            }
        }
        let mut extracted = copy.finish(named(&func.outputs));
        extracted.attrs = func.attrs.clone();
        extracted
    }
}

/// The cost of computing the class by this node.
fn cost(classes: &Classes<'_>, costs: &dyn OpCosts, id: Id, node: &Node) -> f64 {
    let class = &classes.graph[id].data;
    match &node.kind {
        NodeKind::Core(op) if !class.constant => {
            let operand = |id: &Id| {
                let known = &classes.graph[*id].data;
                Operand { ty: &known.ty, constant: known.constant }
            };
            let operands: Vec<Operand<'_>> = node.operands.iter().map(operand).collect();
            costs.seconds(op, &operands, &class.ty).max(LEAST)
        }
        NodeKind::Core(_) | NodeKind::Param(_) | NodeKind::Opaque(..) => LEAST,
    }
}
