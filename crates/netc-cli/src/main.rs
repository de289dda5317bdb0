//! The command `netc`. Results go to standard output, all else to standard error.

mod args;
mod chain;
mod command;
mod error;
mod input;
mod manifest;
mod output;
mod progress;
mod report;
mod text;
mod verify;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::error::CliError;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        None => command::compile::run(&cli.compile),
        Some(Command::Cuts(args)) => command::cuts::run(&args),
        Some(Command::Inspect(args)) => command::inspect::run(&args),
        Some(Command::Layers(args)) => command::layers::run(&args),
        Some(Command::Run(args)) => command::run::run(&args),
        Some(Command::Diff(args)) => command::diff::run(&args),
        Some(Command::Passes(args)) => command::passes::run(&args),
        Some(Command::Zoo) => command::zoo::run(),
        Some(Command::Completions(args)) => command::completions::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
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
