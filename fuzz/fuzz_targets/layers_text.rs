//! No text makes parsing a layer library or applying its layers panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netc_testgen::oracle;

fuzz_target!(|bytes: &[u8]| oracle::layers_text(bytes).expect("the library type-checks or fails"));
