//! The masks that travel beside values, while a function is lowered.

use std::collections::{BTreeMap, BTreeSet};

use netc_dialect::{Dialects, Meaning};
use netc_ir::{Func, Op, OpId, OpKind, ValueId};

/// That what an op computes depends on a mask beside one of its operands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MaskRead {
    /// The op.
    pub(crate) op: OpId,
    /// The ops that made the mask. They, and the op that reads it, must be in one model.
    pub(crate) made_by: BTreeSet<OpId>,
    /// Whether the op is known to read it; a layer without a meaning may.
    pub(crate) certain: bool,
}

/// A mask, as a new value, and the old ops that made it.
#[derive(Debug, Clone)]
pub(super) struct Mask {
    value: ValueId,
    made_by: BTreeSet<OpId>,
}

/// Which old values carry masks.
///
/// A framework attaches a mask to a tensor, and takes it off again. Several values may be one tensor, as the operand and
/// the result of a layer that does nothing: they have one mask.
pub(super) struct Masks<'m> {
    dialects: &'m Dialects,
    /// The tensor that a value is, of the function that is looked at.
    tensors: Tensors,
    /// The masks of tensors.
    attached: Vec<Option<Mask>>,
    pub(super) reads: Vec<MaskRead>,
}

/// Values without a mask are not in it.
pub(super) type Tensors = BTreeMap<ValueId, usize>;

impl<'m> Masks<'m> {
    /// No value carries one.
    pub(super) fn new(dialects: &'m Dialects) -> Self {
        Self { dialects, tensors: Tensors::new(), attached: Vec::new(), reads: Vec::new() }
    }

    pub(super) fn of(&self, value: ValueId) -> Option<&Mask> {
        self.attached[*self.tensors.get(&value)?].as_ref()
    }

    /// The masks beside `values`, as new values; nothing where none has one.
    pub(super) fn beside(&self, values: &[ValueId]) -> Vec<Option<ValueId>> {
        let masks: Vec<Option<ValueId>> = values.iter().map(|v| self.of(*v).map(|mask| mask.value)).collect();
        if masks.iter().all(Option::is_none) { Vec::new() } else { masks }
    }

    /// Takes note of what `op`, or the op `at` that calls its function, left: the new ops from `start` on, of `operands`.
    pub(super) fn lowered(
        &mut self,
        new: &Func,
        start: usize,
        at: OpId,
        op: &Op,
        operands: &[ValueId],
        meaning: &Meaning,
    ) {
        let mentioned: Vec<ValueId> =
            self.mask_operands(op).into_iter().filter_map(|i| operands.get(i).copied()).collect();
        let given: Vec<(usize, Mask)> = op
            .operands
            .iter()
            .enumerate()
            .filter_map(|(i, v)| Some((i, self.of(*v)?.clone())))
            // What the call mentions is an operand like others, also where it is beside a tensor too.
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

    /// Takes note of an op that stays: what it reads is not known. If its class is known (`certain`), it may pass a mask on;
    /// one that it was given takes the place of that, so that later reads are found.
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

    /// Goes on with `callee`, whose parameters are the tensors that `operands` are, until [`Masks::leave`].
    pub(super) fn enter(&mut self, callee: &Func, operands: &[ValueId]) -> Tensors {
        let params = callee.params.iter().map(|p| p.value).zip(operands);
        let inside = params.filter_map(|(param, v)| Some((param, *self.tensors.get(v)?))).collect();
        std::mem::replace(&mut self.tensors, inside)
    }

    /// Goes back to the function that called, in which `results` are the outputs of `callee`.
    pub(super) fn leave(&mut self, outside: Tensors, callee: &Func, results: &[ValueId]) {
        let inside = std::mem::replace(&mut self.tensors, outside);
        let outputs = callee.outputs.iter().zip(results);
        self.tensors.extend(outputs.filter_map(|(output, v)| Some((*v, *inside.get(&output.value)?))));
    }
}

/// `mask`, and what the ops from `start` on compute from it.
fn reached(func: &Func, start: usize, mask: ValueId) -> BTreeSet<ValueId> {
    let mut reached = BTreeSet::from([mask]);
    for op in (start..func.num_op_slots()).map(|i| &func[OpId::new(i)]) {
        if op.operands.iter().any(|v| reached.contains(v)) {
            reached.extend(&op.results);
        }
    }
    reached
}
