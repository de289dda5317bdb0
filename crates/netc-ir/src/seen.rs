//! What the verifier has seen of a function since it changed.
//!
//! A pass changes little of a large function, and most rules say of an op or a value what depends on nothing else.
//! [`verify_changes`](crate::verify_changes) does not look again at what no edit has touched. Two functions that print
//! alike are equal, whatever the verifier has seen of them.

use std::fmt;

use crate::id::{OpId, ValueId};

/// The ops and values that satisfied the rules about them and have not changed since. Those that are not listed are new.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    /// By op: whether it stood in the order.
    pub(crate) ops: Vec<bool>,
    /// By value: whether it was defined.
    pub(crate) values: Vec<bool>,
    /// How many files there were.
    pub(crate) files: usize,
}

impl Seen {
    /// The op is about to change.
    pub(crate) fn op_changes(&mut self, op: OpId) {
        if let Some(seen) = self.ops.get_mut(op.index()) {
            *seen = false;
        }
    }

    /// The value is about to change.
    pub(crate) fn value_changes(&mut self, value: ValueId) {
        if let Some(seen) = self.values.get_mut(value.index()) {
            *seen = false;
        }
    }

    /// Whether the op is as it was, and no file is gone that its location may name.
    pub(crate) fn op(&self, op: OpId, files: usize) -> bool {
        self.files <= files && self.ops.get(op.index()).copied().unwrap_or(false)
    }

    /// Whether the value is as it was.
    pub(crate) fn value(&self, value: ValueId) -> bool {
        self.values.get(value.index()).copied().unwrap_or(false)
    }
}

/// Nothing of the program.
impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("_")
    }
}
