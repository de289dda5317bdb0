//! Builds the function that a plan describes.

use std::collections::BTreeMap;

use netc_ir::{CoreOp, Func, Literal, Loc, Module, Op, OpId, OpKind, Type, ValueId};

use super::order::{Conversion, Order, permuted, permuted_type};
use super::plan::{Plan, Turn};
use super::recast::{Reading, Recast, aligned_type};
use crate::copy::{Copy, named};

/// Rebuilds `func`, a function of `module`, according to `plan`.
pub(super) fn apply(module: &Module, func: &Func, plan: &Plan, order: Order) -> Func {
    let mut emitter = Emitter {
        func,
        plan,
        order,
        copy: Copy::new(module, func, func.name.clone()),
        plain: vec![None; func.num_values()],
        moved: BTreeMap::new(),
    };
    for param in &func.params {
        emitter.copy.param(param);
        emitter.plain[param.value.index()] = emitter.copy.get_all(&[param.value]).first().copied();
    }
    func.ops().for_each(|(id, op)| emitter.op(id, op));
    emitter.finish()
}

struct Emitter<'a> {
    func: &'a Func,
    plan: &'a Plan,
    order: Order,
    copy: Copy<'a>,
    /// The new value for each old value in its original order, by id.
    plain: Vec<Option<ValueId>>,
    /// The new value for each old value in moved order, by the value and the number of axes.
    moved: BTreeMap<(ValueId, usize), ValueId>,
}

impl<'a> Emitter<'a> {
    fn op(&mut self, id: OpId, op: &Op) {
        let turn = self.plan.turns[id.index()];
        match (&self.plan.moved[id.index()], turn, self.plan.gone[id.index()]) {
            (Some(recast), ..) => self.recast(op, recast),
            (None, Some(Turn::There), true) => {
                let moved = self.moved(op.operands[0], &op.loc);
                self.set_plain(op.results[0], moved);
            }
            (None, Some(Turn::Back), true) => {}
            (None, Some(Turn::There), false) => {
                self.keep(op);
                let rank = self.rank(op.operands[0]);
                if let Some(result) = self.plain[op.results[0].index()] {
                    self.moved.entry((op.operands[0], rank)).or_insert(result);
                }
            }
            (None, _, _) => self.keep(op),
        }
    }

    /// Copies the op.
    fn keep(&mut self, op: &Op) {
        for operand in &op.operands {
            self.plain(*operand, &op.loc);
        }
        self.copy.op(op);
        for (old, new) in op.results.iter().zip(self.copy.get_all(&op.results)) {
            self.plain[old.index()] = Some(new);
        }
    }

    /// Adds the op in moved order.
    fn recast(&mut self, op: &Op, recast: &Recast) {
        let reads = op.operands.iter().zip(&recast.operands);
        let operands: Vec<ValueId> = reads.map(|(v, how)| self.read(*v, *how, &op.loc)).collect();
        let result = op.results[0];
        let (ty, rank) = (&self.func[result].ty, self.rank(result));
        if recast.result_moves {
            let ty = permuted_type(ty, &self.order.moving(rank));
            let new = self.add(recast.op.clone(), &operands, ty, &op.loc);
            self.moved.insert((result, rank), new);
            self.copy.set(result, new);
        } else {
            let new = self.add(recast.op.clone(), &operands, ty.clone(), &op.loc);
            self.set_plain(result, new);
        }
    }

    fn read(&mut self, value: ValueId, how: Reading, loc: &Loc) -> ValueId {
        match how {
            Reading::Plain => self.plain(value, loc),
            Reading::Moved => self.moved(value, loc),
            Reading::Aligned(rank) => self.aligned(value, rank, loc),
        }
    }

    /// The new value for `value` in its original order. It keeps the name.
    fn plain(&mut self, value: ValueId, loc: &Loc) -> ValueId {
        if let Some(plain) = self.plain[value.index()] {
            return plain;
        }
        let (moved, back) = (self.moved(value, loc), self.order.back(self.rank(value)));
        let plain = self.convert(moved, &back, loc);
        self.set_plain(value, plain);
        plain
    }

    /// The new value for `value` in moved order.
    fn moved(&mut self, value: ValueId, loc: &Loc) -> ValueId {
        let rank = self.rank(value);
        if let Some(moved) = self.moved.get(&(value, rank)) {
            return *moved;
        }
        let before = self.func.producer(value).filter(|op| self.plan.turns[op.index()] == Some(Turn::Back));
        let moved = match before {
            Some(turn) => self.plain(self.func[turn].operands[0], loc),
            None => {
                let plain = self.plain(value, loc);
                self.convert(plain, &self.order.moving(rank), loc)
            }
        };
        self.moved.insert((value, rank), moved);
        moved
    }

    /// The new value for `value`, padded with leading axes of extent 1 to `rank`, in moved order.
    fn aligned(&mut self, value: ValueId, rank: usize, loc: &Loc) -> ValueId {
        if let Some(moved) = self.moved.get(&(value, rank)) {
            return *moved;
        }
        let (plain, ty) = (self.plain(value, loc), aligned_type(&self.func[value].ty, rank));
        let moving = self.order.moving(rank);
        let moved = match Conversion::of(ty.dims.as_deref().unwrap_or_default(), &moving) {
            Conversion::None => plain,
            Conversion::Reshape => self.reshape(plain, permuted_type(&ty, &moving), loc),
            Conversion::Transpose => {
                let wide = self.reshape(plain, ty, loc);
                self.convert(wide, &moving, loc)
            }
        };
        self.moved.insert((value, rank), moved);
        moved
    }

    /// Converts `new`, a value of the new function, to the axis order `perm`.
    fn convert(&mut self, new: ValueId, perm: &[usize], loc: &Loc) -> ValueId {
        let ty = self.copy.builder.ty(new).clone();
        let to = permuted_type(&ty, perm);
        match Conversion::of(ty.dims.as_deref().unwrap_or_default(), perm) {
            Conversion::None => new,
            Conversion::Reshape => self.reshape(new, to, loc),
            Conversion::Transpose => match self.splat(new) {
                Some(literal) => {
                    let literal = Literal { dims: permuted(&literal.dims, perm), ..literal };
                    self.add(CoreOp::Constant(literal), &[], to, loc)
                }
                None => self.add(CoreOp::Transpose(perm.iter().map(|i| *i as u64).collect()), &[new], to, loc),
            },
        }
    }

    /// The literal of the new value, if it is a constant whose elements are all equal.
    fn splat(&self, new: ValueId) -> Option<Literal> {
        let func = self.copy.builder.func();
        let OpKind::Core(CoreOp::Constant(literal)) = &func[func.producer(new)?].kind else { return None };
        literal.as_splat().map(|_| literal.clone())
    }

    fn reshape(&mut self, new: ValueId, ty: Type, loc: &Loc) -> ValueId {
        self.add(CoreOp::Reshape(ty.dims.clone().unwrap_or_default()), &[new], ty, loc)
    }

    fn add(&mut self, op: CoreOp, operands: &[ValueId], ty: Type, loc: &Loc) -> ValueId {
        let op = self.copy.builder.at(loc.clone()).op(op, operands, [(ty, None)]);
        self.copy.builder.results(op)[0]
    }

    fn set_plain(&mut self, old: ValueId, new: ValueId) {
        self.plain[old.index()] = Some(new);
        self.copy.set(old, new);
    }

    /// The rank of an old value. Values of unknown rank are never moved.
    fn rank(&self, old: ValueId) -> usize {
        self.func[old].ty.rank().unwrap_or_default()
    }

    fn finish(mut self) -> Func {
        for output in &self.func.outputs {
            let loc = self.func.producer(output.value).map_or(Loc::Unknown, |op| self.func[op].loc.clone());
            self.plain(output.value, &loc);
        }
        let mut func = self.copy.finish(named(&self.func.outputs));
        func.attrs = self.func.attrs.clone();
        func
    }
}
