//! The command `netc` as a function: [`main`] with tables of passes and formats is the whole command.
//!
//! A tool with passes and formats of its own is a `main` that adds them to the tables:
//!
//! ```no_run
//! # use netc_format::Framework;
//! # use netc_pass::PassInfo;
//! # fn tool(info: &'static PassInfo, framework: &'static Framework) -> std::process::ExitCode {
//! netc_cli::main(netc_passes::registry().with(info), netc_cli::formats().with(framework))
//! # }
//! ```
//!
//! Results go to standard output, all else to standard error. What the command does without a command line is the crate
//! `netc-model`.

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

/// The random model of layers that a seed gives, with so many layers.
fn random_model(seed: u64, layers: usize, features: Features) -> Module {
    KerasRecipe::from_seed(seed, layers).with_features(features).build()
}

/// Does what the command line says with the passes and pipelines of `registry` and with `formats`, and gives the exit code: 0 done, 1 the
/// input cannot be done, 2 usage, 3 verification failed.
pub fn main(registry: Registry, formats: Formats) -> ExitCode {
    let tables = Tables { registry, formats };
    let mut args: Vec<OsString> = env::args_os().collect();
    if args.len() <= 1 {
        // Whoever types the name alone wants to know what it does.
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

/// An error of the command line in the words of users: to clap, what follows an INPUT is a subcommand in the wrong place.
fn explained(error: clap::Error, tables: &Tables) -> clap::Error {
    let stray = match (error.kind(), error.get(ContextKind::InvalidSubcommand)) {
        (ErrorKind::ArgumentConflict, Some(ContextValue::String(stray))) => stray,
        _ => return error,
    };
    if let Some(word) = env::args_os().nth(1).and_then(|word| word.into_string().ok()) {
        let note = if tables.registry.pass(&word).is_ok() {
            Some(format!(
                "`{word}` is a pass: write `netc {stray} --pass {word}`; `netc passes {word}` tells its options"
            ))
        } else {
            let meant = args::misspelt_command(&word);
            meant.map(|meant| format!("there is no subcommand `{word}`; did you mean `{meant}`?"))
        };
        if let Some(note) = note {
            return args::command(&tables.formats).error(ErrorKind::InvalidSubcommand, note);
        }
    }
    let note = "there is one INPUT, a subcommand comes first, and a number of inputs is written `--verify=N`";
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

/// Says what went wrong and gives the exit code for it. A reader that closed the pipe early is not an error.
fn fail(error: &CliError) -> ExitCode {
    if error.is_broken_pipe() {
        return ExitCode::SUCCESS;
    }
    let style = text::Styles::for_stderr(io::stderr().is_terminal());
    let _ = writeln!(io::stderr(), "{}error{}: {}", style.error, style.reset, text::message(&error.chain()));
    ExitCode::from(error.exit_code())
}
