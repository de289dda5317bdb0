//! No bytes make the reader of Keras files panic; a model that is read is written and read back without loss.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netc_keras_testgen::oracle;

fuzz_target!(|bytes: &[u8]| oracle::keras_file(bytes).expect("a model survives its file"));
