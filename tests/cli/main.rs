//! Tests the command `netc` from the outside: arguments, exit codes, streams, files.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking, and so do their helpers")]

mod assets;
mod bad_input;
mod bad_manifest;
mod bad_output;
mod cuts;
mod damage;
mod foreign;
mod r#gen;
mod help;
mod json;
mod many_files;
mod memory;
mod merge;
mod nested;
mod pipelines;
mod rewriting;
mod run;
mod sets;
mod sharded;
mod sidecar;
mod signals;
mod split;
mod streams;
mod support;
mod training_state;
mod untrusted;
