//! Tracks the masks attached to values while a function is lowered.

use std::collections::{BTreeMap, BTreeSet};

use netc_dialect::{Dialects, LoweredOp};
use netc_ir::{Func, Op, OpId, OpKind, ValueId};

/// The fact that an op reads a mask attached to one of its operands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MaskRead {
    /// The op.
    pub(crate) op: OpId,
    /// The ops that made the mask. They and the reader must stay in one model.
    pub(crate) made_by: BTreeSet<OpId>,
    /// Whether the op surely reads it. An unsupported layer only may.
    pub(crate) certain: bool,
}

/// A mask: its new value, and the old ops that made it.
#[derive(Debug, Clone)]
pub(super) struct Mask {
    value: ValueId,
    made_by: BTreeSet<OpId>,
}

/// The masks of old values.
///
/// A framework attaches a mask to a tensor, and may remove it again. Several values may be the same tensor, such as the
/// operand and the result of a layer that does nothing. These share a mask.
pub(super) struct Masks<'m> {
    dialects: &'m Dialects,
    /// The tensor of each value of the current function.
    tensors: Tensors,
    /// The mask of each tensor.
    attached: Vec<Option<Mask>>,
    pub(super) reads: Vec<MaskRead>,
}

/// The tensor of each value. Values that never had a mask are missing.
pub(super) type Tensors = BTreeMap<ValueId, usize>;

impl<'m> Masks<'m> {
    /// No value has a mask.
    pub(super) fn new(dialects: &'m Dialects) -> Self {
        Self { dialects, tensors: Tensors::new(), attached: Vec::new(), reads: Vec::new() }
    }

    pub(super) fn of(&self, value: ValueId) -> Option<&Mask> {
        self.attached[*self.tensors.get(&value)?].as_ref()
    }

    /// The masks of `values`, as new values. Empty if none has one.
    pub(super) fn beside(&self, values: &[ValueId]) -> Vec<Option<ValueId>> {
        let masks: Vec<Option<ValueId>> = values.iter().map(|v| self.of(*v).map(|mask| mask.value)).collect();
        if masks.iter().all(Option::is_none) { Vec::new() } else { masks }
    }

    /// Records the masks that lowering `op` read, made and removed. Its new ops are those from `start` on, with the new
    /// operands `operands`. `at` is the op itself, or the op that calls its function.
    pub(super) fn lowered(
        &mut self,
        new: &Func,
        start: usize,
        at: OpId,
        op: &Op,
        operands: &[ValueId],
        meaning: &LoweredOp,
    ) {
        let mentioned: Vec<ValueId> =
            self.mask_operands(op).into_iter().filter_map(|i| operands.get(i).copied()).collect();
        let given: Vec<(usize, Mask)> = op
            .operands
            .iter()
            .enumerate()
            .filter_map(|(i, v)| Some((i, self.of(*v)?.clone())))
            // A mask that the call passes explicitly is an ordinary operand, even if it is attached to a tensor too.
            .filter(|(_, mask)| !mentioned.contains(&mask.value))
            .collect();
        let reach: Vec<BTreeSet<ValueId>> = given.iter().map(|(_, mask)| reached(new, start, mask.value)).collect();
        for ((_, mask), reach) in given.iter().zip(&reach) {
            if meaning.results.iter().any(|y| reach.contains(y)) {
                self.reads.push(MaskRead { op: at, made_by: mask.made_by.clone(), certain: true });
            }
        }
        for (i, (result, y)) in op.results.iter().zip(&meaning.results).enumerate() {
            let Some(value) = meaning.masks.get(i).copied().flatten() else { continue };
            let same = given.iter().find(|(k, mask)| operands[*k] == *y && mask.value == value);
            if let Some(tensor) = same.and_then(|(k, _)| self.tensors.get(&op.operands[*k])) {
                self.tensors.insert(*result, *tensor);
                continue;
            }
            let from = given.iter().zip(&reach).filter(|(_, reach)| reach.contains(&value));
            let made_by: BTreeSet<OpId> = from.flat_map(|((_, mask), _)| mask.made_by.iter().copied()).collect();
            let made_by = if made_by.is_empty() { BTreeSet::from([at]) } else { made_by };
            self.tensors.insert(*result, self.attached.len());
            self.attached.push(Some(Mask { value, made_by }));
        }
        for tensor in meaning.unmasked.iter().filter_map(|i| self.tensors.get(op.operands.get(*i)?)) {
            self.attached[*tensor] = None;
        }
    }

    fn mask_operands(&self, op: &Op) -> Vec<usize> {
        match &op.kind {
            OpKind::Source(source) => self.dialects.mask_operands(source),
            OpKind::Core(_) | OpKind::Call(_) => Vec::new(),
        }
    }

    /// Records an op that is not lowered, so it is unknown what it reads. If its class is known (`certain`), it may
    /// pass a mask on. The result then gets the first mask of the operands, so that later reads are found.
    pub(super) fn kept(&mut self, at: OpId, op: &Op, certain: bool) {
        let given: Vec<Mask> = op.operands.iter().filter_map(|v| self.of(*v)).cloned().collect();
        if let (Some(mask), Some(result), true) = (given.first(), op.results.first(), certain) {
            let made_by = given.iter().flat_map(|mask| mask.made_by.iter().copied()).collect();
            self.tensors.insert(*result, self.attached.len());
            self.attached.push(Some(Mask { value: mask.value, made_by }));
        }
        for mask in given {
            self.reads.push(MaskRead { op: at, made_by: mask.made_by, certain });
        }
    }

    /// Switches to `callee`, whose parameters are the tensors of `operands`, until [`Masks::leave`].
    pub(super) fn enter(&mut self, callee: &Func, operands: &[ValueId]) -> Tensors {
        let params = callee.params.iter().map(|p| p.value).zip(operands);
        let inside = params.filter_map(|(param, v)| Some((param, *self.tensors.get(v)?))).collect();
        std::mem::replace(&mut self.tensors, inside)
    }

    /// Switches back to the caller, where `results` are the outputs of `callee`.
    pub(super) fn leave(&mut self, outside: Tensors, callee: &Func, results: &[ValueId]) {
        let inside = std::mem::replace(&mut self.tensors, outside);
        let outputs = callee.outputs.iter().zip(results);
        self.tensors.extend(outputs.filter_map(|(output, v)| Some((*v, *inside.get(&output.value)?))));
    }
}

/// The values that the ops from `start` on compute from `mask`, and `mask` itself.
fn reached(func: &Func, start: usize, mask: ValueId) -> BTreeSet<ValueId> {
    let mut reached = BTreeSet::from([mask]);
    for op in (start..func.num_op_slots()).map(|i| &func[OpId::new(i)]) {
        if op.operands.iter().any(|v| reached.contains(v)) {
            reached.extend(&op.results);
        }
    }
    reached
}
