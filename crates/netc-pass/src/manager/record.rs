//! What a pipeline did, as a tree.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::pass::Fidelity;

/// What a pass did, or a pipeline with what each of its steps did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// The text of the pass or the pipeline.
    pub name: String,
    /// How many passes ran before it, where it is a pass.
    pub number: Option<usize>,
    /// The time that passes took.
    pub time: Duration,
    /// The time that verifying and observing took.
    pub overhead: Duration,
    /// The number of ops before.
    pub ops_before: usize,
    /// The number of ops after.
    pub ops_after: usize,
    /// The number of single rewrites.
    pub rewrites: u64,
    /// What the rewrites may have done to values.
    pub fidelity: Fidelity,
    /// What passes have counted, by what it is.
    pub counts: BTreeMap<&'static str, u64>,
    /// Whether the user ended it before its end.
    pub interrupted: bool,
    /// The steps, in the order in which they ran; the rounds of a `fix` one after the other.
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
