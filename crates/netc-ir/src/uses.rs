//! Use lists, computed from a function and never stored in it.

use crate::id::{OpId, ValueId};
use crate::module::Func;

/// The readers of every value of a function.
///
/// ```
/// # let text = "netc 1
/// # func @main(%x: f32[N,4]) -> (%y) {
/// #   %a = relu(%x) : f32[N,4]
/// #   %y = add(%a, %a) : f32[N,4]
/// # }";
/// use netc_ir::{Uses, parse};
///
/// let module = parse(text)?;
/// let main = module.main().ok_or("no @main")?;
/// let uses = Uses::of(main);
/// assert_eq!(uses.readers(main.params[0].value).len(), 1);
/// assert!(uses.is_output(main.outputs[0].value));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Uses {
    /// Index into `readers` where the readers of each value begin. They end where those of the next value begin.
    starts: Vec<usize>,
    readers: Vec<OpId>,
    returned: Vec<bool>,
}

impl Uses {
    /// Computes the readers of every value, in execution order. An op that reads a value twice is listed twice.
    pub fn of(func: &Func) -> Self {
        let reads = || func.ops().flat_map(|(id, op)| op.operands.iter().map(move |v| (v.index(), id)));
        let mut starts = vec![0; func.num_values() + 1];
        reads().for_each(|(value, _)| starts[value + 1] += 1);
        for i in 1..starts.len() {
            starts[i] += starts[i - 1];
        }
        let mut next = starts.clone();
        let mut readers = vec![OpId::new(0); starts[func.num_values()]];
        for (value, op) in reads() {
            readers[next[value]] = op;
            next[value] += 1;
        }
        let mut returned = vec![false; func.num_values()];
        func.outputs.iter().for_each(|o| returned[o.value.index()] = true);
        Self { starts, readers, returned }
    }

    /// The ops that read `value`.
    pub fn readers(&self, value: ValueId) -> &[OpId] {
        &self.readers[self.starts[value.index()]..self.starts[value.index() + 1]]
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    #[test]
    fn readers_are_in_order_and_outputs_are_uses() {
        let text = "netc 1
func @main(%x: f32[], %unread: f32[]) -> (%b) {
  %a = neg(%x) : f32[]
  %b = add(%a, %a) : f32[]
  %c = mul(%x, %b) : f32[]
}";
        let module = parse(text).unwrap();
        let func = module.main().unwrap();
        let uses = Uses::of(func);
        let v: Vec<ValueId> = func.values_in_order().collect();
        let ops: Vec<OpId> = func.op_ids().collect();
        assert_eq!(uses.readers(v[0]), [ops[0], ops[2]]);
        assert_eq!(uses.readers(v[2]), [ops[1], ops[1]]);
        assert_eq!(v.iter().map(|v| uses.is_output(*v)).collect::<Vec<_>>(), [false, false, false, true, false]);
        assert_eq!(v.iter().map(|v| uses.is_unused(*v)).collect::<Vec<_>>(), [false, true, false, false, true]);
    }
}
