//! `netc merge MANIFEST -o MODEL`: merge the stages into one model.

use netc_passes::merge;

use super::compile;
use crate::args::MergeArgs;
use crate::error::Result;
use crate::input::Tables;

/// Runs the pass `merge`, then the passes of the command line.
pub(crate) fn run(mut args: MergeArgs, tables: &Tables) -> Result<()> {
    let name = merge::INFO.name;
    match &mut args.compile.passes.pipeline {
        Some(pipeline) => *pipeline = format!("{name},{pipeline}"),
        None => args.compile.passes.passes.insert(0, name.into()),
    }
    compile::run(&args.compile, tables)
}
