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
//!
//! # Without the command
//!
//! What the command does is a library, here from a file to files: read a model, run a pipeline, walk the program, write.
//!
//! ```
//! use std::fs::{self, File};
//!
//! use netc_data::Store;
//! use netc_exec::Consts;
//! use netc_ir::{MAIN, OpKind, print};
//! use netc_keras::lower::KerasDialect;
//! use netc_dialect::Dialects;
//! use netc_pass::{Context, Manager, Pipeline};
//!
//! # let folder = tempfile::tempdir()?;
//! # std::env::set_current_dir(&folder)?;
//! # let tiny = netc_zoo::find("tiny").map(|zoo| (zoo.build)(0)).ok_or("no tiny")??;
//! # let main = tiny.func_named(MAIN).ok_or("no @main")?;
//! # netc_keras::write(&tiny, main, &Store::open(&tiny)?, File::create("tiny.keras")?)?;
//! // What layers mean, for those whose types the file does not say and for passes that lower.
//! let mut dialects = Dialects::new();
//! dialects.push(KerasDialect);
//!
//! // Weights stay in the file until something asks for them.
//! let mut module = netc_keras::read("tiny.keras".as_ref(), &dialects)?.module;
//! for (_, op) in module.main().ok_or("no @main")?.ops() {
//!     if let OpKind::Source(layer) = &op.kind {
//!         println!("{} is a {}", op.loc, layer.name); // conv is a keras.Conv2D, ...
//!     }
//! }
//!
//! // A pipeline, as text or as data. The record says what each pass did, the context what it has to say.
//! let pipeline: Pipeline = "split=sum".parse()?;
//! let mut context = Context::new(&dialects).with_consts(&Consts);
//! let record = Manager::new(&netc_passes::registry()).run(&mut module, &pipeline, &mut context)?;
//! assert_eq!(record.passes().len(), 1);
//!
//! // `@main` calls `@stage0` and `@stage1` now: each is a model of its own.
//! let store = Store::open(&module)?;
//! for id in module.func_ids().filter(|id| &*module[*id].name != MAIN) {
//!     netc_keras::write(&module, id, &store, File::create(format!("{}.keras", module[id].name))?)?;
//! }
//! fs::write("tiny.nir", print(&module))?;
//! # assert!(fs::metadata("stage0.keras").is_ok() && fs::metadata("stage1.keras").is_ok());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod args;
mod chain;
mod command;
mod error;
mod format;
mod input;
mod interrupt;
mod judge;
mod limits;
mod manifest;
mod output;
mod pipeline;
mod program;
mod progress;
mod report;
mod sidecar;
mod text;
mod verify;

use std::env;
use std::ffi::OsString;
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
    let mut args: Vec<OsString> = env::args_os().collect();
    if args.len() <= 1 {
        // Whoever types the name alone wants to know what it does.
        args.push("-h".into());
    }
    let cli = Cli::try_parse_from(args).unwrap_or_else(|error| explained(error, &registry).exit());
    let result = interrupt::install().and_then(|()| run(cli, &registry));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// An error of the command line in the words of users: to clap, what follows an INPUT is a subcommand in the wrong place.
fn explained(error: clap::Error, registry: &Registry) -> clap::Error {
    let stray = match (error.kind(), error.get(ContextKind::InvalidSubcommand)) {
        (ErrorKind::ArgumentConflict, Some(ContextValue::String(stray))) => stray,
        _ => return error,
    };
    if let Some(word) = env::args_os().nth(1).and_then(|word| word.into_string().ok()) {
        let note = if registry.pass(&word).is_ok() {
            Some(format!(
                "`{word}` is a pass: write `netc {stray} --pass {word}`; `netc passes {word}` tells its options"
            ))
        } else {
            let meant = args::misspelt_command(&word);
            meant.map(|meant| format!("there is no subcommand `{word}`; did you mean `{meant}`?"))
        };
        if let Some(note) = note {
            return Cli::command().error(ErrorKind::InvalidSubcommand, note);
        }
    }
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
    let _ = writeln!(io::stderr(), "{}error{}: {}", style.error, style.reset, text::message(&error.chain()));
    ExitCode::from(error.exit_code())
}
