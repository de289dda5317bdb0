//! Decides whether a program shows a failure, for `netc bisect` and `netc reduce`.

use std::collections::BTreeSet;
use std::env;
use std::fmt;
use std::fs;
use std::process::{Command, Stdio};

use netc_format::nir;
use netc_ir::Module;
use netc_model::Session;
use netc_model::output::Scratch;
use netc_model::verify::{Executable, RunInputs, Verification, verify};
use netc_pass::{FailedPass, Failure, Fidelity, Fuel, Pipeline, PipelineError, chain};

use crate::args::RandomArgs;
use crate::error::{CliError, Result};
use crate::pipeline::{Outcome, is_bug, run_quietly};
use crate::progress::with_progress;
use crate::report::verdict;

/// Runs a pipeline on programs and judges the results.
pub(crate) struct Judge<'a> {
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) session: &'a Session,
    pub(crate) random: &'a RandomArgs,
    /// The user's command. Without one, a failure is a panic, a broken rule or a changed output.
    pub(crate) check: Option<&'a str>,
}

/// How much of a pipeline to run.
#[derive(Clone, Copy)]
pub(crate) struct Extent {
    pub(crate) passes: usize,
    pub(crate) fuel: Fuel,
}

/// A failure of a pass or of the program that it made.
pub(crate) enum Wrong {
    /// A pass panicked, broke a rule or was rejected.
    Pass(FailedPass),
    /// The outputs of the program changed.
    Values(Box<Verification>),
    /// The program no longer runs.
    Run(String),
    /// The user's command exits with 0.
    Check(String),
}

impl Wrong {
    /// The kind of a failure, so that a reduction does not slip from one failure to another. For a bug of a pass, the kind
    /// includes the pass and the broken rules, or the message without its numbers.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Pass(failed) => match &failed.cause {
                Failure::Error(_) => "error".into(),
                Failure::Panic(message) => {
                    let words: String = message.chars().filter(|c| !c.is_ascii_digit()).collect();
                    format!("panic of {}: {}", failed.call.name, words.lines().next().unwrap_or_default())
                }
                Failure::Broken(violations) => {
                    let rules: BTreeSet<u8> = violations.0.iter().map(|v| v.rule).collect();
                    format!("broken by {}: {rules:?}", failed.call.name)
                }
                Failure::Rejected(_) => "rejected".into(),
            },
            Self::Values(_) => "values".into(),
            Self::Run(_) => "run".into(),
            Self::Check(_) => "check".into(),
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass(failed) => f.write_str(&chain(failed)),
            Self::Values(found) => f.write_str(&verdict(found)),
            Self::Run(error) => write!(f, "the program no longer runs: {error}"),
            Self::Check(command) => write!(f, "`{command}` exits with 0"),
        }
    }
}

/// The result of one run.
pub(crate) struct Judgement {
    /// The failure, if there is one.
    pub(crate) wrong: Option<Wrong>,
    /// The passes that ran, including a failed one, each with the number of rewrites before it.
    pub(crate) passes: Vec<(String, u64)>,
    /// The number of rewrites.
    pub(crate) rewrites: u64,
    /// The resulting program, unless a pass failed.
    pub(crate) module: Option<Module>,
}

impl Judge<'_> {
    /// Runs the pipeline on `module`, limited by `extent`, and judges the result.
    pub(crate) fn judge(&self, module: &Module, extent: Extent) -> Result<Judgement> {
        let mut after = module.clone();
        let (ran, rewrites) = run_quietly(&mut after, self.pipeline, self.session, extent.fuel, extent.passes);
        match ran {
            Ok(outcome) => {
                let wrong = match self.check {
                    Some(command) => holds(command, &after)?.then(|| Wrong::Check(command.into())),
                    None if outcome.record.fidelity == Fidelity::Other => None,
                    None => self.differs(module, &after, outcome.record.fidelity)?,
                };
                Ok(Judgement { wrong, passes: passes(&outcome), rewrites, module: Some(after) })
            }
            Err(PipelineError::Options(error)) => Err(CliError::Usage(chain(&error))),
            Err(PipelineError::Failed(failed)) if is_bug(&failed.cause) => {
                // Count the rewrites of the earlier passes, without judging their result, which may not run.
                let mut after = module.clone();
                let (ran, burnt) = run_quietly(&mut after, self.pipeline, self.session, extent.fuel, failed.number);
                let mut passes = ran.as_ref().map(passes).unwrap_or_default();
                passes.push((failed.call.to_string(), burnt));
                // The user's command needs a program, and a failed pass gives none.
                let wrong = self.check.is_none().then_some(Wrong::Pass(*failed));
                Ok(Judgement { wrong, passes, rewrites, module: None })
            }
            Err(failed @ PipelineError::Failed(_)) => Err(CliError::input(chain(&failed))),
        }
    }

    /// Checks that outputs can be compared, unless the user's command decides. Without this, "no failure" could mean that
    /// nothing was compared.
    pub(crate) fn compares(&self, module: &Module) -> Result<()> {
        if self.check.is_some() { Ok(()) } else { self.executable(module).map(drop) }
    }

    fn executable(&self, module: &Module) -> Result<Executable> {
        Ok(Executable::new(self.session, module, RunInputs::Random(self.random.batch))?)
    }

    /// Compares the outputs of `before` and `after`. If `before` does not run there is nothing to compare: only panics and
    /// broken rules count.
    fn differs(&self, before: &Module, after: &Module, rounding: Fidelity) -> Result<Option<Wrong>> {
        let Ok(before) = self.executable(before) else { return Ok(None) };
        let found = self.executable(after).and_then(|after| {
            Ok(with_progress(|progress| verify(&before, &after, rounding, 1, self.random.random(), progress))?)
        });
        match found {
            Ok(found) if found.passed() => Ok(None),
            Ok(found) => Ok(Some(Wrong::Values(Box::new(found)))),
            Err(error) => Ok(Some(Wrong::Run(error.chain()))),
        }
    }
}

/// The passes that ran, each with the number of rewrites before it.
fn passes(outcome: &Outcome) -> Vec<(String, u64)> {
    let mut done = 0;
    let passes = outcome.record.passes().into_iter().map(|pass| {
        done += pass.rewrites;
        (pass.name.clone(), done - pass.rewrites)
    });
    passes.collect()
}

/// The exit codes of a shell for a command that is not executable, or does not exist.
const NO_COMMAND: [i32; 2] = [126, 127];

/// Whether the user's command exits with 0 on a file with the program.
fn holds(command: &str, module: &Module) -> Result<bool> {
    let cannot = |e| CliError::because("cannot run the command of --check", e);
    let folder = Scratch::in_folder(&env::temp_dir(), false).map_err(cannot)?;
    let path = folder.path().join("program.nir");
    fs::write(&path, nir::text_in(module, folder.path())).map_err(cannot)?;
    let status = Command::new("sh")
        .args(["-c", &format!("{command} \"$@\""), "netc"])
        .arg(&path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let status = status.map_err(cannot)?;
    if status.code().is_some_and(|code| NO_COMMAND.contains(&code)) {
        return Err(CliError::Usage(format!(
            "cannot run `--check {command}`: no such command, or it is not executable"
        )));
    }
    Ok(status.success())
}
