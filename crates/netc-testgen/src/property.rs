//! Reproducible property tests: a fixed seed and number of cases, which environment variables override.

use std::fmt::Debug;
use std::{env, fmt};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};

use crate::oracle::Wrong;

/// Environment variable that overrides the number of cases of every property.
pub const CASES: &str = "NETC_PROPERTY_CASES";

/// Environment variable with the seed of the cases; the default is 1.
pub const SEED: &str = "NETC_PROPERTY_SEED";

/// A failed property, with proptest's report of the simplest failing case.
pub struct Fails(String);

/// Prints the text unescaped, so that `unwrap` shows its line breaks.
impl Debug for Fails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Maximum number of rejected cases per accepted case.
const MOST_REJECTED: u32 = 16;

/// The configuration of a property test with `cases` cases, unless the environment variable [`CASES`] overrides the
/// number. The seed comes from [`SEED`].
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

/// Checks `property` on values of `strategy`, configured by [`config`].
///
/// # Errors
/// The property fails for some value.
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
