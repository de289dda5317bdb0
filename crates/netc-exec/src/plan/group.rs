//! Groups: the ops of a fused function as one step.
//!
//! The first op of a group runs as usual and writes a tensor that nothing else refers to. The others are elementwise
//! ops of the same shape and update that tensor in place.

use netc_ir::{CoreOp, ElemType, InferError, Loc, Module, Name, OpClass, Type, infer};

use super::flatten::{Flat, FlatStep, Kind};
use super::non_broadcast_axes::NonBroadcastAxes;
use crate::error::{ExecError, KernelError, Result, op_error};
use crate::kernels::{Epilogue, EpilogueOp, Source};
use crate::value::Value;

/// The ops of a group after the first.
#[derive(Debug)]
pub(super) struct Group {
    parts: Vec<Part>,
    epilogue: Epilogue,
}

#[derive(Debug)]
struct Part {
    op: CoreOp,
    sources: Vec<Source>,
    non_broadcast_axes: NonBroadcastAxes,
    name: Option<Name>,
    loc: Loc,
}

/// The role of an op in a group.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Product,
    Elementwise,
}

/// Merges the steps of each fused function into one where a kernel exists. The step that enters the function remains
/// only if the operand types must be checked at run time.
pub(super) fn merge_groups(flat: &mut Flat<'_>) {
    let last_read = last_readers(flat);
    let (steps, mut merged) = (std::mem::take(&mut flat.steps), Vec::new());
    let count = steps.len();
    let mut steps = steps.into_iter();
    while let Some(step) = steps.next() {
        let at = count - steps.len();
        let group = is_fused(&step).then(|| group_length(steps.as_slice(), at, &last_read)).flatten();
        if group.is_none() || !matches!(step.kind, Kind::Enter { fits: true, .. }) {
            merged.push(step);
        }
        if let Some(len) = group {
            let mut group: Vec<FlatStep<'_>> = steps.by_ref().take(len).collect();
            let (epilogue, operands) = Group::of(&group);
            let results = group.pop().map_or_else(Vec::new, |last| last.results);
            let mut head = group.swap_remove(0);
            head.operands.extend(operands);
            merged.push(FlatStep { results, group: Some(epilogue), ..head });
        }
    }
    flat.steps = merged;
}

fn is_fused(step: &FlatStep<'_>) -> bool {
    matches!(step.kind, Kind::Enter { fused: true, .. })
}

/// The number of the last step that reads each tensor; `usize::MAX` for outputs.
fn last_readers(flat: &Flat<'_>) -> Vec<usize> {
    let mut last = vec![0; flat.live.len()];
    for (i, step) in flat.steps.iter().enumerate() {
        step.operands.iter().for_each(|t| last[*t] = i);
    }
    flat.outputs.iter().for_each(|(_, t)| last[*t] = usize::MAX);
    last
}

/// The length of the group at the start of `steps`, which begin with the first step of a function, number `at` of the
/// program. `None` if that function has no kernel as a group.
fn group_length(steps: &[FlatStep<'_>], at: usize, last_read: &[usize]) -> Option<usize> {
    let head = steps.first()?;
    let ty = *head.made.first()?;
    let len = steps.iter().take_while(|s| s.scope == head.scope).count();
    let inner = |step: &FlatStep<'_>| step.results.iter().all(|t| last_read[*t] < at + len);
    let fits = steps[..len].iter().enumerate().all(|(i, step)| {
        let role = if let Kind::Core(op) = step.kind { role(op) } else { None };
        let fits = if i == 0 { role.is_some() } else { role == Some(Role::Elementwise) && step.made[..] == [ty] };
        fits && (i + 1 == len || inner(step)) && step.types.iter().all(|t| t.elem == ty.elem)
    });
    let floats = matches!(ty.elem, ElemType::F32 | ElemType::F64) && ty.rank().is_some();
    (fits && floats && len > 1).then_some(len)
}

fn role(op: &CoreOp) -> Option<Role> {
    match op.class() {
        OpClass::Product => Some(Role::Product),
        OpClass::Elementwise => matches!(op, CoreOp::Unary(_) | CoreOp::Binary(_)).then_some(Role::Elementwise),
        OpClass::Stored | OpClass::Reduction | OpClass::Movement | OpClass::Extent => None,
    }
}

impl Group {
    /// Builds the group of `steps`. Also returns the tensors from outside that its ops after the first read.
    fn of(steps: &[FlatStep<'_>]) -> (Self, Vec<usize>) {
        let made: Vec<usize> = steps.iter().filter_map(|s| s.results.first().copied()).collect();
        let (mut operands, mut parts, mut ops) = (Vec::new(), Vec::new(), Vec::new());
        for step in &steps[1..] {
            let Kind::Core(op) = step.kind else { continue };
            let sources: Vec<Source> = step.operands.iter().map(|t| source(*t, &made, &mut operands)).collect();
            ops.extend(tail_op(op, &sources));
            let (name, loc) = (step.name.cloned(), step.loc.clone());
            let non_broadcast_axes = NonBroadcastAxes::of(op, &step.types);
            parts.push(Part { op: op.clone(), sources, non_broadcast_axes, name, loc });
        }
        (Self { parts, epilogue: Epilogue::new(&ops) }, operands)
    }

    /// The number of ops after the first.
    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    /// Applies the ops to `x`, the result of the first op, in place.
    pub(super) fn run(&self, x: &mut Value, operands: &[&Value]) -> Result<()> {
        for part in &self.parts {
            part.check(x, operands).map_err(|source| part.error(source))?;
        }
        let last = &self.parts[self.parts.len() - 1];
        self.epilogue.run(x, operands).map_err(|source| last.error(source))
    }
}

fn source(tensor: usize, made: &[usize], operands: &mut Vec<usize>) -> Source {
    if let Some(i) = made.iter().position(|t| *t == tensor) {
        return Source::Computed(i);
    }
    Source::Operand(operands.iter().position(|t| *t == tensor).unwrap_or_else(|| {
        operands.push(tensor);
        operands.len() - 1
    }))
}

fn tail_op(op: &CoreOp, sources: &[Source]) -> Option<EpilogueOp> {
    if let (CoreOp::Unary(f), [x]) = (op, sources) {
        return Some(EpilogueOp::Unary(*f, *x));
    }
    if let (CoreOp::Binary(f), [a, b]) = (op, sources) {
        return Some(EpilogueOp::Binary(*f, [*a, *b]));
    }
    None
}

impl Part {
    fn error(&self, source: KernelError) -> ExecError {
        op_error(self.op.name(), self.name.as_ref(), &self.loc, source)
    }

    /// Checks that the result of the op has the type of `x`.
    fn check(&self, x: &Value, operands: &[&Value]) -> Result<(), KernelError> {
        let values = self.sources.iter().map(|source| match source {
            Source::Computed(_) => x,
            Source::Operand(i) => operands[*i],
        });
        self.non_broadcast_axes.check(&self.op, values.clone().map(Value::dims))?;
        let types: Vec<Type> = values.map(Value::ty).collect();
        let (found, expected) = (infer(&Module::new(), &self.op, &types.iter().collect::<Vec<_>>())?, x.ty());
        if found == expected {
            return Ok(());
        }
        let note = format!("the result is {found}, expected {expected}");
        Err(InferError { op: self.op.name(), constraint: 2, note }.into())
    }
}

#[cfg(test)]
mod tests;
