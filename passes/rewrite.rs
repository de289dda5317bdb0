//! Rewrites by user-written rules, which are tested first.
//!
//! Ops are visited once, in order. If a rule applies, its new ops are visited in turn, each before its readers. So the
//! operands of an op are already rewritten, and rules need not look at readers. Rules that undo each other would go on
//! forever, so at most `MOST` rules apply at one op of the program.
//!
//! Then rules that replace several values together apply, in at most `MOST` rounds. They apply no more often than there
//! are ops in the program, because the new ops of a rule may match twice as often. Finally, rules for one value apply
//! again to the result.

mod multi_pattern;

use std::fs;

use netc_ir::{CoreOp, Func, Loc, Module, OpId, OpKind, Type, ValueId};
use netc_pass::{Context, Fidelity, OptionInfo, OptionKind, Pass, PassError, PassInfo, Result, counted, thousands};

use crate::analysis::warn_unlowered;
use netc_rules::{Bindings, Graph, Replacement, Rule};

use crate::copy::{Copy, named};

/// The maximum number of rules applied at one op of the program, and of rounds.
const MOST: usize = 64;

/// The random seed for testing rules.
const SEED: u64 = 1;

/// `rewrite` as users see it.
pub const INFO: PassInfo = PassInfo {
    name: "rewrite",
    summary: "Rewrite core ops by your own rules, read from a file.",
    help: "Reads rules such as\n\n\
           ```text\n\
           ; -(a - b) = b - a, up to the sign of zero.\n\
           neg-sub rounding: neg(sub(?a, ?b)) => sub(?b, ?a)\n\
           ```\n\n\
           and applies them wherever they match, until none does. If several rules match, the first in the file applies. \
           Each rule is first tested on random programs. A rule that changes values is rejected with a program that shows \
           it. A rule must preserve every bit, unless it says `rounding` after its name.\n\n\
           `docs/reference/rules.md` describes the language of rules. Rules that replace several values together apply after the \
           rules for one value, and only if no value is needed to compute the replacement of another. Then the rules for \
           one value apply again.",
    fidelity: Fidelity::Rounding,
    options: &[OptionInfo { name: "rules", kind: OptionKind::Text { value: "FILE" }, help: "The file of rules." }],
    build: |options| Ok(Box::new(Rewrite { file: RuleFile::read(options.text("rules"))? })),
};

/// The rules of a file.
pub(crate) struct RuleFile {
    path: String,
    pub(crate) rules: Vec<Rule>,
}

impl RuleFile {
    /// Reads the file at `path`.
    pub(crate) fn read(path: &str) -> Result<Self> {
        let text = fs::read_to_string(path)
            .map_err(|e| PassError::because(format!("cannot read the rewrite rules in `{path}`"), e))?;
        let rules = netc_rules::parse(&text)
            .map_err(|e| PassError::because(format!("cannot read the rewrite rules in `{path}`"), e))?;
        Ok(Self { path: path.into(), rules })
    }

    /// Tests the rules. Fails with the first that is not true.
    pub(crate) fn check(&self, context: &Context<'_>) -> Result<()> {
        let nothing = || PassError::new("cannot test the rules: the context has no evaluator of constants");
        let consts = context.consts().ok_or_else(nothing)?;
        let check = |rule| netc_rules::check(rule, consts, SEED);
        self.rules
            .iter()
            .try_for_each(check)
            .map_err(|e| PassError::because(format!("cannot use the rewrite rules in `{}`", self.path), e))
    }
}

struct Rewrite {
    file: RuleFile,
}

impl Pass for Rewrite {
    fn run(&self, module: &mut Module, context: &mut Context<'_>) -> Result<()> {
        warn_unlowered(module, INFO.name, context);
        self.file.check(context)?;
        let rules = &self.file.rules;
        let mut rewritten = Vec::new();
        for id in module.func_ids() {
            let (func, applied) = rewrite_func(module, &module[id], rules, context);
            let rewrites = applied.iter().sum();
            if rewrites > 0 {
                context.count("rules applied", rewrites);
                context.remark(INFO.name, Loc::Unknown, format!("@{}: {}", func.name, summary(rules, &applied)));
                rewritten.push((id, func));
            }
        }
        if rewritten.is_empty() && context.fuel.is_left() && !context.interrupted() {
            context.remark(INFO.name, Loc::Unknown, format!("no rule of {} matches", self.file.path));
        }
        rewritten.into_iter().for_each(|(id, func)| module[id] = func);
        Ok(())
    }

    fn fidelity(&self) -> Option<Fidelity> {
        self.file.rules.iter().map(|rule| rule.fidelity).max()
    }
}

/// Formats which rules were applied, and how often.
fn summary(rules: &[Rule], applied: &[u64]) -> String {
    let times = |count| if count == 1 { "once".to_string() } else { format!("{} times", thousands(count)) };
    let counted = rules.iter().zip(applied).filter(|(_, count)| **count > 0);
    let texts: Vec<String> =
        counted.map(|(rule, count)| format!("`{}` applied {}", rule.name, times(*count))).collect();
    texts.join(", ")
}

/// Applies `rules` to `func`, a function of `module`. Returns the new function and how often each rule was applied.
fn rewrite_func(module: &Module, func: &Func, rules: &[Rule], context: &mut Context<'_>) -> (Func, Vec<u64>) {
    let mut applied = vec![0; rules.len()];
    let func = rewrite_singles(module, func, rules, &mut applied, context);
    let func = match rewrite_together(module, &func, rules, &mut applied, context) {
        Some(merged) => rewrite_singles(module, &merged, rules, &mut applied, context),
        None => func,
    };
    (func, applied)
}

fn rewrite_singles(
    module: &Module,
    func: &Func,
    rules: &[Rule],
    applied: &mut [u64],
    context: &mut Context<'_>,
) -> Func {
    let mut rewriter = Rewriter::new(module, func, rules, applied);
    rewriter.func(context);
    rewriter.finish()
}

/// Applies the rules that replace several values to `func`. `None` if none applies.
fn rewrite_together(
    module: &Module,
    func: &Func,
    rules: &[Rule],
    applied: &mut [u64],
    context: &mut Context<'_>,
) -> Option<Func> {
    let mut merged: Option<Func> = None;
    let (mut rounds, mut left) = (0, func.num_ops().max(MOST));
    while rounds < MOST && left > 0 {
        let func = merged.as_ref().unwrap_or(func);
        let matches = multi_pattern::plan(func, rules, applied, context);
        if matches.is_empty() {
            return merged;
        }
        (rounds, left) = (rounds + 1, left.saturating_sub(matches.len()));
        merged = Some(multi_pattern::apply(module, func, matches));
    }
    let note = format!(
        "@{}: rules that replace several values applied in {} and still match: do they undo each other, or repeat?",
        func.name,
        counted(rounds as u64, "round")
    );
    context.remark(INFO.name, Loc::Unknown, note);
    merged
}

/// The number of rules that may still apply at one op of the program.
struct Budget {
    left: usize,
    /// Whether another rule would have applied.
    is_short: bool,
}

struct Rewriter<'m> {
    rules: &'m [Rule],
    old: &'m Func,
    copy: Copy<'m>,
    /// Which new values depend on no parameter, by id.
    constant: Vec<bool>,
    /// The new ops that rules have replaced.
    gone: Vec<OpId>,
    /// How often each rule was applied.
    applied: &'m mut [u64],
}

impl<'m> Rewriter<'m> {
    fn new(module: &'m Module, old: &'m Func, rules: &'m [Rule], applied: &'m mut [u64]) -> Self {
        let mut copy = Copy::new(module, old, old.name.clone());
        old.params.iter().for_each(|p| copy.param(p));
        let constant = vec![false; old.params.len()];
        Self { rules, old, copy, constant, gone: Vec::new(), applied }
    }

    fn func(&mut self, context: &mut Context<'_>) {
        for (_, op) in self.old.ops() {
            self.copy.op(op);
            let new = self.copy.get_all(&op.results);
            let is_core = matches!(op.kind, OpKind::Core(_));
            for result in &new {
                let constant = is_core && self.reads_constants(*result);
                self.constant.push(constant);
            }
            if let ([old], [new], true) = (&op.results[..], &new[..], is_core) {
                let mut budget = Budget { left: MOST, is_short: false };
                let result = self.rewrite(*new, &op.loc, &mut budget, context);
                self.copy.set(*old, result);
                if budget.is_short {
                    let note =
                        format!("{MOST} rules applied one after the other and still match: do they undo each other?");
                    context.remark(INFO.name, op.loc.clone(), note);
                }
            }
        }
    }

    /// Whether `value`, in the new function, depends on no parameter.
    fn reads_constants(&self, value: ValueId) -> bool {
        let func = self.copy.builder.func();
        let fixed = func[value].ty.num_bytes().is_some();
        let operands = func.producer(value).map(|op| &func[op].operands);
        fixed && operands.is_some_and(|operands| operands.iter().all(|v| self.constant[v.index()]))
    }

    /// Applies rules to `value`, which no op reads yet, and returns the value that replaces it.
    fn rewrite(&mut self, value: ValueId, loc: &Loc, budget: &mut Budget, context: &mut Context<'_>) -> ValueId {
        let Some((rule, replacement)) = self.find(value) else { return value };
        budget.is_short |= budget.left == 0;
        if budget.is_short || !context.rewrite() {
            return value;
        }
        budget.left -= 1;
        self.applied[rule] += 1;
        self.gone.extend(self.copy.builder.func().producer(value));
        let mut new: Vec<ValueId> = Vec::new();
        for op in replacement.ops {
            let operands: Vec<ValueId> = op.operands.iter().map(|source| source.resolve(&new, |value| value)).collect();
            let id = self.copy.builder.at(loc.clone()).op(op.op, &operands, [(op.ty, None)]);
            let result = self.copy.builder.results(id)[0];
            self.constant.push(self.reads_constants(result));
            new.push(self.rewrite(result, loc, budget, context));
        }
        replacement.results.first().map_or(value, |source| source.resolve(&new, |value| value))
    }

    /// The index of the first rule that applies to `value`, with its replacement.
    fn find(&self, value: ValueId) -> Option<(usize, Replacement<ValueId>)> {
        let graph = FuncGraph { func: self.copy.builder.func(), constant: &self.constant };
        self.rules.iter().enumerate().filter(|(_, rule)| rule.from.len() == 1).find_map(|(i, rule)| {
            let matches = rule.matches(&graph, 0, value, &Bindings::of(rule));
            let replacement = matches.iter().find_map(|bindings| rule.replacement(&graph, &[value], bindings))?;
            Some((i, replacement))
        })
    }

    fn finish(self) -> Func {
        let mut func = self.copy.finish(named(&self.old.outputs));
        func.attrs = self.old.attrs.clone();
        let mut gone = vec![false; func.num_op_slots()];
        self.gone.iter().for_each(|op| gone[op.index()] = true);
        func.retain_ops(|op| !gone[op.index()]);
        func
    }
}

/// A function that rules are matched in.
struct FuncGraph<'a> {
    func: &'a Func,
    /// Which values depend on no parameter, by id.
    constant: &'a [bool],
}

impl Graph for FuncGraph<'_> {
    type Id = ValueId;

    fn definitions(&self, id: ValueId) -> impl Iterator<Item = (&CoreOp, &[ValueId])> {
        let op = self.func.producer(id).map(|op| &self.func[op]);
        op.into_iter().filter_map(|op| match &op.kind {
            OpKind::Core(core) => Some((core, &op.operands[..])),
            OpKind::Source(_) | OpKind::Call(_) => None,
        })
    }

    fn ty(&self, id: ValueId) -> &Type {
        &self.func[id].ty
    }

    fn is_constant(&self, id: ValueId) -> bool {
        self.constant[id.index()]
    }
}

#[cfg(test)]
mod tests {
    use netc_dialect::Dialects;
    use netc_ir::{MAIN, parse, print, verify};
    use netc_pass::Fuel;

    use super::*;

    /// Rewrites a function of `%x: f32[N,4]` that returns `%y`. Returns its ops, one per line, the number of rewrites,
    /// and the remarks.
    fn rewrite(rules: &str, ops: &str, fuel: Fuel) -> (String, u64, Vec<String>) {
        let rules = netc_rules::parse(rules).unwrap();
        let text = format!("netc 1\nweight w0 \"w\" : f32[4] = 0.5\nfunc @main(%x: f32[N,4]) -> (%y) {{\n{ops}\n}}");
        let mut module = parse(&text).unwrap();
        let main = module.func_named(MAIN).unwrap();
        let dialects = Dialects::new();
        let mut context = Context::new(&dialects).with_fuel(fuel);
        let (func, applied) = rewrite_func(&module, &module[main], &rules, &mut context);
        let rewrites = applied.iter().sum();
        module[main] = func;
        verify(&module).unwrap();
        let text = print(&module);
        let ops = text.lines().filter(|line| line.starts_with("  ")).map(str::trim).collect::<Vec<_>>().join("\n");
        (ops, rewrites, context.remarks.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn replacements_are_rewritten_in_turn() {
        let rules = "a: neg(neg(?x)) => ?x  b: sub(?a, ?b) => add(?a, neg(?b))";
        let ops = "%n = neg(%x) : f32[N,4]\n%y = sub(%x, %n) : f32[N,4]";
        let (after, rewrites, _) = rewrite(rules, ops, Fuel::unlimited());
        assert_eq!(after, "%n = neg(%x) : f32[N,4]\n%y = add(%x, %x) : f32[N,4]");
        assert_eq!(rewrites, 2);
        let (after, rewrites, _) = rewrite(rules, ops, Fuel::of(1));
        assert_eq!(after, "%n = neg(%x) : f32[N,4]\n%2 = neg(%n) : f32[N,4]\n%y = add(%x, %2) : f32[N,4]");
        assert_eq!(rewrites, 1);
    }

    #[test]
    fn ops_made_by_rules_can_match_as_constants() {
        let rules = "a: neg(?c: const) => abs(?c)  b: exp(?c) => neg(?c)";
        let ops = "%w = weight w0() : f32[4]\n%e = exp(%w) : f32[4]\n%f = neg(%x) : f32[N,4]\n\
                   %y = add(%f, %e) : f32[N,4]";
        let (after, ..) = rewrite(rules, ops, Fuel::unlimited());
        assert_eq!(
            after,
            "%w = weight w0() : f32[4]\n%e = abs(%w) : f32[4]\n%f = neg(%x) : f32[N,4]\n%y = add(%f, %e) : f32[N,4]"
        );
    }

    #[test]
    fn rules_that_undo_each_other_stop_with_a_remark() {
        let rules = "a: add(?a, ?b) => add(?b, ?a)";
        let (after, rewrites, remarks) =
            rewrite(rules, "%n = neg(%x) : f32[N,4]\n%y = add(%x, %n) : f32[N,4]", Fuel::unlimited());
        assert_eq!(after, "%n = neg(%x) : f32[N,4]\n%y = add(%x, %n) : f32[N,4]");
        assert_eq!(rewrites, MOST as u64);
        assert!(remarks[0].contains("do they undo each other?"), "{remarks:?}");
    }

    #[test]
    fn rules_that_stop_by_themselves_get_no_remark() {
        let steps = |count: usize| {
            let step = |i: usize| format!("r{i}: add(?x, {i}.0) => add(?x, {}.0)", i + 1);
            let rules = (0..count).map(step).collect::<Vec<_>>().join("\n");
            let ops = "%c = constant() {value = 0.0} : f32[]\n%y = add(%x, %c) : f32[N,4]";
            let (_, rewrites, remarks) = rewrite(&rules, ops, Fuel::unlimited());
            (rewrites, remarks.len())
        };
        assert_eq!(steps(MOST), (MOST as u64, 0));
        assert_eq!(steps(MOST + 1), (MOST as u64, 1));
    }

    #[test]
    fn a_number_is_rounded_to_the_type_of_the_constant() {
        let ops = "%c = constant() {value = 0.1} : f32[]\n%y = mul(%x, %c) : f32[N,4]";
        let (after, ..) = rewrite("a: mul(?x, 0.1) => neg(?x)", ops, Fuel::unlimited());
        assert!(after.ends_with("%y = neg(%x) : f32[N,4]"), "{after}");
    }

    #[test]
    fn a_constant_that_other_operands_broadcast_to_is_not_a_scalar() {
        let rule = "s rounding: reduce_sum(mul(?x, 2.0)) {..?c} => mul(reduce_sum(?x) {..?c}, 2.0)";
        let ops = |part: &str, ty: &str| {
            format!(
                "%c = constant() {{value = 2.0}} : f32[4]\n%s = slice(%x) {{axes = [[0, null, 1], [0, {part}, 1]]}} : {ty}\n\
                 %m = mul(%s, %c) : f32[N,4]\n%y = reduce_sum(%m) {{axes = [1]}} : f32[N]"
            )
        };
        assert_eq!(rewrite(rule, &ops("1", "f32[N,1]"), Fuel::unlimited()).1, 0);
        assert_eq!(rewrite(rule, &ops("4", "f32[N,4]"), Fuel::unlimited()).1, 1);
    }

    #[test]
    fn a_rule_that_would_change_a_type_does_not_apply() {
        let (after, rewrites, _) = rewrite(
            "a: add(?a, ?b) => ?b",
            "%w = weight w0() : f32[4]\n\
            %y = add(%x, %w) : f32[N,4]",
            Fuel::unlimited(),
        );
        assert_eq!((after.lines().count(), rewrites), (2, 0));
    }

    #[test]
    fn a_remark_says_which_rules_applied_and_how_often() {
        let rules = "a: neg(neg(?x)) => ?x  b: abs(abs(?x)) => abs(?x)  c: exp(?x) => exp(?x)";
        let rules = netc_rules::parse(rules).unwrap();
        assert_eq!(summary(&rules, &[1, 0, 1234]), "`a` applied once, `c` applied 1,234 times");
    }
}
