//! The layer order that Keras computes when it builds the graph.
//!
//! Keras numbers the groups of the weights file in this order. It recomputes the order when it loads a model and
//! ignores the order of the configuration, so a writer must use the same one. The algorithm is `map_graph` in Keras's
//! `ops/function.py`: operations by decreasing depth; at equal depth, in the order in which a depth-first walk from the
//! outputs enters them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use netc_ir::{Def, Func, LayerId, OpId, ValueId};

/// An operation as Keras counts them: an input, or a layer with all its calls.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Operation {
    /// The parameter with this index.
    Input(usize),
    /// The layer, with all its calls.
    Layer(LayerId),
    /// An op without a layer.
    Op(OpId),
}

/// One call of an operation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    Input(usize),
    Call(OpId),
}

/// The distance of calls and operations from the outputs.
struct Depths {
    nodes: BTreeMap<Node, usize>,
    operations: BTreeMap<Operation, usize>,
    /// Each call's position in the order in which Keras discovers them.
    found: BTreeMap<Node, usize>,
}

impl Depths {
    fn of(func: &Func, walk: &Walk) -> Self {
        let (mut nodes, mut operations, mut found) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut find = |node: Node| {
            let next = found.len();
            found.entry(node).or_insert(next);
        };
        for node in walk.post_order.iter().rev() {
            let operation = operation(func, *node);
            let known = nodes.get(node).copied().unwrap_or(0);
            let depth: usize = known.max(operations.get(&operation).copied().unwrap_or(0));
            operations.insert(operation, depth);
            nodes.insert(*node, depth);
            find(*node);
            for parent in parents(func, *node) {
                find(parent);
                let seen = nodes.entry(parent).or_insert(0);
                *seen = (*seen).max(depth + 1);
            }
        }
        Self { nodes, operations, found }
    }
}

/// The calls that the outputs need, in the order in which Keras makes them: by depth, then by discovery. Keras
/// discovers the operands of one call in no fixed order; this uses the operand order.
pub(crate) fn run_order(func: &Func) -> Vec<OpId> {
    let Depths { nodes, found, .. } = Depths::of(func, &Walk::from_outputs(func));
    let mut calls: Vec<(Reverse<usize>, Option<usize>, OpId)> = Vec::new();
    for (node, depth) in nodes {
        if let Node::Call(op) = node {
            calls.push((Reverse(depth), found.get(&node).copied(), op));
        }
    }
    calls.sort();
    calls.into_iter().map(|(.., op)| op).collect()
}

/// The operations of `func`, ordered as in Keras's `Functional.operations`.
pub(crate) fn keras_order(func: &Func) -> Vec<Operation> {
    let walk = Walk::from_outputs(func);
    let operations = Depths::of(func, &walk).operations;
    // Unused inputs come first among the operations of depth 0.
    let unused = (0..func.params.len()).map(Operation::Input).filter(|i| !operations.contains_key(i));
    let mut order: Vec<(Reverse<usize>, Option<usize>, Operation)> = unused.map(|op| (Reverse(0), None, op)).collect();
    order.extend(operations.iter().map(|(op, depth)| (Reverse(*depth), walk.entered.get(op).copied(), *op)));
    order.sort();
    order.into_iter().map(|(_, _, op)| op).collect()
}

/// The calls that the outputs need. Keras saves and counts only these.
pub(crate) fn needed_calls(func: &Func) -> BTreeSet<OpId> {
    let call = |node| match node {
        Node::Input(_) => None,
        Node::Call(op) => Some(op),
    };
    Walk::from_outputs(func).post_order.into_iter().filter_map(call).collect()
}

/// The calls that `ends` need but no output does, in topological order.
pub(crate) fn extra_calls(func: &Func, ends: &[OpId]) -> Vec<OpId> {
    let needed = needed_calls(func);
    let walk = Walk::from(func, ends.iter().map(|op| Node::Call(*op)));
    let call = |node| match node {
        Node::Input(_) => None,
        Node::Call(op) => Some(op).filter(|op| !needed.contains(op)),
    };
    walk.post_order.into_iter().filter_map(call).collect()
}

#[derive(Default)]
struct Walk {
    post_order: Vec<Node>,
    entered: BTreeMap<Operation, usize>,
}

impl Walk {
    fn from_outputs(func: &Func) -> Self {
        Self::from(func, func.outputs.iter().map(|output| node_of(func, output.value)))
    }

    /// Walks depth-first with an explicit stack, because deep networks would overflow the machine's stack.
    fn from(func: &Func, ends: impl Iterator<Item = Node>) -> Self {
        let mut walk = Self::default();
        let mut seen: BTreeSet<Node> = BTreeSet::new();
        let mut stack: Vec<(Node, Vec<Node>)> = Vec::new();
        for end in ends {
            walk.enter(func, end, &mut seen, &mut stack);
            while let Some((node, waiting)) = stack.last_mut() {
                let node = *node;
                match waiting.pop() {
                    Some(parent) => walk.enter(func, parent, &mut seen, &mut stack),
                    None => {
                        stack.pop();
                        walk.post_order.push(node);
                    }
                }
            }
        }
        walk
    }

    fn enter(&mut self, func: &Func, node: Node, seen: &mut BTreeSet<Node>, stack: &mut Vec<(Node, Vec<Node>)>) {
        if !seen.insert(node) {
            return;
        }
        let next = self.entered.len();
        self.entered.entry(operation(func, node)).or_insert(next);
        let mut waiting: Vec<Node> = parents(func, node).collect();
        waiting.reverse();
        stack.push((node, waiting));
    }
}

fn node_of(func: &Func, value: ValueId) -> Node {
    match func[value].def {
        Def::Param(i) => Node::Input(i as usize),
        Def::Result(op, _) => Node::Call(op),
    }
}

fn operation(func: &Func, node: Node) -> Operation {
    match node {
        Node::Input(i) => Operation::Input(i),
        Node::Call(op) => func[op].kind.layer().map_or(Operation::Op(op), Operation::Layer),
    }
}

fn parents(func: &Func, node: Node) -> impl Iterator<Item = Node> + '_ {
    let operands = match node {
        Node::Input(_) => &[][..],
        Node::Call(op) => &func[op].operands,
    };
    operands.iter().map(|v| node_of(func, *v))
}
