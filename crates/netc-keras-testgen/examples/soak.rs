//! Runs random modules through every oracle:
//! `cargo run --release -p netc-keras-testgen --example soak -- [MODULES] [SEED]`.
//!
//! Makes one module for each seed from `SEED` on, alternating between programs of core ops and Keras models. Stops at
//! the first seed whose module fails, prints it, and exits with 1.

#![allow(clippy::print_stdout)]

use std::panic::catch_unwind;
use std::process::ExitCode;

use netc_dialect::Dialects;
use netc_ir::{MAIN, Module};
use netc_keras_testgen::{KerasRecipe, dialects, oracle as files};
use netc_testgen::oracle::{self, Subject, Wrong};
use netc_testgen::{CoreRecipe, Cuts, Feature, Features};

/// The steps of a program, and of a model.
const CORE_OPS: usize = 24;
const LAYERS: usize = 10;

/// The verdict of an oracle.
type Judged = Result<(), Wrong>;

/// The number of modules between two lines of progress.
const PROGRESS: u64 = 10_000;

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|n| n.parse::<u64>());
    let (Ok(modules), Ok(first)) = (numbers.next().unwrap_or(Ok(100_000)), numbers.next().unwrap_or(Ok(1))) else {
        println!("usage: soak [MODULES] [SEED]");
        return ExitCode::FAILURE;
    };
    for (done, seed) in (1..=modules).zip(first..) {
        if let Err(wrong) = catch_unwind(|| judge(seed)).unwrap_or_else(|_| Err("panicked".into())) {
            println!("seed {seed}: {wrong}");
            return ExitCode::FAILURE;
        }
        if done % PROGRESS == 0 || done == modules {
            println!("{done} modules passed, up to seed {seed}");
        }
    }
    ExitCode::SUCCESS
}

/// Runs all oracles on the module of a seed.
fn judge(seed: u64) -> Judged {
    let cuts = Cuts::from_seed(seed);
    if seed.is_multiple_of(2) {
        let module = CoreRecipe::from_seed(seed, CORE_OPS).build();
        program(&module, &cuts.names(&module), seed)
    } else {
        let recipe = KerasRecipe::from_seed(seed, LAYERS);
        let module = recipe.build();
        model(&module, &cuts.names(&module), seed)?;
        let unknown = recipe.with_features(Features::default().with(Feature::Abstract)).build();
        unknown_layers(&unknown, &cuts.names(&unknown))
    }
}

fn program(module: &Module, cuts: &[String], seed: u64) -> Judged {
    let dialects = Dialects::new();
    anything(module, cuts, &dialects, seed)?;
    oracle::split_compose(module, cuts)?;
    oracle::split_inline(module, cuts, &dialects)?;
    each(oracle::ROUNDING, &dialects, |subject| rewrites(module, cuts, subject))?;
    each(oracle::EXACT, &dialects, |subject| rewrites_once(module, cuts, subject))
}

fn model(module: &Module, cuts: &[String], seed: u64) -> Judged {
    let dialects = dialects();
    anything(module, cuts, &dialects, seed)?;
    files::round_trip_keras(module, &dialects)?;
    files::round_trip_hdf5(module, &dialects)?;
    files::round_trip_json(module, &dialects)?;
    files::round_trip_tfjs(module, &dialects)?;
    oracle::is_canonical(module)?;
    files::split_compose_keras(module, cuts, &dialects)?;
    if let Some(inside) = Cuts::from_seed(seed).inside(module) {
        files::split_compose_keras(module, &[inside], &dialects)?;
    }
    each(oracle::ROUNDING, &dialects, |subject| rewrites(module, cuts, subject))?;
    each(oracle::OVER_LAYERS, &dialects, |subject| rewrites_once(module, cuts, subject))
}

/// Oracles for models with unsupported layers, after a round trip: a file does not record all that the generator knows,
/// such as the number of results of a call.
fn unknown_layers(module: &Module, cuts: &[String]) -> Judged {
    let dialects = dialects();
    oracle::print_parse(module)?;
    let main = module.func_named(MAIN).ok_or("there is no @main")?;
    let (module, _folder) = &files::through_file(module, main, &dialects)?;
    files::round_trip_keras(module, &dialects)?;
    files::round_trip_hdf5(module, &dialects)?;
    oracle::is_canonical(module)?;
    oracle::split_merge(module, cuts)
}

/// Oracles for programs and models alike.
fn anything(module: &Module, cuts: &[String], dialects: &Dialects, seed: u64) -> Judged {
    oracle::print_parse(module)?;
    oracle::verifier_rejects(module, seed)?;
    oracle::lower_exec(module, dialects)?;
    oracle::split_merge(module, cuts)?;
    oracle::parts(cuts).iter().try_for_each(|part| oracle::extract_computes(module, part, dialects))
}

fn each(pipelines: &[&str], dialects: &Dialects, holds: impl Fn(Subject<'_>) -> Judged) -> Judged {
    let registry = &netc_passes::registry();
    pipelines.iter().try_for_each(|pipeline| {
        holds(Subject { pipeline, registry, dialects }).map_err(|wrong| format!("{pipeline}: {wrong}"))
    })
}

fn rewrites(module: &Module, cuts: &[String], subject: Subject<'_>) -> Judged {
    oracle::keeps_values(module, subject)?;
    oracle::fuel(module, subject)?;
    oracle::commutes(module, cuts, subject)
}

fn rewrites_once(module: &Module, cuts: &[String], subject: Subject<'_>) -> Judged {
    rewrites(module, cuts, subject)?;
    oracle::idempotent(module, subject)
}
