//! What tells a wrong program from a good one: `netc bisect` and `netc reduce` ask it again and again.

use std::collections::BTreeSet;
use std::env;
use std::fmt;
use std::fs;
use std::process::{Command, Stdio};

use netc_format::nir;
use netc_ir::Module;
use netc_model::Session;
use netc_model::output::Scratch;
use netc_model::verify::{Executable, Given, Verification, verify};
use netc_pass::{FailedPass, Failure, Fidelity, Fuel, Pipeline, PipelineError, chain};

use crate::args::RandomArgs;
use crate::error::{CliError, Result};
use crate::pipeline::{Outcome, is_bug, run_quietly};
use crate::progress::with_progress;
use crate::report::verdict;

/// Judges what a pipeline makes of programs.
pub(crate) struct Judge<'a> {
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) session: &'a Session,
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
    /// What tells one failure from another: a reduction must not slip from one to the other. Of a pass that is to blame
    /// these are its name with what it did: the rules that are broken, or the message without its numbers.
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
                // What the passes before it did is not judged: it need not run.
                let mut after = module.clone();
                let (ran, burnt) = run_quietly(&mut after, self.pipeline, self.session, extent.fuel, failed.number);
                let mut passes = ran.as_ref().map(passes).unwrap_or_default();
                passes.push((failed.call.to_string(), burnt));
                // With a command of the user's, a program is wanted: a pass that gives none does not show the failure.
                let wrong = self.check.is_none().then_some(Wrong::Pass(*failed));
                Ok(Judgement { wrong, passes, rewrites, module: None })
            }
            Err(failed @ PipelineError::Failed(_)) => Err(CliError::input(chain(&failed))),
        }
    }

    /// That values are compared, if no command of the user's says what is wrong: else a program in which nothing is wrong
    /// may compute anything.
    pub(crate) fn compares(&self, module: &Module) -> Result<()> {
        if self.check.is_some() { Ok(()) } else { self.executable(module).map(drop) }
    }

    fn executable(&self, module: &Module) -> Result<Executable> {
        Ok(Executable::new(self.session, module, Given::Random(self.random.batch))?)
    }

    /// How `after` computes other values than `before`, if it does. Of a program that does not run, panics and broken
    /// rules show nevertheless.
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

/// The passes that ran, each with the rewrites done before it.
fn passes(outcome: &Outcome) -> Vec<(String, u64)> {
    let mut done = 0;
    let passes = outcome.record.passes().into_iter().map(|pass| {
        done += pass.rewrites;
        (pass.name.clone(), done - pass.rewrites)
    });
    passes.collect()
}

/// What shells exit with where a command cannot be executed, or is not there.
const NO_COMMAND: [i32; 2] = [126, 127];

/// Whether the user's command says that the failure is there: it exits with 0 on a file that holds the program.
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
        return Err(CliError::Usage(format!("--check: there is no command `{command}`, or it cannot be executed")));
    }
    Ok(status.success())
}
