//! Properties of all programs, tested on random modules, random cuts and random damage.
//!
//! Runs are reproducible: the seed is fixed. `NETC_PROPERTY_CASES=5000 cargo test -p netc-tests --test properties`
//! tries more cases, `NETC_PROPERTY_SEED=7` tries others.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::cell::Cell;
use std::fmt::Debug;

use netc_dialect::Dialects;
use netc_ir::{MAIN, Module, print};
use netc_keras::lower::KerasDialect;
use netc_keras_testgen::{KerasClass, KerasRecipe, dialects, oracle as files};
use netc_passes::analysis::one_tensor_cuts;
use netc_testgen::oracle::{self, Split, Subject, Wrong};
use netc_testgen::{CoreRecipe, Cuts, Feature, property};
use proptest::prelude::*;

const CORE_OPS: usize = 24;
const LAYERS: usize = 10;

#[test]
fn programs_round_trip_through_text() {
    check(400, CoreRecipe::strategy(CORE_OPS), |recipe| {
        let with_abstract = recipe.features.with(Feature::Abstract);
        oracle::print_parse(&recipe.with_features(with_abstract).build())
    });
}

#[test]
fn verifier_rejects_programs_that_break_a_rule() {
    let recipes = (CoreRecipe::strategy(CORE_OPS), KerasRecipe::strategy(LAYERS), any::<u64>());
    check(60, recipes, |(core, keras, seed)| {
        oracle::verifier_rejects(&core.build(), seed)?;
        oracle::verifier_rejects(&keras.build(), seed).map(drop)
    });
}

#[test]
fn stages_of_a_program_compute_what_the_program_computes() {
    check(600, (CoreRecipe::strategy(CORE_OPS), Cuts::strategy()), |(recipe, cuts)| {
        let module = recipe.build();
        oracle::split_compose(&module, &cuts.names(&module)).map(drop)
    });
}

#[test]
fn passes_keep_values_and_are_idempotent() {
    for_each_pass(oracle::EXACT, 400, CoreRecipe::strategy(CORE_OPS), |subject, recipe| {
        let module = recipe.build();
        oracle::keeps_values(&module, subject)?;
        oracle::idempotent(&module, subject)
    });
}

#[test]
fn passes_can_stop_after_any_rewrite_and_commute_with_split() {
    let recipes = (CoreRecipe::strategy(CORE_OPS), Cuts::strategy());
    for_each_pass(oracle::EXACT, 100, recipes, |subject, (recipe, cuts)| {
        let module = recipe.build();
        oracle::fuel(&module, subject)?;
        oracle::commutes(&module, &cuts.names(&module), subject)
    });
}

#[test]
fn rounding_pipelines_keep_values_of_programs_within_bounds() {
    let recipes = (CoreRecipe::strategy(CORE_OPS), Cuts::strategy());
    for_each_pass(oracle::ROUNDING, 100, recipes, |subject, (recipe, cuts)| {
        let module = recipe.build();
        oracle::keeps_values(&module, subject)?;
        oracle::fuel(&module, subject)?;
        oracle::commutes(&module, &cuts.names(&module), subject)
    });
}

#[test]
fn programs_lower_and_run_reproducibly() {
    check(100, CoreRecipe::strategy(CORE_OPS), |recipe| oracle::lower_exec(&recipe.build(), &Dialects::new()));
    check(60, KerasRecipe::strategy(LAYERS), |recipe| oracle::lower_exec(&recipe.build(), &dialects()));
}

#[test]
fn passes_in_any_order_keep_values() {
    let recipes = (CoreRecipe::strategy(CORE_OPS), prop::collection::vec(any::<u8>(), 1..8));
    check(200, recipes, |(recipe, passes)| {
        let module = recipe.build();
        oracle::keeps_values_by(&module, &oracle::random_pipeline(&module, &passes))
    });
}

#[test]
fn types_and_costs_of_recurrent_layers_match_the_unrolled_program() {
    let shorter = Cell::new(0);
    check(400, KerasRecipe::strategy(LAYERS), |mut recipe| {
        let of_steps = [KerasClass::Recurrent, KerasClass::Bidirectional, KerasClass::ConvRecurrent];
        for step in recipe.steps.iter_mut().step_by(2) {
            step.class = of_steps[usize::from(step.knobs[3]) % of_steps.len()];
        }
        shorter.set(shorter.get() + oracle::types_and_costs_match_the_unrolled_program(&recipe.build(), &dialects())?);
        Ok(())
    });
    assert!(shorter.get() > 100, "only {} layers have repeated steps", shorter.get());
}

#[test]
fn models_round_trip_through_text() {
    check(100, KerasRecipe::strategy(LAYERS), |recipe| oracle::print_parse(&recipe.build()));
}

#[test]
fn models_round_trip_through_files() {
    check(100, KerasRecipe::strategy(LAYERS), |recipe| files::round_trip_keras(&recipe.build(), &dialects()));
    check(100, KerasRecipe::strategy(LAYERS), |recipe| files::round_trip_hdf5(&recipe.build(), &dialects()));
    check(100, KerasRecipe::strategy(LAYERS), |recipe| files::round_trip_json(&recipe.build(), &dialects()));
    check(100, KerasRecipe::strategy(LAYERS), |recipe| files::round_trip_tfjs(&recipe.build(), &dialects()));
}

#[test]
fn models_with_abstract_features_round_trip_and_merge() {
    check(200, (KerasRecipe::strategy(LAYERS), Cuts::strategy()), |(recipe, cuts)| {
        let features = recipe.features.with(Feature::Abstract);
        let model = recipe.with_features(features).build();
        oracle::print_parse(&model)?;
        // A file lacks some of what the generator makes, such as the number of results of a call.
        let (model, _folder) = files::through_file(&model, main_of(&model)?, &dialects())?;
        files::round_trip_keras(&model, &dialects())?;
        files::round_trip_hdf5(&model, &dialects())?;
        oracle::split_merge(&model, &cuts.names(&model))
    });
}

#[test]
fn unsupported_layers_are_written_unchanged() {
    check(64, KerasRecipe::strategy(LAYERS), |recipe| {
        let model = recipe.build();
        let (unknown, _folder) = through_file(&model)?;
        let bytes = |m| files::file_bytes(m, main_of(m)?);
        if bytes(&model)? == bytes(&unknown)? { Ok(()) } else { Err(format!("the files differ:\n{}", print(&unknown))) }
    });
}

#[test]
fn stages_of_a_model_compute_what_the_model_computes() {
    check(100, (KerasRecipe::strategy(LAYERS), Cuts::strategy()), |(recipe, cuts)| {
        let model = recipe.build();
        files::split_compose_keras(&model, &cuts.names(&model), &dialects()).map(drop)
    });
}

#[test]
fn stages_cut_inside_nested_models_compute_what_the_model_computes() {
    let done = Cell::new(0);
    check(1000, (KerasRecipe::strategy(LAYERS), Cuts::strategy()), |(recipe, cuts)| {
        let model = recipe.build();
        let Some(inside) = cuts.inside(&model) else { return Ok(()) };
        if let Split::Stages(_) = files::split_compose_keras(&model, &[inside], &dialects())? {
            done.set(done.get() + 1);
        }
        Ok(())
    });
    assert!(done.get() > 20, "only {} models were cut inside a nested model", done.get());
}

#[test]
fn cuts_lists_exactly_the_cuts_that_split_accepts() {
    let (listed, inside) = (Cell::new(0), Cell::new(0));
    check(1000, KerasRecipe::strategy(LAYERS), |recipe| {
        let model = recipe.build();
        listed.set(listed.get() + oracle::cuts_are_those_of_split(&model, &dialects())?);
        let nested = one_tensor_cuts(&model, &dialects()).iter().filter(|cut| cut.name.contains('/')).count();
        inside.set(inside.get() + nested);
        Ok(())
    });
    check(60, KerasRecipe::strategy(LAYERS), |recipe| {
        let (unknown, _folder) = through_file(&recipe.build())?;
        oracle::cuts_are_those_of_split(&unknown, &dialects()).map(drop)
    });
    check(60, CoreRecipe::strategy(CORE_OPS), |recipe| {
        oracle::cuts_are_those_of_split(&recipe.build(), &Dialects::new()).map(drop)
    });
    assert!(listed.get() > 1000 && inside.get() > 20, "{} cuts, {} inside models", listed.get(), inside.get());
}

#[test]
fn cuts_of_zoo_models_are_the_cuts_that_split_accepts() {
    for name in ["tiny", "siamese", "squeezenet", "bert", "nasnet_a"] {
        let module = (netc_zoo::find(name).unwrap().build)(0).unwrap();
        let cuts = oracle::cuts_are_those_of_split(&module, &dialects()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(cuts > 2, "{name} has only {cuts} cuts");
    }
}

#[test]
fn models_with_unsupported_layers_are_split() {
    check(64, (KerasRecipe::strategy(LAYERS), Cuts::strategy()), |(recipe, cuts)| {
        let (unknown, _folder) = through_file(&recipe.build())?;
        files::split_compose_keras(&unknown, &cuts.names(&unknown), &dialects()).map(drop)
    });
}

#[test]
fn passes_over_models_keep_values_and_are_idempotent() {
    let recipes = (KerasRecipe::strategy(LAYERS), Cuts::strategy());
    for_each_pass(oracle::OVER_LAYERS, 64, recipes, |subject, (recipe, cuts)| {
        let module = recipe.build();
        oracle::keeps_values(&module, subject)?;
        oracle::fuel(&module, subject)?;
        oracle::idempotent(&module, subject)?;
        oracle::commutes(&module, &cuts.names(&module), subject)
    });
}

#[test]
fn rounding_pipelines_keep_values_of_models_within_bounds() {
    let recipes = (KerasRecipe::strategy(LAYERS), Cuts::strategy());
    for_each_pass(oracle::ROUNDING, 64, recipes, |subject, (recipe, cuts)| {
        let module = recipe.build();
        oracle::keeps_values(&module, subject)?;
        oracle::fuel(&module, subject)?;
        oracle::commutes(&module, &cuts.names(&module), subject)
    });
}

#[test]
fn merge_undoes_split() {
    check(150, (CoreRecipe::strategy(CORE_OPS), Cuts::strategy()), |(recipe, cuts)| {
        let module = recipe.build();
        oracle::split_merge(&module, &cuts.names(&module))
    });
    check(100, (KerasRecipe::strategy(LAYERS), Cuts::strategy()), |(recipe, cuts)| {
        let model = recipe.build();
        oracle::is_canonical(&model)?;
        oracle::split_merge(&model, &cuts.names(&model))
    });
}

#[test]
fn extracted_parts_compute_what_the_whole_computes() {
    check(60, (CoreRecipe::strategy(CORE_OPS), Cuts::strategy()), |(recipe, cuts)| {
        let module = recipe.build();
        let parts = oracle::parts(&cuts.names(&module));
        parts.iter().try_for_each(|part| oracle::extract_computes(&module, part, &Dialects::new()))
    });
    check(30, (KerasRecipe::strategy(LAYERS), Cuts::strategy()), |(recipe, cuts)| {
        let model = recipe.build();
        let parts = oracle::parts(&cuts.names(&model));
        parts.iter().try_for_each(|part| oracle::extract_computes(&model, part, &dialects()))
    });
    check(300, (KerasRecipe::strategy(LAYERS), Cuts::strategy()), |(recipe, cuts)| {
        let model = recipe.build();
        let Some(inside) = cuts.inside(&model) else { return Ok(()) };
        let parts = oracle::parts(&cuts.names(&model).into_iter().take(1).chain([inside]).collect::<Vec<_>>());
        parts.iter().try_for_each(|part| oracle::extract_computes(&model, part, &dialects()))
    });
}

#[test]
fn inlining_keeps_values_and_leaves_no_calls() {
    check(100, (CoreRecipe::strategy(CORE_OPS), Cuts::strategy()), |(recipe, cuts)| {
        let module = recipe.build();
        oracle::split_inline(&module, &cuts.names(&module), &Dialects::new())
    });
}

#[test]
fn damaged_text_does_not_panic() {
    check(200, (CoreRecipe::strategy(8), damage()), |(recipe, damage)| {
        oracle::parse_ir(&damaged(print(&recipe.build()).into_bytes(), &damage))
    });
}

#[test]
fn damaged_pipelines_do_not_panic() {
    check(200, (prop::collection::vec(any::<u8>(), 0..8), damage()), |(passes, damage)| {
        oracle::pipeline_text(&damaged(oracle::random_pipeline(&Module::new(), &passes).into_bytes(), &damage))
    });
}

#[test]
fn damaged_files_do_not_panic() {
    check(200, (KerasRecipe::strategy(3), damage()), |(recipe, damage)| {
        let model = recipe.build();
        let file = files::file_bytes(&model, main_of(&model)?)?;
        files::keras_config(&damaged(files::member(&file, "config.json")?, &damage))?;
        files::keras_weights(&damaged(files::member(&file, "model.weights.h5")?, &damage))?;
        files::keras_file(&damaged(file, &damage))
    });
}

/// Checks the property for each of `passes`, on `cases` values each.
#[track_caller]
fn for_each_pass<T: Debug>(
    passes: &[&str],
    cases: u32,
    strategy: impl Strategy<Value = T>,
    property: impl Fn(Subject<'_>, T) -> Result<(), Wrong>,
) {
    let (registry, dialects) = (netc_passes::registry(), dialects());
    for pipeline in passes {
        let subject = Subject { pipeline, registry: &registry, dialects: &dialects };
        check(cases, &strategy, |value| property(subject, value).map_err(|wrong| format!("{pipeline}: {wrong}")));
    }
}

/// Checks the property on `cases` values, or as many as the environment asks for.
#[track_caller]
fn check<T: Debug>(cases: u32, strategy: impl Strategy<Value = T>, property: impl Fn(T) -> Result<(), Wrong>) {
    property::check(cases, strategy, property).unwrap();
}

/// Writes the model and reads it back with the layers of Keras only, so that custom layers are unsupported.
fn through_file(model: &netc_ir::Module) -> Result<(netc_ir::Module, tempfile::TempDir), Wrong> {
    let mut keras = Dialects::new();
    keras.push(KerasDialect);
    files::through_file(model, main_of(model)?, &keras)
}

fn main_of(module: &netc_ir::Module) -> Result<netc_ir::FuncId, Wrong> {
    module.func_named(MAIN).ok_or_else(|| "there is no @main".into())
}

/// One damage: the position as a fraction of the length in 1/65536, and what happens there.
type Damage = (u16, Hit);

#[derive(Clone, Copy, Debug)]
enum Hit {
    Set(u8),
    Flip(u8),
    Insert(u8),
    Remove(u8),
    Repeat(u8),
    Truncate,
}

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let hit = prop_oneof![
        any::<u8>().prop_map(Hit::Set),
        (0..8u8).prop_map(Hit::Flip),
        prop::sample::select(b"{}[]()\"\\%@$;:=,-0N*.".to_vec()).prop_map(Hit::Insert),
        any::<u8>().prop_map(Hit::Remove),
        any::<u8>().prop_map(Hit::Repeat),
        Just(Hit::Truncate),
    ];
    prop::collection::vec((any::<u16>(), hit), 1..6)
}

fn damaged(mut bytes: Vec<u8>, damage: &[Damage]) -> Vec<u8> {
    for (place, hit) in damage {
        let at = (bytes.len() * usize::from(*place)) >> 16;
        let end = |n: u8| (at + usize::from(n)).min(bytes.len());
        match *hit {
            _ if at >= bytes.len() => {}
            Hit::Set(byte) => bytes[at] = byte,
            Hit::Flip(bit) => bytes[at] ^= 1 << bit,
            Hit::Insert(byte) => bytes.insert(at, byte),
            Hit::Remove(n) => drop(bytes.drain(at..end(n))),
            Hit::Repeat(n) => {
                let part = bytes[at..end(n)].to_vec();
                bytes.splice(at..at, part);
            }
            Hit::Truncate => bytes.truncate(at),
        }
    }
    bytes
}
