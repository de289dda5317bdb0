//! Limits on the resources that one model may use.
//!
//! Model files are untrusted: a few bytes can request gigabytes of memory or hours of work. Code that reads or runs a
//! model charges each step to a [`Budget`] before taking it.

use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

/// A resource that is charged to a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Bytes read from files. Bytes read twice count twice, so this also bounds the time spent reading.
    Read,
    /// Bytes held in memory: inflated, parsed, or reserved.
    Memory,
    /// Ops created or run.
    Steps,
}

/// How much of each [`Resource`] is left. Threads can share it.
///
/// ```
/// use netc_ir::{Budget, Resource};
///
/// let budget = Budget::unlimited().with(Resource::Memory, 100);
/// assert!(budget.charge(Resource::Memory, 60).is_ok());
/// assert!(budget.charge(Resource::Memory, 60).is_err());
/// budget.release(Resource::Memory, 60);
/// assert!(budget.charge(Resource::Memory, 60).is_ok());
/// ```
#[derive(Debug)]
pub struct Budget {
    read: Meter,
    memory: Meter,
    steps: Meter,
}

#[derive(Debug)]
struct Meter {
    used: AtomicU64,
    limit: u64,
}

/// A charge larger than what is left in the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("it takes more than {}", amount(*resource, *limit))]
pub struct Exceeded {
    /// What ran out.
    pub resource: Resource,
    /// The limit of that resource.
    pub limit: u64,
}

impl Budget {
    /// What even the smallest file may use: 64 MiB.
    pub const FLOOR: u64 = 64 << 20;

    /// The budget for reading a file of `len` bytes: [`Budget::FLOOR`], plus 64 of each resource per byte of the file.
    ///
    /// Real models stay far below: headers are read two or three times, and text takes up to 20 times its length.
    pub fn for_file(len: u64) -> Self {
        let limit = len.saturating_mul(64).saturating_add(Self::FLOOR);
        Self { read: Meter::new(limit), memory: Meter::new(limit), steps: Meter::new(limit) }
    }

    /// A budget without limits.
    pub fn unlimited() -> Self {
        Self { read: Meter::new(u64::MAX), memory: Meter::new(u64::MAX), steps: Meter::new(u64::MAX) }
    }

    /// Sets the limit of one resource.
    #[must_use]
    pub fn with(mut self, resource: Resource, limit: u64) -> Self {
        let meter = match resource {
            Resource::Read => &mut self.read,
            Resource::Memory => &mut self.memory,
            Resource::Steps => &mut self.steps,
        };
        meter.limit = limit;
        self
    }

    /// Takes `amount` of a resource. A charge that fails takes nothing.
    ///
    /// # Errors
    /// Less than `amount` is left.
    pub fn charge(&self, resource: Resource, amount: u64) -> Result<(), Exceeded> {
        let meter = self.meter(resource);
        let charged = |used: u64| used.checked_add(amount).filter(|used| *used <= meter.limit);
        match meter.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, charged) {
            Ok(_) => Ok(()),
            Err(_) => Err(Exceeded { resource, limit: meter.limit }),
        }
    }

    /// Returns `amount` of a resource that was charged, such as memory that was freed.
    pub fn release(&self, resource: Resource, amount: u64) {
        self.meter(resource).used.fetch_sub(amount, Ordering::Relaxed);
    }

    /// The limit of a resource.
    pub fn limit(&self, resource: Resource) -> u64 {
        self.meter(resource).limit
    }

    /// How much of a resource is in use.
    pub fn used(&self, resource: Resource) -> u64 {
        self.meter(resource).used.load(Ordering::Relaxed)
    }

    fn meter(&self, resource: Resource) -> &Meter {
        match resource {
            Resource::Read => &self.read,
            Resource::Memory => &self.memory,
            Resource::Steps => &self.steps,
        }
    }
}

impl Meter {
    fn new(limit: u64) -> Self {
        Self { used: AtomicU64::new(0), limit }
    }
}

fn amount(resource: Resource, n: u64) -> String {
    match resource {
        Resource::Read => format!("{} MiB of reading", n >> 20),
        Resource::Memory => format!("{} MiB of memory", n >> 20),
        Resource::Steps => format!("{n} ops"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_charge_takes_nothing() {
        let budget = Budget::for_file(10);
        let limit = Budget::FLOOR + 640;
        assert!(budget.charge(Resource::Read, limit - 1).is_ok());
        let exceeded = budget.charge(Resource::Read, 2).unwrap_err();
        assert_eq!(exceeded.to_string(), "it takes more than 64 MiB of reading");
        assert!(budget.charge(Resource::Read, u64::MAX).is_err());
        assert!(budget.charge(Resource::Read, 1).is_ok());
        assert!(budget.charge(Resource::Memory, limit).is_ok());
    }
}
