//! No manifest makes the reader of stages panic; stages that are read are a program, and one model or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netc_keras_testgen::oracle;

fuzz_target!(|bytes: &[u8]| oracle::manifest(bytes).expect("stages are a program"));
