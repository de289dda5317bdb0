//! Any pipeline keeps the values of any program.
#![no_main]
use libfuzzer_sys::fuzz_target;
use netc_testgen::{CoreRecipe, oracle};

fuzz_target!(|bytes: &[u8]| {
    let module = CoreRecipe::from_bytes(bytes.get(8..).unwrap_or_default()).build();
    let pipeline = oracle::random_pipeline(&module, &bytes[..bytes.len().min(8)]);
    oracle::keeps_values_by(&module, &pipeline).expect("values are kept");
});
