//! Rules that replace several values together.
//!
//! New ops must come after all their operands and before all readers of the replaced values. A match has a *window*:
//! the ops from the first replaced value to the last replaced value or operand. Within the window, the operands are
//! moved to the front, with the ops that they depend on. If these include a replaced value, the rule does not apply.
//! Windows of matches found in one round do not overlap, so matches are independent.

use std::collections::{BTreeMap, BTreeSet};

use netc_ir::{Func, Loc, Module, OpId, OpKind, Uses, ValueId};
use netc_pass::Context;
use netc_rules::{Bindings, Replacement, Rule, Source};

use super::FuncGraph;
use crate::analysis::constant_values;
use crate::copy::{Copy, named};

/// The maximum number of values tried for each value that a match begins with.
const TRIES: usize = 256;

/// The maximum number of ops in a window.
const WINDOW: usize = 20_000;

/// Values to replace together.
pub(super) struct Match {
    roots: Vec<ValueId>,
    replacement: Replacement<ValueId>,
    /// The positions of the first and the last op of the window.
    window: (usize, usize),
    /// The ops of the window that the new ops depend on.
    before: BTreeSet<OpId>,
}

/// Finds matches of the rules that replace several values of `func`, while there is fuel, and counts them in `applied`.
pub(super) fn plan(func: &Func, rules: &[Rule], applied: &mut [u64], context: &mut Context<'_>) -> Vec<Match> {
    let constant = constant_values(func);
    let mut finder = Finder::of(func, &constant);
    let mut found = Vec::new();
    for (i, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.from.len() > 1) {
        for start in finder.named(rule, 0).to_vec() {
            if context.interrupted() {
                return found;
            }
            let Some(next) = finder.find(rule, start) else { continue };
            if !context.rewrite() {
                return found;
            }
            finder.taken[next.window.0..=next.window.1].fill(true);
            applied[i] += 1;
            found.push(next);
        }
    }
    found
}

struct Finder<'f> {
    func: &'f Func,
    graph: FuncGraph<'f>,
    uses: Uses,
    /// The position of each op, by id.
    place: Vec<usize>,
    /// Which positions are in a window.
    taken: Vec<bool>,
    /// The values that are read, in order, by the name of the core op that computes them.
    by_name: BTreeMap<&'f str, Vec<ValueId>>,
}

impl<'f> Finder<'f> {
    fn of(func: &'f Func, constant: &'f [bool]) -> Self {
        let uses = Uses::of(func);
        let mut place = vec![0; func.num_op_slots()];
        let mut by_name: BTreeMap<&str, Vec<ValueId>> = BTreeMap::new();
        for (i, (id, op)) in func.ops().enumerate() {
            place[id.index()] = i;
            if let (OpKind::Core(core), [result]) = (&op.kind, &op.results[..])
                && !uses.is_unused(*result)
            {
                by_name.entry(core.name()).or_default().push(*result);
            }
        }
        Self { func, graph: FuncGraph { func, constant }, uses, place, taken: vec![false; func.num_ops()], by_name }
    }

    /// The values that may match term number `root` of `rule`.
    fn named(&self, rule: &Rule, root: usize) -> &[ValueId] {
        rule.root_op(root).and_then(|name| self.by_name.get(name)).map_or(&[], Vec::as_slice)
    }

    /// The first match of `rule` that begins with `start` and can be applied.
    fn find(&self, rule: &Rule, start: ValueId) -> Option<Match> {
        let mut tries = TRIES;
        let symmetric = rule.is_symmetric();
        let mut open = vec![(Vec::new(), Bindings::of(rule), vec![start])];
        // Each level lists the candidates for the next value; the last level belongs to the longest match so far.
        while let Some((roots, bindings, next)) = open.last_mut() {
            let Some(id) = next.pop().filter(|_| tries > 0) else {
                open.pop();
                continue;
            };
            tries -= 1;
            let roots = [&roots[..], &[id]].concat();
            let matches = rule.matches(&self.graph, roots.len() - 1, id, bindings);
            for bindings in matches {
                if roots.len() == rule.from.len() {
                    if let Some(found) = self.complete(rule, &roots, &bindings) {
                        return Some(found);
                    }
                } else {
                    let next = self.others(rule, &roots, &bindings, symmetric);
                    open.push((roots.clone(), bindings, next));
                }
            }
        }
        None
    }

    /// The candidates for the value after `roots`, in reverse order of preference. The nearest values after `roots`
    /// come first; values before them, needed if the order matters, come last.
    fn others(&self, rule: &Rule, roots: &[ValueId], bindings: &Bindings<ValueId>, symmetric: bool) -> Vec<ValueId> {
        let all = match rule.read_by_root(roots.len(), bindings) {
            Some(read) => self.readers(read),
            None => self.named(rule, roots.len()).to_vec(),
        };
        let last = roots.last().map_or(0, |v| self.place_of(*v));
        let (before, behind) = all.split_at(all.partition_point(|v| self.place_of(*v) <= last));
        let before = if symmetric { &[] } else { before };
        let nearest = behind.iter().chain(before.iter().rev()).filter(|v| !roots.contains(v));
        let mut others: Vec<ValueId> = nearest.take(TRIES).copied().collect();
        others.reverse();
        others
    }

    /// The values computed from `value` that are themselves read, in order.
    fn readers(&self, value: ValueId) -> Vec<ValueId> {
        let results = self.uses.readers(value).iter().filter_map(|op| self.func[*op].results.first().copied());
        let mut results: Vec<ValueId> = results.filter(|v| !self.uses.is_unused(*v)).collect();
        results.dedup();
        results
    }

    fn place_of(&self, value: ValueId) -> usize {
        self.func.producer(value).map_or(0, |op| self.place[op.index()])
    }

    /// Completes the match, if it can be applied without overlapping the windows found so far.
    fn complete(&self, rule: &Rule, roots: &[ValueId], bindings: &Bindings<ValueId>) -> Option<Match> {
        let replacement = rule.replacement(&self.graph, roots, bindings)?;
        let replaced: Vec<OpId> = roots.iter().filter_map(|v| self.func.producer(*v)).collect();
        let read: Vec<OpId> = old_values(&replacement).filter_map(|v| self.func.producer(v)).collect();
        let place = |op: &OpId| self.place[op.index()];
        let first = replaced.iter().map(place).min()?;
        let last = replaced.iter().chain(&read).map(place).max()?;
        if last - first >= WINDOW || self.taken[first..=last].contains(&true) {
            return None;
        }
        let before = self.dependencies(read, first, &replaced)?;
        Some(Match { roots: roots.to_vec(), replacement, window: (first, last), before })
    }

    /// The ops from position `first` on that `ops` depend on, themselves included. `None` if these include one of
    /// `not`.
    fn dependencies(&self, ops: Vec<OpId>, first: usize, not: &[OpId]) -> Option<BTreeSet<OpId>> {
        let mut found = BTreeSet::new();
        let mut open = ops;
        while let Some(op) = open.pop() {
            if not.contains(&op) {
                return None;
            }
            if self.place[op.index()] >= first && found.insert(op) {
                open.extend(self.func[op].operands.iter().filter_map(|v| self.func.producer(*v)));
            }
        }
        Some(found)
    }
}

/// The values of the program that the replacement reads.
fn old_values(replacement: &Replacement<ValueId>) -> impl Iterator<Item = ValueId> + '_ {
    let sources = replacement.ops.iter().flat_map(|op| &op.operands).chain(&replacement.results);
    sources.filter_map(|source| match source {
        Source::Old(value) => Some(*value),
        Source::New(_) => None,
    })
}

/// Applies `matches` to `func`, a function of `module`.
pub(super) fn apply(module: &Module, func: &Func, mut matches: Vec<Match>) -> Func {
    matches.sort_unstable_by_key(|found| found.window);
    let order: Vec<OpId> = func.op_ids().collect();
    let mut copy = Copy::new(module, func, func.name.clone());
    func.params.iter().for_each(|p| copy.param(p));
    let mut at = 0;
    for found in &matches {
        let (first, last) = found.window;
        order[at..first].iter().for_each(|op| copy.op(&func[*op]));
        put_in(&mut copy, func, found, &order[first..=last]);
        at = last + 1;
    }
    order[at..].iter().for_each(|op| copy.op(&func[*op]));
    let mut new = copy.finish(named(&func.outputs));
    new.attrs = func.attrs.clone();
    new
}

/// Adds the ops of a window, with new ones in place of those that are replaced.
fn put_in(copy: &mut Copy<'_>, func: &Func, found: &Match, window: &[OpId]) {
    let replaced: Vec<OpId> = found.roots.iter().filter_map(|v| func.producer(*v)).collect();
    let (before, behind): (Vec<OpId>, Vec<OpId>) = window.iter().partition(|op| found.before.contains(op));
    before.iter().for_each(|op| copy.op(&func[*op]));
    let loc = Loc::fuse(replaced.iter().map(|op| func[*op].loc.clone()));
    let mut new: Vec<ValueId> = Vec::new();
    for op in &found.replacement.ops {
        let operands: Vec<ValueId> = op.operands.iter().map(|source| resolve(copy, *source, &new)).collect();
        let id = copy.builder.at(loc.clone()).op(op.op.clone(), &operands, [(op.ty.clone(), None)]);
        new.push(copy.builder.results(id)[0]);
    }
    for (root, source) in found.roots.iter().zip(&found.replacement.results) {
        let value = resolve(copy, *source, &new);
        copy.set(*root, value);
    }
    behind.iter().filter(|op| !replaced.contains(op)).for_each(|op| copy.op(&func[*op]));
}

/// The value of the new function for `source`. It must be defined already.
fn resolve(copy: &Copy<'_>, source: Source<ValueId>, new: &[ValueId]) -> ValueId {
    source.resolve(new, |old| copy.get_all(&[old]).first().copied().unwrap_or(old))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use netc_dialect::Dialects;
    use netc_ir::{MAIN, parse, print, verify};
    use netc_pass::Fuel;
    use netc_testgen::property::config;
    use proptest::prelude::*;

    use super::super::{MOST, rewrite_func};
    use super::*;
    use crate::testing::random_lowered;

    /// Merges two products of one tensor.
    const MERGE: &str = "merge rounding: matmul(?x: [_, _], ?a: [?k, ?m]), matmul(?x, ?b: [?k, ?n]) =>
        slice(matmul(?x, concat(?a, ?b) {axis = 1})) {axes = [[0, null, 1], [0, ?m, 1]]},
        slice(matmul(?x, concat(?a, ?b) {axis = 1})) {axes = [[0, null, 1], [?m, ?m + ?n, 1]]}";

    /// Rewrites a function of `%x: f32[3,2]` that returns `%y`. Returns its ops, the number of rewrites, and the
    /// remarks.
    fn rewrite(rules: &str, ops: &str, fuel: Fuel) -> (Vec<String>, u64, Vec<String>) {
        let rules = netc_rules::parse(rules).unwrap();
        let weights = "weight w0 \"a\" : f32[2,4] = 0.5\nweight w1 \"b\" : f32[2,4] = 1.5";
        let mut module = parse(&format!("netc 1\n{weights}\nfunc @main(%x: f32[3,2]) -> (%y) {{\n{ops}\n}}")).unwrap();
        verify(&module).unwrap();
        let main = module.func_named(MAIN).unwrap();
        let dialects = Dialects::new();
        let mut context = Context::new(&dialects).with_fuel(fuel);
        let (func, applied) = rewrite_func(&module, &module[main], &rules, &mut context);
        module[main] = func;
        verify(&module).unwrap();
        let text = print(&module);
        let ops = text.lines().filter(|line| line.starts_with("  ")).map(|line| line.trim().to_string()).collect();
        (ops, applied.iter().sum(), context.remarks.iter().map(ToString::to_string).collect())
    }

    #[track_caller]
    fn check(rules: &str, before: &str, after: &str) {
        let (found, ..) = rewrite(rules, before, Fuel::unlimited());
        let expected: Vec<&str> = after.lines().map(str::trim).collect();
        assert_eq!(found, expected, "{}", found.join("\n"));
    }

    const PRODUCTS: &str = "%a = weight w0() : f32[2,4]
         %p = matmul(%x, %a) : f32[3,4]
         %r = relu(%p) : f32[3,4]
         %b = weight w1() : f32[2,4]
         %q = matmul(%x, %b) : f32[3,4]
         %y = add(%r, %q) : f32[3,4]";

    #[test]
    fn new_ops_come_after_their_operands_and_before_the_readers() {
        check(
            MERGE,
            PRODUCTS,
            "%a = weight w0() : f32[2,4]
             %b = weight w1() : f32[2,4]
             %3 = concat(%a, %b) {axis = 1} : f32[2,8]
             %4 = matmul(%x, %3) : f32[3,8]
             %p = slice(%4) {axes = [[0, null, 1], [0, 4, 1]]} : f32[3,4]
             %q = slice(%4) {axes = [[0, null, 1], [4, 8, 1]]} : f32[3,4]
             %r = relu(%p) : f32[3,4]
             %y = add(%r, %q) : f32[3,4]",
        );
    }

    #[test]
    fn values_that_depend_on_each_other_are_not_replaced() {
        let ops = "%a = weight w0() : f32[2,4]
             %p = matmul(%x, %a) : f32[3,4]
             %s = slice(%p) {axes = [[0, 2, 1], [0, null, 1]]} : f32[2,4]
             %q = matmul(%x, %s) : f32[3,4]
             %y = add(%p, %q) : f32[3,4]";
        check(MERGE, ops, ops);
    }

    #[test]
    fn ops_in_between_may_read_a_value_that_the_other_does_not_depend_on() {
        let rule = "r: exp(?x), neg(abs(?x)) => exp(?x), neg(abs(neg(?x)))";
        let ops = "%e = exp(%x) : f32[3,2]
             %f = relu(%e) : f32[3,2]
             %b = abs(%x) : f32[3,2]
             %n = neg(%b) : f32[3,2]
             %y = add(%f, %n) : f32[3,2]";
        let (found, rewrites, _) = rewrite(rule, ops, Fuel::of(1));
        assert_eq!(rewrites, 1);
        let expected = [
            "%e = exp(%x) : f32[3,2]",
            "%2 = neg(%x) : f32[3,2]",
            "%3 = abs(%2) : f32[3,2]",
            "%n = neg(%3) : f32[3,2]",
            "%f = relu(%e) : f32[3,2]",
            "%b = abs(%x) : f32[3,2]",
            "%y = add(%f, %n) : f32[3,2]",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn many_values_are_merged_into_one() {
        let product = |i: usize| format!("%p{i} = matmul(%x, %a) : f32[3,4]\n%n{i} = exp(%p{i}) : f32[3,4]\n");
        let sum = |i: usize| format!("%s{i} = add(%s{}, %n{i}) : f32[3,4]\n", i - 1);
        let ops = format!(
            "%a = weight w0() : f32[2,4]\n{}%s0 = neg(%n0) : f32[3,4]\n{}%y = neg(%s8) : f32[3,4]",
            (0..9).map(product).collect::<String>(),
            (1..9).map(sum).collect::<String>()
        );
        let (found, rewrites, remarks) = rewrite(MERGE, &ops, Fuel::unlimited());
        let count = |name: &str| found.iter().filter(|op| op.contains(&format!(" = {name}("))).count();
        assert_eq!((count("matmul"), rewrites, remarks), (1, 8, Vec::new()), "{}", found.join("\n"));
    }

    #[test]
    fn rules_for_one_value_apply_before_and_after() {
        let rules = format!(
            "{MERGE}\nback: neg(neg(?x)) => ?x\ncat: concat(?a, ?a) {{axis = 1}} => concat(abs(?a), ?a) {{axis = 1}}"
        );
        let ops = "%n = neg(%x) : f32[3,2]
             %m = neg(%n) : f32[3,2]
             %a = weight w0() : f32[2,4]
             %p = matmul(%m, %a) : f32[3,4]
             %q = matmul(%x, %a) : f32[3,4]
             %y = add(%p, %q) : f32[3,4]";
        let (found, rewrites, _) = rewrite(&rules, ops, Fuel::unlimited());
        assert_eq!(rewrites, 3, "{}", found.join("\n"));
        let made: Vec<&String> = found.iter().filter(|op| op.contains("concat(") || op.contains("abs(")).collect();
        assert_eq!(made.len(), 2, "{made:?}");
    }

    #[test]
    fn nothing_is_replaced_without_fuel_and_endless_rules_stop() {
        let (found, rewrites, _) = rewrite(MERGE, PRODUCTS, Fuel::of(0));
        assert_eq!((found.len(), rewrites), (6, 0));
        let again = "r: relu(?x), add(?y, ?z) => relu(?x), add(?y, ?z)";
        let (_, rewrites, remarks) = rewrite(again, PRODUCTS, Fuel::unlimited());
        assert_eq!((rewrites, remarks.len()), (0, 0), "the sum depends on the activation");
        let again = "r: relu(?x), matmul(?y, ?z) => relu(?x), matmul(?y, ?z)";
        let (_, rewrites, remarks) = rewrite(again, PRODUCTS, Fuel::unlimited());
        assert_eq!(rewrites, MOST as u64);
        assert!(remarks[0].contains("applied in 64 rounds and still match: do they undo each other"), "{remarks:?}");
        let twice = "r: relu(?x), add(?y, ?z) => relu(relu(?x)), add(?y, ?z)  q: relu(?x), relu(?y) => relu(?x), relu(relu(?y))";
        let ops =
            "%a = neg(%x) : f32[3,2]\n%r = relu(%a) : f32[3,2]\n%s = relu(%x) : f32[3,2]\n%y = add(%r, %s) : f32[3,2]";
        let (found, ..) = rewrite(twice, ops, Fuel::unlimited());
        assert!(found.len() < 3 * MOST, "{} ops", found.len());
    }

    #[test]
    fn the_number_of_tried_values_is_limited() {
        // 20 values may come second, and only the last has a partner, the last of 20. That makes 400 pairs.
        let rules = "r: neg(?x), exp(?y: [?k]), sin(?z: [?k]) => neg(?x), exp(?y), sin(?z)";
        let rewrites = |partner: usize| {
            let mut ops = String::from("%n = neg(%p) : f32[1]\n");
            let mut names = vec!["%n".to_string()];
            let mut params = vec!["%p: f32[1]".to_string()];
            for i in 1..=20 {
                params.push(format!("%x{i}: f32[{i}]"));
                ops += &format!("%e{i} = exp(%x{i}) : f32[{i}]\n");
                names.push(format!("%e{i}"));
            }
            for i in 1..=20 {
                let extent = if i == 20 { partner } else { 100 + i };
                params.push(format!("%z{i}: f32[{extent}]"));
                ops += &format!("%s{i} = sin(%z{i}) : f32[{extent}]\n");
                names.push(format!("%s{i}"));
            }
            let text = format!("netc 1\nfunc @main({}) -> ({}) {{\n{ops}}}", params.join(", "), names.join(", "));
            let module = parse(&text).unwrap();
            verify(&module).unwrap();
            let (rules, dialects) = (netc_rules::parse(rules).unwrap(), Dialects::new());
            let mut context = Context::new(&dialects).with_fuel(Fuel::of(1));
            rewrite_func(&module, module.main().unwrap(), &rules, &mut context).1[0]
        };
        assert_eq!((rewrites(1), rewrites(20)), (1, 0));
    }

    #[test]
    fn after_replacements_anywhere_each_op_follows_its_operands() {
        let rules = "r: relu(?x), add(?y, ?z) => neg(?y), add(?x, ?z)";
        let rules = netc_rules::parse(rules).unwrap();
        let (dialects, done) = (Dialects::new(), Cell::new(0));
        proptest!(config(256), |(mut module in random_lowered())| {
            let main = module.func_named(MAIN).unwrap();
            let mut context = Context::new(&dialects);
            let (func, applied) = rewrite_func(&module, &module[main], &rules, &mut context);
            module[main] = func;
            prop_assert!(verify(&module).is_ok(), "{}", print(&module));
            done.set(done.get() + applied[0]);
        });
        assert!(done.get() > 100, "{} times", done.get());
    }
}
