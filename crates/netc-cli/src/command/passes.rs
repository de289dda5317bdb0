//! `netc passes [NAME]`: the table of passes and pipelines, or the page of one.

use netc_pass::{NamedPipeline, PassInfo, Registry, chain};

use crate::args::PassesArgs;
use crate::error::{CliError, Result};
use crate::text::{self, table};

pub(crate) fn run(args: &PassesArgs, registry: &Registry) -> Result<()> {
    let usage = |e: netc_pass::PassError| CliError::Usage(chain(&e));
    match args.name.as_deref() {
        None => text::print(&list(registry)),
        Some(name) => match name.strip_prefix('@') {
            Some(name) => text::print(&pipeline_page(registry.pipeline(name).map_err(usage)?)),
            None => text::print(&page(registry.pass(name).map_err(usage)?)),
        },
    }
}

fn list(registry: &Registry) -> String {
    let row = |p: &PassInfo| vec![p.name.into(), p.fidelity.to_string(), p.summary.into()];
    let rows: Vec<Vec<String>> = registry.passes().map(row).collect();
    let mut out = table(&["pass", "values", "description"], &rows);
    let row = |p: &NamedPipeline| vec![format!("@{}", p.name), p.summary.into()];
    let rows: Vec<Vec<String>> = registry.pipelines().map(row).collect();
    if !rows.is_empty() {
        out.push_str(&format!("\n{}", table(&["pipeline", "description"], &rows)));
    }
    out
}

fn pipeline_page(pipeline: &NamedPipeline) -> String {
    format!("@{}: {}\n\n{}\n", pipeline.name, pipeline.summary, pipeline.text)
}

fn page(pass: &PassInfo) -> String {
    let mut out = format!("{}: {}\n\n{}\n\nvalues: {}\n", pass.name, pass.summary, pass.help.trim(), pass.fidelity);
    if !pass.options.is_empty() {
        let rows: Vec<Vec<String>> =
            pass.options.iter().map(|o| vec![o.name.into(), o.kind.describe(), o.help.into()]).collect();
        out.push_str(&format!("\n{}", table(&["option", "value", "description"], &rows)));
    }
    out
}
