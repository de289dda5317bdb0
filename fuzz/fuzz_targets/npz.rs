//! No bytes make the reader of NumPy's archives panic; tensors that are read survive their file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netc_testgen::oracle;

fuzz_target!(|bytes: &[u8]| oracle::npz_file(bytes).expect("tensors survive their file"));
