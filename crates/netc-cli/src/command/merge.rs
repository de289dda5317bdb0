//! `netc merge MANIFEST -o MODEL`: make one model of the stages again.

use netc_passes::merge;

use super::compile;
use crate::args::MergeArgs;
use crate::error::Result;
use crate::input::Tables;

/// Runs the pass `merge`, then those that are asked for.
pub(crate) fn run(mut args: MergeArgs, tables: &Tables) -> Result<()> {
    let name = merge::INFO.name;
    match &mut args.compile.passes.pipeline {
        Some(pipeline) => *pipeline = format!("{name},{pipeline}"),
        None => args.compile.passes.passes.insert(0, name.into()),
    }
    compile::run(&args.compile, tables)
}
