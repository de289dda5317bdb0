//! Applying rules until classes grow no more, or too large.

use std::fmt;

use egg::Id;
use netc_pass::Context;
use netc_rules::{Bindings, Replacement, Rule};

use super::classes::Classes;

/// When to stop.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// The most rounds.
    pub(super) iters: u64,
    /// The most nodes.
    pub(super) nodes: usize,
}

/// Why it stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    /// No rule has anything new to say.
    Saturated,
    /// After the last round.
    Iterations,
    /// With as many nodes as there may be.
    Nodes,
    /// Without fuel.
    Fuel,
    /// The user wants no more.
    Interrupted,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Saturated => "no rule has anything new to say",
            Self::Iterations => "the limit of iterations is reached",
            Self::Nodes => "the limit of nodes is reached",
            Self::Fuel => "the fuel is used up",
            Self::Interrupted => "the run is interrupted",
        })
    }
}

/// Places where a rule applies in one round; a rule that applies at more rests for some rounds, the longer the more often
/// that happens: rules that apply everywhere would leave no room for others.
const MATCHES: usize = 500;
const REST: u64 = 3;

/// Rounds in which rules of several values are applied: what they make matches them again with all the others.
const MERGING_ROUNDS: u64 = 1;

#[derive(Clone, Copy, Default)]
struct Schedule {
    rests_until: u64,
    times: u32,
}

/// Equates what `rules` say is equal. The number of rounds, and why there are no more.
pub(super) fn saturate(
    classes: &mut Classes<'_>,
    rules: &[Rule],
    limits: Limits,
    context: &mut Context<'_>,
) -> (u64, Stop) {
    let mut schedules = vec![Schedule::default(); rules.len()];
    for round in 0..limits.iters {
        let mut found = Vec::new();
        let mut resting = false;
        for (rule, schedule) in rules.iter().zip(&mut schedules) {
            if round < schedule.rests_until || rule.from.len() > 1 && round >= MERGING_ROUNDS {
                resting |= rule.from.len() == 1;
                continue;
            }
            let places = search(classes, rule);
            if rule.from.len() == 1 && places.len() > MATCHES << schedule.times {
                *schedule = Schedule { rests_until: round + (REST << schedule.times), times: schedule.times + 1 };
                resting = true;
                continue;
            }
            found.extend(places);
        }
        match apply(classes, &found, limits, context) {
            Err(stop) => {
                classes.graph.rebuild();
                return (round + 1, stop);
            }
            Ok(false) if !resting => return (round + 1, Stop::Saturated),
            Ok(_) => {}
        }
    }
    (limits.iters, Stop::Iterations)
}

/// What stands where, by a rule.
type Place = (Vec<Id>, Replacement<Id>);

/// Where `rule` applies, in the order of the classes. Several values are taken in that order, too.
fn search(classes: &Classes<'_>, rule: &Rule) -> Vec<Place> {
    let mut partial: Vec<(Vec<Id>, Bindings<Id>)> = vec![(Vec::new(), Bindings::of(rule))];
    for root in 0..rule.from.len() {
        let candidates = candidates(classes, rule, root);
        let mut longer = Vec::new();
        for (roots, bindings) in &partial {
            for id in candidates.iter().filter(|id| roots.last().is_none_or(|last| last < *id)) {
                let found = rule.matches(classes, root, *id, bindings);
                longer.extend(found.into_iter().map(|bindings| ([&roots[..], &[*id]].concat(), bindings)));
            }
        }
        partial = longer;
    }
    let replacement = |(roots, bindings): (Vec<Id>, Bindings<Id>)| {
        let replacement = rule.replacement(classes, &roots, &bindings)?;
        Some((roots, replacement))
    };
    partial.into_iter().filter_map(replacement).collect()
}

/// The classes that an op computes with which the term number `root` begins.
fn candidates(classes: &Classes<'_>, rule: &Rule, root: usize) -> Vec<Id> {
    let name = rule.root_op(root).and_then(|name| netc_ir::CORE_OPS.iter().find(|(op, _)| *op == name));
    let ids = name.and_then(|(op, _)| classes.graph.classes_for_op(op));
    let mut ids: Vec<Id> = ids.into_iter().flatten().map(|id| classes.graph.find(id)).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Equates what was found; whether anything was news, or why there is to be no more.
fn apply(classes: &mut Classes<'_>, found: &[Place], limits: Limits, context: &mut Context<'_>) -> Result<bool, Stop> {
    let mut news = false;
    for (roots, replacement) in found {
        if classes.graph.total_size() >= limits.nodes {
            return Err(Stop::Nodes);
        }
        if context.interrupted() {
            return Err(Stop::Interrupted);
        }
        if !context.fuel.is_left() {
            return Err(Stop::Fuel);
        }
        if classes.equate(roots, replacement) {
            context.rewrite();
            news = true;
        }
    }
    classes.graph.rebuild();
    Ok(news)
}
