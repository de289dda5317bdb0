//! No HDF5 file makes the reader of models panic; an accepted model round-trips or is unsupported.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netc_keras_testgen::oracle;

fuzz_target!(|bytes: &[u8]| oracle::keras_h5(bytes).expect("the model round-trips"));
