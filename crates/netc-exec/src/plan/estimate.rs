//! Estimates memory and steps before a run: infers the types of all tensors and tracks their bytes as buffers live and
//! die.

use netc_ir::{Bindings, CoreOp, Dim, Resource, Type};

use super::bind::bind;
use super::{Action, Plan, Slot, Step};
use crate::error::{ExecError, Limit, Result};
use crate::host::Charge;
use crate::kernels;
use crate::tensor::MAX_BYTES;

/// Multiply-accumulates, or comparable operations, that count as one step.
const WORK_OF_STEP: u64 = 100_000_000;

/// Infers the types of a run step by step.
///
/// The estimate pauses at an `iota` whose extent only the run can compute, and resumes once the run has computed it.
pub(super) struct Estimator<'p> {
    live: Live<'p>,
    scopes: Vec<Bindings>,
    /// The next step.
    at: usize,
    /// Whether the next step is an `iota` of unknown extent.
    waits: bool,
    /// Peak memory in bytes since the estimate last resumed.
    bytes: u64,
    /// The step at the peak.
    largest: Option<usize>,
    steps: u64,
    /// The step with the most work, and its work.
    longest: Option<(usize, u64)>,
}

impl Plan {
    /// Charges the memory of a run on inputs of the types `inputs`, which match the parameters and are held by the
    /// caller.
    ///
    /// # Errors
    /// The run exceeds the memory or step limit.
    pub(super) fn reserve(&self, inputs: &[Type], bindings: Bindings) -> Result<(Estimator<'_>, Charge)> {
        let mut estimator = Estimator::new(self, inputs, bindings);
        estimator.advance(None);
        self.check_steps(&estimator)?;
        let charge = self.host.charge(|| self.needs_most(&estimator), estimator.bytes);
        let charge = charge.map_err(|source| self.refused(source))?;
        Ok((estimator, charge))
    }

    /// Changes `charge` to the memory of the rest of a run, after the estimate has resumed.
    ///
    /// # Errors
    /// Those of [`Self::reserve`].
    pub(super) fn reserve_rest(&self, estimator: &Estimator<'_>, charge: &mut Charge) -> Result<()> {
        self.check_steps(estimator)?;
        let resized = self.host.resize(charge, || self.needs_most(estimator), estimator.bytes);
        resized.map_err(|source| self.refused(source))
    }

    fn refused(&self, source: Limit) -> ExecError {
        ExecError::TooLarge { func: self.func.clone(), source }
    }

    fn check_steps(&self, estimate: &Estimator<'_>) -> Result<()> {
        if estimate.steps <= self.max_steps {
            return Ok(());
        }
        let what = match estimate.longest {
            Some((step, work)) if work > self.max_steps => self.described(step),
            _ => "the run".into(),
        };
        let (needed, limit) = (estimate.steps, self.max_steps);
        Err(self.refused(Limit { what, resource: Resource::Steps, needed, limit }))
    }

    fn needs_most(&self, estimate: &Estimator<'_>) -> String {
        estimate.largest.map_or_else(|| "holding inputs and outputs".into(), |step| self.described(step))
    }

    fn described(&self, step: usize) -> String {
        let Step { action, loc, name, .. } = &self.steps[step];
        let op = match action {
            Action::Compute { op, .. } => op.name(),
            Action::Enter { .. } => "call",
        };
        let result = name.as_ref().map_or_else(String::new, |name| format!("%{name} = "));
        match loc.path() {
            Some(_) => format!("`{result}{op}` at `{loc}`"),
            None => format!("`{result}{op}`"),
        }
    }
}

impl<'p> Estimator<'p> {
    fn new(plan: &'p Plan, inputs: &[Type], bindings: Bindings) -> Self {
        let mut live = Live { plan, held: vec![None; plan.buffers], bytes: 0 };
        let mut scopes = vec![Bindings::new(); plan.scopes.max(1)];
        scopes[0] = bindings;
        for (param, ty) in plan.params.iter().zip(inputs) {
            live.bytes = live.bytes.saturating_add(bytes(ty));
            if let Some(buffer) = param.buffer {
                live.add(buffer, ty.clone());
            }
        }
        Self { live, scopes, at: 0, waits: false, bytes: 0, largest: None, steps: 0, longest: None }
    }

    /// Whether the estimate is paused at `step` until the run knows the value of its operand.
    pub(super) fn waits_at(&self, step: usize) -> bool {
        self.waits && self.at == step
    }

    /// Infers types up to the end or the next `iota` of unknown extent. `count` is the extent of the `iota` at which
    /// the estimate is paused. Stops at the first step with a type error, since the run fails there too.
    pub(super) fn advance(&mut self, mut count: Option<u64>) {
        self.waits = false;
        (self.bytes, self.largest) = (self.live.bytes, None);
        let plan = self.live.plan;
        while let Some(step) = plan.steps.get(self.at) {
            let i = self.at;
            let operands: Option<Vec<Type>> = step.operands.iter().map(|slot| self.live.ty(*slot)).collect();
            let Some(operands) = operands else { return };
            match &step.action {
                Action::Compute { op, extents, arity, result, group, .. } => {
                    let own = &operands[..*arity];
                    let bindings = &self.scopes[step.scope];
                    let Ok(mut resolved) = extents.resolve(op, bindings, || own.to_vec()) else { return };
                    if matches!(op, CoreOp::Iota(_)) {
                        let Ok(expected) = extents.expected(&resolved, bindings) else { return };
                        let Some(count) = expected.or(count.take()) else {
                            self.waits = true;
                            return;
                        };
                        *resolved.to_mut() = CoreOp::Iota(Dim::Known(count));
                    }
                    let own: Vec<&Type> = own.iter().collect();
                    let Ok((known, ty)) = kernels::typed(&resolved, &own, bindings) else { return };
                    if bytes(&ty) > MAX_BYTES {
                        // The run fails at this step regardless of free memory.
                        self.bytes = self.bytes.max(self.live.bytes.saturating_add(bytes(&ty)));
                        self.largest = Some(i);
                        return;
                    }
                    let demand = kernels::demand(&known, &own, &ty);
                    let parts = group.as_ref().map_or(0, |group| group.len() as u64);
                    let work = demand.work.saturating_add(parts.saturating_mul(ty.num_elements().unwrap_or(u64::MAX)));
                    let steps = work / WORK_OF_STEP;
                    self.steps = self.steps.saturating_add(steps).saturating_add(1);
                    if self.longest.is_none_or(|(_, most)| steps > most) {
                        self.longest = Some((i, steps));
                    }
                    match kernels::is_shared(op) {
                        true => self.live.share(*result, ty, step.operands[0]),
                        false => self.live.add(*result, ty),
                    }
                    let needed = self.live.bytes.saturating_add(demand.bytes);
                    if needed > self.bytes {
                        (self.bytes, self.largest) = (needed, Some(i));
                    }
                }
                Action::Enter { params, parent, .. } => {
                    self.steps = self.steps.saturating_add(1);
                    let bound = bind(params.iter().zip(&operands).map(|((name, ty), found)| (name, ty, found)));
                    let Ok(bound) = bound else { return };
                    self.scopes[step.scope] = self.scopes[*parent].clone();
                    self.scopes[step.scope].extend(bound);
                }
            }
            step.dies.iter().for_each(|buffer| self.live.drop(*buffer));
            self.at += 1;
        }
        let outputs = plan.outputs.iter().filter_map(|(_, slot)| self.live.ty(*slot));
        let needed = outputs.fold(self.live.bytes, |all, ty| all.saturating_add(bytes(&ty)));
        if needed > self.bytes {
            (self.bytes, self.largest) = (needed, None);
        }
    }
}

/// The tensors in the buffers, and their total bytes.
struct Live<'p> {
    plan: &'p Plan,
    held: Vec<Option<Tracked>>,
    bytes: u64,
}

/// A tensor in a buffer.
#[derive(Clone)]
struct Tracked {
    ty: Type,
    /// The buffer that owns the elements; none if a constant owns them.
    owner: Option<usize>,
    /// For an owner: the number of tensors that share its elements.
    shares: usize,
}

impl Live<'_> {
    fn ty(&self, slot: Slot) -> Option<Type> {
        match slot {
            Slot::Constant(i) => self.plan.constant_types.get(i).cloned(),
            Slot::Buffer(i) => self.held[i].as_ref().map(|held| held.ty.clone()),
        }
    }

    fn add(&mut self, buffer: usize, ty: Type) {
        self.bytes = self.bytes.saturating_add(bytes(&ty));
        self.held[buffer] = Some(Tracked { ty, owner: Some(buffer), shares: 1 });
    }

    /// Adds a tensor that shares the elements of another.
    fn share(&mut self, buffer: usize, ty: Type, of: Slot) {
        let owner = match of {
            Slot::Constant(_) => None,
            Slot::Buffer(i) => self.held[i].as_ref().and_then(|held| held.owner),
        };
        if let Some(owner) = owner.and_then(|owner| self.held[owner].as_mut()) {
            owner.shares += 1;
        }
        self.held[buffer] = Some(Tracked { ty, owner, shares: 0 });
    }

    fn drop(&mut self, buffer: usize) {
        let Some(owner) = self.held[buffer].as_ref().and_then(|held| held.owner) else { return };
        // Keep the owner's entry: its type is needed when the last share dies.
        if let Some(held) = self.held[owner].as_mut() {
            held.shares -= 1;
            if held.shares == 0 {
                self.bytes = self.bytes.saturating_sub(bytes(&held.ty));
            }
        }
    }
}

fn bytes(ty: &Type) -> u64 {
    ty.num_bytes().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
