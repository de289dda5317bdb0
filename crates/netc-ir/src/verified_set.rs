//! Tracks which parts of a function have been verified since they last changed.
//!
//! A pass usually changes little of a large function, and most rules concern a single op or value. So
//! [`verify_changes`](crate::verify_changes) skips ops and values that no edit has touched. Equality of functions
//! ignores this state.

use std::fmt;

use crate::id::{OpId, ValueId};

/// The ops and values that passed verification and have not changed since. Entries past the end of a list are new.
#[derive(Clone, Default)]
pub(crate) struct VerifiedSet {
    /// By op: whether it was in the order.
    pub(crate) ops: Vec<bool>,
    /// By value: whether it was defined.
    pub(crate) values: Vec<bool>,
    /// The number of files at that time.
    pub(crate) files: usize,
}

impl VerifiedSet {
    /// Records that the op is about to change.
    pub(crate) fn op_changes(&mut self, op: OpId) {
        if let Some(seen) = self.ops.get_mut(op.index()) {
            *seen = false;
        }
    }

    /// Records that the value is about to change.
    pub(crate) fn value_changes(&mut self, value: ValueId) {
        if let Some(seen) = self.values.get_mut(value.index()) {
            *seen = false;
        }
    }

    /// Whether the op is unchanged and no file that its location may name has been removed.
    pub(crate) fn op(&self, op: OpId, files: usize) -> bool {
        self.files <= files && self.ops.get(op.index()).copied().unwrap_or(false)
    }

    /// Whether the value is unchanged.
    pub(crate) fn value(&self, value: ValueId) -> bool {
        self.values.get(value.index()).copied().unwrap_or(false)
    }
}

/// Prints `_`: the state is not part of the program.
impl fmt::Debug for VerifiedSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("_")
    }
}
