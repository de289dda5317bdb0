//! No file of weights makes the reader of Keras files panic; a model that is read survives its file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netc_keras_testgen::oracle;

fuzz_target!(|bytes: &[u8]| oracle::keras_weights(bytes).expect("a model survives its file"));
