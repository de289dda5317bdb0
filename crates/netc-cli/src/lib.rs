//! The command `netc` as a library: [`main`] runs it with the passes and formats of your choice.
//!
//! To build a tool with your own passes and formats, add them to the tables:
//!
//! ```no_run
//! # use netc_format::Framework;
//! # use netc_pass::PassInfo;
//! # fn tool(info: &'static PassInfo, framework: &'static Framework) -> std::process::ExitCode {
//! netc_cli::main(netc_passes::registry().with(info), netc_cli::formats().with(framework))
//! # }
//! ```
//!
//! Results go to standard output, everything else to standard error. The crate `netc-model` does the work.

mod args;
mod command;
mod error;
mod input;
mod interrupt;
mod judge;
mod limits;
mod pipeline;
mod program;
mod progress;
mod report;
mod text;

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::FromArgMatches;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use netc_format::Formats;
use netc_ir::Module;
use netc_keras_testgen::KerasRecipe;
use netc_pass::Registry;
use netc_testgen::Features;

use crate::args::{Cli, Command};
use crate::error::{CliError, Result};
use crate::input::Tables;

/// The formats that the command reads and writes.
pub fn formats() -> Formats {
    Formats::new().with(&netc_keras::FRAMEWORK)
}

/// A random model from a seed, with about `layers` layers.
fn random_model(seed: u64, layers: usize, features: Features) -> Module {
    KerasRecipe::from_seed(seed, layers).with_features(features).build()
}

/// Runs the command line with the passes and pipelines of `registry` and with `formats`. Returns the exit code: 0 success,
/// 1 failure, 2 wrong usage, 3 outputs differ.
pub fn main(registry: Registry, formats: Formats) -> ExitCode {
    let tables = Tables { registry, formats };
    let mut args: Vec<OsString> = env::args_os().collect();
    if args.len() <= 1 {
        // Show the help instead of an error.
        args.push("-h".into());
    }
    let parsed = args::command(&tables.formats).try_get_matches_from(args);
    let parsed = parsed.and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = parsed.unwrap_or_else(|error| explained(error, &tables).exit());
    let result = interrupt::install().and_then(|()| run(cli, &tables));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Rewords an error of clap, which takes an argument after INPUT for a misplaced subcommand.
fn explained(error: clap::Error, tables: &Tables) -> clap::Error {
    let stray = match (error.kind(), error.get(ContextKind::InvalidSubcommand)) {
        (ErrorKind::ArgumentConflict, Some(ContextValue::String(stray))) => stray,
        _ => return error,
    };
    if let Some(word) = env::args_os().nth(1).and_then(|word| word.into_string().ok()) {
        let note = if tables.registry.pass(&word).is_ok() {
            Some(format!(
                "`{word}` is a pass: use `netc {stray} --pass {word}`. `netc passes {word}` describes its options"
            ))
        } else {
            let meant = args::misspelt_command(&word);
            meant.map(|meant| format!("there is no subcommand `{word}`; did you mean `{meant}`?"))
        };
        if let Some(note) = note {
            return args::command(&tables.formats).error(ErrorKind::InvalidSubcommand, note);
        }
    }
    let note = "netc takes one INPUT. A subcommand comes first, and `--verify=N` needs its equals sign";
    args::command(&tables.formats).error(ErrorKind::UnknownArgument, format!("unexpected argument `{stray}`: {note}"))
}

fn run(cli: Cli, tables: &Tables) -> Result<()> {
    match cli.command {
        None => command::compile::run(&cli.compile, tables),
        Some(Command::Cuts(args)) => command::cuts::run(&args, tables),
        Some(Command::Inspect(args)) => command::inspect::run(&args, tables),
        Some(Command::Layers(args)) => command::layers::run(&args, tables),
        Some(Command::Run(args)) => command::run::run(&args, tables),
        Some(Command::Diff(args)) => command::diff::run(&args, tables),
        Some(Command::Merge(args)) => command::merge::run(args, tables),
        Some(Command::Passes(args)) => command::passes::run(&args, &tables.registry),
        Some(Command::Gen(args)) => command::r#gen::run(&args, tables),
        Some(Command::Bisect(args)) => command::bisect::run(&args, tables),
        Some(Command::Reduce(args)) => command::reduce::run(&args, tables),
        Some(Command::Repro(args)) => command::repro::run(&args, tables),
        Some(Command::Zoo) => command::zoo::run(),
        Some(Command::Completions(args)) => command::completions::run(&args, tables),
    }
}

/// Prints the error and returns its exit code. A closed pipe on standard output is not an error.
fn fail(error: &CliError) -> ExitCode {
    if error.is_broken_pipe() {
        return ExitCode::SUCCESS;
    }
    let style = text::Styles::for_stderr(io::stderr().is_terminal());
    let _ = writeln!(io::stderr(), "{}error{}: {}", style.error, style.reset, text::message(&error.chain()));
    ExitCode::from(error.exit_code())
}
