//! Tests of recipes: they are total, valid, executable and varied.

use std::collections::BTreeSet;

use netc_data::Store;
use netc_dialect::Dialects;
use netc_exec::{Plan, Tensor, inputs};
use netc_ir::{Dim, Func, MAIN, Module, Name, verify};
use netc_pass::Fuel;
use netc_passes::analysis::live_ops;

use crate::oracle::{self, Split, Subject};
use crate::{CoreClass, CoreRecipe, Coverage, Cuts, Fact, Feature, Features, Step};

const SEEDS: u64 = 200;

fn core_modules(features: Features) -> Vec<Module> {
    let recipe = |seed| CoreRecipe::from_seed(seed, 30).with_features(features);
    let modules: Vec<Module> = (0..SEEDS).map(|seed| recipe(seed).build()).collect();
    modules.iter().for_each(|m| verify(m).unwrap());
    modules
}

/// The outputs of `@main` for random inputs of `batch` examples.
fn outputs(module: &Module, batch: u64) -> Vec<Tensor> {
    let inputs = inputs::random_inputs(module.main().unwrap(), 1, batch).unwrap();
    let plan = Plan::new(module, module.func_named(MAIN).unwrap(), &Store::open(module).unwrap()).unwrap();
    plan.run(&inputs).unwrap_or_else(|e| panic!("{e:?}\n{}", netc_ir::print(module)))
}

#[test]
fn most_steps_become_ops_and_many_are_live() {
    let modules = core_modules(Features::default());
    let ops: usize = modules.iter().map(|m| m.num_ops()).sum();
    assert!(ops as u64 > SEEDS * 30, "only {ops} ops: too many steps add nothing");
    let mains = modules.iter().filter_map(Module::main);
    let [live, all] = mains.fold([0, 0], |[live, all], main| {
        [live + live_ops(main).iter().filter(|live| **live).count(), all + main.num_ops()]
    });
    assert!(live * 5 > all * 2, "{live} of {all} ops are live");
}

#[test]
fn programs_run_and_most_outputs_are_finite() {
    let modules = core_modules(Features::default());
    let outputs: Vec<Tensor> = modules.iter().zip((1..=3).cycle()).flat_map(|(m, batch)| outputs(m, batch)).collect();
    let finite = outputs.iter().filter(|t| t.to_f64s().iter().all(|x| x.is_finite())).count();
    assert!(finite < outputs.len() && finite * 100 > outputs.len() * 95, "{finite} of {} are finite", outputs.len());
}

#[test]
fn affine_chains_are_next_to_products() {
    let (registry, dialects) = (netc_passes::registry(), Dialects::new());
    let folds = Subject { pipeline: "fold-bn", registry: &registry, dialects: &dialects };
    let modules = core_modules(Features::default());
    let folded = modules.iter().filter(|m| folds.apply(m, Fuel::unlimited()).unwrap().1.rewrites > 0).count();
    assert!(folded * 4 > modules.len(), "`fold-bn` rewrites only {folded} of {} programs", modules.len());
}

#[test]
fn without_non_finite_every_output_is_finite() {
    for module in core_modules(Features::default().without(Feature::NonFinite)) {
        assert!(
            outputs(&module, 2).iter().flat_map(Tensor::to_f64s).all(f64::is_finite),
            "{}",
            netc_ir::print(&module)
        );
    }
}

#[test]
fn each_feature_can_be_left_out() {
    let graph = |value| Fact { subject: "program", attribute: "graph", value };
    let value = |attribute, value| Fact { subject: "value", attribute, value };
    let cast = |value| Fact { subject: "cast", attribute: "to", value };
    let data = |value| Fact { subject: "weight", attribute: "data", value };
    let facts = [
        (Feature::Skips, graph("a value that is read far below")),
        (Feature::Nested, graph("a call")),
        (Feature::Shared, graph("a function that is called twice")),
        (Feature::ManyInputs, graph("several inputs")),
        (Feature::ManyOutputs, graph("several outputs")),
        (Feature::Dead, graph("a dead op")),
        (Feature::ZeroDims, value("extents", "0")),
        (Feature::Scalars, value("rank", "0")),
        (Feature::Booleans, cast("bool")),
        (Feature::Integers, cast("i32")),
        (Feature::Halves, cast("f16")),
        (Feature::Doubles, cast("f64")),
        (Feature::Abstract, data("file")),
    ];
    let all = Coverage::of(&core_modules(Features::ALL));
    for (feature, fact) in facts {
        let without = Coverage::of(&core_modules(Features::ALL.without(feature)));
        assert!(all.times(&fact) > 0, "{fact:?} never occurs");
        // Some occur even without the feature: sums over all axes are scalars, products of extents are expressions.
        assert!(without.times(&fact) * 2 < all.times(&fact), "{fact:?} occurs without {}", feature.name());
    }
}

#[test]
fn without_features_a_program_is_a_chain() {
    let modules = core_modules(Features::NONE);
    let coverage = Coverage::of(&modules);
    let graph = |value| coverage.times(&Fact { subject: "program", attribute: "graph", value });
    let absent = ["several inputs", "several outputs", "a value that is read far below", "a dead op", "a call"];
    assert_eq!(absent.map(graph), [0; 5], "{coverage}");
    assert_eq!(graph("a chain"), SEEDS);
    let params = modules.iter().filter_map(Module::main).flat_map(|f| f.params.iter().map(|p| &f[p.value].ty));
    let symbols: BTreeSet<String> = params.flat_map(|ty| ty.dims.iter().flatten()).map(Dim::to_string).collect();
    assert!(symbols.iter().all(|d| d == "N" || d.parse::<u64>().is_ok()), "{symbols:?}");
}

#[test]
fn some_parameters_have_extents_of_unbound_symbols() {
    let scaled = |func: &&Func| {
        let dims = || func.params.iter().flat_map(|p| func[p.value].ty.dims.iter().flatten());
        let bound: BTreeSet<&Name> = dims().filter_map(Dim::as_symbol).collect();
        dims().any(|dim| dim.symbols().iter().any(|symbol| !bound.contains(symbol)))
    };
    let modules = core_modules(Features::default());
    let mains = modules.iter().filter_map(Module::main).filter(scaled).count();
    let all = modules.iter().flat_map(|m| &m.funcs).filter(scaled).count();
    assert!(mains > 5 && all > mains + 5, "{all} functions, {mains} of them @main");
}

#[test]
fn recipes_of_extreme_numbers_build() {
    for byte in [0, 1, 127, 128, 254, 255] {
        let bytes = vec![byte; 400];
        let recipe = CoreRecipe::from_bytes(&bytes);
        for features in [Features::NONE, Features::EXECUTABLE, Features::ALL] {
            oracle::print_parse(&recipe.clone().with_features(features).build()).unwrap();
        }
    }
    oracle::print_parse(&CoreRecipe::from_bytes(&[]).build()).unwrap();
    let empty = CoreRecipe { features: Features::ALL, inputs: vec![], steps: vec![], outputs: vec![1] };
    oracle::print_parse(&empty.build()).unwrap();
}

#[test]
fn functions_that_double_their_calls_stay_small() {
    let step = |class, pick| Step { class, reads: [0; 3], knobs: [pick, 1, 0, 0] };
    let body = |class, pick| [step(CoreClass::Function, 0), step(class, pick), step(class, pick)];
    let calls = (0..30).flat_map(|last| body(CoreClass::Call, last));
    let steps = body(CoreClass::Unary, 0).into_iter().chain(calls).collect();
    let recipe = CoreRecipe { features: Features::default(), inputs: vec![0], steps, outputs: vec![0] };
    let module = recipe.build();
    assert!(module.funcs.len() > 20);
    let plan = Plan::new(&module, module.func_named(MAIN).unwrap(), &Store::open(&module).unwrap()).unwrap();
    assert!((50..2_000).contains(&plan.num_steps()), "{} steps", plan.num_steps());
}

#[test]
fn most_random_cuts_are_valid() {
    let split = |seed| {
        let module = CoreRecipe::from_seed(seed, 20).build();
        oracle::split_compose(&module, &Cuts::from_seed(seed).names(&module)).unwrap()
    };
    let stages: Vec<usize> =
        (0..SEEDS).filter_map(|seed| if let Split::Stages(n) = split(seed) { Some(n) } else { None }).collect();
    assert!(stages.len() as u64 > SEEDS / 2, "{} of {SEEDS}", stages.len());
    assert!(stages.contains(&4));
}

#[test]
fn oracles_can_fail() {
    let mut broken = CoreRecipe::from_seed(3, 8).build();
    let twice = broken.funcs[0].outputs[0].clone();
    broken.funcs[0].outputs.push(twice);
    assert!(oracle::print_parse(&broken).is_err());
}
