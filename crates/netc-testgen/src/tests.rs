//! What recipes promise: they are total, valid, executable and varied.

use std::collections::BTreeSet;

use netc_ir::{CORE_OPS, Module, verify};

use crate::oracle::{self, Split};
use crate::{Class, CoreRecipe, Cuts, Features, KerasClass, KerasRecipe, dialects};

const SEEDS: u64 = 200;

fn op_names(modules: &[Module]) -> BTreeSet<String> {
    let ops = modules.iter().flat_map(|m| &m.funcs).flat_map(|f| f.ops());
    ops.map(|(_, op)| op.kind.name().to_string()).collect()
}

#[test]
fn every_core_op_is_made() {
    let modules: Vec<Module> = (0..SEEDS).map(|seed| CoreRecipe::from_seed(seed, 30).build()).collect();
    modules.iter().for_each(|m| verify(m).unwrap());
    let found = op_names(&modules);
    let missing: Vec<&str> = CORE_OPS.iter().map(|(name, _)| *name).filter(|name| !found.contains(*name)).collect();
    assert_eq!(missing, Vec::<&str>::new());
    let ops: usize = modules.iter().map(|m| m.funcs[0].num_ops()).sum();
    assert!(ops as u64 > SEEDS * 25, "{ops} ops: steps are skipped more often than they fit");
}

#[test]
fn every_layer_is_made() {
    let modules: Vec<Module> = (0..SEEDS).map(|seed| KerasRecipe::from_seed(seed, 12).build()).collect();
    modules.iter().for_each(|m| verify(m).unwrap());
    let found = op_names(&modules);
    // Merge, Pool, GlobalPool and Operation are several, Again is none.
    assert!(found.len() >= KerasClass::ALL.len() + 6, "{found:?}");
    assert!(
        modules.iter().any(|m| m.funcs[0].ops().any(|(_, op)| op.loc.to_string().ends_with("@1"))),
        "shared layers"
    );
}

#[test]
fn extreme_numbers_build() {
    for byte in [0, 1, 127, 128, 254, 255] {
        let bytes = vec![byte; 400];
        oracle::print_parse(&CoreRecipe::from_bytes(&bytes).build()).unwrap();
        oracle::print_parse(&KerasRecipe::from_bytes(&bytes[..120]).build()).unwrap();
    }
    oracle::print_parse(&CoreRecipe::from_bytes(&[]).build()).unwrap();
    let empty = CoreRecipe { features: Features::ALL, inputs: vec![], steps: vec![], outputs: vec![1] };
    oracle::print_parse(&empty.build()).unwrap();
}

#[test]
fn most_cuts_are_cuts() {
    let split = |seed| {
        let module = CoreRecipe::from_seed(seed, 20).build();
        oracle::split_compose(&module, &Cuts::from_seed(seed).names(&module)).unwrap()
    };
    let stages: Vec<usize> =
        (0..SEEDS).filter_map(|seed| if let Split::Stages(n) = split(seed) { Some(n) } else { None }).collect();
    assert!(stages.len() as u64 > SEEDS / 2, "{} of {SEEDS}", stages.len());
    assert!(stages.contains(&4));
}

/// An oracle that accepts everything proves nothing.
#[test]
fn oracles_can_fail() {
    let module = KerasRecipe::from_seed(3, 8).build();
    let bytes = oracle::file_bytes(&module, module.func_named("main").unwrap()).unwrap();
    oracle::keras_file(&bytes).unwrap();
    oracle::keras_file(&bytes[..bytes.len() / 2]).unwrap();
    oracle::round_trip_keras(&module, &dialects()).unwrap();
    let mut renamed = module.clone();
    renamed.funcs[0].outputs[0].name = "not the layer's name".into();
    assert!(oracle::round_trip_keras(&renamed, &dialects()).is_err());
    let mut broken = CoreRecipe::from_seed(3, 8).build();
    let twice = broken.funcs[0].outputs[0].clone();
    broken.funcs[0].outputs.push(twice);
    assert!(oracle::print_parse(&broken).is_err());
}
