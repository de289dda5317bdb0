//! Measures how fast programs are built and checked: `cargo run --release -p netc-testgen --example speed`.
//!
//! Prints, for one core, how many modules per second are built, verified, and run whole and in stages.

#![allow(clippy::print_stdout)]

use std::time::Instant;

use netc_ir::verify;
use netc_testgen::{CoreRecipe, Cuts, oracle};

/// Steps per recipe.
const OPS: usize = 30;

fn main() {
    println!("{:<34} {:>8} {:>10} {:>12}", "work", "modules", "ops", "modules/s");
    measure("build", 4_000, |seed| {
        build(seed);
        Ok(())
    });
    measure("build and verify", 4_000, |seed| verify(&build(seed)).map_err(|e| e.to_string()));
    measure("build, verify, print and parse", 4_000, |seed| oracle::print_parse(&build(seed)));
    measure("build, split and run", 400, |seed| {
        let module = build(seed);
        oracle::split_compose(&module, &Cuts::from_seed(seed).names(&module)).map(drop)
    });
}

fn build(seed: u64) -> netc_ir::Module {
    CoreRecipe::from_seed(seed, OPS).build()
}

/// Runs `work` for the seeds below `n` and prints how many modules it handles per second.
fn measure(what: &str, n: u64, work: impl Fn(u64) -> Result<(), oracle::Wrong>) {
    let ops: usize = (0..n).map(|seed| build(seed).num_ops()).sum();
    let start = Instant::now();
    for seed in 0..n {
        if let Err(wrong) = work(seed) {
            return println!("{what}, seed {seed}: {wrong}");
        }
    }
    println!("{what:<34} {n:>8} {ops:>10} {:>12.0}", n as f64 / start.elapsed().as_secs_f64());
}
