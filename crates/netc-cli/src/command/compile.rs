//! `netc [INPUT] [--pass P]... [-o OUT]`: read, rewrite, prove, write.

use std::panic::resume_unwind;
use std::path::Path;
use std::sync::LazyLock;
use std::thread::{self, Builder};

use netc_format::{Format, Formats, Layout};
use netc_ir::Module;
use netc_model::verify::{Executable, RunInputs, Verification, verify};
use netc_model::{Destination, OpenOptions, Saved, Session, StageGraph, limits};
use netc_pass::{Fidelity, Record};
use netc_passes::analysis::Costs;
use netc_passes::analysis::graph::dot;

use crate::args::{CompileArgs, Emit};
use crate::error::{CliError, Result};
use crate::input::{self, Tables};
use crate::pipeline::{self, Settings};
use crate::progress::with_progress;
use crate::report::{Report, title};
use crate::text::Figures;
use crate::{report, text};

pub(crate) fn run(args: &CompileArgs, tables: &Tables) -> Result<()> {
    let pipeline = pipeline::parse(&args.passes)?;
    let session = tables.session(&args.model.library, Some(&args.limits))?;
    let format = args.format.as_deref().map(|name| named(&tables.formats, name)).transpose()?;
    // Optimizer state does not fit a model that passes changed.
    let training_state = pipeline.0.is_empty() && !args.no_optimizer;
    let options = OpenOptions { weights: args.model.weights.as_deref(), training_state };
    let mut model = input::load_or_default(&session, args.input.as_deref(), !pipeline.0.is_empty(), options)?;
    if args.verify.is_some() {
        model.check_weights()?;
    }
    let figures = Figures::new(args.long);
    // Passes change the model: keep the title of the one that was read.
    let before =
        (!pipeline.0.is_empty()).then(|| title(&model, &Costs::of(&model.module, session.dialects()), figures));
    let original = args.verify.map(|_| model.module.clone());

    let settings = Settings {
        pipeline: &pipeline,
        fuel: pipeline::fuel(&args.passes),
        watch: &args.watch,
        random: &args.random,
        layers: args.model.library.layers.iter().map(|path| absolute(path)).collect(),
    };
    let outcome = pipeline::run(&mut model.module, &settings, &session)?;
    // Passes may have added functions before it.
    model.find_main();
    let graph = StageGraph::of(&model.module, model.main);
    let destination = |path| Destination::of(path, &model, graph.as_ref(), format, args.force);
    let destination = args.output.as_deref().map(destination).transpose()?;
    let recovered = destination.iter().flat_map(Destination::recovered);
    recovered.for_each(|note| text::note(&note.text));
    let verification = match (&original, args.verify) {
        (Some(original), Some(inputs)) => {
            refuse_other_values(&outcome.record)?;
            let fidelity = outcome.record.fidelity;
            Some(compare((original, &model.module), &session, fidelity, inputs, args)?)
        }
        _ => None,
    };
    let failed = verification.as_ref().is_some_and(|v| !v.passed());
    let passes: Vec<String> = pipeline.0.iter().map(ToString::to_string).collect();
    let costs = LazyLock::new(|| Costs::of(&model.module, session.dialects()));
    let written = thread::scope(|scope| {
        // Compute the costs for the report while the files are written.
        let compute = || _ = LazyLock::force(&costs);
        let computed = (limits::threads(1) > 0).then(|| Builder::new().spawn_scoped(scope, compute));
        let written = match destination.filter(|_| !failed) {
            Some(destination) => destination.write(&model, &passes, &costs, verification.as_ref()),
            None => Ok(Saved::nothing(&model, graph.as_ref())),
        };
        match computed {
            Some(Ok(thread)) => thread.join().map(|()| written).unwrap_or_else(|panic| resume_unwind(panic)),
            // Without a thread, the report computes them.
            Some(Err(_)) | None => written,
        }
    })?;
    written.recovered.iter().for_each(|note| text::note(&note.text));
    // If a pass made another model, such as a part, report on that.
    let is_other = outcome.record.fidelity == Fidelity::Other;
    let report = Report {
        model: &model,
        title: before.filter(|_| !is_other).unwrap_or_else(|| title(&model, &costs, figures)),
        is_other,
        passes: &passes,
        remarks: &outcome.remarks,
        graph: graph.as_ref(),
        costs: &costs,
        verification: verification.as_ref(),
        written: &written,
        figures,
        hint: args.output.is_none().then(|| hint(graph.as_ref(), format)),
    };
    let printed = match args.emit {
        Emit::Report => text::print(&report.text()),
        Emit::Ir => text::print_data(&netc_ir::print(&model.module)),
        Emit::Json => text::print_data(&format!("{:#}\n", report.json())),
        Emit::Dot => text::print_data(&dot(&model.module, &model.module[model.main])),
    };
    match &verification {
        // An error even if the report could not be printed.
        Some(v) if failed => {
            Err(CliError::Verification(format!("verification failed and nothing was written: {}", report::verdict(v))))
        }
        Some(_) | None => printed,
    }
}

/// The format with the name in `--format`.
fn named(formats: &Formats, name: &str) -> Result<&'static Format> {
    formats.named(name).ok_or_else(|| CliError::Usage(format!("there is no format `{name}`")))
}

/// How to write the result.
fn hint(graph: Option<&StageGraph>, format: Option<&Format>) -> &'static str {
    match (graph, format.map(|format| format.layout)) {
        (Some(_), _) => "nothing; add `-o out/` to write the stages",
        (None, Some(Layout::Folder { .. })) => "nothing; add `-o out/` to write the model",
        (None, _) => "nothing; add `-o x.keras` to write the model",
    }
}

/// Refuses to compare outputs if a pass computes something else by design.
fn refuse_other_values(record: &Record) -> Result<()> {
    match record.passes().into_iter().find(|pass| pass.fidelity == Fidelity::Other) {
        Some(pass) => Err(CliError::Usage(format!(
            "`--verify`: the pass `{}` changes what the model computes, so there is nothing to compare",
            pass.name
        ))),
        None => Ok(()),
    }
}

/// The absolute path.
fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.into()).to_string_lossy().into_owned()
}

fn compare(
    (before, after): (&Module, &Module),
    session: &Session,
    fidelity: Fidelity,
    inputs: u64,
    args: &CompileArgs,
) -> Result<Verification> {
    let random = args.random.random();
    let executable = |module| Executable::new(session, module, RunInputs::Random(random.batch));
    let (before, after) = (executable(before)?, executable(after)?);
    Ok(with_progress(|progress| verify(&before, &after, fidelity, inputs, random, progress))?)
}
