//! What tells a wrong program from a good one: `netc bisect` and `netc reduce` ask it again and again.

use std::fmt;
use std::fs;
use std::process::{Command, Stdio};

use netc_ir::Module;
use netc_pass::{FailedPass, Failure, Fidelity, Fuel, Pipeline, PipelineError};

use crate::args::RandomArgs;
use crate::error::CliError;
use crate::pipeline::{Tools, is_bug, run_quietly};
use crate::program;
use crate::report::verdict;
use crate::verify::{Executable, Verification, verify};

/// Judges what a pipeline makes of programs.
pub(crate) struct Judge<'a> {
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) tools: Tools<'a>,
    pub(crate) random: &'a RandomArgs,
    /// The user's command; without one, what counts is bugs that show by themselves.
    pub(crate) check: Option<&'a str>,
}

/// How far a pipeline is run.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) passes: usize,
    pub(crate) fuel: Fuel,
}

/// What is wrong with a program, or with the pass that made it.
pub(crate) enum Wrong {
    /// A pass panicked, broke a rule or was rejected.
    Pass(FailedPass),
    /// The program computes other values.
    Values(Box<Verification>),
    /// The program cannot be run, where the one before could.
    Run(String),
    /// The user's command says so.
    Check(String),
}

impl Wrong {
    /// What tells one failure from another: a reduction must not slip from one to the other.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Pass(failed) => match failed.cause {
                Failure::Error(_) => "error",
                Failure::Panic(_) => "panic",
                Failure::Broken(_) => "broken",
                Failure::Rejected(_) => "rejected",
            },
            Self::Values(_) => "values",
            Self::Run(_) => "run",
            Self::Check(_) => "check",
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass(failed) => failed.fmt(f),
            Self::Values(found) => f.write_str(&verdict(found)),
            Self::Run(error) => write!(f, "the program does not run any more: {error}"),
            Self::Check(command) => write!(f, "`{command}` exits with 0"),
        }
    }
}

/// What came of a run.
pub(crate) struct Judgement {
    /// What is wrong, if anything is.
    pub(crate) wrong: Option<Wrong>,
    /// The passes that ran, the one that failed included: each with the rewrites done before it.
    pub(crate) passes: Vec<(String, u64)>,
    /// The rewrites that were done.
    pub(crate) rewrites: u64,
    /// The program that came out, if one did.
    pub(crate) module: Option<Module>,
}

impl Judge<'_> {
    /// Runs the pipeline on `module` as far as `extent` says, and judges what comes out.
    pub(crate) fn judge(&self, module: &Module, extent: Extent) -> Result<Judgement, CliError> {
        let mut after = module.clone();
        let (ran, rewrites) = run_quietly(&mut after, self.pipeline, self.tools, extent.fuel, extent.passes);
        match ran {
            Ok(outcome) => {
                let wrong = match self.check {
                    Some(command) => holds(command, &after)?.then(|| Wrong::Check(command.into())),
                    None if outcome.record.fidelity == Fidelity::Other => None,
                    None => self.differs(module, &after, outcome.record.fidelity)?,
                };
                let mut done = 0;
                let passes = outcome.record.passes().into_iter().map(|pass| {
                    done += pass.rewrites;
                    (pass.name.clone(), done - pass.rewrites)
                });
                Ok(Judgement { wrong, passes: passes.collect(), rewrites, module: Some(after) })
            }
            Err(PipelineError::Options(error)) => Err(CliError::Usage(error.to_string())),
            Err(PipelineError::Failed(failed)) if is_bug(&failed.cause) => {
                let before = self.judge(module, Extent { passes: failed.number, ..extent })?;
                let mut passes = before.passes;
                passes.push((failed.call.to_string(), before.rewrites));
                // With a command of the user's, a program is wanted: a pass that gives none does not show the failure.
                let wrong = self.check.is_none().then_some(Wrong::Pass(*failed));
                Ok(Judgement { wrong, passes, rewrites, module: None })
            }
            Err(failed @ PipelineError::Failed(_)) => Err(CliError::input(failed.to_string())),
        }
    }

    /// How `after` computes other values than `before`, if it does.
    fn differs(&self, before: &Module, after: &Module, rounding: Fidelity) -> Result<Option<Wrong>, CliError> {
        let before = Executable::new(before, self.tools.dialects)?;
        let found = Executable::new(after, self.tools.dialects)
            .and_then(|after| verify(&before, &after, rounding, 1, self.random));
        match found {
            Ok(found) if found.passed() => Ok(None),
            Ok(found) => Ok(Some(Wrong::Values(Box::new(found)))),
            Err(error) => Ok(Some(Wrong::Run(error.chain()))),
        }
    }
}

/// Whether the user's command says that the failure is there: it exits with 0 on a file that holds the program.
fn holds(command: &str, module: &Module) -> Result<bool, CliError> {
    let cannot = |e| CliError::because("cannot run the command of --check", e);
    let folder = tempfile::tempdir().map_err(cannot)?;
    let path = folder.path().join("program.nir");
    fs::write(&path, program::text_in(module, folder.path())).map_err(cannot)?;
    let status = Command::new("sh")
        .args(["-c", &format!("{command} \"$@\""), "netc"])
        .arg(&path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.map(|s| s.success()).map_err(cannot)
}
