//! The post-dominator tree of a graph.
//!
//! Nodes are the live ops and an exit. Weights and constants are not nodes, because each reader has its own copy.
//! Inputs of the model are not nodes either, because each part of a split reads them itself. The successors of a node
//! are its readers, or the exit if there are none. Node `p` post-dominates `n` if every path from `n` to the exit
//! passes through `p`.
//!
//! Graphs are acyclic and topologically sorted, so one backward walk is enough: a node's parent is the lowest common
//! ancestor of its successors, which are already in the tree. Jump pointers (Myers, "An applicative random-access
//! stack", 1983) find ancestors in logarithmic time, so the whole takes `O((n + m) log n)` on any graph. The well-known
//! algorithm of Cooper, Harvey and Kennedy walks parent by parent, which is quadratic if many values are read both near
//! and far.

use super::flat::Flat;
use super::models::NONE;

/// A node of the tree. Its successors in the graph, and its ancestors in the tree, have larger numbers.
pub(crate) type Node = u32;

/// The tree.
pub(crate) struct PostDominators {
    parent: Vec<Node>,
    jump: Vec<Node>,
    depth: Vec<u32>,
    /// The edges of the graph, from producer to reader.
    edges: Vec<(Node, Node)>,
    node_of_op: Vec<Node>,
    ops: Vec<u32>,
}

impl PostDominators {
    /// Computes the tree of `flat`.
    pub(crate) fn of(flat: &Flat) -> Self {
        let mut tree = Self::without_edges(flat);
        let mut meet: Vec<Option<Node>> = vec![None; tree.parent.len()];
        for node in (0..tree.exit()).rev() {
            tree.attach(node, meet[node as usize].unwrap_or(tree.exit()));
            for tensor in flat.reads(tree.op(node)) {
                let Some(from) = flat.producer(*tensor).and_then(|op| tree.node(op)) else { continue };
                tree.edges.push((from, node));
                let met = meet[from as usize].map_or(node, |m| tree.common(m, node));
                meet[from as usize] = Some(met);
            }
        }
        tree
    }

    fn without_edges(flat: &Flat) -> Self {
        let live = flat.live();
        let ops: Vec<u32> = (0..flat.len() as u32).filter(|op| live[*op as usize] && !flat.is_constant(*op)).collect();
        let exit = ops.len() as Node;
        let mut node_of_op = vec![NONE; flat.len()];
        for (op, node) in ops.iter().zip(0..) {
            node_of_op[*op as usize] = node;
        }
        let size = ops.len() + 1;
        Self {
            parent: vec![exit; size],
            jump: vec![exit; size],
            depth: vec![0; size],
            edges: Vec::new(),
            node_of_op,
            ops,
        }
    }

    /// The node after all others.
    pub(crate) fn exit(&self) -> Node {
        (self.parent.len() - 1) as Node
    }

    /// The immediate post-dominator of `node`. For the exit, the exit itself.
    pub(crate) fn parent(&self, node: Node) -> Node {
        self.parent[node as usize]
    }

    /// The distance of `node` from the exit in the tree.
    pub(crate) fn depth(&self, node: Node) -> u32 {
        self.depth[node as usize]
    }

    /// The op of `node`, which must not be the exit.
    pub(crate) fn op(&self, node: Node) -> u32 {
        self.ops[node as usize]
    }

    /// The node of an op. `None` for dead ops, weights and constants.
    pub(crate) fn node(&self, op: u32) -> Option<Node> {
        Some(self.node_of_op[op as usize]).filter(|node| *node != NONE)
    }

    /// The edges from producers to readers. A reader that reads a producer twice has two edges.
    pub(crate) fn edges(&self) -> &[(Node, Node)] {
        &self.edges
    }

    /// The lowest common ancestor of `a` and `b`: the first node that post-dominates both.
    pub(crate) fn common(&self, mut a: Node, mut b: Node) -> Node {
        if self.depth(a) < self.depth(b) {
            std::mem::swap(&mut a, &mut b);
        }
        a = self.ancestor_at(a, self.depth(b));
        // Jumps from equal depths have equal length, so both stay at the same depth.
        while a != b {
            let (ja, jb) = (self.jump[a as usize], self.jump[b as usize]);
            (a, b) = if ja == jb { (self.parent(a), self.parent(b)) } else { (ja, jb) };
        }
        a
    }

    /// For each node, the sum of `own` over its subtree.
    pub(crate) fn subtree_sums<T: Copy + std::ops::AddAssign>(&self, mut own: Vec<T>) -> Vec<T> {
        for node in 0..self.exit() as usize {
            let sum = own[node];
            own[self.parent[node] as usize] += sum;
        }
        own
    }

    /// The position of each node in depth-first preorder.
    pub(crate) fn preorder(&self) -> Vec<u32> {
        let size = self.subtree_sums(vec![1u32; self.parent.len()]);
        let (mut place, mut next) = (vec![0u32; size.len()], vec![1u32; size.len()]);
        for node in (0..self.exit() as usize).rev() {
            let parent = self.parent[node] as usize;
            place[node] = next[parent];
            next[parent] += size[node];
            next[node] = place[node] + 1;
        }
        place
    }

    fn attach(&mut self, node: Node, parent: Node) {
        let up = self.jump[parent as usize];
        let far = self.jump[up as usize];
        let balanced = self.depth(parent) - self.depth(up) == self.depth(up) - self.depth(far);
        self.parent[node as usize] = parent;
        self.jump[node as usize] = if balanced { far } else { parent };
        self.depth[node as usize] = self.depth(parent) + 1;
    }

    fn ancestor_at(&self, mut node: Node, depth: u32) -> Node {
        while self.depth(node) > depth {
            let jump = self.jump[node as usize];
            node = if self.depth(jump) < depth { self.parent(node) } else { jump };
        }
        node
    }
}
