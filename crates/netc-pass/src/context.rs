//! The context of a pass: what it may use besides the module.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use netc_dialect::Dialects;
use netc_ir::Loc;

use crate::consts::{ConstEval, OpCosts};

/// The context of a pass: what it may use besides the module.
///
/// ```
/// use netc_dialect::Dialects;
/// use netc_ir::Loc;
/// use netc_pass::{Context, Fuel};
///
/// let dialects = Dialects::new();
/// let mut context = Context::new(&dialects).with_fuel(Fuel::of(10));
/// if context.rewrite() {
///     context.remark("my-pass", Loc::Unknown, "removed one op");
/// }
/// assert_eq!(context.remarks[0].to_string(), "my-pass: removed one op");
/// ```
pub struct Context<'a> {
    /// The dialects, which lower source ops.
    pub dialects: &'a Dialects,
    /// Messages of passes to the user, in order.
    pub remarks: Vec<Remark>,
    consts: Option<&'a dyn ConstEval>,
    costs: Option<&'a dyn OpCosts>,
    interrupt: Option<&'a AtomicBool>,
    max_ops: u64,
    /// The limit on rewrites, and the number done so far.
    pub fuel: Fuel,
    counts: BTreeMap<&'static str, u64>,
}

impl<'a> Context<'a> {
    /// A context with unlimited fuel, no constant evaluator and no measured costs.
    pub fn new(dialects: &'a Dialects) -> Self {
        Self {
            dialects,
            remarks: Vec::new(),
            consts: None,
            costs: None,
            interrupt: None,
            max_ops: u64::MAX,
            fuel: Fuel::unlimited(),
            counts: BTreeMap::new(),
        }
    }

    /// Sets the evaluator of constants.
    pub fn with_consts(mut self, consts: &'a dyn ConstEval) -> Self {
        self.consts = Some(consts);
        self
    }

    /// Sets the costs measured on the machine where the program will run.
    pub fn with_costs(mut self, costs: &'a dyn OpCosts) -> Self {
        self.costs = Some(costs);
        self
    }

    /// Sets the limit on rewrites.
    pub fn with_fuel(mut self, fuel: Fuel) -> Self {
        self.fuel = fuel;
        self
    }

    /// Sets the flag that becomes true when the user interrupts.
    pub fn with_interrupt(mut self, interrupt: &'a AtomicBool) -> Self {
        self.interrupt = Some(interrupt);
        self
    }

    /// Limits the number of ops in a lowered program. Recurrent layers turn a few ops into many.
    pub fn with_max_ops(mut self, ops: u64) -> Self {
        self.max_ops = ops;
        self
    }

    /// The maximum number of ops in a lowered program.
    pub fn max_ops(&self) -> u64 {
        self.max_ops
    }

    /// The evaluator of constants, if there is one.
    pub fn consts(&self) -> Option<&'a dyn ConstEval> {
        self.consts
    }

    /// The costs measured on the machine where the program will run, if there are any.
    pub fn costs(&self) -> Option<&'a dyn OpCosts> {
        self.costs
    }

    /// Counts one more rewrite and returns true, or returns false if the fuel is used up.
    pub fn rewrite(&mut self) -> bool {
        self.fuel.burn()
    }

    /// Whether the user has interrupted. A long-running pass should then stop at the next consistent state.
    pub fn interrupted(&self) -> bool {
        self.interrupt.is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    /// Adds `n` to the running pass's counter `what`.
    pub fn count(&mut self, what: &'static str, n: u64) {
        *self.counts.entry(what).or_default() += n;
    }

    /// Returns the counters and resets them.
    pub(crate) fn take_counts(&mut self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut self.counts)
    }

    /// Tells the user what `pass` did or could not do at `loc`.
    pub fn remark(&mut self, pass: &'static str, loc: Loc, text: impl Into<String>) {
        self.remarks.push(Remark { pass, loc, text: text.into() });
    }
}

/// A limit on the number of rewrites, with a count of those done. Bisecting the limit finds the first wrong rewrite.
///
/// ```
/// use netc_pass::Fuel;
///
/// let mut fuel = Fuel::of(1);
/// assert!(fuel.burn());
/// assert!(!fuel.burn(), "the limit is one rewrite");
/// assert_eq!(fuel.burnt(), 1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fuel {
    limit: u64,
    burnt: u64,
}

impl Fuel {
    /// Fuel without a limit.
    pub fn unlimited() -> Self {
        Self::of(u64::MAX)
    }

    /// Fuel for `rewrites` rewrites.
    pub fn of(rewrites: u64) -> Self {
        Self { limit: rewrites, burnt: 0 }
    }

    /// Whether some is left.
    pub fn is_left(&self) -> bool {
        self.burnt < self.limit
    }

    /// Uses fuel for one rewrite. Returns false if none is left.
    pub fn burn(&mut self) -> bool {
        let left = self.is_left();
        self.burnt += u64::from(left);
        left
    }

    /// The maximum number of rewrites, or `None` if unlimited.
    pub fn limit(&self) -> Option<u64> {
        (self.limit < u64::MAX).then_some(self.limit)
    }

    /// The number of rewrites so far.
    pub fn burnt(&self) -> u64 {
        self.burnt
    }
}

/// A message of a pass about a place in the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The pass.
    pub pass: &'static str,
    /// The place.
    pub loc: Loc,
    /// The message.
    pub text: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.pass)?;
        if self.loc != Loc::Unknown {
            write!(f, "{}: ", self.loc)?;
        }
        f.write_str(&self.text)
    }
}
