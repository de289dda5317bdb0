//! Equality saturation: everything that rules say a program is equal to, and of that what costs least.
//!
//! A function becomes classes of equal values (`classes`, an e-graph over the core ops). Rules ([`rules`]) add ways to
//! compute them (`search`), and extraction (`extract`) chooses one for each class that is needed. Rules that merge
//! products of one value make classes that match them again with all the others, so they are applied in the first
//! iteration alone; what is extracted is saturated again as long as that makes it cheaper.

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

use crate::analysis::{PortableCosts, note_layers_alone};
use crate::fold_const::folded;
use crate::rewrite::RuleFile;
use classes::Classes;
use search::Limits;

/// How often what was extracted is saturated again, at most.
const ROUNDS: usize = 4;

/// What a round must make cheaper, as a part of the whole, to count: costs are not known better.
const WORTHWHILE: f64 = 0.01;

/// `saturate` as users see it.
pub const INFO: PassInfo = PassInfo {
    name: "saturate",
    summary: "Search all that algebra says a program is equal to for what costs least.",
    help: "Equality saturation: adds to each value all other ways to compute it that the rules know, until they know no \
           more or a limit is reached, and then chooses the ways that cost least together, where what is read several \
           times costs once. The rules are those of `docs/rules.md`, and those of your own files.\n\n\
           It works on core ops, best on what `@simplify` leaves: `--pipeline '@simplify,saturate,@simplify'`. Limits are \
           iterations and nodes, never time: with the costs that are counted, results repeat. A remark says why it \
           stopped.\n\n\
           With measured costs, what was found is run on random inputs beside what was there, and is not taken if it is \
           no faster; where that does not run, costs alone decide.",
    fidelity: Fidelity::Rounding,
    options: &[
        OptionInfo { name: "iters", kind: OptionKind::Count { default: 6 }, help: "The most iterations of all rules." },
        OptionInfo {
            name: "nodes",
            kind: OptionKind::Count { default: 10_000 },
            help: "The most ways to compute values, beside those of the program.",
        },
        OptionInfo {
            name: "extract",
            kind: OptionKind::Choice { of: &["descent", "exact"], default: "descent" },
            help: "How ways are chosen: by changes from the program that each make it cheaper, or by an integer program \
                   that begins there, whose choice is the best of all where the remark says so; it is not asked where \
                   it would be too large.",
        },
        OptionInfo {
            name: "costs",
            kind: OptionKind::Choice { of: &["portable", "measured"], default: "portable" },
            help: "What ops cost: counted from multiply-accumulates and bytes, or measured on this machine.",
        },
        OptionInfo {
            name: "rules",
            kind: OptionKind::OptionalList { value: "FILE" },
            help: "Files with rules of your own, which are tried first.",
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

/// The rules of the pass: arithmetic, moving elements, and products.
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
        note_layers_alone(module, INFO.name, context);
        self.own.iter().try_for_each(|file| file.check(context))?;
        let own = self.own.iter().flat_map(|file| file.rules.iter().cloned());
        let rules: Vec<Rule> = own.chain(rules()?.iter().cloned()).collect();
        let costs = match (self.measured, context.costs()) {
            (false, _) => &PortableCosts as &dyn OpCosts,
            (true, Some(measured)) => measured,
            (true, None) => return Err(PassError::new("nothing measures ops here: use the portable costs")),
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
    /// What the function is after one round, if that is worthwhile.
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

/// Whether the function `id` of the module runs in less time than `before`, as far as that can be measured: a sum of what
/// ops take by themselves does not know what they take one after the other.
fn is_faster(module: &Module, id: FuncId, before: &Func, costs: &dyn OpCosts, context: &mut Context<'_>) -> bool {
    let mut old = module.clone();
    old[id] = before.clone();
    let [old, new] = [&old, module].map(|module| folded(module, id, context));
    let Some(ratio) = costs.compare(&old, &new, id) else { return true };
    let faster = ratio < 1.0 - WORTHWHILE;
    let end = if faster { "" } else { ", so it stays as it was" };
    context.remark(INFO.name, Loc::Unknown, format!("@{}: runs in {ratio:.3} of the time{end}", before.name));
    faster
}

/// How large the graph became, and what was found in it.
fn report(classes: &Classes<'_>, extraction: &emit::Extraction) -> String {
    let (nodes, size) = (classes.graph.total_size(), classes.graph.number_of_classes());
    let (before, after) = (extraction.before * 1e3, extraction.after * 1e3);
    let among = if extraction.exact { " of all" } else { "" };
    format!("{nodes} nodes in {size} classes; the cheapest{among} costs {after:.3} ms of {before:.3} ms")
}

#[cfg(test)]
mod tests {
    use netc_dialect::Dialects;
    use netc_ir::{CoreOp, MAIN, Type};
    use netc_pass::Operand;

    use super::*;

    /// Counts what ops cost, and says that what is found takes such a part of the time.
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

    /// Saturates the program with measured costs, where a trial gives the ratio; with what was remarked.
    fn saturated(text: &str, ratio: Option<f64>) -> (Module, Vec<String>) {
        let mut module = netc_ir::parse(text).unwrap();
        let (dialects, trial) = (Dialects::new(), Trial(ratio));
        let mut context = Context::new(&dialects).with_costs(&trial);
        let pipeline: netc_pass::Pipeline = "saturate{costs=measured}".parse().unwrap();
        netc_pass::Manager::new(&crate::registry()).run(&mut module, &pipeline, &mut context).unwrap();
        (module, context.remarks.into_iter().map(|remark| remark.text).collect())
    }

    #[test]
    fn what_is_as_cheap_is_not_run() {
        let text = "netc 1\nfunc @main(%x: f32[N,4]) -> (%y) { %y = relu(%x) : f32[N,4] }";
        let (module, remarks) = saturated(text, Some(0.5));
        assert_eq!(module, netc_ir::parse(text).unwrap());
        assert!(remarks.iter().all(|remark| !remark.contains("runs in")), "{remarks:?}");
    }

    #[test]
    fn what_is_no_faster_when_it_is_run_is_not_taken() {
        let text = "netc 1
            func @main(%x: f32[N,4]) -> (%y) {
              %a = transpose(%x) {perm = [1, 0]} : f32[4,N]  %b = relu(%a) : f32[4,N]
              %y = transpose(%b) {perm = [1, 0]} : f32[N,4]
            }";
        for (ratio, ops, remark) in [
            (Some(0.5), 1, "@main: runs in 0.500 of the time"),
            (Some(1.2), 3, "@main: runs in 1.200 of the time, so it stays as it was"),
            (None, 1, "cheapest costs"),
        ] {
            let (module, remarks) = saturated(text, ratio);
            assert_eq!(module[module.func_named(MAIN).unwrap()].ops().count(), ops, "{remarks:?}");
            assert!(remarks.last().unwrap().contains(remark), "{remarks:?}");
        }
    }
}
