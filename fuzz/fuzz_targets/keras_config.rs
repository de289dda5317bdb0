//! No configuration makes the reader of Keras files panic; an accepted model round-trips.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netc_keras_testgen::oracle;

fuzz_target!(|bytes: &[u8]| oracle::keras_config(bytes).expect("the model round-trips"));
