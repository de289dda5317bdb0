//! `netc reduce MODEL --pipeline P -o small.nir`: finds a small model that still fails.

use std::path::Path;
use std::sync::atomic::Ordering;

use netc_ir::Module;
use netc_model::Model;
use netc_testgen::reduce::{Verdict, reduce};

use crate::args::ReduceArgs;
use crate::error::{CliError, Result};
use crate::input::{self, Tables};
use crate::interrupt::{INTERRUPTED, defer_interrupt};
use crate::judge::{Extent, Judge, Wrong};
use crate::pipeline;
use crate::{program, text};

/// How many times to run the model to see whether its failure is intermittent.
const PROBES: u32 = 5;

/// How many times to run each program if it is.
const TRIES: u32 = 8;

pub(crate) fn run(args: &ReduceArgs, tables: &Tables) -> Result<()> {
    let session = tables.session(&args.model.library, Some(&args.limits))?;
    let model = input::load(&session, &args.input, args.model.weights.as_deref())?;
    model.check_weights()?;
    refuse_target(&args.output, &model)?;
    let pipeline = pipeline::parse(&args.passes)?;
    let judge =
        Judge { pipeline: &pipeline, session: &session, random: &args.random, check: args.check.check.as_deref() };
    let extent = Extent { passes: usize::MAX, fuel: pipeline::fuel(&args.passes) };
    let (wrong, tries) = probe(&judge, &model.module, extent, args.tries)?;
    let (kind, mut wrong) = (wrong.kind(), wrong);
    let shows = |module: &Module| -> Result<Option<Wrong>> {
        for _ in 0..tries {
            if let Some(found) = judge.judge(module, extent)?.wrong.filter(|found| found.kind() == kind) {
                // Keep the smallest program so far on disk, in case this process is killed.
                program::write(module, "", &args.output)?;
                return Ok(Some(found));
            }
        }
        Ok(None)
    };
    let mut failed = None;
    let reduced = defer_interrupt(|| {
        reduce(&model.module, session.dialects(), &mut |module| match shows(module) {
            _ if INTERRUPTED.load(Ordering::Relaxed) => Verdict::Stop,
            Ok(Some(found)) => {
                wrong = found;
                Verdict::Shows
            }
            Ok(None) => Verdict::Clean,
            Err(error) => {
                failed = Some(error);
                Verdict::Clean
            }
        })
    });
    program::write(&reduced.module, "", &args.output)?;
    if reduced.stopped {
        text::note("interrupted: wrote the smallest program so far");
    }
    if let Some(error) = failed {
        text::note(&format!("some programs could not be judged; the last error is: {}", error.chain()));
    }
    let ops = |module: &Module| text::count(module.num_ops(), "op");
    text::print(&format!(
        "failure   {}\nbefore    {}\nafter     {}\ntried     {}\nwrote     {}\n",
        wrong.to_string().trim_end(),
        ops(&model.module),
        ops(&reduced.module),
        text::count(reduced.tried, "program"),
        args.output.display()
    ))
}

fn refuse_target(path: &Path, model: &Model) -> Result<()> {
    if path.extension().is_none_or(|e| e != "nir") {
        return Err(CliError::Usage(format!(
            "cannot write `{}`: the result is a program, so the name must end in .nir",
            path.display()
        )));
    }
    Ok(model.refuse_input(path)?)
}

/// The failure of the model, and how many times to run each program: several times if the failure is intermittent.
fn probe(judge: &Judge<'_>, module: &Module, extent: Extent, tries: Option<u32>) -> Result<(Wrong, u32)> {
    let probes = tries.unwrap_or(PROBES);
    let mut seen = Vec::new();
    for _ in 0..probes {
        seen.extend(judge.judge(module, extent)?.wrong);
    }
    let shown = seen.len();
    let Some(wrong) = seen.into_iter().next() else {
        judge.compares(module)?;
        return Err(CliError::input(format!(
            "there is no failure to reduce: none occurred in {}",
            text::count_of(probes as usize, "try", "tries")
        )));
    };
    if shown == probes as usize {
        return Ok((wrong, tries.unwrap_or(1)));
    }
    text::note(&format!("the failure is intermittent: it occurred in {shown} of {probes} tries"));
    Ok((wrong, tries.unwrap_or(TRIES)))
}
