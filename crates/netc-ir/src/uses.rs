//! Use lists, computed from a function and never stored in it.

use crate::id::{OpId, ValueId};
use crate::module::Func;

/// The readers of every value of a function.
pub struct Uses {
    readers: Vec<Vec<OpId>>,
    returned: Vec<bool>,
}

impl Uses {
    /// Computes the readers of every value, in execution order; an op that reads a value twice is listed twice.
    pub fn of(func: &Func) -> Self {
        let mut uses = Self { readers: vec![Vec::new(); func.num_values()], returned: vec![false; func.num_values()] };
        for (id, op) in func.ops() {
            for value in &op.operands {
                uses.readers[value.index()].push(id);
            }
        }
        for output in &func.outputs {
            uses.returned[output.value.index()] = true;
        }
        uses
    }

    /// The ops that read `value`.
    pub fn readers(&self, value: ValueId) -> &[OpId] {
        &self.readers[value.index()]
    }

    /// Whether the function returns `value`.
    pub fn is_output(&self, value: ValueId) -> bool {
        self.returned[value.index()]
    }

    /// Whether nothing reads or returns `value`.
    pub fn is_unused(&self, value: ValueId) -> bool {
        self.readers(value).is_empty() && !self.is_output(value)
    }
}
