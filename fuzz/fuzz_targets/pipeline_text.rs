//! No text makes the parser of pipelines or the named passes panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use netc_testgen::oracle;

fuzz_target!(|bytes: &[u8]| oracle::pipeline_text(bytes).expect("the pipeline round-trips and runs"));
