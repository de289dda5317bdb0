//! Merging the stages of any program, cut anywhere, restores the program.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netc_testgen::{CoreRecipe, Cuts, oracle};

fuzz_target!(|bytes: &[u8]| {
    let module = CoreRecipe::from_bytes(bytes.get(8..).unwrap_or_default()).build();
    oracle::split_merge(&module, &Cuts::from_bytes(bytes).names(&module)).expect("merge undoes split");
});
