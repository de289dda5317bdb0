//! Plans: a function as a flat list of steps, made once and run many times.
//!
//! Making a plan inlines calls (`flatten`), drops what no output needs (`liveness`), makes one step of the ops of a fused
//! function where there is a kernel for them (`group`), prepares constants and weights, and notes after which step each
//! buffer dies. A plan holds no state of a run: it can run in several
//! threads at once, and gives the same bits each time.

mod bind;
mod estimate;
mod flatten;
mod group;
mod liveness;
mod rigid;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use netc_data::Store;
use netc_ir::{Bindings, CoreOp, ElemType, Func, FuncId, Loc, Module, Name, Type, WeightId};

use bind::bind;
use flatten::{Flat, Kind};
use group::Group;
use rigid::Rigid;

use crate::error::{ExecError, op_error};
use crate::host::{Charge, Held, Host};
use crate::kernels;
use crate::tensor::Tensor;
use crate::value::{Value, extents};

/// About the bytes of a step in a plan, and while it is made.
const BYTES_OF_STEP: u64 = 1024;

/// A function that is ready to run.
#[derive(Debug)]
pub struct Plan {
    func: Name,
    params: Vec<Param>,
    outputs: Vec<(Name, Slot)>,
    constants: Vec<Value>,
    constant_types: Vec<Type>,
    steps: Vec<Step>,
    /// How many functions are entered in a run, the planned one included.
    scopes: usize,
    buffers: usize,
    host: Arc<Host>,
    max_steps: u64,
    /// The memory of the weights, and of the rest of the plan, until it is dropped.
    held: Vec<Arc<Held>>,
    _memory: Vec<Charge>,
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
    /// The name of the result.
    name: Option<Name>,
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
    /// Plans `func` of `module` with weights from `store`, without a memory limit.
    pub fn new(module: &Module, func: FuncId, store: &Store) -> Result<Self, ExecError> {
        Self::on(&Arc::default(), module, func, store)
    }

    /// Plans `func` of `module` with weights from `store`, within the limits of `host`.
    ///
    /// # Errors
    /// The weights take more memory than is left on the host, or the function more steps than it allows; and what cannot be
    /// executed.
    pub fn on(host: &Arc<Host>, module: &Module, func: FuncId, store: &Store) -> Result<Self, ExecError> {
        Self::of(host, module, flatten::function(module, func, "module")?, store)
    }

    /// Plans `func`, which need not be a function of `module` but may call some and reads its weights.
    pub(crate) fn of(host: &Arc<Host>, module: &Module, func: &Func, store: &Store) -> Result<Self, ExecError> {
        let max_steps = host.max_steps_of(module);
        let steps = flatten::num_steps(module, func, max_steps)?;
        let refused = |source| ExecError::TooLarge { func: func.name.clone(), source };
        let memory = host.charge(|| "the plan".into(), steps.saturating_mul(BYTES_OF_STEP)).map_err(refused)?;
        let mut flat = flatten::flatten(module, func)?;
        liveness::drop_dead(&mut flat);
        group::merge_groups(&mut flat);
        let (memory, constants) = (vec![memory], Vec::new());
        let (weights, slots) = (BTreeMap::new(), BTreeMap::new());
        let planner = Planner { host, module, func, store, memory, constants, weights, slots };
        planner.plan(flat, max_steps)
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

    /// Checks that there is enough memory, and that there are enough steps, for a run on inputs of the types `inputs`. A run
    /// checks that itself; before it, inputs need not be made in vain.
    ///
    /// # Errors
    /// Those of the run.
    pub fn check(&self, inputs: &[Type]) -> Result<(), ExecError> {
        let bindings = bind(self.params().zip(inputs).map(|((name, ty), found)| (name, ty, found)))?;
        self.reserve(inputs, bindings).map(drop)
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
        let memory = self.reserve(&types, bindings.clone())?;
        start_threads()?;
        let (buffers, scopes) = (vec![None; self.buffers], vec![Bindings::new(); self.scopes.max(1)]);
        let mut run = Run { plan: self, buffers, bindings: scopes, _memory: memory };
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

/// The state of one run.
struct Run<'p> {
    plan: &'p Plan,
    buffers: Vec<Option<Value>>,
    bindings: Vec<Bindings>,
    _memory: Charge,
}

/// Starts the threads of the pool on which ops are computed, as many as the system gives: what would start them later has no
/// way to say that there are none.
fn start_threads() -> Result<(), ExecError> {
    static STARTED: Mutex<bool> = Mutex::new(false);
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    if *started {
        return Ok(());
    }
    let wanted = thread::available_parallelism().map_or(1, usize::from);
    let (mut waiting, mut threads) = (Vec::new(), Vec::new());
    let mut failed = None;
    while threads.len() < wanted && failed.is_none() {
        let (end, wait) = channel::<()>();
        match thread::Builder::new().spawn(move || wait.recv().is_ok()) {
            Ok(thread) => threads.push(thread),
            Err(error) => failed = Some(error),
        }
        waiting.push(end);
    }
    drop(waiting);
    let count = threads.len();
    threads.into_iter().for_each(|thread| drop(thread.join()));
    if let (0, Some(error)) = (count, failed) {
        return Err(ExecError::Threads(error));
    }
    // A program that uses this crate may have started them.
    *started = true;
    drop(rayon::ThreadPoolBuilder::new().num_threads(count).build_global());
    Ok(())
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

/// A constant of a plan that is made.
enum Constant {
    Ready(Value),
    /// To be read.
    Weight(WeightId, Loc),
}

/// Turns live flat steps into a plan.
struct Planner<'a> {
    host: &'a Arc<Host>,
    module: &'a Module,
    func: &'a Func,
    store: &'a Store,
    memory: Vec<Charge>,
    constants: Vec<Constant>,
    weights: BTreeMap<WeightId, Slot>,
    /// Where each tensor of the flat program is.
    slots: BTreeMap<usize, Slot>,
}

impl Planner<'_> {
    fn plan(mut self, flat: Flat<'_>, max_steps: u64) -> Result<Plan, ExecError> {
        let weights = self.reserve_weights(&flat)?;
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
            let name = step.name.cloned();
            steps.push(Step { action, operands, scope: step.scope, loc: step.loc.clone(), name, dies: Vec::new() });
        }
        let output = |(name, tensor): &(Name, usize)| Ok((name.clone(), self.slot(*tensor)?));
        let outputs = flat.outputs.iter().map(output).collect::<Result<Vec<_>, ExecError>>()?;
        note_deaths(&mut steps, &outputs);
        let type_of = |constant: &Constant| match constant {
            Constant::Ready(value) => value.ty(),
            Constant::Weight(id, _) => self.module[*id].ty.clone(),
        };
        let mut plan = Plan {
            func: self.func.name.clone(),
            params,
            outputs,
            constants: Vec::new(),
            constant_types: self.constants.iter().map(type_of).collect(),
            steps,
            scopes: flat.scopes,
            buffers,
            host: self.host.clone(),
            max_steps,
            held: Vec::new(),
            _memory: self.memory,
        };
        // Refuse before reading weights if no input can fit.
        let fixed: Option<Vec<Type>> =
            plan.params().map(|(_, ty)| ty.num_bytes().is_some().then(|| ty.clone())).collect();
        if let Some(fixed) = fixed.filter(|fixed| fixed.iter().all(|ty| ty.elem != ElemType::Any)) {
            plan.check(&fixed)?;
        }
        drop(weights);
        for constant in self.constants {
            let value = match constant {
                Constant::Ready(value) => value,
                Constant::Weight(id, loc) => {
                    let weight = &self.module[id];
                    let held = self.host.weight(self.module, self.func, self.store, weight)?;
                    // Weights with the same elements may have other shapes.
                    let dims = extents(&weight.ty).map_err(|source| op_error("weight", &loc, source))?;
                    let value = held.value.reshape(&dims).map_err(|source| op_error("weight", &loc, source))?;
                    plan.held.push(held);
                    value
                }
            };
            plan.constants.push(value);
        }
        Ok(plan)
    }

    /// Takes memory for all weights before one is read.
    fn reserve_weights(&self, flat: &Flat<'_>) -> Result<Option<Charge>, ExecError> {
        let read: BTreeSet<WeightId> = flat
            .steps
            .iter()
            .filter_map(|step| if let Kind::Core(CoreOp::Weight(id)) = step.kind { Some(*id) } else { None })
            .collect();
        let weights = read.iter().filter_map(|id| self.module.weights.get(id.index()));
        let bytes = weights
            .filter(|weight| !self.host.holds(self.module, weight))
            .fold(0, |all: u64, weight| all.saturating_add(weight.ty.num_bytes().unwrap_or(u64::MAX)));
        // Other models on the host may have the same weights in other files: that shows when they are read.
        self.host.is_empty().then(|| self.charge("what its weights hold", bytes)).transpose()
    }

    fn charge(&self, what: &str, bytes: u64) -> Result<Charge, ExecError> {
        let refused = |source| ExecError::TooLarge { func: self.func.name.clone(), source };
        self.host.charge(|| what.into(), bytes).map_err(refused)
    }

    fn slot(&self, tensor: usize) -> Result<Slot, ExecError> {
        let note = || ExecError::Malformed { func: "plan".into(), note: format!("tensor {tensor} is not defined") };
        self.slots.get(&tensor).copied().ok_or_else(note)
    }

    /// The constant that `op` is, prepared once.
    fn constant(&mut self, op: &CoreOp, loc: &Loc) -> Result<Option<Slot>, ExecError> {
        if let CoreOp::Constant(literal) = op {
            let bytes = literal.ty().num_bytes().unwrap_or(u64::MAX);
            let memory = self.charge("a `constant`", bytes)?;
            self.memory.push(memory);
            let value = Value::from_literal(literal).map_err(|source| op_error(op.name(), loc, source))?;
            return Ok(Some(self.add(Constant::Ready(value))));
        }
        let CoreOp::Weight(id) = op else { return Ok(None) };
        if let Some(slot) = self.weights.get(id) {
            return Ok(Some(*slot));
        }
        if id.index() >= self.module.weights.len() {
            return Err(ExecError::Malformed { func: "module".into(), note: format!("there is no {id}") });
        }
        let slot = self.add(Constant::Weight(*id, loc.clone()));
        self.weights.insert(*id, slot);
        Ok(Some(slot))
    }

    fn add(&mut self, constant: Constant) -> Slot {
        self.constants.push(constant);
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
