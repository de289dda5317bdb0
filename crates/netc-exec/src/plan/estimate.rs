//! What a run takes, found before it: the types of all tensors are inferred, and their bytes counted as they come and go.

use netc_ir::{Bindings, Resource, Type};

use super::{Action, Plan, Slot, Step, bind};
use crate::error::{ExecError, Limit};
use crate::host::Charge;
use crate::kernels;
use crate::tensor::MAX_BYTES;

/// Multiply-accumulates, or operations like them, that count as one step.
const WORK_OF_STEP: u64 = 100_000_000;

/// What a run takes.
#[derive(Debug, Default)]
struct Estimate {
    /// The most bytes that it holds at a time.
    bytes: u64,
    /// The step at which it holds them.
    largest: Option<usize>,
    steps: u64,
    /// The step with the most work, and its work.
    longest: Option<(usize, u64)>,
}

impl Plan {
    /// Takes the memory for a run on inputs of the types `inputs`, which fit and are held by the caller.
    ///
    /// # Errors
    /// There is too little, or the run takes more steps than it may.
    pub(super) fn reserve(&self, inputs: &[Type], bindings: Bindings) -> Result<Charge, ExecError> {
        let estimate = self.estimate(inputs, bindings);
        let refused = |source| ExecError::TooLarge { func: self.func.clone(), source };
        if estimate.steps > self.max_steps {
            let what = match estimate.longest {
                Some((step, work)) if work > self.max_steps => self.described(step),
                _ => "it".into(),
            };
            let (needed, limit) = (estimate.steps, self.max_steps);
            return Err(refused(Limit { what, resource: Resource::Steps, needed, limit }));
        }
        let what = || estimate.largest.map_or_else(|| "what goes in and comes out".into(), |step| self.described(step));
        self.host.charge(what, estimate.bytes).map_err(refused)
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

    /// Follows the types from step to step. At the first that does not fit it ends: there the run ends, too.
    fn estimate(&self, inputs: &[Type], bindings: Bindings) -> Estimate {
        let mut live = Live { plan: self, held: vec![None; self.buffers], bytes: 0 };
        let mut estimate = Estimate::default();
        let mut scopes = vec![Bindings::new(); self.scopes.max(1)];
        scopes[0] = bindings;
        for (param, ty) in self.params.iter().zip(inputs) {
            live.bytes = live.bytes.saturating_add(bytes(ty));
            if let Some(buffer) = param.buffer {
                live.add(buffer, ty.clone());
            }
        }
        estimate.bytes = live.bytes;
        for (i, step) in self.steps.iter().enumerate() {
            let operands: Option<Vec<Type>> = step.operands.iter().map(|slot| live.ty(*slot)).collect();
            let Some(operands) = operands else { return estimate };
            match &step.action {
                Action::Compute { op, arity, result, group, .. } => {
                    let own: Vec<&Type> = operands[..*arity].iter().collect();
                    let Ok((known, ty)) = kernels::typed(op, &own, &scopes[step.scope]) else { return estimate };
                    if bytes(&ty) > MAX_BYTES {
                        // The run fails at this step, however much memory is free.
                        estimate.bytes = estimate.bytes.max(live.bytes.saturating_add(bytes(&ty)));
                        estimate.largest = Some(i);
                        return estimate;
                    }
                    let demand = kernels::demand(&known, &own, &ty);
                    let parts = group.as_ref().map_or(0, |group| group.len() as u64);
                    let work = demand.work.saturating_add(parts.saturating_mul(ty.num_elements().unwrap_or(u64::MAX)));
                    let steps = work / WORK_OF_STEP;
                    estimate.steps = estimate.steps.saturating_add(steps).saturating_add(1);
                    if estimate.longest.is_none_or(|(_, most)| steps > most) {
                        estimate.longest = Some((i, steps));
                    }
                    match kernels::is_shared(op) {
                        true => live.share(*result, ty, step.operands[0]),
                        false => live.add(*result, ty),
                    }
                    let needed = live.bytes.saturating_add(demand.bytes);
                    if needed > estimate.bytes {
                        (estimate.bytes, estimate.largest) = (needed, Some(i));
                    }
                }
                Action::Enter { params, parent, .. } => {
                    estimate.steps = estimate.steps.saturating_add(1);
                    let bound = bind(params.iter().zip(&operands).map(|((name, ty), found)| (name, ty, found)));
                    let Ok(bound) = bound else { return estimate };
                    scopes[step.scope] = scopes[*parent].clone();
                    scopes[step.scope].extend(bound);
                }
            }
            step.dies.iter().for_each(|buffer| live.drop(*buffer));
        }
        let outputs = self.outputs.iter().filter_map(|(_, slot)| live.ty(*slot));
        let needed = outputs.fold(live.bytes, |all, ty| all.saturating_add(bytes(&ty)));
        if needed > estimate.bytes {
            (estimate.bytes, estimate.largest) = (needed, None);
        }
        estimate
    }
}

/// The buffers that hold tensors, and the bytes of these.
struct Live<'p> {
    plan: &'p Plan,
    held: Vec<Option<Tracked>>,
    bytes: u64,
}

/// A tensor in a buffer.
#[derive(Clone)]
struct Tracked {
    ty: Type,
    /// The buffer that owns the elements; none for a constant.
    owner: Option<usize>,
    /// In a buffer that owns elements, how many tensors have them.
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

    /// A tensor with the elements of another.
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
        // The type of an owner stays until its elements go.
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
