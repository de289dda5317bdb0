//! Counts the ops, attribute values, types and graphs of random programs and models:
//! `cargo run --release -p netc-keras-testgen --example coverage -- [MODULES] [SEED]`.
//!
//! Makes one program and one model for each seed from `SEED` on. Prints a line for each attribute; values that no
//! program has are listed with 0.

#![allow(clippy::print_stdout)]

use std::process::ExitCode;

use netc_keras_testgen::{KerasRecipe, dialects};
use netc_testgen::{CoreRecipe, Coverage, Feature, Features};

/// The steps of a program, and of a model.
const OPS: usize = 30;
const LAYERS: usize = 16;

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|n| n.parse::<u64>());
    let (Ok(modules), Ok(first)) = (numbers.next().unwrap_or(Ok(1_000)), numbers.next().unwrap_or(Ok(1))) else {
        println!("usage: coverage [MODULES] [SEED]");
        return ExitCode::FAILURE;
    };
    let (mut coverage, dialects) = (Coverage::default(), dialects());
    for (_, seed) in (0..modules).zip(first..) {
        coverage.add(&CoreRecipe::from_seed(seed, OPS).build());
        let with_unknown = Features::default().with(Feature::Abstract);
        coverage.add_model(&KerasRecipe::from_seed(seed, LAYERS).with_features(with_unknown).build(), &dialects);
    }
    print!("{coverage}");
    println!("{} of {} values are in no program", coverage.missing().len(), coverage.possible().len());
    ExitCode::SUCCESS
}
