//! The forms of ops in the other axis order.

use netc_ir::{CoreOp, Dim, Func, Op, OpClass, OpKind, Type, ValueId, Window};

use super::order::{Conversion, Order, can_reshape, permuted};

/// An op in the other axis order.
#[derive(Clone, Debug)]
pub(super) struct Recast {
    pub(super) op: CoreOp,
    /// How each operand is read.
    pub(super) operands: Vec<Reading>,
    /// Whether the result is in moved order; otherwise it is unchanged.
    pub(super) result_moves: bool,
    /// Whether the op must be moved, because it is a convolution or pooling of the other layout.
    pub(super) is_window: bool,
}

/// How a moved op reads an operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reading {
    /// In its original order.
    Plain,
    /// In moved order.
    Moved,
    /// Padded with leading axes of extent 1 to this rank, then moved.
    Aligned(usize),
}

/// Finds the moved forms of the ops of a function. `constant` marks the values, by id, that depend on no parameter.
#[derive(Clone, Copy)]
pub(super) struct Caster<'a> {
    pub(super) func: &'a Func,
    pub(super) constant: &'a [bool],
    pub(super) order: Order,
}

impl Caster<'_> {
    /// The op in the other order, if it computes the same there, bit for bit. `None` if types are unknown.
    pub(super) fn recast(&self, op: &Op) -> Option<Recast> {
        let (OpKind::Core(core), [result]) = (&op.kind, &op.results[..]) else { return None };
        let rank = self.rank(*result);
        let (op, operands, result_moves) = match (core, core.class()) {
            (_, OpClass::Elementwise) => (core.clone(), self.aligned(&op.operands, rank?)?, true),
            (CoreOp::Broadcast(dims), _) => {
                (CoreOp::Broadcast(permuted(dims, &self.order.moving(rank?))), self.aligned(&op.operands, rank?)?, true)
            }
            (CoreOp::Conv { .. } | CoreOp::Pool { .. }, _) => return self.window(core, &op.operands),
            (CoreOp::Reduce { .. }, _) => return self.reduce(core, &op.operands),
            (CoreOp::Gather(axis), _) => {
                let [x, indices] = op.operands[..] else { return None };
                let at = self.axis(*axis, self.rank(x)?);
                self.dims(indices).filter(|dims| dims.len() == 1)?;
                (CoreOp::Gather(at), vec![Reading::Moved, Reading::Plain], true)
            }
            (_, OpClass::Reduction | OpClass::Movement) => {
                let same_rank = op.operands.iter().all(|v| self.rank(*v) == rank);
                (self.along_axes(core, rank?)?, vec![Reading::Moved; op.operands.len()], same_rank.then_some(true)?)
            }
            (_, OpClass::Stored | OpClass::Product | OpClass::Extent) => return None,
        };
        Some(Recast { op, operands, result_moves, is_window: false })
    }

    /// Whether the op is a convolution or pooling of the other layout.
    pub(super) fn is_other_window(&self, op: &Op) -> bool {
        let OpKind::Core(CoreOp::Conv { window, .. } | CoreOp::Pool { window, .. }) = &op.kind else { return false };
        window.layout != self.order.wanted()
    }

    /// The rank of a value, if it is 3 or more: smaller ranks have only one order.
    pub(super) fn rank(&self, value: ValueId) -> Option<usize> {
        self.func[value].ty.rank().filter(|rank| *rank >= 3)
    }

    fn dims(&self, value: ValueId) -> Option<&[Dim]> {
        self.func[value].ty.dims.as_deref()
    }

    /// The position of `axis` in a moved tensor of this rank.
    fn axis(&self, axis: u64, rank: usize) -> u64 {
        self.order.back(rank)[axis as usize] as u64
    }

    /// How to read operands that broadcast to `rank` axes.
    fn aligned(&self, operands: &[ValueId], rank: usize) -> Option<Vec<Reading>> {
        operands.iter().map(|v| self.reading(*v, rank)).collect()
    }

    fn reading(&self, value: ValueId, rank: usize) -> Option<Reading> {
        let dims = self.dims(value)?;
        if dims.len() == rank {
            return Some(Reading::Moved);
        }
        if dims.iter().all(|d| d.is(1)) {
            return Some(Reading::Plain);
        }
        // Moving a value that is not constant would have a cost that the plan does not count.
        let moves = Conversion::of(&aligned(dims, rank), &self.order.moving(rank)) == Conversion::Transpose;
        (can_reshape(dims) && (!moves || self.constant[value.index()])).then_some(Reading::Aligned(rank))
    }

    fn window(&self, op: &CoreOp, operands: &[ValueId]) -> Option<Recast> {
        self.rank(*operands.first()?)?;
        let moved = |window: &Window| {
            let other = window.layout != self.order.wanted();
            other.then(|| Window { layout: self.order.wanted(), ..window.clone() })
        };
        let (op, mut operands) = (with_window(op, moved)?, vec![Reading::Plain; operands.len()]);
        operands[0] = Reading::Moved;
        Some(Recast { op, operands, result_moves: true, is_window: true })
    }

    /// Sums depend on the order of their terms, so the reduced axes must keep their order.
    fn reduce(&self, op: &CoreOp, operands: &[ValueId]) -> Option<Recast> {
        let (CoreOp::Reduce { kind, axes, keep }, [x]) = (op, operands) else { return None };
        let rank = self.rank(*x)?;
        let at: Vec<u64> = axes.iter().map(|a| self.axis(*a, rank)).collect();
        let stays = |axis: &usize| !axes.contains(&(*axis as u64));
        let left: Vec<usize> = self.order.moving(rank).into_iter().filter(stays).collect();
        let result_moves = *keep || !left.is_sorted();
        if !at.is_sorted() || (result_moves && !keep && !self.is_order(&left)) {
            return None;
        }
        let op = CoreOp::Reduce { kind: *kind, axes: at, keep: *keep };
        Some(Recast { op, operands: vec![Reading::Moved], result_moves, is_window: false })
    }

    /// Whether the remaining axes of a tensor are in the moved order of a tensor with only these axes.
    fn is_order(&self, axes: &[usize]) -> bool {
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        axes.len() >= 3 && permuted(&sorted, &self.order.moving(axes.len())) == axes
    }

    /// Converts an op that treats each axis separately.
    fn along_axes(&self, op: &CoreOp, rank: usize) -> Option<CoreOp> {
        let moving = self.order.moving(rank);
        Some(match (op, op.class()) {
            (CoreOp::Concat(axis), _) => CoreOp::Concat(self.axis(*axis, rank)),
            (CoreOp::Slice(axes), _) => CoreOp::Slice(permuted(axes, &moving)),
            (CoreOp::Pad { amounts, mode, value }, _) => {
                CoreOp::Pad { amounts: permuted(amounts, &moving), mode: *mode, value: *value }
            }
            (CoreOp::Sort { axis, descending }, _) => {
                CoreOp::Sort { axis: self.axis(*axis, rank), descending: *descending }
            }
            (CoreOp::CumSum(axis), _) => CoreOp::CumSum(self.axis(*axis, rank)),
            (CoreOp::Reverse(axes), _) => {
                let mut axes: Vec<u64> = axes.iter().map(|a| self.axis(*a, rank)).collect();
                axes.sort_unstable();
                CoreOp::Reverse(axes)
            }
            (
                _,
                OpClass::Stored
                | OpClass::Elementwise
                | OpClass::Product
                | OpClass::Reduction
                | OpClass::Movement
                | OpClass::Extent,
            ) => return None,
        })
    }
}

/// The op with its window replaced by `moved`; `None` if `moved` returns `None` or the op has no window.
fn with_window(op: &CoreOp, moved: impl Fn(&Window) -> Option<Window>) -> Option<CoreOp> {
    if let CoreOp::Conv { window, groups } = op {
        return Some(CoreOp::Conv { window: moved(window)?, groups: *groups });
    }
    let CoreOp::Pool { kind, size, window } = op else { return None };
    Some(CoreOp::Pool { kind: *kind, size: size.clone(), window: moved(window)? })
}

/// Pads `dims` with leading extents of 1 to `rank`.
pub(super) fn aligned(dims: &[Dim], rank: usize) -> Vec<Dim> {
    let ones = std::iter::repeat_n(Dim::Known(1), rank.saturating_sub(dims.len()));
    ones.chain(dims.iter().cloned()).collect()
}

/// Pads the extents of `ty` as [`aligned`] does.
pub(super) fn aligned_type(ty: &Type, rank: usize) -> Type {
    Type { elem: ty.elem, dims: ty.dims.as_ref().map(|dims| aligned(dims, rank)) }
}
