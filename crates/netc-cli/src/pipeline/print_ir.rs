//! `--print-ir-...`: prints the program between passes, in full or as a diff.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use netc_ir::print;
use netc_model::output::{cannot_write, make_folder};
use netc_pass::{Event, Observer, Registry};
use similar::TextDiff;

use crate::args::{PrintIr, WatchArgs};
use crate::error::{CliError, Result};
use crate::text;

/// Prints programs before and after passes.
pub(super) struct IrPrinter {
    before: BTreeSet<String>,
    after: BTreeSet<String>,
    after_all: bool,
    after_change: bool,
    format: PrintIr,
    folder: Option<PathBuf>,
    /// The program before the current pass.
    last: String,
}

impl IrPrinter {
    pub(super) fn new(args: &WatchArgs, registry: &Registry) -> Result<Self> {
        for name in args.print_ir_before.iter().chain(&args.print_ir_after) {
            registry.pass(name).map_err(|e| CliError::Usage(e.to_string()))?;
        }
        if let Some(folder) = &args.print_ir_dir {
            make_folder(folder).map_err(|e| cannot_write(folder, e))?;
        }
        // A folder without a selection of passes gets all of them.
        let chosen = args.print_ir_after_all
            || args.print_ir_after_change
            || !args.print_ir_before.is_empty()
            || !args.print_ir_after.is_empty();
        Ok(Self {
            before: args.print_ir_before.iter().cloned().collect(),
            after: args.print_ir_after.iter().cloned().collect(),
            after_all: args.print_ir_after_all || args.print_ir_dir.is_some() && !chosen,
            after_change: args.print_ir_after_change,
            format: args.print_ir,
            folder: args.print_ir_dir.clone(),
            last: String::new(),
        })
    }

    /// Whether anything is printed after `pass`.
    fn looks_after(&self, pass: &str) -> bool {
        self.after_all || self.after_change || self.after.contains(pass)
    }

    fn emit(&self, event: Event<'_>, when: &str, text: &str) -> Result<(), String> {
        let Some(folder) = &self.folder else {
            let text = text::printable(text);
            let _ = write!(io::stderr(), "; {when} {}, pass {}\n{text}", event.call, event.number);
            return Ok(());
        };
        let extension = match self.format {
            PrintIr::Full => "nir",
            PrintIr::Diff => "diff",
        };
        let path = folder.join(format!("{:03}-{when}-{}.{extension}", event.number, event.call.name));
        fs::write(&path, text).map_err(|e| format!("cannot write `{}`: {e}", path.display()))
    }
}

impl Observer for IrPrinter {
    fn before(&mut self, event: Event<'_>) {
        let pass = event.call.name.as_str();
        let asked = self.before.contains(pass);
        if asked || self.looks_after(pass) {
            self.last = print(event.module);
        }
        if asked {
            // `after` reports a folder that cannot be written.
            let _ = self.emit(event, "before", &self.last);
        }
    }

    fn after(&mut self, event: Event<'_>) -> Result<(), String> {
        let pass = event.call.name.as_str();
        if !self.looks_after(pass) {
            return Ok(());
        }
        let text = print(event.module);
        if self.after_change && !self.after_all && !self.after.contains(pass) && text == self.last {
            return Ok(());
        }
        match self.format {
            PrintIr::Full => self.emit(event, "after", &text),
            PrintIr::Diff => self.emit(event, "after", &diff(&self.last, &text)),
        }
    }
}

/// The unified diff of two programs.
pub(crate) fn diff(before: &str, after: &str) -> String {
    TextDiff::from_lines(before, after).unified_diff().context_radius(3).to_string()
}
