//! The record of a pipeline run, as a tree.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::pass::Fidelity;

/// The record of one pass, or of a pipeline and each of its steps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// The text of the pass or the pipeline.
    pub name: String,
    /// The number of passes that ran before it, if it is a pass.
    pub number: Option<usize>,
    /// The time spent in passes.
    pub time: Duration,
    /// The time spent verifying and in observers.
    pub overhead: Duration,
    /// The number of ops before.
    pub ops_before: usize,
    /// The number of ops after.
    pub ops_after: usize,
    /// The number of rewrites.
    pub rewrites: u64,
    /// How far the rewrites may have changed values.
    pub fidelity: Fidelity,
    /// The counters of passes, by name.
    pub counts: BTreeMap<&'static str, u64>,
    /// Whether the user interrupted it.
    pub interrupted: bool,
    /// The steps in the order in which they ran. The rounds of a `fix` follow one another.
    pub steps: Vec<Record>,
}

impl Record {
    pub(super) fn new(name: String, ops: usize) -> Self {
        Self { name, ops_before: ops, ops_after: ops, ..Self::default() }
    }

    /// Adds a step that has run.
    pub(super) fn add(&mut self, step: Record) {
        self.time += step.time;
        self.overhead += step.overhead;
        self.ops_after = step.ops_after;
        self.rewrites += step.rewrites;
        self.fidelity = self.fidelity.max(step.fidelity);
        for (what, n) in &step.counts {
            *self.counts.entry(what).or_default() += n;
        }
        self.steps.push(step);
    }

    /// The passes that ran, in order.
    pub fn passes(&self) -> Vec<&Record> {
        if self.number.is_some() { vec![self] } else { self.steps.iter().flat_map(Self::passes).collect() }
    }
}
