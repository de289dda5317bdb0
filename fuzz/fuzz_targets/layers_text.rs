//! No text makes layer libraries panic, where they are read and where their layers are applied.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netc_testgen::oracle;

fuzz_target!(|bytes: &[u8]| oracle::layers_text(bytes).expect("a library answers"));
