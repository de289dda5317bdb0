//! Tests of the generator: every class, every shape of graph, files that read back.

use std::collections::BTreeSet;

use netc_ir::{MAIN, Module, OpKind, print, verify};
use netc_keras::lower;
use netc_passes::split;
use netc_testgen::reduce::{Verdict, reduce};
use netc_testgen::{Class, CoreRecipe, Coverage, Cuts, Feature, Features, oracle as judge};

use crate::{KerasClass, KerasRecipe, dialects, oracle};

const STEPS: usize = 16;

fn models(seeds: u64) -> impl Iterator<Item = (u64, Module)> {
    (0..seeds).map(|seed| (seed, KerasRecipe::from_seed(seed, STEPS).build()))
}

/// The classes of the layers and operations that are applied.
fn classes(modules: &[Module]) -> BTreeSet<String> {
    modules.iter().flat_map(|m| &m.funcs).flat_map(|f| f.ops()).map(|(_, op)| op.kind.name().to_string()).collect()
}

#[test]
fn every_class_with_a_lowering_is_generated() {
    let found = classes(&models(2500).map(|(_, model)| model).collect::<Vec<_>>());
    let missing: Vec<String> = lower::classes().map(|(name, _)| name).filter(|name| !found.contains(name)).collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn models_are_valid_and_round_trip() {
    for (seed, model) in models(300) {
        verify(&model).unwrap_or_else(|e| panic!("{seed}: {e}"));
        oracle::round_trip_keras(&model, &dialects()).unwrap_or_else(|e| panic!("{seed}: {e}"));
    }
}

#[test]
fn stages_compute_the_same_as_the_whole() {
    for (seed, model) in models(300) {
        let cuts = Cuts::from_seed(seed).names(&model);
        oracle::split_compose_keras(&model, &cuts, &dialects()).unwrap_or_else(|e| panic!("{seed}: {e}"));
    }
}

#[test]
fn recipes_cover_every_kind_of_graph() {
    // A model of layers has no ops that no output needs, and no constant tensors.
    let of_programs =
        ["a dead op", "an input that is not read", "an output that is constant", "a function without parameters"];
    let features = Features::default().with(Feature::Abstract);
    let (mut coverage, dialects) = (Coverage::default(), dialects());
    for seed in 0..1_000 {
        let recipe = KerasRecipe::from_seed(seed, STEPS);
        coverage.add_model(&recipe.build(), &dialects);
        coverage.add_model(&recipe.with_features(features).build(), &dialects);
    }
    let graphs = coverage.missing().into_iter().filter(|fact| fact.attribute == "graph");
    let missing: Vec<&str> = graphs.map(|fact| fact.value).filter(|value| !of_programs.contains(value)).collect();
    assert_eq!(missing, Vec::<&str>::new(), "\n{coverage}");
}

#[test]
fn every_family_of_layers_is_generated() {
    let modules: Vec<Module> = models(200).map(|(_, model)| model).collect();
    modules.iter().for_each(|m| verify(m).unwrap());
    let found = classes(&modules);
    // Merge, Pool, GlobalPool and the operations have several classes each; Again has none.
    assert!(found.len() >= KerasClass::ALL.len() + 6, "{found:?}");
    assert!(
        modules.iter().any(|m| m.funcs[0].ops().any(|(_, op)| op.loc.to_string().ends_with("@1"))),
        "shared layers"
    );
}

#[test]
fn extreme_numbers_build() {
    for byte in [0, 1, 127, 128, 254, 255] {
        judge::print_parse(&KerasRecipe::from_bytes(&[byte; 120]).build()).unwrap();
    }
}

/// Guards against oracles that accept everything.
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
}

/// A program of core ops, a model of layers, or the stages of a model.
fn program_or_model(seed: u64) -> Module {
    let mut module = KerasRecipe::from_seed(seed, 8).build();
    match seed % 3 {
        0 => CoreRecipe::from_seed(seed, 12).build(),
        1 => module,
        _ => {
            let cuts = Cuts::from_seed(seed).names(&module);
            if let Ok(plan) = split::plan(&module, &cuts, &dialects()) {
                split::apply(&mut module, &plan);
            }
            module
        }
    }
}

#[test]
fn verifier_catches_every_planted_violation() {
    let rules: BTreeSet<u8> = judge::BREAKS.iter().map(|b| b.rule).collect();
    assert_eq!(rules, (1..=19).filter(|rule| ![12, 16].contains(rule)).collect());
    let mut applied = BTreeSet::new();
    (0..100).for_each(|seed| applied.extend(judge::verifier_rejects(&program_or_model(seed), seed).unwrap()));
    assert_eq!(applied, (0..judge::BREAKS.len()).collect());
}

/// Reduces `module` to the smallest module for which `shows` holds.
fn reduced(module: &Module, shows: impl Fn(&Module) -> bool) -> Module {
    reduce(module, &dialects(), &mut |m| if shows(m) { Verdict::Shows } else { Verdict::Clean }).module
}

fn has(module: &Module, name: &str) -> bool {
    module.funcs.iter().flat_map(|f| f.ops()).any(|(_, op)| op.kind.name() == name)
}

#[test]
fn reduced_models_have_one_layer_that_runs_and_round_trips() {
    for seed in 0..60 {
        let model = KerasRecipe::from_seed(seed, 10).build();
        let Some(name) = last_layer(&model) else { continue };
        let small = reduced(&model, |m| has(m, &name));
        let shown = format!("seed {seed}, {name}:\n{}", print(&small));
        assert_eq!((small.num_ops(), small.layers.len()), (1, 1), "{shown}");
        judge::lower_exec(&small, &dialects()).unwrap_or_else(|wrong| panic!("{wrong}: {shown}"));
        let read = oracle::through_file(&small, small.func_named(MAIN).unwrap(), &dialects());
        let (back, _folder) = read.unwrap_or_else(|wrong| panic!("{wrong}: {shown}"));
        judge::near_outputs(&small, &back, 0.0, &dialects()).unwrap_or_else(|wrong| panic!("{wrong}: {shown}"));
    }
}

/// The class of the last layer that is applied.
fn last_layer(module: &Module) -> Option<String> {
    let main = module.main()?;
    let classes = main.ops().filter(|(_, op)| matches!(op.kind, OpKind::Source(_)));
    classes.map(|(_, op)| op.kind.name().to_string()).next_back()
}

#[test]
fn reducing_drops_unused_entries_except_the_failing_one() {
    let model = (0..1000).map(|seed| KerasRecipe::from_seed(seed, 12).build()).find(|m| has(m, "keras.Dense"));
    let small = reduced(&model.unwrap(), |m| m.layers.iter().any(|layer| &*layer.class == "keras.Dense"));
    assert_eq!((small.num_ops(), small.funcs.len(), small.layers.len()), (0, 1, 1), "{}", print(&small));
}
