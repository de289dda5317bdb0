//! The verifier rejects every program that breaks a rule.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netc_testgen::{CoreRecipe, oracle};

fuzz_target!(|bytes: &[u8]| {
    let module = CoreRecipe::from_bytes(bytes.get(1..).unwrap_or_default()).build();
    oracle::verifier_rejects(&module, bytes.first().copied().unwrap_or(0).into())
        .expect("the verifier reports every broken rule");
});
