//! The command `netc` as a function: [`main`] with a table of passes is the whole command.
//!
//! A tool with passes of its own is a `main` that adds them to the table:
//!
//! ```no_run
//! # use netc_pass::PassInfo;
//! # fn tool(info: &'static PassInfo) -> std::process::ExitCode {
//! netc_cli::main(netc_passes::registry().with(info))
//! # }
//! ```
//!
//! Results go to standard output, all else to standard error.

mod args;
mod chain;
mod command;
mod error;
mod input;
mod interrupt;
mod judge;
mod manifest;
mod output;
mod pipeline;
mod program;
mod progress;
mod report;
mod text;
mod verify;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};
use netc_pass::Registry;

use crate::args::{Cli, Command};
use crate::error::CliError;

/// Does what the command line says with the passes and pipelines of `registry`, and gives the exit code: 0 done, 1 the
/// input cannot be done, 2 usage, 3 verification failed.
pub fn main(registry: Registry) -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| explained(error).exit());
    let result = interrupt::install().and_then(|()| run(cli, &registry));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// An error of the command line in the words of users: to clap, what follows an INPUT is a subcommand in the wrong place.
fn explained(error: clap::Error) -> clap::Error {
    let stray = match (error.kind(), error.get(ContextKind::InvalidSubcommand)) {
        (ErrorKind::ArgumentConflict, Some(ContextValue::String(stray))) => stray,
        _ => return error,
    };
    let note = "there is one INPUT, a subcommand comes first, and a number of inputs is written `--verify=N`";
    Cli::command().error(ErrorKind::UnknownArgument, format!("unexpected argument `{stray}`: {note}"))
}

fn run(cli: Cli, registry: &Registry) -> Result<(), CliError> {
    match cli.command {
        None => command::compile::run(&cli.compile, registry),
        Some(Command::Cuts(args)) => command::cuts::run(&args),
        Some(Command::Inspect(args)) => command::inspect::run(&args),
        Some(Command::Layers(args)) => command::layers::run(&args),
        Some(Command::Run(args)) => command::run::run(&args),
        Some(Command::Diff(args)) => command::diff::run(&args),
        Some(Command::Merge(args)) => command::merge::run(args, registry),
        Some(Command::Passes(args)) => command::passes::run(&args, registry),
        Some(Command::Gen(args)) => command::r#gen::run(&args),
        Some(Command::Bisect(args)) => command::bisect::run(&args, registry),
        Some(Command::Reduce(args)) => command::reduce::run(&args, registry),
        Some(Command::Repro(args)) => command::repro::run(&args, registry),
        Some(Command::Zoo) => command::zoo::run(),
        Some(Command::Completions(args)) => command::completions::run(&args),
    }
}

/// Says what went wrong and gives the exit code for it. A reader that closed the pipe early is not an error.
fn fail(error: &CliError) -> ExitCode {
    if error.is_broken_pipe() {
        return ExitCode::SUCCESS;
    }
    let style = text::Styles::for_stderr(io::stderr().is_terminal());
    let _ = writeln!(io::stderr(), "{}error{}: {}", style.error, style.reset, error.chain());
    ExitCode::from(error.exit_code())
}
