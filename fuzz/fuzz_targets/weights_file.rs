//! No bytes make the reader of weights panic; a model with accepted weights round-trips.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netc_keras_testgen::oracle;

fuzz_target!(|bytes: &[u8]| oracle::weights_file(bytes).expect("the model round-trips"));
