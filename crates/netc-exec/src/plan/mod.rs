//! Plans: a function as a flat list of steps, planned once and run many times.
//!
//! Planning inlines calls (`flatten`), drops dead steps (`liveness`), merges the ops of a fused function into one step
//! where a kernel exists (`group`), loads constants and weights, and notes the step at which each buffer dies. A plan
//! holds no state of a run: several threads can run it at once, and every run gives the same bits.

mod bind;
mod estimate;
mod extents;
mod flatten;
mod group;
mod liveness;
mod non_broadcast_axes;
mod run;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use netc_data::Store;
use netc_ir::{CoreOp, ElemType, Func, FuncId, Loc, Module, Name, Type, WeightId};

use bind::bind;
use extents::Extents;
use flatten::{Flat, Kind};
use group::Group;
use non_broadcast_axes::NonBroadcastAxes;
use run::Run;

use crate::error::{ExecError, Result, op_error};
use crate::host::{Charge, Held, Host};
use crate::tensor::Tensor;
use crate::value::{Value, extents};

/// Approximate memory of a step, during planning and in the plan, in bytes.
const BYTES_OF_STEP: u64 = 1024;

/// A function, planned and ready to run.
#[derive(Debug)]
pub struct Plan {
    func: Name,
    params: Vec<Param>,
    outputs: Vec<(Name, Slot)>,
    constants: Vec<Value>,
    constant_types: Vec<Type>,
    steps: Vec<Step>,
    /// The number of function instances in a run, including the planned function.
    scopes: usize,
    buffers: usize,
    host: Arc<Host>,
    max_steps: u64,
    /// Keeps the weights, and the memory charged for the rest of the plan, until the plan is dropped.
    held: Vec<Arc<Held>>,
    _memory: Vec<Charge>,
}

#[derive(Debug)]
struct Param {
    name: Name,
    ty: Type,
    /// The buffer of the input; none if the input is dead.
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
    /// The buffers that no later step reads.
    dies: Vec<usize>,
}

#[derive(Debug)]
enum Action {
    /// Computes a tensor into a buffer. `arity` operands belong to the op; the rest belong to the group, which then
    /// updates the result in place.
    Compute {
        op: CoreOp,
        extents: Extents,
        non_broadcast_axes: NonBroadcastAxes,
        arity: usize,
        group: Option<Group>,
        result: usize,
    },
    /// Enters a callee: binds its symbols from the operands, which correspond to `params`.
    Enter { callee: Name, params: Vec<(Name, Type)>, parent: usize },
}

impl Plan {
    /// Plans `func` of `module` with weights from `store`, without a memory limit.
    ///
    /// # Errors
    /// Those of [`Self::on`].
    pub fn new(module: &Module, func: FuncId, store: &Store) -> Result<Self> {
        Self::on(&Arc::default(), module, func, store)
    }

    /// Plans `func` of `module` with weights from `store`, within the limits of `host`.
    ///
    /// # Errors
    /// The function exceeds the host's memory or step limit, contains an unsupported layer, or a weight cannot be read.
    pub fn on(host: &Arc<Host>, module: &Module, func: FuncId, store: &Store) -> Result<Self> {
        Self::of(host, module, flatten::function(module, func, "module")?, store)
    }

    /// Plans `func`, which may call functions of `module` and read its weights without being one of its functions.
    pub(crate) fn of(host: &Arc<Host>, module: &Module, func: &Func, store: &Store) -> Result<Self> {
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

    /// The number of steps of the plan.
    pub fn num_steps(&self) -> usize {
        self.steps.len()
    }

    /// Computes the outputs for `inputs`, given in the order of the parameters and with exactly their types.
    ///
    /// # Errors
    /// The inputs do not match the parameters, the run exceeds a limit of the host, or an op fails.
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        self.run_with(inputs, &mut |_, _| ())
    }

    /// Like [`run`](Self::run), but calls `progress` after each step with the number of steps done and the total.
    ///
    /// # Errors
    /// Those of [`run`](Self::run).
    pub fn run_with(&self, inputs: &[Tensor], progress: &mut (dyn FnMut(usize, usize) + Send)) -> Result<Vec<Tensor>> {
        let mut run = Run::start(self, inputs)?;
        run.steps(progress)?;
        let output = |(_, slot): &(Name, Slot)| Ok(run.value(*slot)?.to_tensor()?);
        self.outputs.iter().map(output).collect()
    }

    /// Checks the limits of memory and steps for inputs of the types `inputs`, before the caller makes the inputs. The
    /// check ends at the first extent that only a run can compute; the run itself checks the rest.
    ///
    /// # Errors
    /// The types do not match the parameters, or the run exceeds a limit of the host.
    pub fn check(&self, inputs: &[Type]) -> Result<()> {
        let bindings = bind(self.params().zip(inputs).map(|((name, ty), found)| (name, ty, found)))?;
        self.reserve(inputs, bindings).map(drop)
    }

    /// Measures the time of the steps for `inputs`, without converting inputs and outputs.
    pub(crate) fn time(&self, inputs: &[Tensor]) -> Result<Duration> {
        let mut run = Run::start(self, inputs)?;
        run.steps(&mut |_, _| ())
    }
}

/// A constant during planning.
enum Constant {
    Ready(Value),
    /// A weight that is not read yet.
    Weight(WeightId, Loc),
}

/// Turns the live steps of a flat program into a plan.
struct Planner<'a> {
    host: &'a Arc<Host>,
    module: &'a Module,
    func: &'a Func,
    store: &'a Store,
    memory: Vec<Charge>,
    constants: Vec<Constant>,
    weights: BTreeMap<WeightId, Slot>,
    /// The slot of each tensor of the flat program.
    slots: BTreeMap<usize, Slot>,
}

impl Planner<'_> {
    fn plan(mut self, flat: Flat<'_>, max_steps: u64) -> Result<Plan> {
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
                    if let Some(constant) = self.constant(op, step.name, step.loc)? {
                        self.slots.insert(tensor, constant);
                        continue;
                    }
                    let result = buffer();
                    self.slots.insert(tensor, Slot::Buffer(result));
                    let non_broadcast_axes = NonBroadcastAxes::of(op, &step.types);
                    let (op, extents, arity) = (op.clone(), step.extents, step.types.len());
                    Action::Compute { op, extents, non_broadcast_axes, arity, group: step.group, result }
                }
            };
            let operands = step.operands.iter().map(|t| self.slot(*t)).collect::<Result<Vec<_>, _>>()?;
            let name = step.name.cloned();
            steps.push(Step { action, operands, scope: step.scope, loc: step.loc.clone(), name, dies: Vec::new() });
        }
        let output = |(name, tensor): &(Name, usize)| Ok((name.clone(), self.slot(*tensor)?));
        let outputs = flat.outputs.iter().map(output).collect::<Result<Vec<_>>>()?;
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
        // With fixed parameter types the limits can be checked before any weight is read.
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
                    // A shared weight has the same elements but possibly another shape.
                    let dims = extents(&weight.ty).map_err(|source| op_error("weight", None, &loc, source))?;
                    let value = held.value.reshape(&dims).map_err(|source| op_error("weight", None, &loc, source))?;
                    plan.held.push(held);
                    value
                }
            };
            plan.constants.push(value);
        }
        Ok(plan)
    }

    /// Charges memory for all weights before the first is read, unless the host already holds some weight.
    fn reserve_weights(&self, flat: &Flat<'_>) -> Result<Option<Charge>> {
        let read: BTreeSet<WeightId> = flat
            .steps
            .iter()
            .filter_map(|step| if let Kind::Core(CoreOp::Weight(id)) = step.kind { Some(*id) } else { None })
            .collect();
        let weights = read.iter().filter_map(|id| self.module.weights.get(id.index()));
        let bytes = weights
            .filter(|weight| !self.host.holds(self.module, weight))
            .fold(0, |all: u64, weight| all.saturating_add(weight.ty.num_bytes().unwrap_or(u64::MAX)));
        // With weights of other models on the host the sum would be too high: equal weights in other files are shared,
        // which only reading them shows.
        self.host.is_empty().then(|| self.charge("loading its weights", bytes)).transpose()
    }

    fn charge(&self, what: &str, bytes: u64) -> Result<Charge> {
        let refused = |source| ExecError::TooLarge { func: self.func.name.clone(), source };
        self.host.charge(|| what.into(), bytes).map_err(refused)
    }

    fn slot(&self, tensor: usize) -> Result<Slot> {
        let note = || ExecError::Malformed { func: "plan".into(), note: format!("tensor {tensor} is not defined") };
        self.slots.get(&tensor).copied().ok_or_else(note)
    }

    /// The slot of a `constant` or `weight` op; `None` for other ops. Each weight gets one slot.
    fn constant(&mut self, op: &CoreOp, name: Option<&Name>, loc: &Loc) -> Result<Option<Slot>> {
        if let CoreOp::Constant(literal) = op {
            let bytes = literal.ty().num_bytes().unwrap_or(u64::MAX);
            let memory = self.charge("a `constant`", bytes)?;
            self.memory.push(memory);
            let value = Value::from_literal(literal).map_err(|source| op_error(op.name(), name, loc, source))?;
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

/// Notes each buffer at the last step that reads it. Outputs never die.
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
