//! No bytes make the reader of NumPy's files panic; a tensor that is read survives its file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netc_testgen::oracle;

fuzz_target!(|bytes: &[u8]| oracle::npy_file(bytes).expect("a tensor survives its file"));
