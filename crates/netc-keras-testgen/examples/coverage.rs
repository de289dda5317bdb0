//! What random programs and models have of ops, attribute values, types and graphs, and how often:
//! `cargo run --release -p netc-keras-testgen --example coverage -- [MODULES] [SEED]`.
//!
//! One program and one model for each seed from `SEED` on. A line for each attribute; what no program has is there with 0.

#![allow(clippy::print_stdout)]

use std::process::ExitCode;

use netc_keras_testgen::{KerasRecipe, dialects};
use netc_testgen::{CoreRecipe, Coverage, Feature, Features};

/// Steps of a program, and of a model.
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
    println!("{} of {} are in no program", coverage.missing().len(), coverage.possible().len());
    ExitCode::SUCCESS
}
