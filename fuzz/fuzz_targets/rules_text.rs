//! No text makes the reader of rules panic, nor trying what it reads.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netc_testgen::oracle;

fuzz_target!(|bytes: &[u8]| oracle::rules_text(bytes).expect("rules are tried"));
