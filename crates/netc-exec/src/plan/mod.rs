//! Plans: a function as a flat list of steps, made once and run many times.
//!
//! Making a plan inlines calls (`flatten`), drops what no output needs (`liveness`), makes one step of the ops of a fused
//! function where there is a kernel for them (`group`), prepares constants and weights, and notes after which step each
//! buffer dies. A plan holds no state of a run: it can run in several
//! threads at once, and gives the same bits each time.

mod bind;
mod flatten;
mod group;
mod liveness;
mod rigid;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use netc_data::Store;
use netc_ir::{Bindings, CoreOp, Func, FuncId, Loc, Module, Name, Type, WeightId};

use bind::bind;
pub(crate) use bind::has_free_symbols;
use flatten::{Flat, Kind};
use group::Group;
use rigid::Rigid;

use crate::error::{ExecError, KernelError};
use crate::kernels;
use crate::tensor::Tensor;
use crate::value::Value;

/// A function that is ready to run.
#[derive(Debug)]
pub struct Plan {
    params: Vec<Param>,
    outputs: Vec<(Name, Slot)>,
    constants: Vec<Value>,
    steps: Vec<Step>,
    /// How many functions are entered in a run, the planned one included.
    scopes: usize,
    buffers: usize,
}

#[derive(Debug)]
struct Param {
    name: Name,
    ty: Type,
    /// Where the input goes, if anything needs it.
    buffer: Option<usize>,
}

/// Where a step finds a tensor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Slot {
    Constant(usize),
    Buffer(usize),
}

#[derive(Debug)]
struct Step {
    action: Action,
    operands: Vec<Slot>,
    scope: usize,
    loc: Loc,
    /// The buffers that nothing reads after this step.
    dies: Vec<usize>,
}

#[derive(Debug)]
enum Action {
    /// Computes a tensor into a buffer. A group goes on in place; the last of the operands are for it.
    Compute { op: CoreOp, rigid: Rigid, arity: usize, group: Option<Group>, result: usize },
    /// Binds the symbols of a function that is called: its operands are those of the named parameters.
    Enter { callee: Name, params: Vec<(Name, Type)>, parent: usize },
}

impl Plan {
    /// Plans `func` of `module`, whose weights `store` gives.
    pub fn new(module: &Module, func: FuncId, store: &Store) -> Result<Self, ExecError> {
        Self::of(module, flatten::function(module, func, "module")?, store)
    }

    /// Plans `func`, which need not be a function of `module` but may call some and reads its weights.
    pub(crate) fn of(module: &Module, func: &Func, store: &Store) -> Result<Self, ExecError> {
        let mut flat = flatten::flatten(module, func)?;
        liveness::drop_dead(&mut flat);
        group::merge_groups(&mut flat);
        Planner { module, store, constants: Vec::new(), weights: BTreeMap::new(), slots: BTreeMap::new() }.plan(flat)
    }

    /// The names and types of the inputs.
    pub fn params(&self) -> impl ExactSizeIterator<Item = (&Name, &Type)> {
        self.params.iter().map(|p| (&p.name, &p.ty))
    }

    /// The names of the outputs.
    pub fn output_names(&self) -> impl ExactSizeIterator<Item = &Name> {
        self.outputs.iter().map(|(name, _)| name)
    }

    /// The number of steps of a run.
    pub fn num_steps(&self) -> usize {
        self.steps.len()
    }

    /// The outputs for `inputs`, which stand in the order of the parameters and have exactly their types.
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, ExecError> {
        self.run_with(inputs, &mut |_, _| ())
    }

    /// Like [`run`](Self::run); after each step, `progress` gets the number of steps done and of all steps.
    pub fn run_with(
        &self,
        inputs: &[Tensor],
        progress: &mut (dyn FnMut(usize, usize) + Send),
    ) -> Result<Vec<Tensor>, ExecError> {
        let mut run = self.start(inputs)?;
        run.steps(progress)?;
        let output = |(_, slot): &(Name, Slot)| Ok(run.value(*slot)?.to_tensor()?);
        self.outputs.iter().map(output).collect()
    }

    /// What the steps take for `inputs`, without what it takes to hand over inputs and outputs.
    pub(crate) fn time(&self, inputs: &[Tensor]) -> Result<Duration, ExecError> {
        let mut run = self.start(inputs)?;
        run.steps(&mut |_, _| ())
    }

    fn start(&self, inputs: &[Tensor]) -> Result<Run<'_>, ExecError> {
        if inputs.len() != self.params.len() {
            let names = self.params.iter().map(|p| &*p.name).collect::<Vec<_>>().join(", ");
            return Err(ExecError::InputCount { found: inputs.len(), expected: self.params.len(), names });
        }
        let types: Vec<Type> = inputs.iter().map(Tensor::ty).collect();
        let bindings = bind(self.params().zip(&types).map(|((name, ty), found)| (name, ty, found)))?;
        let mut run =
            Run { plan: self, buffers: vec![None; self.buffers], bindings: vec![Bindings::new(); self.scopes.max(1)] };
        run.bindings[0] = bindings;
        for (param, input) in self.params.iter().zip(inputs) {
            if let Some(buffer) = param.buffer {
                let value = Value::from_tensor(input);
                run.buffers[buffer] = Some(value.map_err(|source| op_error("input", &Loc::Unknown, source))?);
            }
        }
        Ok(run)
    }
}

fn op_error(op: &'static str, loc: &Loc, source: KernelError) -> ExecError {
    ExecError::Op { op, loc: loc.clone(), source: Box::new(source) }
}

/// The state of one run.
struct Run<'p> {
    plan: &'p Plan,
    buffers: Vec<Option<Value>>,
    bindings: Vec<Bindings>,
}

impl Run<'_> {
    fn value(&self, slot: Slot) -> Result<&Value, ExecError> {
        let value = match slot {
            Slot::Constant(i) => self.plan.constants.get(i),
            Slot::Buffer(i) => self.buffers.get(i).and_then(Option::as_ref),
        };
        value.ok_or_else(|| ExecError::Malformed { func: "plan".into(), note: format!("{slot:?} holds nothing") })
    }

    /// Runs the steps on a thread of the pool that kernels use, so that they need not hand their work over to it one by
    /// one; what they take there.
    fn steps(&mut self, progress: &mut (dyn FnMut(usize, usize) + Send)) -> Result<Duration, ExecError> {
        rayon::scope(|_| {
            let start = Instant::now();
            self.plan.steps.iter().enumerate().try_for_each(|(i, step)| {
                self.step(step)?;
                progress(i + 1, self.plan.steps.len());
                Ok::<(), ExecError>(())
            })?;
            Ok(start.elapsed())
        })
    }

    fn step(&mut self, step: &Step) -> Result<(), ExecError> {
        let operands = step.operands.iter().map(|slot| self.value(*slot)).collect::<Result<Vec<_>, _>>()?;
        match &step.action {
            Action::Compute { op, rigid, arity, group, result } => {
                let (own, others) = operands.split_at(*arity);
                let fits = rigid.check(op, own.iter().map(|v| v.dims()));
                let value = fits.and_then(|()| kernels::run(op, own, &self.bindings[step.scope]));
                let mut value = value.map_err(|source| op_error(op.name(), &step.loc, source))?;
                group.as_ref().map_or(Ok(()), |group| group.run(&mut value, others))?;
                self.buffers[*result] = Some(value);
            }
            Action::Enter { callee, params, parent } => {
                let types: Vec<Type> = operands.iter().map(|v| v.ty()).collect();
                let own = bind(params.iter().zip(&types).map(|((name, ty), found)| (name, ty, found)));
                let own = own.map_err(|source| ExecError::Call {
                    callee: callee.clone(),
                    loc: step.loc.clone(),
                    source: Box::new(source),
                })?;
                let mut bindings = self.bindings[*parent].clone();
                bindings.extend(own);
                self.bindings[step.scope] = bindings;
            }
        }
        for buffer in &step.dies {
            self.buffers[*buffer] = None;
        }
        Ok(())
    }
}

/// Turns live flat steps into a plan.
struct Planner<'a> {
    module: &'a Module,
    store: &'a Store,
    constants: Vec<Value>,
    weights: BTreeMap<WeightId, Slot>,
    /// Where each tensor of the flat program is.
    slots: BTreeMap<usize, Slot>,
}

impl Planner<'_> {
    fn plan(mut self, flat: Flat<'_>) -> Result<Plan, ExecError> {
        let mut buffers = 0;
        let mut buffer = || {
            buffers += 1;
            buffers - 1
        };
        let mut params = Vec::new();
        for param in &flat.params {
            let kept = flat.live[param.tensor].then(&mut buffer);
            if let Some(kept) = kept {
                self.slots.insert(param.tensor, Slot::Buffer(kept));
            }
            params.push(Param { name: param.name.clone(), ty: param.ty.clone(), buffer: kept });
        }
        let mut steps = Vec::new();
        for step in flat.steps {
            let action = match step.kind {
                Kind::Source(source) => {
                    return Err(ExecError::NotExecutable { name: source.name.clone(), loc: step.loc.clone() });
                }
                Kind::Enter { callee, params, parent, .. } => Action::Enter { callee, params, parent },
                Kind::Core(op) => {
                    let tensor = step.results.first().copied().unwrap_or(usize::MAX);
                    if let Some(constant) = self.constant(op, step.loc)? {
                        self.slots.insert(tensor, constant);
                        continue;
                    }
                    let result = buffer();
                    self.slots.insert(tensor, Slot::Buffer(result));
                    let rigid = Rigid::of(op, &step.types);
                    Action::Compute { op: op.clone(), rigid, arity: step.types.len(), group: step.group, result }
                }
            };
            let operands = step.operands.iter().map(|t| self.slot(*t)).collect::<Result<Vec<_>, _>>()?;
            steps.push(Step { action, operands, scope: step.scope, loc: step.loc.clone(), dies: Vec::new() });
        }
        let output = |(name, tensor): &(Name, usize)| Ok((name.clone(), self.slot(*tensor)?));
        let outputs = flat.outputs.iter().map(output).collect::<Result<Vec<_>, ExecError>>()?;
        note_deaths(&mut steps, &outputs);
        Ok(Plan { params, outputs, constants: self.constants, steps, scopes: flat.scopes, buffers })
    }

    fn slot(&self, tensor: usize) -> Result<Slot, ExecError> {
        let note = || ExecError::Malformed { func: "plan".into(), note: format!("tensor {tensor} is not defined") };
        self.slots.get(&tensor).copied().ok_or_else(note)
    }

    /// The constant that `op` is, prepared once.
    fn constant(&mut self, op: &CoreOp, loc: &Loc) -> Result<Option<Slot>, ExecError> {
        let id = match op {
            CoreOp::Weight(id) => id,
            CoreOp::Constant(literal) => {
                let value = Value::from_literal(literal).map_err(|source| op_error(op.name(), loc, source))?;
                return Ok(Some(self.add(value)));
            }
            CoreOp::Unary(_)
            | CoreOp::Binary(_)
            | CoreOp::Compare(_)
            | CoreOp::Select
            | CoreOp::Cast(_)
            | CoreOp::MatMul
            | CoreOp::Conv { .. }
            | CoreOp::Pool { .. }
            | CoreOp::Reduce { .. }
            | CoreOp::Reshape(_)
            | CoreOp::Transpose(_)
            | CoreOp::Broadcast(_)
            | CoreOp::Concat(_)
            | CoreOp::Slice(_)
            | CoreOp::Pad { .. }
            | CoreOp::Gather(_)
            | CoreOp::Sort { .. }
            | CoreOp::CumSum(_)
            | CoreOp::Reverse(_) => return Ok(None),
        };
        if let Some(slot) = self.weights.get(id) {
            return Ok(Some(*slot));
        }
        let weight = self.module.weights.get(id.index());
        let weight =
            weight.ok_or_else(|| ExecError::Malformed { func: "module".into(), note: format!("there is no {id}") })?;
        let value = Value::from_bytes(&weight.ty, &self.store.read(weight)?);
        let slot = self.add(value.map_err(|source| op_error("weight", loc, source))?);
        self.weights.insert(*id, slot);
        Ok(Some(slot))
    }

    fn add(&mut self, value: Value) -> Slot {
        self.constants.push(value);
        Slot::Constant(self.constants.len() - 1)
    }
}

/// Notes each buffer at the last step that reads it; outputs live on.
fn note_deaths(steps: &mut [Step], outputs: &[(Name, Slot)]) {
    let mut last: BTreeMap<usize, usize> = BTreeMap::new();
    for (i, step) in steps.iter().enumerate() {
        for slot in &step.operands {
            if let Slot::Buffer(buffer) = slot {
                last.insert(*buffer, i);
            }
        }
    }
    for (buffer, step) in last {
        if !outputs.iter().any(|(_, slot)| *slot == Slot::Buffer(buffer)) {
            steps[step].dies.push(buffer);
        }
    }
}
