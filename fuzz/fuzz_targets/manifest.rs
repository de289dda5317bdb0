//! No manifest makes the reader of stages panic; accepted stages give a valid program and merge or are rejected.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netc_keras_testgen::oracle;

fuzz_target!(|bytes: &[u8]| oracle::manifest(bytes).expect("the stages give a valid program"));
