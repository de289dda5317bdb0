//! One run of a plan.

use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use netc_ir::{Bindings, CoreOp, Dim, Loc, Type};

use super::bind::bind;
use super::estimate::Estimator;
use super::{Action, Plan, Slot, Step};
use crate::error::{ExecError, Result, op_error};
use crate::host::Charge;
use crate::kernels;
use crate::tensor::Tensor;
use crate::value::Value;

/// The state of one run.
pub(super) struct Run<'p> {
    plan: &'p Plan,
    buffers: Vec<Option<Value>>,
    bindings: Vec<Bindings>,
    /// The estimate of the run, up to the step at which it pauses.
    estimator: Estimator<'p>,
    memory: Charge,
}

impl<'p> Run<'p> {
    /// Prepares a run of `plan` on `inputs`: checks the inputs and charges the memory.
    pub(super) fn start(plan: &'p Plan, inputs: &[Tensor]) -> Result<Self> {
        if inputs.len() != plan.params.len() {
            let names = plan.params.iter().map(|p| &*p.name).collect::<Vec<_>>().join(", ");
            return Err(ExecError::InputCount { found: inputs.len(), expected: plan.params.len(), names });
        }
        let types: Vec<Type> = inputs.iter().map(Tensor::ty).collect();
        let bindings = bind(plan.params().zip(&types).map(|((name, ty), found)| (name, ty, found)))?;
        let (estimator, memory) = plan.reserve(&types, bindings.clone())?;
        start_threads()?;
        let (buffers, scopes) = (vec![None; plan.buffers], vec![Bindings::new(); plan.scopes.max(1)]);
        let mut run = Self { plan, buffers, bindings: scopes, estimator, memory };
        run.bindings[0] = bindings;
        for (param, input) in plan.params.iter().zip(inputs) {
            if let Some(buffer) = param.buffer {
                let value = Value::from_tensor(input);
                run.buffers[buffer] =
                    Some(value.map_err(|source| op_error("input", Some(&param.name), &Loc::Unknown, source))?);
            }
        }
        Ok(run)
    }

    pub(super) fn value(&self, slot: Slot) -> Result<&Value> {
        let value = match slot {
            Slot::Constant(i) => self.plan.constants.get(i),
            Slot::Buffer(i) => self.buffers.get(i).and_then(Option::as_ref),
        };
        value.ok_or_else(|| ExecError::Malformed { func: "plan".into(), note: format!("{slot:?} holds nothing") })
    }

    /// Runs the steps and returns their time. They run on a thread of the kernels' pool, which saves each kernel from
    /// handing its work over to the pool.
    pub(super) fn steps(&mut self, progress: &mut (dyn FnMut(usize, usize) + Send)) -> Result<Duration> {
        rayon::scope(|_| {
            let start = Instant::now();
            let plan = self.plan;
            plan.steps.iter().enumerate().try_for_each(|(i, step)| {
                if self.estimator.waits_at(i) {
                    self.reserve_more(step)?;
                }
                self.step(step)?;
                progress(i + 1, plan.steps.len());
                Ok::<(), ExecError>(())
            })?;
            Ok(start.elapsed())
        })
    }

    /// Resumes the estimate at `step`, an `iota`, and charges the memory for the rest of the run.
    fn reserve_more(&mut self, step: &Step) -> Result<()> {
        let Some(n) = step.operands.first() else { return Ok(()) };
        // The step itself reports an invalid count.
        let Ok(count) = kernels::count(self.value(*n)?, None) else { return Ok(()) };
        self.estimator.advance(Some(count));
        self.plan.reserve_rest(&self.estimator, &mut self.memory)
    }

    fn step(&mut self, step: &Step) -> Result<()> {
        let operands = step.operands.iter().map(|slot| self.value(*slot)).collect::<Result<Vec<_>, _>>()?;
        match &step.action {
            Action::Compute { op, extents, non_broadcast_axes, arity, group, result } => {
                let (own, others) = operands.split_at(*arity);
                let bindings = &self.bindings[step.scope];
                let failed = |source| op_error(op.name(), step.name.as_ref(), &step.loc, source);
                let resolved = extents.resolve(op, bindings, || own.iter().map(|v| v.ty()).collect());
                let mut resolved = resolved.map_err(failed)?;
                if let (CoreOp::Iota(_), [n, ..]) = (op, own) {
                    let expected = extents.expected(&resolved, bindings);
                    let count = expected.and_then(|expected| kernels::count(n, expected)).map_err(failed)?;
                    *resolved.to_mut() = CoreOp::Iota(Dim::Known(count));
                }
                let fits = non_broadcast_axes.check(op, own.iter().map(|v| v.dims()));
                let value = fits.and_then(|()| kernels::run(&resolved, own, bindings));
                let mut value = value.map_err(failed)?;
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

/// Starts the kernels' thread pool with as many threads as the system allows.
///
/// The pool would otherwise start on first use, where a failure panics instead of returning an error.
fn start_threads() -> Result<()> {
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
    // An error means that the embedding program has already built the global pool.
    *started = true;
    drop(rayon::ThreadPoolBuilder::new().num_threads(count).build_global());
    Ok(())
}
