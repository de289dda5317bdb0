//! What must hold of every pass, whoever wrote it.

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

/// Pipelines over core ops that keep every bit and leave nothing that they would rewrite: passes alone and together.
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

/// Pipelines over programs or models after which values may be rounded differently.
pub const ROUNDING: &[&str] =
    &["fold-bn", "@simplify", "@simplify,fuse", "saturate{iters=4,nodes=300}", "fuse,saturate{iters=4,nodes=300}"];

/// Pipelines over models of layers that keep every bit and leave nothing that they would rewrite.
pub const OVER_LAYERS: &[&str] = &["lower", "cse", "dce"];

/// How many amounts of fuel [`fuel`] tries at most: with more it takes most of the time of all oracles.
const FUELS: u64 = 4;

/// More passes than this are not run on what a fuzzer makes.
const FEW_PASSES: usize = 8;

/// A pipeline with what it runs with.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The text of the pipeline.
    pub pipeline: &'a str,
    /// The passes that it may name.
    pub registry: &'a Registry,
    /// The meaning of layers.
    pub dialects: &'a Dialects,
}

impl Subject<'_> {
    /// What the pipeline makes of `module` with so much fuel, and the record of it.
    pub fn apply(&self, module: &Module, fuel: Fuel) -> Result<(Module, Record), Wrong> {
        let pipeline: Pipeline = self.pipeline.parse().map_err(|e: PipelineSyntaxError| e.to_string())?;
        let mut after = module.clone();
        let mut context = Context::new(self.dialects).with_consts(&Consts).with_fuel(fuel);
        let mut whole = Whole;
        let record = Manager::new(self.registry).observe(&mut whole).run(&mut after, &pipeline, &mut context);
        Ok((after, record.map_err(|e| format!("{e}\n{}", print(module)))?))
    }
}

/// Verifies the whole after each pass, where the manager looks at what changed.
struct Whole;

impl Observer for Whole {
    fn after(&mut self, event: Event<'_>) -> Result<(), String> {
        verify(event.module).map_err(|e| format!("breaks rules that the manager does not see broken:\n{e}"))
    }
}

/// The pipeline leaves a valid module with the same outputs: bit for bit, or within a bound where a pass may round
/// differently. Gives what it leaves.
pub fn keeps_values(module: &Module, subject: Subject<'_>) -> Result<Module, Wrong> {
    let (after, record) = subject.apply(module, Fuel::unlimited())?;
    same_outputs(module, &after, record.fidelity, subject.dialects)?;
    Ok(after)
}

/// [`keeps_values`] of a pipeline of netc's own passes over a program of core ops.
pub fn keeps_values_by(module: &Module, pipeline: &str) -> Result<(), Wrong> {
    let (registry, dialects) = (netc_passes::registry(), Dialects::new());
    keeps_values(module, Subject { pipeline, registry: &registry, dialects: &dialects }).map(drop)
}

/// With less fuel the pipeline does less, and leaves a valid module with the same outputs each time; with none it changes
/// nothing.
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
        require(part.rewrites == fuel, || format!("does {} rewrites with fuel for {fuel}", part.rewrites))?;
        require(fuel > 0 || after == *module, || format!("makes this without fuel:\n{}", print(&after)))?;
        reference.agrees(&after, part.fidelity).map_err(|e| format!("with fuel {fuel}: {e}"))?;
    }
    Ok(())
}

/// The pipeline rewrites nothing the second time.
pub fn idempotent(module: &Module, subject: Subject<'_>) -> Result<(), Wrong> {
    let (once, _) = subject.apply(module, Fuel::unlimited())?;
    let (twice, record) = subject.apply(&once, Fuel::unlimited())?;
    require(twice == once, || format!("changes what it left:\n{}\n---\n{}", print(&once), print(&twice)))?;
    require(record.rewrites == 0, || format!("counts {} rewrites of what it left:\n{}", record.rewrites, print(&once)))
}

/// Splitting at `cuts` and then running the pipeline gives the outputs that running it on the whole gives. Cuts that
/// are refused hold nothing up.
pub fn commutes(module: &Module, cuts: &[String], subject: Subject<'_>) -> Result<(), Wrong> {
    let Ok(prepared) = split::prepare(module, cuts, subject.dialects) else { return Ok(()) };
    let mut stages = prepared.module.into_owned();
    split::apply(&mut stages, &prepared.plan);
    let (whole, record) = subject.apply(module, Fuel::unlimited())?;
    let (parts, of_parts) = subject.apply(&stages, Fuel::unlimited())?;
    let fidelity: Fidelity = record.fidelity.max(of_parts.fidelity);
    same_outputs(&whole, &parts, fidelity, subject.dialects)
}

/// No text makes the reader of pipelines panic; what it takes prints as text that it takes for the same; and making its
/// passes from their options, and running them on a program of one op, is done or refused without a panic.
pub fn pipeline_text(bytes: &[u8]) -> Result<(), Wrong> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(()) };
    let Ok(pipeline) = text.parse::<Pipeline>() else { return Ok(()) };
    let printed = pipeline.to_string();
    require(printed.parse().as_ref() == Ok(&pipeline), || format!("`{text}` prints as `{printed}`"))?;
    let mut module = netc_ir::parse("netc 1\nfunc @main(%x: f32[4]) -> (%y) { %y = relu(%x) : f32[4] }")
        .map_err(|e| e.to_string())?;
    let dialects = Dialects::new();
    let mut context = Context::new(&dialects).with_consts(&Consts);
    match Manager::new(&netc_passes::registry()).stop_after(FEW_PASSES).run(&mut module, &pipeline, &mut context) {
        Err(PipelineError::Failed(failed)) if !matches!(failed.cause, Failure::Error(_)) => Err(failed.to_string()),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The pipeline that bytes give for `module`, a program of core ops: passes one after the other, some repeated, and for
/// two of four first a split, which is merged again for one of them.
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
