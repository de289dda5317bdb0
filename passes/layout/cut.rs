//! Minimum cuts, computed by maximum flow.

use std::collections::VecDeque;

/// The maximum number of visits per edge, on average. Bounds the time for winding flows.
const LOOKS: usize = 400;

/// The weight of edges that cannot be cut.
const WHOLE: u64 = u64::MAX / 4;

/// A node of a [`Network`].
pub(super) type Node = usize;

/// The source, on one side of every cut.
pub(super) const SOURCE: Node = 0;

/// The sink, on the other side.
pub(super) const SINK: Node = 1;

/// A flow network.
pub(super) struct Network {
    /// The first edge of each node.
    first: Vec<Option<usize>>,
    /// Edges in pairs: edge `e ^ 1` is the reverse of edge `e`.
    edges: Vec<Edge>,
}

struct Edge {
    to: Node,
    /// The residual capacity.
    left: u64,
    next: Option<usize>,
}

impl Network {
    pub(super) fn new() -> Self {
        Self { first: vec![None; 2], edges: Vec::new() }
    }

    pub(super) fn add_node(&mut self) -> Node {
        self.first.push(None);
        self.first.len() - 1
    }

    /// Adds `weight` to the cost of every cut that separates these nodes.
    pub(super) fn tie(&mut self, nodes: &[Node], weight: u64) {
        let mut nodes = nodes.to_vec();
        nodes.sort_unstable();
        nodes.dedup();
        match nodes[..] {
            [] | [_] => {}
            _ if weight == 0 => {}
            [a, b] => self.edge(a, b, weight, weight),
            _ => {
                // A node on the source's side pulls `some` there; a node on the sink's side pulls `all` there.
                let (some, all) = (self.add_node(), self.add_node());
                self.edge(some, all, weight, 0);
                for node in nodes {
                    self.edge(node, some, WHOLE, 0);
                    self.edge(all, node, WHOLE, 0);
                }
            }
        }
    }

    /// Puts `node` on the source's side.
    pub(super) fn fix_to_source(&mut self, node: Node) {
        self.edge(SOURCE, node, WHOLE, 0);
    }

    fn edge(&mut self, a: Node, b: Node, there: u64, back: u64) {
        for (from, to, left) in [(a, b, there), (b, a, back)] {
            self.edges.push(Edge { to, left, next: self.first[from] });
            self.first[from] = Some(self.edges.len() - 1);
        }
    }

    fn edges_of(&self, node: Node) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(self.first[node], |e| self.edges[*e].next)
    }

    /// Marks the nodes on the source's side of a minimum cut. Among minimum cuts, takes the one with the most such
    /// nodes.
    ///
    /// `None` if finding it would take more than linear time.
    pub(super) fn cut(self) -> Option<Vec<bool>> {
        let looks = LOOKS * (self.edges.len() + self.first.len());
        self.cut_within(looks)
    }

    /// Like [`cut`](Self::cut), with a limit on visits of edges.
    fn cut_within(mut self, mut looks: usize) -> Option<Vec<bool>> {
        while let Some(levels) = self.levels(&mut looks)? {
            self.saturate(&levels, &mut looks)?;
        }
        let drained = self.reach([SINK], |edge| self.edges[edge ^ 1].left > 0);
        Some(drained.into_iter().map(|drained| !drained).collect())
    }

    /// Marks the nodes connected to one of `nodes` by a path that does not pass through the source or the sink.
    pub(super) fn tied_to(&self, nodes: &[Node]) -> Vec<bool> {
        let inner = |edge: usize| ![SOURCE, SINK].contains(&self.edges[edge].to);
        self.reach(nodes.iter().copied(), inner)
    }

    fn reach(&self, from: impl IntoIterator<Item = Node>, follows: impl Fn(usize) -> bool) -> Vec<bool> {
        let mut reached = vec![false; self.first.len()];
        let mut open: Vec<Node> = from.into_iter().collect();
        open.iter().for_each(|node| reached[*node] = true);
        while let Some(node) = open.pop() {
            for edge in self.edges_of(node).filter(|e| follows(*e)) {
                let to = self.edges[edge].to;
                if !std::mem::replace(&mut reached[to], true) {
                    open.push(to);
                }
            }
        }
        reached
    }

    /// The distance of each node from the source in the residual graph. `Some(None)` if the sink cannot be reached,
    /// `None` if the visits are used up.
    fn levels(&self, looks: &mut usize) -> Option<Option<Vec<usize>>> {
        let mut levels = vec![usize::MAX; self.first.len()];
        levels[SOURCE] = 0;
        let mut open = VecDeque::from([SOURCE]);
        while let Some(node) = open.pop_front() {
            for edge in self.edges_of(node) {
                *looks = looks.checked_sub(1)?;
                let Edge { to, left, .. } = self.edges[edge];
                if left > 0 && levels[to] == usize::MAX {
                    levels[to] = levels[node] + 1;
                    open.push_back(to);
                }
            }
        }
        Some((levels[SINK] < usize::MAX).then_some(levels))
    }

    /// Pushes as much flow as possible over edges from each level to the next (a blocking flow).
    fn saturate(&mut self, levels: &[usize], looks: &mut usize) -> Option<()> {
        let mut next = self.first.clone();
        let mut path: Vec<usize> = Vec::new();
        loop {
            *looks = looks.checked_sub(1)?;
            let node = path.last().map_or(SOURCE, |e| self.edges[*e].to);
            if node == SINK {
                *looks = looks.checked_sub(path.len())?;
                self.push(&mut path);
                continue;
            }
            match next[node] {
                Some(edge) => {
                    let Edge { to, left, next: after } = self.edges[edge];
                    if left > 0 && levels[to] == levels[node] + 1 {
                        path.push(edge);
                    } else {
                        next[node] = after;
                    }
                }
                None => match path.pop() {
                    Some(edge) => next[self.edges[edge ^ 1].to] = self.edges[edge].next,
                    None => return Some(()),
                },
            }
        }
    }

    /// Pushes as much flow as possible along `path`, and truncates it before the first saturated edge.
    fn push(&mut self, path: &mut Vec<usize>) {
        let flow = path.iter().map(|e| self.edges[*e].left).min().unwrap_or(0);
        for edge in path.iter() {
            if self.edges[*edge].left < WHOLE {
                self.edges[*edge].left -= flow;
            }
            let back = &mut self.edges[edge ^ 1].left;
            *back = back.saturating_add(flow);
        }
        let full = path.iter().position(|e| self.edges[*e].left == 0);
        path.truncate(full.unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use netc_testgen::property::config;
    use proptest::prelude::*;

    use super::*;

    /// The weight of the cut that has `side` on the source's side.
    fn weight(ties: &[(Vec<Node>, u64)], side: &[bool]) -> u64 {
        let apart = |nodes: &[Node]| nodes.iter().any(|n| side[*n]) && nodes.iter().any(|n| !side[*n]);
        ties.iter().filter(|(nodes, _)| apart(nodes)).map(|(_, weight)| weight).sum()
    }

    #[test]
    fn the_cut_is_minimal_and_has_the_most_source_nodes() {
        const NODES: usize = 8;
        let ties = prop::collection::vec((prop::collection::vec(0..NODES, 2..5), 0..6u64), 0..14);
        proptest!(config(400), |(ties in ties)| {
            let mut network = Network::new();
            network.first.resize(NODES, None);
            ties.iter().for_each(|(nodes, weight)| network.tie(nodes, *weight));
            let side = network.cut().unwrap()[..NODES].to_vec();
            prop_assert!(side[SOURCE] && !side[SINK]);
            for bits in 0..1usize << (NODES - 2) {
                let other: Vec<bool> = (0..NODES).map(|n| n == SOURCE || n > SINK && bits >> (n - 2) & 1 == 1).collect();
                let (found, of_other) = (weight(&ties, &side), weight(&ties, &other));
                prop_assert!(found <= of_other);
                let is_part = other.iter().zip(&side).all(|(other, side)| *side || !other);
                prop_assert!(found < of_other || is_part, "{side:?} {other:?}");
            }
        });
    }

    #[test]
    fn fixed_nodes_stay_on_the_source_side_and_ties_connect_nodes() {
        let mut network = Network::new();
        let [a, b, c] = [network.add_node(), network.add_node(), network.add_node()];
        network.fix_to_source(a);
        network.tie(&[a, b], 5);
        network.tie(&[b, SINK], 3);
        network.tie(&[SINK, c], 1);
        assert_eq!(network.tied_to(&[a]), [false, false, true, true, false]);
        assert_eq!(network.cut(), Some(vec![true, false, true, true, false]));
    }

    #[test]
    fn a_search_beyond_its_visit_limit_stops() {
        let chain = |len: usize| {
            let mut network = Network::new();
            let nodes: Vec<Node> = (0..len).map(|_| network.add_node()).collect();
            network.fix_to_source(nodes[0]);
            nodes.windows(2).for_each(|pair| network.tie(pair, 2));
            network.tie(&[nodes[len - 1], SINK], 1);
            network
        };
        assert_eq!(chain(1000).cut_within(1000), None);
        assert!(chain(1000).cut().is_some());
    }
}
