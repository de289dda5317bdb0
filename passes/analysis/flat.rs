//! The graph of `@main` with some nested models opened, as inlining would produce it.

use std::collections::BTreeMap;

use netc_ir::{OpId, ValueId};

use super::models::{Models, NONE, Slot};
use super::needed::is_constant;

/// A tensor of the graph: the inputs of the model come first, then the results of the ops in order.
pub(crate) type Tensor = u32;

/// The graph. Its ops are numbered in the order in which inlining would put them.
pub(crate) struct Flat {
    /// The slot of each op.
    slots: Vec<Slot>,
    /// The ops and the opened calls, each call after all of its ops.
    finished: Vec<Slot>,
    /// The op in each slot.
    op_in: Vec<u32>,
    /// The results of opened calls.
    opened: BTreeMap<Slot, Opening>,
    inputs: u32,
    outputs: Vec<Tensor>,
    reads: Vec<Tensor>,
    /// The end of each op's entries in `reads`.
    reads_end: Vec<usize>,
    /// The first result of each op, and the number of tensors.
    first_result: Vec<Tensor>,
    /// The op that computes each tensor.
    producer: Vec<u32>,
    constant: Vec<bool>,
}

/// A call of an opened model.
struct Opening {
    arguments: Vec<Tensor>,
    results: Vec<Tensor>,
}

/// A model whose ops are being added to the graph.
struct Frame {
    model: u32,
    ops: std::vec::IntoIter<OpId>,
    /// The tensor of each of its values.
    tensors: Vec<Tensor>,
}

impl Frame {
    fn of(models: &Models<'_>, model: u32, arguments: impl IntoIterator<Item = Tensor>) -> Self {
        let func = models.func(model);
        let mut tensors = vec![NONE; func.num_values()];
        for (param, tensor) in func.params.iter().zip(arguments) {
            tensors[param.value.index()] = tensor;
        }
        Self { model, ops: func.op_ids().collect::<Vec<_>>().into_iter(), tensors }
    }

    fn get(&self, values: &[ValueId]) -> Vec<Tensor> {
        values.iter().map(|value| self.tensors[value.index()]).collect()
    }

    fn set(&mut self, values: &[ValueId], tensors: impl IntoIterator<Item = Tensor>) {
        for (value, tensor) in values.iter().zip(tensors) {
            self.tensors[value.index()] = tensor;
        }
    }
}

impl Flat {
    /// Builds the graph with the models opened whose functions are marked in `open`, by id. The stack is explicit,
    /// because models may nest deeper than the call stack allows.
    pub(crate) fn of(models: &Models<'_>, open: &[bool]) -> Self {
        let inputs = models.func(0).params.len() as u32;
        let mut flat = Self {
            slots: Vec::new(),
            finished: Vec::new(),
            op_in: vec![NONE; models.num_slots()],
            opened: BTreeMap::new(),
            inputs,
            outputs: Vec::new(),
            reads: Vec::new(),
            reads_end: Vec::new(),
            first_result: vec![inputs],
            producer: vec![NONE; inputs as usize],
            constant: Vec::new(),
        };
        let mut frames = vec![Frame::of(models, 0, 0..inputs)];
        while let Some(frame) = frames.last_mut() {
            let func = models.func(frame.model);
            if let Some(id) = frame.ops.next() {
                let (op, slot) = (&func[id], models.slot(frame.model, id));
                let reads = frame.get(&op.operands);
                let called = models.called(slot).filter(|model| open[models.func_id(*model).index()]);
                if let Some(model) = called {
                    frames.push(Frame::of(models, model, reads.iter().copied()));
                    flat.opened.insert(slot, Opening { arguments: reads, results: Vec::new() });
                } else {
                    let first = flat.push(slot, &reads, op.results.len(), is_constant(&op.kind));
                    frame.set(&op.results, first..);
                }
                continue;
            }
            let returned: Vec<Tensor> = func.outputs.iter().map(|o| frame.tensors[o.value.index()]).collect();
            let call = models.call(frame.model);
            frames.pop();
            match frames.last_mut() {
                None => flat.outputs = returned,
                Some(outer) => {
                    outer.set(&models.op(call).results, returned.iter().copied());
                    flat.finished.push(call);
                    flat.opened.entry(call).and_modify(|opening| opening.results = returned);
                }
            }
        }
        flat
    }

    /// Adds an op and returns its first result.
    fn push(&mut self, slot: Slot, reads: &[Tensor], results: usize, constant: bool) -> Tensor {
        let (op, first) = (self.slots.len() as u32, self.producer.len() as Tensor);
        self.op_in[slot as usize] = op;
        self.slots.push(slot);
        self.finished.push(slot);
        self.reads.extend(reads);
        self.reads_end.push(self.reads.len());
        self.producer.resize(self.producer.len() + results, op);
        self.first_result.push(self.producer.len() as Tensor);
        self.constant.push(constant);
        first
    }

    /// The number of ops.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The number of inputs of the model, which are the first tensors.
    pub(crate) fn num_inputs(&self) -> u32 {
        self.inputs
    }

    pub(crate) fn num_tensors(&self) -> usize {
        self.producer.len()
    }

    pub(crate) fn slot(&self, op: u32) -> Slot {
        self.slots[op as usize]
    }

    /// The ops and the opened calls, each after all that is in it.
    pub(crate) fn finished(&self) -> &[Slot] {
        &self.finished
    }

    /// The op in a slot. `None` if it is inside a closed model, or is the call of an opened one.
    pub(crate) fn op_in(&self, slot: Slot) -> Option<u32> {
        Some(self.op_in[slot as usize]).filter(|op| *op != NONE)
    }

    /// The results of the op in a slot, also for the call of an opened model.
    pub(crate) fn results_in(&self, slot: Slot) -> Vec<Tensor> {
        match self.op_in(slot) {
            Some(op) => self.results(op).collect(),
            None => self.opened.get(&slot).map_or_else(Vec::new, |opening| opening.results.clone()),
        }
    }

    /// The arguments of the call in a slot, if it calls an opened model; otherwise empty.
    pub(crate) fn arguments_in(&self, slot: Slot) -> Vec<Tensor> {
        self.opened.get(&slot).map_or_else(Vec::new, |opening| opening.arguments.clone())
    }

    /// The op that computes the results of the op in a slot: the op itself, the call of the closed model around it, or,
    /// for the call of an opened model, the op of its first output.
    pub(crate) fn computing(&self, models: &Models<'_>, closed: &[Slot], slot: Slot) -> Option<u32> {
        let around = closed[models.place(slot).0 as usize];
        let slot = if around == NONE { slot } else { around };
        self.op_in(slot).or_else(|| self.producer(*self.results_in(slot).first()?))
    }

    pub(crate) fn reads(&self, op: u32) -> &[Tensor] {
        let start = (op as usize).checked_sub(1).map_or(0, |before| self.reads_end[before]);
        &self.reads[start..self.reads_end[op as usize]]
    }

    pub(crate) fn results(&self, op: u32) -> std::ops::Range<Tensor> {
        self.first_result[op as usize]..self.first_result[op as usize + 1]
    }

    /// The op that computes `tensor`; `None` for an input of the model.
    pub(crate) fn producer(&self, tensor: Tensor) -> Option<u32> {
        Some(self.producer[tensor as usize]).filter(|op| *op != NONE)
    }

    /// The index of `tensor` among the results of its op.
    pub(crate) fn result_index(&self, tensor: Tensor) -> usize {
        self.producer(tensor).map_or(0, |op| (tensor - self.first_result[op as usize]) as usize)
    }

    /// Whether the op is a weight or a constant.
    pub(crate) fn is_constant(&self, op: u32) -> bool {
        self.constant[op as usize]
    }

    pub(crate) fn outputs(&self) -> &[Tensor] {
        &self.outputs
    }

    /// Marks the ops that `tensors` need.
    pub(crate) fn needed_by(&self, tensors: impl IntoIterator<Item = Tensor>) -> Vec<bool> {
        let mut read = vec![false; self.num_tensors()];
        tensors.into_iter().for_each(|tensor| read[tensor as usize] = true);
        let mut needed = vec![false; self.len()];
        for op in (0..self.len() as u32).rev() {
            if self.results(op).any(|tensor| read[tensor as usize]) {
                needed[op as usize] = true;
                self.reads(op).iter().for_each(|tensor| read[*tensor as usize] = true);
            }
        }
        needed
    }

    /// Marks the ops that the outputs of the model need.
    pub(crate) fn live(&self) -> Vec<bool> {
        self.needed_by(self.outputs.iter().copied())
    }

    /// For each model of `models`, the slot of the closed call around it, or [`NONE`] if its ops are in the graph.
    pub(crate) fn closed_around(&self, models: &Models<'_>) -> Vec<Slot> {
        let mut closed = vec![NONE; models.len()];
        for model in 1..models.len() as u32 {
            let call = models.call(model);
            let outer = closed[models.place(call).0 as usize];
            closed[model as usize] = if outer == NONE && self.op_in(call).is_some() { call } else { outer };
        }
        closed
    }
}
