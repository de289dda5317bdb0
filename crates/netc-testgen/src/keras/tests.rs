//! What the generator of Keras models promises: every class, every shape of graph, files that read back.

use std::collections::BTreeSet;

use netc_ir::{Module, verify};
use netc_keras::lower;

use crate::{Cuts, KerasRecipe, dialects, oracle};

const STEPS: usize = 16;

fn models(seeds: u64) -> impl Iterator<Item = (u64, Module)> {
    (0..seeds).map(|seed| (seed, KerasRecipe::from_seed(seed, STEPS).build()))
}

/// The classes of the layers and operations that are applied.
fn classes(modules: &[Module]) -> BTreeSet<String> {
    modules.iter().flat_map(|m| &m.funcs).flat_map(|f| f.ops()).map(|(_, op)| op.kind.name().to_string()).collect()
}

#[test]
fn every_class_with_a_meaning_is_made() {
    let found = classes(&models(2500).map(|(_, model)| model).collect::<Vec<_>>());
    let missing: Vec<String> = lower::classes().map(|(name, _)| name).filter(|name| !found.contains(name)).collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn models_are_valid_and_survive_their_files() {
    for (seed, model) in models(300) {
        verify(&model).unwrap_or_else(|e| panic!("{seed}: {e}"));
        oracle::round_trip_keras(&model, &dialects()).unwrap_or_else(|e| panic!("{seed}: {e}"));
    }
}

#[test]
fn stages_compute_the_same() {
    for (seed, model) in models(300) {
        let cuts = Cuts::from_seed(seed).names(&model);
        oracle::split_compose_keras(&model, &cuts, &dialects()).unwrap_or_else(|e| panic!("{seed}: {e}"));
    }
}
