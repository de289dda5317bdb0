//! No bytes make the reader of `.npz` files panic; accepted tensors round-trip.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netc_testgen::oracle;

fuzz_target!(|bytes: &[u8]| oracle::npz_file(bytes).expect("the tensors round-trip"));
