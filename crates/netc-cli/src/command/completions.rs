//! `netc completions SHELL`: a completion script.

use crate::args::{self, CompletionsArgs};
use crate::error::Result;
use crate::input::Tables;
use crate::text;

pub(crate) fn run(args: &CompletionsArgs, tables: &Tables) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(&tables.formats), "netc", &mut script);
    text::print_data(&String::from_utf8_lossy(&script))
}
