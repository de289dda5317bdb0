//! `netc passes [NAME]`: the table of passes.

use netc_pass::{PassInfo, nearest};

use crate::args::PassesArgs;
use crate::error::CliError;
use crate::text::{self, table};

pub(crate) fn run(args: &PassesArgs) -> Result<(), CliError> {
    let registry = netc_passes::registry();
    match &args.name {
        None => {
            let rows: Vec<Vec<String>> = registry.passes().map(|p| vec![p.name.into(), p.summary.into()]).collect();
            text::print(&table(&["pass", "what it does"], &rows))
        }
        Some(name) => match registry.passes().find(|p| p.name == name) {
            Some(pass) => text::print(&page(pass)),
            None => {
                let names: Vec<&str> = registry.passes().map(|p| p.name).collect();
                Err(CliError::Usage(format!("there is no pass `{name}`{}", nearest(name, &names))))
            }
        },
    }
}

fn page(pass: &PassInfo) -> String {
    let mut out = format!("{}: {}\n\n{}\n", pass.name, pass.summary, pass.help.trim());
    if !pass.options.is_empty() {
        let rows: Vec<Vec<String>> =
            pass.options.iter().map(|o| vec![o.name.into(), o.kind.describe(), o.help.into()]).collect();
        out.push_str(&format!("\n{}", table(&["option", "value", "what it does"], &rows)));
    }
    out
}
