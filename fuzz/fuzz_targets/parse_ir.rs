//! No text makes the parser panic; what parses and verifies prints as text that parses back equal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netc_testgen::oracle;

fuzz_target!(|bytes: &[u8]| oracle::parse_ir(bytes).expect("a program reads back"));
