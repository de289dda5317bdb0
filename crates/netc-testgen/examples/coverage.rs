//! What random programs have of ops, attribute values, types and graphs, and how often:
//! `cargo run --release -p netc-testgen --example coverage -- [MODULES] [SEED]`.
//!
//! One program for each seed from `SEED` on. A line for each attribute; what no program has is there with 0.

#![allow(clippy::print_stdout)]

use std::process::ExitCode;

use netc_testgen::{CoreRecipe, Coverage};

/// Ops of a program.
const OPS: usize = 30;

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|n| n.parse::<u64>());
    let (Ok(modules), Ok(first)) = (numbers.next().unwrap_or(Ok(1_000)), numbers.next().unwrap_or(Ok(1))) else {
        println!("usage: coverage [MODULES] [SEED]");
        return ExitCode::FAILURE;
    };
    let mut coverage = Coverage::default();
    for (_, seed) in (0..modules).zip(first..) {
        coverage.add(&CoreRecipe::from_seed(seed, OPS).build());
    }
    print!("{coverage}");
    println!("{} of {} are in no program", coverage.missing().len(), coverage.possible().len());
    ExitCode::SUCCESS
}
