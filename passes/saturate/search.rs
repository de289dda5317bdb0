//! Applies rules until the e-graph is saturated or reaches a limit.

use std::fmt;

use egg::Id;
use netc_pass::Context;
use netc_rules::{Bindings, Replacement, Rule};

use super::classes::Classes;

/// The limits of a search.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// The maximum number of rounds.
    pub(super) iters: u64,
    /// The maximum number of nodes.
    pub(super) nodes: usize,
}

/// Why a search stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    /// No rule finds anything new.
    Saturated,
    /// The limit of rounds is reached.
    Iterations,
    /// The limit of nodes is reached.
    Nodes,
    /// The fuel is used up.
    Fuel,
    /// The user interrupted.
    Interrupted,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Saturated => "no rule finds anything new",
            Self::Iterations => "the limit of iterations is reached",
            Self::Nodes => "the limit of nodes is reached",
            Self::Fuel => "the fuel is used up",
            Self::Interrupted => "the run is interrupted",
        })
    }
}

/// The maximum number of matches of a rule applied in one round. A rule with more rests for [`REST`] rounds and then
/// continues with the next matches; both numbers double each time. Otherwise rules that match everywhere would crowd
/// out the others.
const MATCHES: usize = 500;
const REST: u64 = 3;

/// The number of rounds in which rules for several values apply. Their results match again with all other values.
const MERGING_ROUNDS: u64 = 1;

/// The approximate maximum number of matches of a rule for several values. With more, each value is combined only with
/// the next few values, at least one.
const MERGES: usize = 2_000;

/// A match of a rule: the values and their replacement.
type Place = (Vec<Id>, Replacement<Id>);

/// Applies `rules` up to `limits`. Returns the number of rounds and why it stopped.
pub(super) fn saturate(
    classes: &mut Classes<'_>,
    rules: &[Rule],
    limits: Limits,
    context: &mut Context<'_>,
) -> (u64, Stop) {
    let mut schedules = vec![Schedule::default(); rules.len()];
    for round in 0..limits.iters {
        let found = match find(classes, rules, &mut schedules, round, context) {
            Ok(found) => found,
            Err(stop) => return (round, stop),
        };
        match apply(classes, &found.places, limits, context) {
            Err(stop) => {
                classes.graph.rebuild();
                return (round + 1, stop);
            }
            Ok(false) if !found.is_part => return (round + 1, Stop::Saturated),
            Ok(_) => {}
        }
    }
    (limits.iters, Stop::Iterations)
}

/// The matches of a round.
struct Found {
    places: Vec<Place>,
    /// Whether there may be more matches, of rules that rest.
    is_part: bool,
}

/// Finds the matches of `rules` in a round. Rules with too many matches come last.
fn find(
    classes: &Classes<'_>,
    rules: &[Rule],
    schedules: &mut [Schedule],
    round: u64,
    context: &Context<'_>,
) -> Result<Found, Stop> {
    let (mut places, mut last) = (Vec::new(), Vec::new());
    let mut is_part = false;
    for (rule, schedule) in rules.iter().zip(schedules) {
        if rule.from.len() > 1 {
            if round < MERGING_ROUNDS {
                places.extend(merges(classes, rule, context)?);
            }
        } else if round < schedule.rests_until {
            is_part = true;
        } else {
            let mut found = singles(classes, rule, schedule, context)?;
            if schedule.cut(&mut found, round) {
                is_part = true;
                last.append(&mut found);
            }
            places.append(&mut found);
        }
    }
    places.append(&mut last);
    Ok(Found { places, is_part })
}

/// The schedule of a rule for one value: when it applies next, and from which class on.
#[derive(Clone, Copy, Default)]
struct Schedule {
    rests_until: u64,
    times: u32,
    next: Option<Id>,
}

impl Schedule {
    fn most(&self) -> usize {
        MATCHES << self.times
    }

    /// Truncates the matches to the maximum. If there were more, schedules a rest and returns true.
    fn cut(&mut self, places: &mut Vec<Place>, round: u64) -> bool {
        let Some((roots, _)) = places.get(self.most()) else { return false };
        self.next = roots.first().copied();
        places.truncate(self.most());
        self.rests_until = round + (REST << self.times);
        self.times += 1;
        true
    }
}

/// Finds the matches of a rule for one value, in the order of the classes, starting where it left off. Stops after one
/// more than the maximum.
fn singles(classes: &Classes<'_>, rule: &Rule, schedule: &Schedule, context: &Context<'_>) -> Result<Vec<Place>, Stop> {
    let mut ids = candidates(classes, rule, 0);
    let next = ids.partition_point(|id| Some(*id) < schedule.next);
    ids.rotate_left(next);
    let mut places = Vec::new();
    for id in ids {
        unless_interrupted(context)?;
        let found = rule.matches(classes, 0, id, &Bindings::of(rule));
        places.extend(found.into_iter().filter_map(|bindings| place(classes, rule, (vec![id], bindings))));
        if places.len() > schedule.most() {
            break;
        }
    }
    Ok(places)
}

/// Values that match the first terms of a rule, with the bindings.
type Partial = (Vec<Id>, Bindings<Id>);

/// Finds the matches of a rule for several values, in the order of the classes.
fn merges(classes: &Classes<'_>, rule: &Rule, context: &Context<'_>) -> Result<Vec<Place>, Stop> {
    let (last, symmetric) = (rule.from.len() - 1, rule.is_symmetric());
    let mut partial: Vec<Partial> = vec![(Vec::new(), Bindings::of(rule))];
    let mut places = Vec::new();
    for root in 0..=last {
        let all = candidates(classes, rule, root);
        let most = if root == 0 { usize::MAX } else { (MERGES / partial.len().max(1)).max(1) };
        let mut longer = Vec::new();
        for start in &partial {
            unless_interrupted(context)?;
            let others = others(classes, rule, start, &all, symmetric);
            let next = others.into_iter().flat_map(|id| extended(classes, rule, start, id));
            if root < last {
                longer.extend(next.take(most));
            } else {
                places.extend(next.filter_map(|partial| place(classes, rule, partial)).take(most));
            }
        }
        partial = longer;
    }
    Ok(places)
}

/// The candidates for the next value: first the classes after the last root, then the classes before it. The latter are
/// left out if the rule is symmetric. `all` lists the classes that the next term may match.
fn others(classes: &Classes<'_>, rule: &Rule, (roots, bindings): &Partial, all: &[Id], symmetric: bool) -> Vec<Id> {
    let read = rule.read_by_root(roots.len(), bindings);
    let readers = read.map(|read| sorted(classes, classes.graph[read].parents()));
    let ids = readers.as_deref().unwrap_or(all);
    let (before, behind) = ids.split_at(ids.partition_point(|id| roots.last().is_some_and(|last| id <= last)));
    let before = if symmetric { &[] } else { before };
    behind.iter().chain(before).filter(|id| !roots.contains(id)).copied().collect()
}

/// All ways to extend the partial match by `id`.
fn extended(classes: &Classes<'_>, rule: &Rule, (roots, bindings): &Partial, id: Id) -> Vec<Partial> {
    let found = rule.matches(classes, roots.len(), id, bindings);
    found.into_iter().map(|bindings| ([&roots[..], &[id]].concat(), bindings)).collect()
}

/// The match with its replacement, if the rule applies there.
fn place(classes: &Classes<'_>, rule: &Rule, (roots, bindings): Partial) -> Option<Place> {
    let replacement = rule.replacement(classes, &roots, &bindings)?;
    Some((roots, replacement))
}

/// The classes with a node for the root op of term number `root`.
fn candidates(classes: &Classes<'_>, rule: &Rule, root: usize) -> Vec<Id> {
    let name = rule.root_op(root).and_then(|name| netc_ir::CORE_OPS.iter().find(|(op, _)| *op == name));
    let ids = name.and_then(|(op, _)| classes.graph.classes_for_op(op));
    sorted(classes, ids.into_iter().flatten())
}

/// The canonical classes of `ids`, sorted, without duplicates.
fn sorted(classes: &Classes<'_>, ids: impl Iterator<Item = Id>) -> Vec<Id> {
    let mut ids: Vec<Id> = ids.map(|id| classes.graph.find(id)).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn unless_interrupted(context: &Context<'_>) -> Result<(), Stop> {
    if context.interrupted() { Err(Stop::Interrupted) } else { Ok(()) }
}

/// Applies the matches. Returns whether anything was new, or why the search must stop.
fn apply(classes: &mut Classes<'_>, found: &[Place], limits: Limits, context: &mut Context<'_>) -> Result<bool, Stop> {
    let mut news = false;
    for (roots, replacement) in found {
        if classes.graph.total_size() >= limits.nodes {
            return Err(Stop::Nodes);
        }
        unless_interrupted(context)?;
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

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::sync::atomic::AtomicBool;

    use netc_dialect::Dialects;
    use netc_ir::{MAIN, Module};

    use super::*;

    /// A function of `%x: f32[N,4]` that computes `count` copies of `op` as `f32[N,4]`; `$` in `op` is the number.
    fn module(count: usize, op: &str) -> Module {
        let mut text = String::from("netc 1\nfunc @main(%x: f32[N,4]) -> (%y0) {\n");
        for i in 0..count {
            writeln!(text, "  %c{i} = constant() {{value = {i}.5}} : f32[]").unwrap();
            writeln!(text, "  %y{i} = {} : f32[N,4]", op.replace('$', &i.to_string())).unwrap();
        }
        netc_ir::parse(&format!("{text}}}\n")).unwrap()
    }

    /// The matches of the rule for several values, as the numbers of the values.
    fn merged(rule: &str, module: &Module) -> Vec<Vec<usize>> {
        let main = &module[module.func_named(MAIN).unwrap()];
        let classes = Classes::of(module, main);
        let dialects = Dialects::new();
        let rule = &netc_rules::parse(rule).unwrap()[0];
        let places = merges(&classes, rule, &Context::new(&dialects)).unwrap();
        let number = |root: &Id| {
            let value = classes.class_of.iter().find(|(_, class)| *class == root).unwrap().0;
            main[*value].name.as_deref().unwrap()[1..].parse().unwrap()
        };
        places.iter().map(|(roots, _)| roots.iter().map(number).collect()).collect()
    }

    #[test]
    fn several_values_match_in_any_order() {
        let two = "netc 1\nfunc @main(%x: f32[N,4]) -> (%y0, %y1) {
          %y0 = neg(%x) : f32[N,4]
          %y1 = exp(%x) : f32[N,4]
        }";
        let two = netc_ir::parse(two).unwrap();
        assert_eq!(merged("r: neg(?x), exp(?x) => neg(?x), exp(?x)", &two), [[0, 1]]);
        assert_eq!(merged("r: exp(?x), neg(?x) => exp(?x), neg(?x)", &two), [[1, 0]]);
    }

    #[test]
    fn symmetric_rules_match_each_pair_once() {
        let alike = "r: mul(?x, ?a: const), mul(?x, ?b: const) => mul(?x, ?a), mul(?x, ?b)";
        assert_eq!(merged(alike, &module(3, "mul(%x, %c$)")), [[0, 1], [0, 2], [1, 2]]);
        let others = "r: mul(?x, ?a: const), mul(?x, ?b: const) => mul(?x, ?a), neg(mul(?x, ?b))";
        let ordered = merged(others, &module(3, "mul(%x, %c$)"));
        assert_eq!(ordered, [[0, 1], [0, 2], [1, 2], [1, 0], [2, 0], [2, 1]]);
    }

    #[test]
    fn many_values_match_only_with_their_neighbours() {
        let rule = "r: mul(?x, ?a: const), mul(?x, ?b: const) => mul(?x, ?a), mul(?x, ?b)";
        let found = merged(rule, &module(300, "mul(%x, %c$)"));
        assert!(found.len() <= MERGES, "{}", found.len());
        assert!((1..300).all(|i| found.contains(&vec![i - 1, i])));
    }

    /// Applies the rules to `count` sums. Returns the number of rounds, why it stopped, and the number of new nodes.
    fn sums(rules: &str, count: usize, iters: u64, flag: &AtomicBool) -> (u64, Stop, usize) {
        let module = &module(count, "add(%x, %c$)");
        let mut classes = Classes::of(module, &module[module.func_named(MAIN).unwrap()]);
        let dialects = Dialects::new();
        let mut context = Context::new(&dialects).with_interrupt(flag);
        let before = classes.graph.total_size();
        let limits = Limits { iters, nodes: usize::MAX };
        let (rounds, stop) = saturate(&mut classes, &netc_rules::parse(rules).unwrap(), limits, &mut context);
        (rounds, stop, classes.graph.total_size() - before)
    }

    #[test]
    fn a_rule_with_too_many_matches_rests_and_then_continues() {
        let count = 4 * MATCHES;
        let after = |iters| sums("r: add(?x, ?c: const) => sub(?x, ?c)", count, iters, &AtomicBool::new(false));
        assert_eq!(after(1), (1, Stop::Iterations, MATCHES));
        assert_eq!(after(REST), (REST, Stop::Iterations, MATCHES));
        assert_eq!(after(REST + 1), (REST + 1, Stop::Iterations, 3 * MATCHES), "the next ones, twice as many");
        let rounds = REST + 2 * REST + 2;
        assert_eq!(after(rounds + 1), (rounds, Stop::Saturated, count));
    }

    #[test]
    fn an_interrupted_search_stops() {
        let flag = AtomicBool::new(true);
        for rule in ["r: add(?x, ?x) => ?x", "r: add(?x, ?x), add(?x, ?y) => ?x, ?y"] {
            assert_eq!(sums(rule, 3, 3, &flag), (0, Stop::Interrupted, 0), "{rule}");
        }
    }
}
