//! No text makes the reader of pipelines panic, nor the passes that it names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netc_testgen::oracle;

fuzz_target!(|bytes: &[u8]| oracle::pipeline_text(bytes).expect("a pipeline reads back and runs"));
