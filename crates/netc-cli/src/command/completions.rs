//! `netc completions SHELL`: a completion script.

use clap::CommandFactory;

use crate::args::{Cli, CompletionsArgs};
use crate::error::CliError;
use crate::text;

pub(crate) fn run(args: &CompletionsArgs) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "netc", &mut script);
    text::print_data(&String::from_utf8_lossy(&script))
}
