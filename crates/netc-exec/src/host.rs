//! Memory and weights shared by plans.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use netc_data::Store;
use netc_ir::{Budget, ElemType, F64, Func, Module, Name, Resource, Weight, WeightData};

use crate::error::{ExecError, Limit, MOST_BYTES, Result};
use crate::value::Value;

/// Default step limit of a program, before the allowance per op.
const STEPS: u64 = 100_000;

/// Additional steps allowed per op of a module, because calls repeat ops.
const STEPS_PER_OP: u64 = 16;

/// Limits of memory and steps; plans that exceed them are rejected. Plans on one host share each weight.
#[derive(Debug)]
pub struct Host {
    budget: Arc<Budget>,
    max_steps: Option<u64>,
    weights: Mutex<Weights>,
}

/// The weights that plans hold, indexed by source and by content.
#[derive(Debug, Default)]
struct Weights {
    by_source: BTreeMap<Source, Weak<Held>>,
    by_content: BTreeMap<(ElemType, usize, u32), Vec<Weak<Held>>>,
}

/// Identifies the bytes of a weight without reading them.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    File { path: Name, offset: u64, len: u64, elem: ElemType },
    Random { name: Name, seed: u64, bounds: [F64; 2], elem: ElemType, len: u64 },
}

/// A weight in memory.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) value: Value,
    _memory: Charge,
}

/// An amount charged to a budget, released on drop.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    amount: u64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.release(Resource::Memory, self.amount);
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new(u64::MAX, None)
    }
}

impl Host {
    /// Creates a host with `memory` bytes. Each plan may run `max_steps` steps; the default is 100,000 plus 16 per op
    /// of its module.
    pub fn new(memory: u64, max_steps: Option<u64>) -> Self {
        let budget = Arc::new(Budget::unlimited().with(Resource::Memory, memory));
        Self { budget, max_steps, weights: Mutex::default() }
    }

    /// The explicit step limit of each plan, if any.
    pub fn max_steps(&self) -> Option<u64> {
        self.max_steps
    }

    /// The step limit for functions of `module`.
    pub(crate) fn max_steps_of(&self, module: &Module) -> u64 {
        self.max_steps.unwrap_or_else(|| STEPS_PER_OP.saturating_mul(module.num_ops() as u64).saturating_add(STEPS))
    }

    /// Charges `amount` bytes for `what` until the charge is dropped.
    pub(crate) fn charge(&self, what: impl FnOnce() -> String, amount: u64) -> Result<Charge, Limit> {
        // An unknown size is counted as `u64::MAX`; the cap lets it pass on a host without a limit.
        let amount = amount.min(MOST_BYTES);
        match self.budget.charge(Resource::Memory, amount) {
            Ok(()) => Ok(Charge { budget: self.budget.clone(), amount }),
            Err(_) => Err(self.beyond(what(), amount)),
        }
    }

    /// Changes a charge to `amount` bytes, for `what`.
    pub(crate) fn resize(&self, charge: &mut Charge, what: impl FnOnce() -> String, amount: u64) -> Result<(), Limit> {
        if let Some(more) = amount.checked_sub(charge.amount) {
            // `charge` takes over the amount, so dropping `more` must release nothing.
            let mut more = self.charge(what, more)?;
            charge.amount += std::mem::take(&mut more.amount);
        } else {
            self.budget.release(Resource::Memory, charge.amount - amount);
            charge.amount = amount;
        }
        Ok(())
    }

    /// The error when `what` needs `amount` more bytes than remain.
    pub(crate) fn beyond(&self, what: impl Into<String>, amount: u64) -> Limit {
        let needed = self.budget.used(Resource::Memory).saturating_add(amount);
        Limit { what: what.into(), resource: Resource::Memory, needed, limit: self.budget.limit(Resource::Memory) }
    }

    /// Whether no plan holds any weight.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().by_content.values().flatten().all(|held| held.strong_count() == 0)
    }

    /// Whether some plan holds the weight.
    pub(crate) fn holds(&self, module: &Module, weight: &Weight) -> bool {
        source(module, weight)
            .is_some_and(|source| self.lock().by_source.get(&source).and_then(Weak::upgrade).is_some())
    }

    /// Returns the weight, reading it unless some plan already holds it.
    pub(crate) fn weight(&self, module: &Module, func: &Func, store: &Store, weight: &Weight) -> Result<Arc<Held>> {
        let source = source(module, weight);
        let held = source.as_ref().and_then(|source| self.lock().by_source.get(source)?.upgrade());
        if let Some(held) = held {
            return Ok(held);
        }
        let bytes = weight.ty.num_bytes().unwrap_or(u64::MAX);
        let charge = self.charge(|| format!("the weight `{}`", weight.name), bytes);
        let charge = charge.map_err(|source| ExecError::TooLarge { func: func.name.clone(), source })?;
        let (value, crc) = Value::read(store, weight)?;
        let mut weights = self.lock();
        let same = weights.by_content.entry((weight.ty.elem, value.num_elements(), crc)).or_default();
        same.retain(|held| held.strong_count() > 0);
        // Another model may hold an equal weight from another file.
        let twin = same.iter().filter_map(Weak::upgrade).find(|held| held.value.same_bits(&value));
        let held = twin.unwrap_or_else(|| {
            let held = Arc::new(Held { value, _memory: charge });
            same.push(Arc::downgrade(&held));
            held
        });
        if let Some(source) = source {
            weights.by_source.insert(source, Arc::downgrade(&held));
        }
        Ok(held)
    }

    fn lock(&self) -> MutexGuard<'_, Weights> {
        self.weights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn source(module: &Module, weight: &Weight) -> Option<Source> {
    let elem = weight.ty.elem;
    match &weight.data {
        WeightData::File { file, offset, len } => {
            Some(Source::File { path: module.files.get(file.index())?.clone(), offset: *offset, len: *len, elem })
        }
        WeightData::Random { seed, low, high } => {
            let (name, len) = (weight.name.clone(), weight.ty.num_bytes()?);
            Some(Source::Random { name, seed: *seed, bounds: [*low, *high], elem, len })
        }
        WeightData::Inline(_) => None,
    }
}
