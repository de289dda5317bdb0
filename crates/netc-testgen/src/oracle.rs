//! Oracles: properties of every module and every input, as functions that return what is wrong.

mod files;
mod looks;
mod parts;
mod passes;
mod readers;
mod rules;
mod runs;
mod splits;

use netc_ir::{Module, parse, print, verify};

pub use files::{Claim, Tools, WHOLE, round_trip, survives, through};
pub use looks::types_and_costs_match_the_unrolled_program;
pub use parts::{extract_computes, is_canonical, parts, split_inline, split_merge};
pub use passes::{
    EXACT, OVER_LAYERS, ROUNDING, Subject, commutes, fuel, idempotent, keeps_values, keeps_values_by, pipeline_text,
    random_pipeline,
};
pub use readers::{READERS, Reader, layers_text, npy_file, npz_file, parse_ir, rules_text, temporary};
pub use rules::{BREAKS, Break, verifier_rejects};
pub use runs::{differs, lower_exec, lowered, near_outputs, random_inputs, run, same_outputs};
pub use splits::{Split, cuts_are_those_of_split, split_compose, split_compose_files};

/// A violated property, described in words.
pub type Wrong = String;

/// Checks that the module verifies and that its printed text parses back equal.
pub fn print_parse(module: &Module) -> Result<(), Wrong> {
    verify(module).map_err(|e| format!("does not verify:\n{e}"))?;
    let text = print(module);
    let back = parse(&text).map_err(|e| format!("the printed text does not parse: {e}\n{text}"))?;
    require(back == *module, || format!("the printed text parses to another module:\n{text}\n---\n{}", print(&back)))
}

/// Returns `wrong` as the error unless `holds`.
pub fn require(holds: bool, wrong: impl FnOnce() -> Wrong) -> Result<(), Wrong> {
    if holds { Ok(()) } else { Err(wrong()) }
}
