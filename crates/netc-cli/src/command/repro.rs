//! `netc repro FILE`: reruns a failed pass.

use netc_pass::Fuel;

use crate::args::{LayerArgs, PrintIr, ReproArgs, VerifyEach, WatchArgs};
use crate::error::{CliError, Result};
use crate::input::{self, Tables};
use crate::pipeline::reproducer::Reproducer;
use crate::pipeline::{self, Settings};
use crate::text;

pub(crate) fn run(args: &ReproArgs, tables: &Tables) -> Result<()> {
    let saved = Reproducer::read(&args.file)?;
    let version = env!("CARGO_PKG_VERSION");
    if saved.version != version {
        text::note(&format!("netc {} wrote this reproducer; this is netc {version}", saved.version));
    }
    let library = LayerArgs { layers: saved.layers.iter().map(Into::into).collect(), allowed: args.allowed.clone() };
    // The reproducer names the libraries, not the command line.
    let session = tables.session(&library, Some(&args.limits)).map_err(CliError::without_usage)?;
    let mut model = input::load(&session, &args.file.to_string_lossy(), None)?;
    model.check_weights()?;
    let pipeline =
        saved.pipeline.parse().map_err(|e: netc_pass::PipelineSyntaxError| CliError::input(e.to_string()))?;
    let settings = Settings {
        pipeline: &pipeline,
        fuel: saved.fuel.map_or_else(Fuel::unlimited, Fuel::of),
        watch: &watch(saved.values, args),
        random: &saved.random,
        layers: saved.layers,
    };
    pipeline::run(&mut model.module, &settings, &session)?;
    text::print(&format!("`{pipeline}` no longer fails. The reproducer recorded: {}\n", saved.failure))
}

/// Repeats the check that failed. A new failure overwrites the reproducer.
fn watch(values: bool, args: &ReproArgs) -> WatchArgs {
    WatchArgs {
        print_ir_before: Vec::new(),
        print_ir_after: Vec::new(),
        print_ir_after_all: false,
        print_ir_after_change: false,
        print_ir: PrintIr::Full,
        print_ir_dir: None,
        timing: false,
        stats: None,
        verify_each: if values { VerifyEach::Values } else { VerifyEach::Structure },
        reproducer: args.file.clone(),
    }
}
