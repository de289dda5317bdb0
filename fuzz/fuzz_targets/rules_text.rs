//! No text makes parsing or checking rules panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netc_testgen::oracle;

fuzz_target!(|bytes: &[u8]| oracle::rules_text(bytes).expect("the rules are checked"));
