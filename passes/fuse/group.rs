//! Finds groups.

use std::collections::{BTreeMap, BTreeSet};

use netc_ir::{CoreOp, ElemType, Func, OpClass, OpId, OpKind, Type, Uses};

use crate::analysis::is_constant;

/// The maximum number of ops in a group. Limits how much a kernel holds for each block of elements.
const MOST: usize = 32;

/// Ops that become one function.
pub(super) struct Group {
    /// The head, then the other ops in the order of the function. The group's result is the result of the last op.
    pub(super) ops: Vec<OpId>,
    /// The weights and constants that it reads and that come after the head.
    pub(super) constants: Vec<OpId>,
}

/// The groups of `func`, in the order of their heads. No op is in two.
pub(super) fn plan(func: &Func) -> Vec<Group> {
    let mut finder = Finder::of(func);
    func.op_ids().filter_map(|head| finder.take_group(head)).collect()
}

/// The role of an op in a group.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Product,
    Elementwise,
}

struct Finder<'f> {
    func: &'f Func,
    uses: Uses,
    /// The position of each op, by id. The ops of a group have the position of its head.
    place: Vec<usize>,
    taken: Vec<bool>,
}

impl<'f> Finder<'f> {
    fn of(func: &'f Func) -> Self {
        let mut place = vec![0; func.num_op_slots()];
        func.op_ids().enumerate().for_each(|(i, op)| place[op.index()] = i);
        Self { func, uses: Uses::of(func), place, taken: vec![false; func.num_op_slots()] }
    }

    /// Returns the largest group that begins with `head`, and marks its ops as taken.
    fn take_group(&mut self, head: OpId) -> Option<Group> {
        let ops = self.grow(head).filter(|ops| ops.len() > 1)?;
        let place = self.place[head.index()];
        let operands = ops.iter().flat_map(|op| &self.func[*op].operands);
        let behind = operands.filter_map(|v| self.func.producer(*v)).filter(|op| self.place[op.index()] > place);
        let constants: BTreeMap<usize, OpId> =
            behind.filter(|op| is_constant(&self.func[*op].kind)).map(|op| (self.place[op.index()], op)).collect();
        for op in &ops {
            self.taken[op.index()] = true;
            self.place[op.index()] = place;
        }
        Some(Group { ops, constants: constants.into_values().collect() })
    }

    /// The ops of the largest group that begins with `head`, itself included.
    ///
    /// Adds the readers of the group, in order. The group may end wherever no result but the last has further readers.
    fn grow(&self, head: OpId) -> Option<Vec<OpId>> {
        self.role(head)?;
        let ty = &self.func[*self.func[head].results.first()?].ty;
        let (mut ops, mut whole) = (vec![head], 1);
        let mut readers = BTreeSet::new();
        let mut last = head;
        loop {
            let result = *self.func[last].results.first()?;
            readers.extend(self.uses.readers(result).iter().map(|op| (self.place[op.index()], *op)));
            // A value inside the group must not be an output, so an output ends the group.
            let next = readers.pop_first().map(|(_, op)| op).filter(|_| !self.uses.is_output(result));
            let Some(next) = next.filter(|op| ops.len() < MOST && self.joins(*op, head, ty, &ops)) else { break };
            ops.push(next);
            if readers.is_empty() {
                whole = ops.len();
            }
            last = next;
        }
        ops.truncate(whole);
        Some(ops)
    }

    /// Whether `op`, which reads a result of `ops`, may join their group.
    fn joins(&self, op: OpId, head: OpId, ty: &Type, ops: &[OpId]) -> bool {
        let fits = self.role(op) == Some(Role::Elementwise) && self.func[self.func[op].results[0]].ty == *ty;
        fits && self.func[op].operands.iter().all(|v| match self.func.producer(*v) {
            None => true,
            Some(source) => {
                ops.contains(&source)
                    || self.place[source.index()] < self.place[head.index()]
                    || is_constant(&self.func[source].kind)
            }
        })
    }

    /// The role that the op can have in a group, if any.
    fn role(&self, id: OpId) -> Option<Role> {
        let op = &self.func[id];
        let OpKind::Core(core) = &op.kind else { return None };
        let role = role(core).filter(|_| !self.taken[id.index()])?;
        let ty = &self.func[*op.results.first()?].ty;
        (matches!(ty.elem, ElemType::F32 | ElemType::F64) && ty.rank().is_some()).then_some(role)
    }
}

/// The role that an op of this kind can have in a group, if any.
fn role(op: &CoreOp) -> Option<Role> {
    match op.class() {
        OpClass::Product => Some(Role::Product),
        OpClass::Elementwise => matches!(op, CoreOp::Unary(_) | CoreOp::Binary(_)).then_some(Role::Elementwise),
        OpClass::Stored | OpClass::Reduction | OpClass::Movement | OpClass::Extent => None,
    }
}
