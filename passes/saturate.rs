//! Equality saturation: collects the programs that rules prove equal, and picks the cheapest.
//!
//! A function becomes an e-graph over the core ops (`classes`). Rules ([`rules`]) add nodes to its classes (`search`),
//! and extraction (`extract`) chooses a node for each class that is needed. Rules that merge products of one value
//! create classes that match again with all others, so they apply only in the first iteration. The extracted function
//! is saturated again as long as that makes it cheaper.

mod classes;
mod descent;
mod emit;
mod exact;
mod extract;
mod search;

use std::sync::LazyLock;

use netc_ir::{Func, FuncId, Loc, Module};
use netc_pass::{Context, Fidelity, OpCosts, OptionInfo, OptionKind, Pass, PassError, PassInfo, Result, counted};
use netc_rules::Rule;

use crate::analysis::{PortableCosts, warn_unlowered};
use crate::fold_const::folded;
use crate::rewrite::RuleFile;
use classes::Classes;
use search::Limits;

/// The maximum number of times that a function is saturated.
const ROUNDS: usize = 4;

/// The minimum relative saving to accept a change. Costs are not known more precisely.
const WORTHWHILE: f64 = 0.01;

/// `saturate` as users see it.
pub const INFO: PassInfo = PassInfo {
    name: "saturate",
    summary: "Find the cheapest program among those that algebraic rules prove equal.",
    help: "Equality saturation: collects for each value all other ways to compute it that the rules know, until they find \
           nothing new or a limit is reached. Then chooses the ways with the least total cost; a value that is read \
           several times costs once. The rules are those listed in `docs/reference/rules.md` and those of your own files.\n\n\
           Works on core ops, best on the result of `@simplify`: `--pipeline '@simplify,saturate,@simplify'`. The limits \
           are iterations and nodes, never time, so with portable costs the result is reproducible. A remark says why the \
           search stopped.\n\n\
           With measured costs, the old and the new program run on random inputs, and the new one is kept only if it is \
           faster. If they cannot run, the costs decide.",
    fidelity: Fidelity::Rounding,
    options: &[
        OptionInfo {
            name: "iters",
            kind: OptionKind::Count { default: 6 },
            help: "Maximum number of iterations over all rules.",
        },
        OptionInfo {
            name: "nodes",
            kind: OptionKind::Count { default: 10_000 },
            help: "Maximum number of ways to compute values, in addition to those of the program.",
        },
        OptionInfo {
            name: "extract",
            kind: OptionKind::Choice { of: &["descent", "exact"], default: "descent" },
            help: "How to choose the ways. `descent` starts from the program and makes changes that each make it cheaper. \
                   `exact` improves that result by integer programming, unless the problem is too large; the remark says \
                   whether the result is optimal.",
        },
        OptionInfo {
            name: "costs",
            kind: OptionKind::Choice { of: &["portable", "measured"], default: "portable" },
            help: "How to determine the cost of ops: from multiply-accumulates and bytes, or by measuring on this machine.",
        },
        OptionInfo {
            name: "rules",
            kind: OptionKind::OptionalList { value: "FILE" },
            help: "Files with your own rules. They are tested before use.",
        },
    ],
    build: |options| {
        let own = options.list("rules").iter().map(|path| RuleFile::read(path)).collect::<Result<_, _>>()?;
        Ok(Box::new(Saturate {
            iters: options.count("iters"),
            nodes: usize::try_from(options.count("nodes")).unwrap_or(usize::MAX),
            exact: options.choice("extract") == "exact",
            measured: options.choice("costs") == "measured",
            own,
        }))
    },
};

/// The built-in rules of the pass: for arithmetic, for moving elements, and for products.
pub fn rules() -> Result<&'static [Rule]> {
    static RULES: LazyLock<Result<Vec<Rule>>> = LazyLock::new(|| {
        let parse = |(name, text)| {
            netc_rules::parse(text)
                .map_err(|e| PassError::because(format!("cannot read the rewrite rules in `{name}`"), e))
        };
        let files = [
            ("arithmetic.rules", include_str!("saturate/arithmetic.rules")),
            ("shape.rules", include_str!("saturate/shape.rules")),
            ("product.rules", include_str!("saturate/product.rules")),
        ];
        Ok(files.into_iter().map(parse).collect::<Result<Vec<_>, _>>()?.concat())
    });
    RULES.as_deref().map_err(PassError::clone)
}

struct Saturate {
    iters: u64,
    nodes: usize,
    exact: bool,
    measured: bool,
    own: Vec<RuleFile>,
}

impl Pass for Saturate {
    fn run(&self, module: &mut Module, context: &mut Context<'_>) -> Result<()> {
        warn_unlowered(module, INFO.name, context);
        self.own.iter().try_for_each(|file| file.check(context))?;
        let own = self.own.iter().flat_map(|file| file.rules.iter().cloned());
        let rules: Vec<Rule> = own.chain(rules()?.iter().cloned()).collect();
        let costs = match (self.measured, context.costs()) {
            (false, _) => &PortableCosts as &dyn OpCosts,
            (true, Some(measured)) => measured,
            (true, None) => return Err(PassError::new("measured costs are not available here: use `costs=portable`")),
        };
        for id in module.func_ids() {
            let mut before = None;
            for _ in 0..ROUNDS {
                if context.interrupted() {
                    break;
                }
                let Some(better) = self.round(module, &module[id], &rules, costs, context) else { break };
                before.get_or_insert(std::mem::replace(&mut module[id], better));
            }
            if let Some(before) = before.filter(|_| self.measured && !context.interrupted())
                && !is_faster(module, id, &before, costs, context)
            {
                module[id] = before;
            }
        }
        Ok(())
    }
}

impl Saturate {
    /// Saturates the function once. Returns the result if it is worthwhile.
    fn round(
        &self,
        module: &Module,
        func: &Func,
        rules: &[Rule],
        costs: &dyn OpCosts,
        context: &mut Context<'_>,
    ) -> Option<Func> {
        let mut classes = Classes::of(module, func);
        let limits = Limits { iters: self.iters, nodes: classes.graph.total_size().saturating_add(self.nodes) };
        let (iters, stop) = search::saturate(&mut classes, rules, limits, context);
        context.count("iterations", iters);
        let extraction = emit::Extraction::of(&classes, func, costs, self.exact);
        let found = report(&classes, &extraction);
        let after = counted(iters, "iteration");
        context.remark(INFO.name, Loc::Unknown, format!("@{}: after {after}, {stop}; {found}", func.name));
        let worthwhile = extraction.after < extraction.before * (1.0 - WORTHWHILE);
        worthwhile.then(|| extraction.func(&classes, module, func))
    }
}

/// Whether the function `id` of the module runs faster than `before`, or cannot be measured. The times of single ops do
/// not predict their time in sequence.
fn is_faster(module: &Module, id: FuncId, before: &Func, costs: &dyn OpCosts, context: &mut Context<'_>) -> bool {
    let mut old = module.clone();
    old[id] = before.clone();
    let [old, new] = [&old, module].map(|module| folded(module, id, context));
    let Some(ratio) = costs.compare(&old, &new, id) else { return true };
    let faster = ratio < 1.0 - WORTHWHILE;
    let end = if faster { "" } else { ", so the old function is kept" };
    context.remark(INFO.name, Loc::Unknown, format!("@{}: runs in {ratio:.3} of the time{end}", before.name));
    faster
}

/// Formats the size of the graph and the cost of the result.
fn report(classes: &Classes<'_>, extraction: &emit::Extraction) -> String {
    let (nodes, size) = (classes.graph.total_size(), classes.graph.number_of_classes());
    let (before, after) = (extraction.before * 1e3, extraction.after * 1e3);
    let kind = if extraction.exact { "optimal" } else { "best" };
    format!("{nodes} nodes in {size} classes; the {kind} cost is {after:.3} ms, before {before:.3} ms")
}

#[cfg(test)]
mod tests {
    use netc_dialect::Dialects;
    use netc_ir::{CoreOp, MAIN, Type};
    use netc_pass::Operand;

    use super::*;

    /// Portable costs, with a fixed ratio of running times.
    struct Trial(Option<f64>);

    impl OpCosts for Trial {
        fn seconds(&self, op: &CoreOp, operands: &[Operand<'_>], result: &Type) -> f64 {
            PortableCosts.seconds(op, operands, result)
        }

        fn compare(&self, before: &Module, after: &Module, func: FuncId) -> Option<f64> {
            assert!(before[func].ops().count() > after[func].ops().count());
            self.0
        }
    }

    /// Saturates the program with measured costs and a fixed ratio of running times. Returns the remarks too.
    fn saturated(text: &str, ratio: Option<f64>) -> (Module, Vec<String>) {
        let mut module = netc_ir::parse(text).unwrap();
        let (dialects, trial) = (Dialects::new(), Trial(ratio));
        let mut context = Context::new(&dialects).with_costs(&trial);
        let pipeline: netc_pass::Pipeline = "saturate{costs=measured}".parse().unwrap();
        netc_pass::Manager::new(&crate::registry()).run(&mut module, &pipeline, &mut context).unwrap();
        (module, context.remarks.into_iter().map(|remark| remark.text).collect())
    }

    #[test]
    fn a_function_that_is_not_cheaper_is_not_timed() {
        let text = "netc 1\nfunc @main(%x: f32[N,4]) -> (%y) { %y = relu(%x) : f32[N,4] }";
        let (module, remarks) = saturated(text, Some(0.5));
        assert_eq!(module, netc_ir::parse(text).unwrap());
        assert!(remarks.iter().all(|remark| !remark.contains("runs in")), "{remarks:?}");
    }

    #[test]
    fn a_cheaper_function_that_runs_no_faster_is_not_kept() {
        let text = "netc 1
            func @main(%x: f32[N,4]) -> (%y) {
              %a = transpose(%x) {perm = [1, 0]} : f32[4,N]  %b = relu(%a) : f32[4,N]
              %y = transpose(%b) {perm = [1, 0]} : f32[N,4]
            }";
        for (ratio, ops, remark) in [
            (Some(0.5), 1, "@main: runs in 0.500 of the time"),
            (Some(1.2), 3, "@main: runs in 1.200 of the time, so the old function is kept"),
            (None, 1, "the best cost is"),
        ] {
            let (module, remarks) = saturated(text, ratio);
            assert_eq!(module[module.func_named(MAIN).unwrap()].ops().count(), ops, "{remarks:?}");
            assert!(remarks.last().unwrap().contains(remark), "{remarks:?}");
        }
    }
}
