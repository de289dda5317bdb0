//! Oracles of passes and pipelines, including those of other crates.

use netc_dialect::Dialects;
use netc_exec::Consts;
use netc_ir::{Module, print, verify};
use netc_pass::{
    Context, Event, Failure, Fidelity, Fuel, Manager, Observer, PassCall, Pipeline, PipelineError, PipelineSyntaxError,
    Record, Registry,
};
use netc_passes::split;

use super::runs::{Reference, same_outputs};
use super::{Wrong, require};
use crate::cuts::Cuts;

/// Idempotent pipelines over core ops that keep every bit: single passes and combinations.
pub const EXACT: &[&str] = &[
    "dce",
    "cse",
    "canonicalize",
    "fold-const",
    "fold-const=0",
    "fix(canonicalize,cse,fold-const,dce)",
    "fuse",
    "dce,fuse",
    "layout",
    "layout=channels-first",
    "layout,fold-const,fuse",
];

/// Pipelines over programs or models that may change rounding.
pub const ROUNDING: &[&str] =
    &["fold-bn", "@simplify", "@simplify,fuse", "saturate{iters=4,nodes=300}", "fuse,saturate{iters=4,nodes=300}"];

/// Idempotent pipelines over models of layers that keep every bit.
pub const OVER_LAYERS: &[&str] = &["lower", "cse", "dce"];

/// Maximum number of fuel limits that [`fuel`] tries. With more it would dominate the time of the oracles.
const FUELS: u64 = 4;

/// Maximum number of passes to run on a fuzzer's input.
const FEW_PASSES: usize = 8;

/// A pipeline, with the passes and dialects to run it.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The text of the pipeline.
    pub pipeline: &'a str,
    /// The passes that it may name.
    pub registry: &'a Registry,
    /// The dialects, which define the layers.
    pub dialects: &'a Dialects,
}

impl Subject<'_> {
    /// Runs the pipeline on a copy of `module` with the given fuel. Returns the result and the record of the run.
    pub fn apply(&self, module: &Module, fuel: Fuel) -> Result<(Module, Record), Wrong> {
        let pipeline: Pipeline = self.pipeline.parse().map_err(|e: PipelineSyntaxError| e.to_string())?;
        let mut after = module.clone();
        let mut context = Context::new(self.dialects).with_consts(&Consts).with_fuel(fuel);
        let mut whole = Whole;
        let record = Manager::new(self.registry).observe(&mut whole).run(&mut after, &pipeline, &mut context);
        Ok((after, record.map_err(|e| format!("{e}\n{}", print(module)))?))
    }
}

/// Verifies the whole module after each pass; the manager verifies only what changed.
struct Whole;

impl Observer for Whole {
    fn after(&mut self, event: Event<'_>) -> Result<(), String> {
        verify(event.module).map_err(|e| format!("breaks rules, and the manager missed it:\n{e}"))
    }
}

/// Checks that the pipeline leaves a valid module with the same outputs, and returns it. The outputs have the same
/// bits, or are within a bound if a pass may change rounding.
pub fn keeps_values(module: &Module, subject: Subject<'_>) -> Result<Module, Wrong> {
    let (after, record) = subject.apply(module, Fuel::unlimited())?;
    same_outputs(module, &after, record.fidelity, subject.dialects)?;
    Ok(after)
}

/// [`keeps_values`] for a pipeline of netc's own passes over a program of core ops.
pub fn keeps_values_by(module: &Module, pipeline: &str) -> Result<(), Wrong> {
    let (registry, dialects) = (netc_passes::registry(), Dialects::new());
    keeps_values(module, Subject { pipeline, registry: &registry, dialects: &dialects }).map(drop)
}

/// Checks that the pipeline makes exactly as many rewrites as its fuel allows and leaves a valid module with the same
/// outputs each time. Without fuel it changes nothing.
pub fn fuel(module: &Module, subject: Subject<'_>) -> Result<(), Wrong> {
    let (_, record) = subject.apply(module, Fuel::unlimited())?;
    let tries = FUELS.min(record.rewrites);
    if tries == 0 {
        return Ok(());
    }
    let reference = Reference::of(module, subject.dialects)?;
    for i in 0..tries {
        let fuel = record.rewrites * i / tries;
        let (after, part) = subject.apply(module, Fuel::of(fuel))?;
        require(part.rewrites == fuel, || format!("makes {} rewrites with fuel for {fuel}", part.rewrites))?;
        require(fuel > 0 || after == *module, || format!("changes the module without fuel:\n{}", print(&after)))?;
        reference.agrees(&after, part.fidelity).map_err(|e| format!("with fuel {fuel}: {e}"))?;
    }
    Ok(())
}

/// Checks that running the pipeline a second time rewrites nothing.
pub fn idempotent(module: &Module, subject: Subject<'_>) -> Result<(), Wrong> {
    let (once, _) = subject.apply(module, Fuel::unlimited())?;
    let (twice, record) = subject.apply(&once, Fuel::unlimited())?;
    require(twice == once, || format!("the second run changes:\n{}\n---\n{}", print(&once), print(&twice)))?;
    require(record.rewrites == 0, || format!("the second run counts {} rewrites:\n{}", record.rewrites, print(&once)))
}

/// Checks that the pipeline commutes with a split at `cuts`: run on the stages, it gives the same outputs as on the
/// whole. Rejected cuts pass.
pub fn commutes(module: &Module, cuts: &[String], subject: Subject<'_>) -> Result<(), Wrong> {
    let Ok(prepared) = split::prepare(module, cuts, subject.dialects) else { return Ok(()) };
    let mut stages = prepared.module.into_owned();
    split::apply(&mut stages, &prepared.plan);
    let (whole, record) = subject.apply(module, Fuel::unlimited())?;
    let (parts, of_parts) = subject.apply(&stages, Fuel::unlimited())?;
    let fidelity: Fidelity = record.fidelity.max(of_parts.fidelity);
    same_outputs(&whole, &parts, fidelity, subject.dialects)
}

/// Checks that no text makes the pipeline parser panic and that a parsed pipeline round-trips through text. Running the
/// pipeline on a program of one op must succeed or return an error of the pass.
pub fn pipeline_text(bytes: &[u8]) -> Result<(), Wrong> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(()) };
    let Ok(pipeline) = text.parse::<Pipeline>() else { return Ok(()) };
    let printed = pipeline.to_string();
    require(printed.parse().as_ref() == Ok(&pipeline), || format!("`{text}` prints as `{printed}`, which differs"))?;
    let mut module = netc_ir::parse("netc 1\nfunc @main(%x: f32[4]) -> (%y) { %y = relu(%x) : f32[4] }")
        .map_err(|e| e.to_string())?;
    let dialects = Dialects::new();
    let mut context = Context::new(&dialects).with_consts(&Consts);
    match Manager::new(&netc_passes::registry()).stop_after(FEW_PASSES).run(&mut module, &pipeline, &mut context) {
        Err(PipelineError::Failed(failed)) if !matches!(failed.cause, Failure::Error(_)) => Err(failed.to_string()),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Derives a pipeline for `module`, a program of core ops, from bytes: a sequence of passes, some in `fix`. Half of the
/// pipelines begin with a split, and half of these merge it again.
pub fn random_pipeline(module: &Module, bytes: &[u8]) -> String {
    const PASSES: &[&str] = &[
        "dce",
        "cse",
        "canonicalize",
        "fold-const",
        "fold-bn",
        "lower",
        "@simplify",
        "fuse",
        "inline",
        "layout",
        "layout=channels-first",
        "saturate{iters=2,nodes=100}",
    ];
    let step = |byte: &u8| {
        let pass = PASSES[usize::from(*byte) % PASSES.len()];
        if *byte >= 192 { format!("fix{{max=2}}({pass},dce)") } else { pass.into() }
    };
    let mut steps: Vec<String> = bytes.iter().take(FEW_PASSES).map(step).collect();
    let cuts = Cuts::from_bytes(bytes).names(module);
    let shape = bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)) % 4;
    if shape >= 2 && !cuts.is_empty() && split::plan(module, &cuts, &Dialects::new()).is_ok() {
        let split = PassCall { name: "split".into(), options: vec![("at".into(), cuts)] };
        let merge = (shape == 3).then(|| "merge".to_string());
        steps.splice(0..0, std::iter::once(Pipeline::from(split).to_string()).chain(merge));
    }
    if steps.is_empty() { "dce".into() } else { steps.join(",") }
}
