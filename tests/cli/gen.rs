//! Tests of `netc gen`: its output loads, is reproducible, and impossible requests are rejected.

use std::collections::BTreeMap;

use netc_ir::{Func, OpKind, ValueId, verify};

use crate::support::Folder;

fn ops(program: &str) -> usize {
    let module = netc_ir::parse(program).unwrap();
    verify(&module).unwrap();
    module.num_ops()
}

#[test]
fn programs_are_printed_and_reproducible() {
    let folder = Folder::new();
    let printed = folder.netc(&["gen", "--seed", "7", "--ops", "40"]).done();
    assert!((30..80).contains(&ops(&printed)), "{printed}");
    assert_eq!(folder.netc(&["gen", "--seed", "7", "--ops", "40"]).done(), printed);
    assert_ne!(folder.netc(&["gen", "--seed", "8", "--ops", "40"]).done(), printed);
    assert_eq!(folder.contents().len(), 0);
}

#[test]
fn numbers_out_of_range_name_the_option_and_its_range() {
    let folder = Folder::new();
    for (option, parts) in
        [("--ops", &["'-1' for '--ops <N>'", "0..=4294967295"][..]), ("--seed", &["'-1' for '--seed"])]
    {
        let ran = folder.netc(&["gen", option, "-1"]);
        assert!(ran.code == 2 && parts.iter().all(|part| ran.err.contains(part)), "{}", ran.err);
    }
}

#[test]
fn programs_are_written_and_run() {
    let folder = Folder::new();
    folder.netc(&["gen", "--seed", "3", "-o", "g.nir"]).done();
    folder.netc(&["gen", "--seed", "3", "-o", "again.nir"]).done();
    assert_eq!(folder.read("g.nir"), folder.read("again.nir"));
    assert_eq!(folder.read("g.nir"), folder.netc(&["gen", "--seed", "3"]).done().into_bytes());
    folder.netc(&["g.nir", "--pass", "dce", "--verify"]).done();
    folder.shell("\"$NETC\" gen --seed 3 | \"$NETC\" - --pass dce --verify").done();
}

#[test]
fn models_of_layers_are_written_and_load() {
    let folder = Folder::new();
    folder.netc(&["gen", "--seed", "5", "--ops", "8", "-o", "g.keras"]).done();
    folder.netc(&["gen", "--seed", "5", "--ops", "8", "-o", "again.keras"]).done();
    assert_eq!(folder.read("g.keras"), folder.read("again.keras"));
    assert!(folder.netc(&["inspect", "g.keras"]).done().contains(" params, "));
    let layers = folder.netc(&["gen", "--seed", "5", "--ops", "8", "--level", "layers"]).done();
    let module = netc_ir::parse(&layers).unwrap();
    assert!(module.funcs[0].ops().all(|(_, op)| matches!(op.kind, OpKind::Source(_))), "{layers}");
}

#[test]
fn programs_have_the_requested_features() {
    let folder = Folder::new();
    let made = |features| folder.netc(&["gen", "--ops", "60", "--features", features]).done();
    assert!(made("branches,shared,nested").contains("call @"));
    let chain = netc_ir::parse(&made("")).unwrap();
    assert_eq!((chain.funcs.len(), chain.funcs[0].params.len(), chain.funcs[0].outputs.len()), (1, 1, 1));
}

/// Maximum number of layer calls per step: a layer that needs numbers in a range may come with further layers.
const CALLS_OF_A_STEP: usize = 6;

/// The largest distance, in ops, between an op and the producer of one of its operands.
fn reach(func: &Func) -> usize {
    let place: BTreeMap<_, _> = func.op_ids().enumerate().map(|(i, op)| (op, i)).collect();
    let back = |(i, value): (usize, &ValueId)| func.producer(*value).map(|op| i - place[&op]);
    let reads = func.ops().enumerate().flat_map(|(i, (_, op))| op.operands.iter().map(move |v| (i, v)));
    reads.filter_map(back).max().unwrap_or(0)
}

#[test]
fn models_have_the_requested_features() {
    let folder = Folder::new();
    let made = |seed: u32, features: &str| {
        let seed = seed.to_string();
        let args = ["gen", "--seed", &seed, "--ops", "30", "--level", "layers", "--features", features];
        netc_ir::parse(&folder.netc(&args).done()).unwrap()
    };
    let all = "branches,skips,nested,shared,many-inputs,many-outputs,integers";
    for seed in 0..20 {
        let chain = made(seed, "");
        let main = &chain.funcs[0];
        assert_eq!((chain.funcs.len(), main.params.len(), main.outputs.len()), (1, 1, 1));
        assert_eq!(main.layers().len(), chain.layers.len(), "{}", netc_ir::print(&chain));
        assert!(reach(main) <= CALLS_OF_A_STEP, "{}", netc_ir::print(&chain));
    }
    assert!((0..40).any(|seed| reach(made(seed, all).main().unwrap()) > CALLS_OF_A_STEP));
    let differs = |without: &str| {
        let rest: Vec<&str> = all.split(',').filter(|f| *f != without).collect();
        (0..20).any(|seed| made(seed, all) != made(seed, &rest.join(",")))
    };
    for feature in all.split(',') {
        assert!(differs(feature), "{feature}");
    }
}

#[test]
fn custom_layers_are_generated_on_request() {
    let folder = Folder::new();
    let custom = |seed: u32, features: &[&str]| {
        let seed = seed.to_string();
        let args = [&["gen", "--seed", &seed, "--ops", "30", "--level", "layers"], features].concat();
        let module = netc_ir::parse(&folder.netc(&args).done()).unwrap();
        module.layers.iter().any(|layer| layer.class.starts_with("custom."))
    };
    assert!((0..40).all(|seed| !custom(seed, &[])));
    assert!((0..40).any(|seed| custom(seed, &["--features", "branches,custom"])));
    folder.netc(&["gen", "--features", "custom"]).failed(2, &["core ops have no `custom` layers", "--level layers"]);
}

#[test]
fn help_lists_features_and_examples() {
    let help = Folder::new().netc(&["gen", "--help"]).done();
    for part in ["netc gen --seed 7 --ops 40", "many-outputs", "Extents of 0."] {
        assert!(help.contains(part), "{help}");
    }
}

#[test]
fn impossible_requests_are_rejected() {
    let folder = Folder::new();
    let features = ["gen", "--features", "branches,shred"];
    folder.netc(&features).failed(2, &["unknown feature `shred`", "did you mean `shared`?"]);
    let of_core_ops = ["gen", "--features", "branches,zero-dims", "-o", "g.keras"];
    folder.netc(&of_core_ops).failed(2, &["models of layers do not have the feature `zero-dims`", "many-inputs"]);
    folder.netc(&["gen", "-o", "g.onnx"]).failed(2, &["cannot write `g.onnx`: expected x.keras, x.h5 or x.nir"]);
    folder.netc(&["gen", "--level", "core", "-o", "g.keras"]).failed(2, &["holds layers", "`g.keras`"]);
    folder.netc(&["gen", "-o", "no/g.nir"]).failed(1, &["cannot write `no/g.nir`"]);
    assert_eq!(folder.contents().len(), 0);
}
