//! Property tests that repeat: a fixed seed, a bounded number of cases, and more of both on request.

use std::fmt::Debug;
use std::{env, fmt};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};

use crate::oracle::Wrong;

/// How many cases each property is tried on, in place of its own number.
pub const CASES: &str = "NETC_PROPERTY_CASES";

/// The seed of the cases, 1 if it is not set.
pub const SEED: &str = "NETC_PROPERTY_SEED";

/// A property that does not hold: what proptest says of the simplest case that it found.
pub struct Fails(String);

/// As text, so that `unwrap` shows it in lines.
impl Debug for Fails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How many cases may be rejected for each that is not.
const MOST_REJECTED: u32 = 16;

/// The configuration of tests of properties: `cases` of them, or as many as the environment variable [`CASES`] says, of
/// the seed [`SEED`].
pub fn config(cases: u32) -> Config {
    let cases = number(CASES).unwrap_or(cases);
    Config {
        cases,
        max_global_rejects: cases.saturating_mul(MOST_REJECTED),
        rng_seed: RngSeed::Fixed(seed()),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    }
}

/// Tries `property` on values of `strategy`, as [`config`] says.
pub fn check<T: Debug>(
    cases: u32,
    strategy: impl Strategy<Value = T>,
    property: impl Fn(T) -> Result<(), Wrong>,
) -> Result<(), Fails> {
    let run = |value| property(value).map_err(TestCaseError::fail);
    let ran = TestRunner::new(config(cases)).run(&strategy, run);
    ran.map_err(|error| Fails(format!("with {SEED}={}: {error}", seed())))
}

fn seed() -> u64 {
    number(SEED).unwrap_or(1).into()
}

fn number(variable: &str) -> Option<u32> {
    env::var(variable).ok()?.parse().ok()
}
