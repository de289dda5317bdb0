//! No text makes the parser panic; a valid program round-trips.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netc_testgen::oracle;

fuzz_target!(|bytes: &[u8]| oracle::parse_ir(bytes).expect("the program round-trips"));
