//! No bytes make the reader of weights panic; a model with the weights that are read is written and read back without loss.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netc_keras_testgen::oracle;

fuzz_target!(|bytes: &[u8]| oracle::weights_file(bytes).expect("a model survives its file"));
