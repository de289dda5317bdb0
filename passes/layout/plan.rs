//! Decides which ops are moved, and which transposes of the program are removed.

use netc_ir::{CoreOp, Func, Op, OpId, OpKind, Uses, ValueId};
use netc_pass::Fuel;

use super::cut::{Network, Node, SINK, SOURCE};
use super::order::{Conversion, Order};
use super::recast::{Caster, Reading, Recast};
use crate::analysis::constant_values;

/// The plan for the ops of a function.
pub(super) struct Plan {
    /// The moved form of each op that is moved, by id.
    pub(super) moved: Vec<Option<Recast>>,
    /// The direction of each transpose between the two orders, by id.
    pub(super) turns: Vec<Option<Turn>>,
    /// Which transposes are removed, by id: their result exists already.
    pub(super) gone: Vec<bool>,
    /// The number of moved convolutions and poolings.
    pub(super) windows: u64,
    /// The convolutions and poolings of the other layout whose rank is unknown.
    pub(super) unranked: Vec<OpId>,
}

/// A transpose between the two orders.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    /// To moved order: its result is its operand, moved.
    There,
    /// From moved order: its operand is its result, moved.
    Back,
}

impl Plan {
    /// Whether nothing changes.
    pub(super) fn is_empty(&self) -> bool {
        self.num_moved() == 0
    }

    pub(super) fn num_moved(&self) -> u64 {
        self.moved.iter().flatten().count() as u64
    }
}

/// Plans the changes of `func`, while there is fuel. Moving an op or removing a transpose is one rewrite.
///
/// Any subset of the ops may be moved, so each takes fuel on its own. A function without convolutions and poolings of
/// the other layout does not change.
pub(super) fn plan(func: &Func, order: Order, fuel: &mut Fuel) -> Plan {
    let constant = constant_values(func);
    let planner = Planner { func, constant: &constant, order };
    let mut ways = planner.ways();
    let windows = ways.recasts.iter().flatten().any(|r| r.is_window);
    if windows {
        planner.choose(&mut ways);
        for recast in &mut ways.recasts {
            recast.take_if(|_| !fuel.burn());
        }
    }
    let moved = if windows { ways.recasts } else { vec![None; func.num_op_slots()] };
    let gone = planner.gone(&moved, &ways.turns, fuel);
    let windows = moved.iter().flatten().filter(|r| r.is_window).count() as u64;
    Plan { moved, turns: ways.turns, gone, windows, unranked: ways.unranked }
}

struct Planner<'a> {
    func: &'a Func,
    /// Which values depend on no parameter, by id. These are available in both orders.
    constant: &'a [bool],
    order: Order,
}

/// The possible changes of each op, by id.
struct Ways {
    recasts: Vec<Option<Recast>>,
    turns: Vec<Option<Turn>>,
    unranked: Vec<OpId>,
}

impl Planner<'_> {
    fn ways(&self) -> Ways {
        let slots = self.func.num_op_slots();
        let mut ways = Ways { recasts: vec![None; slots], turns: vec![None; slots], unranked: Vec::new() };
        // The values that depend on a window of the other layout through ops that can all be moved.
        let mut follows = vec![false; self.func.num_values()];
        let caster = Caster { func: self.func, constant: self.constant, order: self.order };
        for (id, op) in self.func.ops() {
            let Some(result) = op.results.first() else { continue };
            if self.constant[result.index()] && !caster.is_other_window(op) {
                continue;
            }
            let recast = caster.recast(op);
            if recast.is_none() && caster.is_other_window(op) {
                ways.unranked.push(id);
            }
            if let Some(recast) = recast.as_ref().filter(|r| r.result_moves) {
                let reads = op.operands.iter().zip(&recast.operands);
                let mut moved = reads.filter(|(_, how)| **how == Reading::Moved).map(|(v, _)| v);
                follows[result.index()] = recast.is_window || moved.any(|v| follows[v.index()]);
            }
            ways.turns[id.index()] = self.turn(op, &follows);
            ways.recasts[id.index()] = recast;
        }
        ways
    }

    /// The direction of the op, if it is a transpose between the orders. At rank 3 a transpose has both directions;
    /// after a window it counts as one to moved order.
    fn turn(&self, op: &Op, follows: &[bool]) -> Option<Turn> {
        let (OpKind::Core(CoreOp::Transpose(perm)), [x]) = (&op.kind, &op.operands[..]) else { return None };
        let rank = self.func[*x].ty.rank().filter(|rank| *rank >= 3)?;
        let is = |other: Vec<usize>| perm.iter().map(|i| *i as usize).eq(other);
        match (is(self.order.moving(rank)), is(self.order.back(rank))) {
            (true, true) if follows[x.index()] => Some(Turn::There),
            (_, true) => Some(Turn::Back),
            (true, false) => Some(Turn::There),
            (false, false) => None,
        }
    }

    /// Removes the recasts of all ops that should not be moved, so that transposes have the least weight.
    fn choose(&self, ways: &mut Ways) {
        let (network, node_of) = self.network(ways);
        let windows: Vec<Node> = self.nodes(ways, &node_of, |recast| recast.is_window).collect();
        let near = network.tied_to(&windows);
        let side = network.cut();
        for (op, recast) in ways.recasts.iter_mut().enumerate() {
            let chosen = node_of[op].is_some_and(|node| match &side {
                Some(side) => near[node] && side[node],
                // Without a cut, each window gets its own transposes.
                None => recast.as_ref().is_some_and(|recast| recast.is_window),
            });
            recast.take_if(|_| !chosen);
        }
    }

    fn nodes<'w>(
        &self,
        ways: &'w Ways,
        node_of: &'w [Option<Node>],
        want: impl Fn(&Recast) -> bool + 'w,
    ) -> impl Iterator<Item = Node> + 'w {
        let recasts = ways.recasts.iter().zip(node_of);
        recasts.filter_map(move |(recast, node)| node.filter(|_| recast.as_ref().is_some_and(&want)))
    }

    /// The network whose source side is the moved ops, with the node of each op, by id.
    fn network(&self, ways: &Ways) -> (Network, Vec<Option<Node>>) {
        let mut network = Network::new();
        let node_of: Vec<_> = ways.recasts.iter().map(|r| r.as_ref().map(|_| network.add_node())).collect();
        self.nodes(ways, &node_of, |recast| recast.is_window).for_each(|node| network.fix_to_source(node));
        let uses = Uses::of(self.func);
        for value in self.func.values_in_order().filter(|v| !self.constant[v.index()]) {
            let ty = &self.func[value].ty;
            let Some(dims) = ty.dims.as_ref().filter(|dims| dims.len() >= 3) else { continue };
            let weight = Conversion::of(dims, &self.order.moving(dims.len())).weight(ty);
            let readers = uses.readers(value).iter().flat_map(|op| self.readings(value, *op, ways, &node_of));
            let returned = uses.is_output(value).then_some(SINK);
            let holders = std::iter::once(self.source(value, ways, &node_of)).chain(readers).chain(returned);
            network.tie(&holders.collect::<Vec<_>>(), weight);
        }
        (network, node_of)
    }

    /// The node that decides in which order `value` is computed.
    fn source(&self, value: ValueId, ways: &Ways, node_of: &[Option<Node>]) -> Node {
        let Some(op) = self.func.producer(value) else { return SINK };
        match (&ways.recasts[op.index()], ways.turns[op.index()]) {
            (Some(recast), _) if recast.result_moves => node_of[op.index()].unwrap_or(SINK),
            (_, Some(Turn::Back)) => SOURCE,
            (_, Some(Turn::There) | None) => SINK,
        }
    }

    /// The nodes that decide in which order `op` reads `value`.
    fn readings(&self, value: ValueId, op: OpId, ways: &Ways, node_of: &[Option<Node>]) -> Vec<Node> {
        match (&ways.recasts[op.index()], ways.turns[op.index()]) {
            (Some(recast), _) => {
                let reads = self.func[op].operands.iter().zip(&recast.operands).filter(|(v, _)| **v == value);
                let node = node_of[op.index()].unwrap_or(SINK);
                reads.map(|(_, how)| if *how == Reading::Moved { node } else { SINK }).collect()
            }
            (None, Some(Turn::There)) => vec![SOURCE],
            (None, Some(Turn::Back) | None) => vec![SINK],
        }
    }

    /// Marks the transposes that can be removed if the ops of `moved` are moved, while there is fuel.
    fn gone(&self, moved: &[Option<Recast>], turns: &[Option<Turn>], fuel: &mut Fuel) -> Vec<bool> {
        let mut gone = vec![false; self.func.num_op_slots()];
        if moved.iter().all(Option::is_none) {
            return gone;
        }
        // The values that exist in moved order so far.
        let mut there = vec![false; self.func.num_values()];
        for (id, op) in self.func.ops() {
            for v in moved_operands(op, &moved[id.index()]) {
                there[v.index()] = true;
            }
            let (Some(result), operand) = (op.results.first(), op.operands.first()) else { continue };
            match (&moved[id.index()], turns[id.index()], operand) {
                (Some(recast), ..) => there[result.index()] |= recast.result_moves,
                (None, Some(Turn::Back), _) => there[result.index()] = true,
                (None, Some(Turn::There), Some(x)) if there[x.index()] => gone[id.index()] = fuel.burn(),
                (None, Some(Turn::There), Some(x)) => there[x.index()] = true,
                (None, Some(Turn::There) | None, _) => {}
            }
        }
        let uses = Uses::of(self.func);
        let ends: Vec<OpId> = self.func.op_ids().filter(|op| turns[op.index()] == Some(Turn::Back)).collect();
        for op in ends {
            let result = self.func[op].results[0];
            let readers = uses.readers(result);
            let reads_moved = |reader: &OpId| {
                let moved = &moved[reader.index()];
                gone[reader.index()] || moved.as_ref().is_some_and(|m| reads_only_moved(&self.func[*reader], m, result))
            };
            let unread = !readers.is_empty() && !uses.is_output(result) && readers.iter().all(reads_moved);
            gone[op.index()] = unread && fuel.burn();
        }
        gone
    }
}

/// The operands that a moved op reads in moved order.
fn moved_operands<'a>(op: &'a Op, recast: &'a Option<Recast>) -> impl Iterator<Item = ValueId> + 'a {
    let reads = recast.iter().flat_map(|recast| op.operands.iter().zip(&recast.operands));
    reads.filter(|(_, how)| **how == Reading::Moved).map(|(v, _)| *v)
}

fn reads_only_moved(op: &Op, recast: &Recast, value: ValueId) -> bool {
    op.operands.iter().zip(&recast.operands).all(|(v, how)| *v != value || *how == Reading::Moved)
}
