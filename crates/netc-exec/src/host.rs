//! What plans share: memory, and the weights in it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use netc_data::Store;
use netc_ir::{Budget, ElemType, F64, Func, Module, Name, Resource, Weight, WeightData};

use crate::error::{ExecError, Limit, MOST_BYTES, Result};
use crate::value::Value;

/// Steps that every program may run.
const STEPS: u64 = 100_000;

/// Steps that a program may run for each of its ops: calls repeat them.
const STEPS_PER_OP: u64 = 16;

/// Memory and steps for plans, which are refused beyond them. Plans on one host hold each weight once.
#[derive(Debug)]
pub struct Host {
    budget: Arc<Budget>,
    max_steps: Option<u64>,
    weights: Mutex<Weights>,
}

/// The weights that plans hold, by where they come from and by what they are.
#[derive(Debug, Default)]
struct Weights {
    by_source: BTreeMap<Source, Weak<Held>>,
    by_content: BTreeMap<(ElemType, usize, u32), Vec<Weak<Held>>>,
}

/// What tells the bytes of a weight without reading them.
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

/// Some of a budget, which is given back when it is dropped.
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
    /// A host with so many bytes of memory. Each plan may run `max_steps` steps; unless given, 100,000 and 16 for each op of
    /// its module.
    pub fn new(memory: u64, max_steps: Option<u64>) -> Self {
        let budget = Arc::new(Budget::unlimited().with(Resource::Memory, memory));
        Self { budget, max_steps, weights: Mutex::default() }
    }

    /// The steps that each plan may run, if that is given.
    pub fn max_steps(&self) -> Option<u64> {
        self.max_steps
    }

    /// The steps that a function of `module` may run.
    pub(crate) fn max_steps_of(&self, module: &Module) -> u64 {
        self.max_steps.unwrap_or_else(|| STEPS_PER_OP.saturating_mul(module.num_ops() as u64).saturating_add(STEPS))
    }

    /// Takes memory for `what`, until the charge is dropped.
    pub(crate) fn charge(&self, what: impl FnOnce() -> String, amount: u64) -> Result<Charge, Limit> {
        // What has no size in bytes takes no more than a host without a limit has.
        let amount = amount.min(MOST_BYTES);
        match self.budget.charge(Resource::Memory, amount) {
            Ok(()) => Ok(Charge { budget: self.budget.clone(), amount }),
            Err(_) => Err(self.beyond(what(), amount)),
        }
    }

    /// Makes a charge one of `amount` bytes, for `what`.
    pub(crate) fn resize(&self, charge: &mut Charge, what: impl FnOnce() -> String, amount: u64) -> Result<(), Limit> {
        if let Some(more) = amount.checked_sub(charge.amount) {
            // The two become one: the second gives nothing back.
            let mut more = self.charge(what, more)?;
            charge.amount += std::mem::take(&mut more.amount);
        } else {
            self.budget.release(Resource::Memory, charge.amount - amount);
            charge.amount = amount;
        }
        Ok(())
    }

    /// Why `what` does not get `amount` bytes more than are taken already.
    pub(crate) fn beyond(&self, what: impl Into<String>, amount: u64) -> Limit {
        let needed = self.budget.used(Resource::Memory).saturating_add(amount);
        Limit { what: what.into(), resource: Resource::Memory, needed, limit: self.budget.limit(Resource::Memory) }
    }

    /// Whether no plan holds a weight.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().by_content.values().flatten().all(|held| held.strong_count() == 0)
    }

    /// Whether a plan holds the weight.
    pub(crate) fn holds(&self, module: &Module, weight: &Weight) -> bool {
        source(module, weight)
            .is_some_and(|source| self.lock().by_source.get(&source).and_then(Weak::upgrade).is_some())
    }

    /// The elements of the weight, which are read unless a plan holds them.
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
        // Another model may have the same weight.
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
