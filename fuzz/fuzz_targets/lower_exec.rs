//! Every program lowers and runs, and two runs give the same bits.
#![no_main]
use libfuzzer_sys::fuzz_target;
use netc_keras_testgen::{KerasRecipe, dialects};
use netc_testgen::{CoreRecipe, oracle};

fuzz_target!(|bytes: &[u8]| {
    let (first, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let module = if *first < 64 { CoreRecipe::from_bytes(rest).build() } else { KerasRecipe::from_bytes(rest).build() };
    oracle::lower_exec(&module, &dialects()).expect("the program runs reproducibly");
});
