//! Runs pipelines for the command: observers, checks and reproducers.

pub(crate) mod print_ir;
mod record;
pub(crate) mod reproducer;
mod values;

use std::io::{self, Write};
use std::panic;

use netc_ir::Module;
use netc_model::{PassTools, Session};
use netc_pass::{FailedPass, Failure, Fuel, Manager, Pipeline, PipelineError, Record, Remark, chain};

use crate::args::{PassesToRun, RandomArgs, Stats, VerifyEach, WatchArgs};
use crate::error::{CliError, Result};
use crate::interrupt::{INTERRUPTED, defer_interrupt};
use crate::text;

use print_ir::IrPrinter;
use reproducer::Reproducer;
use values::ValueCheck;

/// The result of a pipeline.
pub(crate) struct Outcome {
    pub(crate) record: Record,
    pub(crate) remarks: Vec<Remark>,
}

/// Parses the pipeline of the command line.
pub(crate) fn parse(args: &PassesToRun) -> Result<Pipeline> {
    let parsed = match &args.pipeline {
        Some(text) => text.parse(),
        None => Pipeline::of_passes(args.passes.iter().map(String::as_str)),
    };
    parsed.map_err(|e| CliError::Usage(e.to_string()))
}

pub(crate) fn fuel(args: &PassesToRun) -> Fuel {
    args.fuel.map_or_else(Fuel::unlimited, Fuel::of)
}

/// Runs the first `passes` passes of a pipeline without observers, and without printing panics. Also returns the number
/// of rewrites done, up to the end or the failure.
pub(crate) fn run_quietly(
    module: &mut Module,
    pipeline: &Pipeline,
    session: &Session,
    fuel: Fuel,
    passes: usize,
) -> (Result<Outcome, PipelineError>, u64) {
    let tools = PassTools::of(session);
    let mut context = tools.context(module, fuel).with_interrupt(&INTERRUPTED);
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let record = Manager::new(session.registry()).stop_after(passes).run(module, pipeline, &mut context);
    panic::set_hook(hook);
    let (burnt, remarks) = (context.fuel.burnt(), context.remarks);
    (record.map(|record| Outcome { record, remarks }), burnt)
}

/// How to run a pipeline.
pub(crate) struct Settings<'a> {
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) fuel: Fuel,
    pub(crate) watch: &'a WatchArgs,
    pub(crate) random: &'a RandomArgs,
    /// The paths of the layer libraries, for the reproducer.
    pub(crate) layers: Vec<String>,
}

/// Runs a pipeline according to `settings`. Writes a reproducer if a pass has a bug.
pub(crate) fn run(module: &mut Module, settings: &Settings<'_>, session: &Session) -> Result<Outcome> {
    let original = module.clone();
    let mut printer = IrPrinter::new(settings.watch, session.registry())?;
    let checked = settings.watch.verify_each == VerifyEach::Values;
    let mut values = checked.then(|| ValueCheck::new(session, settings.random, module)).transpose()?;
    let tools = PassTools::of(session);
    let mut context = tools.context(module, settings.fuel).with_interrupt(&INTERRUPTED);
    let mut manager = Manager::new(session.registry()).observe(&mut printer);
    if let Some(values) = &mut values {
        manager = manager.observe(values);
    }
    let record = defer_interrupt(|| manager.run(module, settings.pipeline, &mut context));
    let remarks = context.remarks;
    match record {
        Ok(record) => {
            report_on(&record, settings.watch);
            Ok(Outcome { record, remarks })
        }
        Err(PipelineError::Options(error)) => Err(CliError::Usage(chain(&error))),
        Err(PipelineError::Failed(failed)) => Err(failure(&failed, &original, settings, session)),
    }
}

fn report_on(record: &Record, watch: &WatchArgs) {
    let mut err = io::stderr().lock();
    if watch.timing {
        let _ = write!(err, "{}", text::printable(&record::timing(record)));
    }
    let _ = match watch.stats {
        Some(Stats::Text) => write!(err, "{}", text::printable(&record::stats(record))),
        Some(Stats::Json) => writeln!(err, "{}", text::printable(&format!("{:#}", record::json(record)))),
        None => Ok(()),
    };
    if record.interrupted {
        let passes = text::count_of(record.passes().len(), "pass", "passes");
        text::note(&format!("interrupted after {passes}; the result is the model at that point"));
    }
}

/// The error for a failed pass. Writes a reproducer if the pass has a bug.
fn failure(failed: &FailedPass, original: &Module, settings: &Settings<'_>, session: &Session) -> CliError {
    let mut message = chain(failed);
    if is_bug(&failed.cause) {
        let path = &settings.watch.reproducer;
        message = message.trim_end().into();
        match Reproducer::of(failed, original, settings, session).write(path) {
            Ok(()) => message.push_str(&format!("; run `netc repro {}` to reproduce it", path.display())),
            Err(error) => message.push_str(&format!("; no reproducer was written: {}", error.chain())),
        }
    }
    match failed.cause {
        Failure::Rejected(_) => CliError::Verification(message),
        Failure::Error(_) | Failure::Panic(_) | Failure::Broken(_) => CliError::input(message),
    }
}

/// Whether the failure is a bug of the pass, not an error of its input or options.
pub(crate) fn is_bug(cause: &Failure) -> bool {
    match cause {
        Failure::Error(_) => false,
        Failure::Panic(_) | Failure::Broken(_) | Failure::Rejected(_) => true,
    }
}
