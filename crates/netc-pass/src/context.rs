//! What a pass may use besides the module.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use netc_dialect::Dialects;
use netc_ir::Loc;

use crate::consts::{ConstEval, OpCosts};

/// What a pass may use besides the module.
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
    /// The meaning of source ops.
    pub dialects: &'a Dialects,
    /// What passes have to say to the user, in order.
    pub remarks: Vec<Remark>,
    consts: Option<&'a dyn ConstEval>,
    costs: Option<&'a dyn OpCosts>,
    interrupt: Option<&'a AtomicBool>,
    max_ops: u64,
    /// The rewrites that may be done, and how many were.
    pub fuel: Fuel,
    counts: BTreeMap<&'static str, u64>,
}

impl<'a> Context<'a> {
    /// A context with as many rewrites as passes ask for, which computes no constants.
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

    /// With `consts` to compute constants.
    pub fn with_consts(mut self, consts: &'a dyn ConstEval) -> Self {
        self.consts = Some(consts);
        self
    }

    /// With `costs` that were measured where the program will run.
    pub fn with_costs(mut self, costs: &'a dyn OpCosts) -> Self {
        self.costs = Some(costs);
        self
    }

    /// With `fuel` for so many rewrites.
    pub fn with_fuel(mut self, fuel: Fuel) -> Self {
        self.fuel = fuel;
        self
    }

    /// With a flag that is set when the user wants no more.
    pub fn with_interrupt(mut self, interrupt: &'a AtomicBool) -> Self {
        self.interrupt = Some(interrupt);
        self
    }

    /// With at most so many ops in a program that is lowered: layers that compute step by step make many of a few.
    pub fn with_max_ops(mut self, ops: u64) -> Self {
        self.max_ops = ops;
        self
    }

    /// The ops that a program may have when it is lowered.
    pub fn max_ops(&self) -> u64 {
        self.max_ops
    }

    /// What computes constants, where something does.
    pub fn consts(&self) -> Option<&'a dyn ConstEval> {
        self.consts
    }

    /// What ops cost where the program will run, where something measures it.
    pub fn costs(&self) -> Option<&'a dyn OpCosts> {
        self.costs
    }

    /// Whether one more rewrite may be done; if so, it is counted.
    pub fn rewrite(&mut self) -> bool {
        self.fuel.burn()
    }

    /// Whether the user wants no more: a pass that takes long stops at a good state.
    pub fn interrupted(&self) -> bool {
        self.interrupt.is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    /// Adds `n` to what the pass that runs has counted of `what`.
    pub fn count(&mut self, what: &'static str, n: u64) {
        *self.counts.entry(what).or_default() += n;
    }

    /// What has been counted since this was last asked.
    pub(crate) fn take_counts(&mut self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut self.counts)
    }

    /// Tells the user what `pass` did or could not do at `loc`.
    pub fn remark(&mut self, pass: &'static str, loc: Loc, text: impl Into<String>) {
        self.remarks.push(Remark { pass, loc, text: text.into() });
    }
}

/// The single rewrites that passes may do, counted: what finds the first that is wrong.
///
/// ```
/// use netc_pass::Fuel;
///
/// let mut fuel = Fuel::of(1);
/// assert!(fuel.burn());
/// assert!(!fuel.burn(), "one rewrite, and no more");
/// assert_eq!(fuel.burnt(), 1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fuel {
    limit: u64,
    burnt: u64,
}

impl Fuel {
    /// For as many rewrites as passes ask for.
    pub fn unlimited() -> Self {
        Self::of(u64::MAX)
    }

    /// For `rewrites` rewrites.
    pub fn of(rewrites: u64) -> Self {
        Self { limit: rewrites, burnt: 0 }
    }

    /// Whether some is left.
    pub fn is_left(&self) -> bool {
        self.burnt < self.limit
    }

    /// Takes what one rewrite needs; false if nothing is left.
    pub fn burn(&mut self) -> bool {
        let left = self.is_left();
        self.burnt += u64::from(left);
        left
    }

    /// For how many rewrites it was, unless for as many as passes ask for.
    pub fn limit(&self) -> Option<u64> {
        (self.limit < u64::MAX).then_some(self.limit)
    }

    /// The number of rewrites so far.
    pub fn burnt(&self) -> u64 {
        self.burnt
    }
}

/// What a pass has to say about a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The pass.
    pub pass: &'static str,
    /// The place.
    pub loc: Loc,
    /// What it says.
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
