//! No text makes the reader of TensorFlow.js models panic; an accepted model round-trips.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netc_keras_testgen::oracle;

fuzz_target!(|bytes: &[u8]| oracle::tfjs_json(bytes).expect("the model round-trips"));
