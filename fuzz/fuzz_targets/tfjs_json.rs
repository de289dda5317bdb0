//! No text makes the reader of TensorFlow.js's models panic; a model that is read is written and read back without loss.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netc_keras_testgen::oracle;

fuzz_target!(|bytes: &[u8]| oracle::tfjs_json(bytes).expect("a model survives its files"));
