//! Equality saturation keeps the values of any program.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netc_testgen::{CoreRecipe, oracle};

fuzz_target!(|bytes: &[u8]| {
    let module = CoreRecipe::from_bytes(bytes).build();
    oracle::keeps_values_by(&module, "saturate{iters=3,nodes=200}").expect("values are kept");
});
