//! Tests the oracles with planted compiler bugs: they find each bug within a thousand random modules, and the reducer
//! shrinks the failing module to a few ops.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking, and so do their helpers")]
#![allow(clippy::print_stdout, reason = "the test reports its findings with --nocapture")]

mod mistakes;

use netc_ir::{Module, print};
use netc_keras_testgen::{KerasRecipe, dialects};
use netc_pass::{Context, Fidelity, OptionInfo, OptionKind, Pass, PassError, PassInfo};
use netc_testgen::oracle::{self, Subject};
use netc_testgen::reduce::{Verdict, reduce};
use netc_testgen::{CoreRecipe, Cuts};

use mistakes::{Found, Level, MISTAKES, Mistake, NONE};

/// A pass with one of the [`MISTAKES`].
const MISTAKEN: PassInfo = PassInfo {
    name: "mistaken",
    summary: "Make a mistake.",
    help: "",
    fidelity: Fidelity::Exact,
    options: &[OptionInfo { name: "how", kind: OptionKind::Text { value: "MISTAKE" }, help: "Which." }],
    build: |options| {
        let mistake = MISTAKES.iter().find(|m| m.name == options.text("how"));
        let mistake = mistake.ok_or_else(|| PassError::new(format!("unknown mistake `{}`", options.text("how"))))?;
        Ok(Box::new(Mistaken(mistake)))
    },
};

struct Mistaken(&'static Mistake);

impl Pass for Mistaken {
    fn run(&self, module: &mut Module, context: &mut Context<'_>) -> Result<(), PassError> {
        context.rewrite();
        (self.0.make)(module);
        Ok(())
    }
}

const MODULES: u64 = 1000;
const MOST_OPS_LEFT: usize = 5;

#[test]
fn every_mistake_is_found_and_reduced() {
    let (registry, dialects) = (netc_passes::registry().with(&MISTAKEN), dialects());
    let mut wrong = Vec::new();
    for mistake in MISTAKES {
        let pipeline = format!("mistaken=\"{}\"", mistake.name);
        let subject = Subject { pipeline: &pipeline, registry: &registry, dialects: &dialects };
        let shows = |module: &Module| found(mistake, module, subject);
        if mistake.name == NONE {
            let innocent = (0..MODULES).find(|seed| shows(&build(mistake, *seed)));
            wrong.extend(innocent.map(|seed| format!("module {seed} fails an oracle without a mistake")));
            continue;
        }
        let Some((seed, module)) = (0..MODULES).map(|seed| (seed, build(mistake, seed))).find(|(_, m)| shows(m)) else {
            wrong.push(format!("{} is not found in {MODULES} modules", mistake.name));
            continue;
        };
        let reduced =
            reduce(&module, &dialects, &mut |m| if shows(m) { Verdict::Shows } else { Verdict::Clean }).module;
        let (before, after) = (module.num_ops(), reduced.num_ops());
        println!("{:<28} module {seed:<4} {before:>3} ops, reduced to {after}", mistake.name);
        if after > MOST_OPS_LEFT {
            wrong.push(format!("{} is reduced to {after} ops:\n{}", mistake.name, print(&reduced)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether the oracle for the mistake fails.
fn found(mistake: &Mistake, module: &Module, subject: Subject<'_>) -> bool {
    let held = match mistake.found {
        Found::ByValues => oracle::keeps_values(module, subject).map(drop),
        Found::ByFuel => oracle::fuel(module, subject),
        Found::ByRunningTwice => oracle::idempotent(module, subject),
        Found::InStages => oracle::commutes(module, &Cuts::from_seed(1).names(module), subject),
    };
    held.is_err()
}

fn build(mistake: &Mistake, seed: u64) -> Module {
    match mistake.level {
        Level::Core => CoreRecipe::from_seed(seed, 30).build(),
        Level::Layers => KerasRecipe::from_seed(seed, 12).build(),
    }
}
