//! No HDF5 file makes the reader of models panic; a model that is read becomes a `.keras` file, or is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netc_keras_testgen::oracle;

fuzz_target!(|bytes: &[u8]| oracle::keras_h5(bytes).expect("a model becomes a file"));
