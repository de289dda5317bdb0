//! No bytes make the reader of `.npy` files panic; an accepted tensor round-trips.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netc_testgen::oracle;

fuzz_target!(|bytes: &[u8]| oracle::npy_file(bytes).expect("the tensor round-trips"));
