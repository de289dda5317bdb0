//! Tests of training state: the compile configuration and the optimizer's state of a model.

use serde_json::Value;

use crate::support::Folder;

/// A model whose optimizer has the variables 2 and 10, which sort differently as text.
const COMPILED: &str = r#"netc 1
weight w0 "dense/vars/0" : f32[2,1] = [0.5, -1.0]
weight w1 "optimizer/vars/2" : i32[] = 7
weight w2 "optimizer/vars/10" : f32[2,1] = [0.25, 3.0]
layer l0 "x" : keras.InputLayer {module = "keras.layers", class_name = "InputLayer", config = {batch_shape = [null, 2], dtype = "float32", sparse = false, ragged = false, name = "x"}, registered_name = null, name = "x"}
layer l1 "dense" : keras.Dense {module = "keras.layers", class_name = "Dense", config = {name = "dense", units = 1, activation = "linear", use_bias = false}, registered_name = null, build_config = {input_shape = [null, 2]}, name = "dense"} weights {vars/0 = w0}
layer l2 "sgd" : netc.Compiled {KEY = {optimizer = {class_name = "SGD", config = {name = "sgd"}}, optimizer_config = {class_name = "SGD", config = {name = "sgd"}}, loss = "mse"}} weights {vars/2 = w1, vars/10 = w2}

func @main(%x: f32[N,2] l0) -> (%dense) attrs {class = "Functional", name = "model", inputs = $0, outputs = $0} {
  %dense = keras.Dense l1(%x) {args = [$0], kwargs = {}} : f32[N,1] loc("dense")
}
"#;

/// The declaration of the training state in the program that a command prints.
fn declared(folder: &Folder, args: &[&str]) -> Option<String> {
    let program = folder.netc(&[args, &["--emit", "ir"]].concat()).done();
    program.lines().find(|line| line.contains("netc.Compiled")).map(str::to_string)
}

const NOTE: &str = "the compile configuration and the optimizer's state are left out";

#[test]
fn training_state_is_copied_but_dropped_by_passes() {
    for (key, file, other) in [("compile_config", "m.keras", "m.h5"), ("training_config", "m.h5", "m.keras")] {
        let folder = Folder::new().with("m.nir", COMPILED.replace("KEY", key));
        folder.netc(&["m.nir", "-o", file]).done();
        let from = COMPILED.replace("KEY", key);
        let from = from.lines().find(|line| line.contains("netc.Compiled")).unwrap();
        assert_eq!(declared(&folder, &[file]).unwrap(), from);
        for options in [&["--no-optimizer"][..], &["--pass", "dce"], &["--weights", file]] {
            let given = [&[file], options].concat();
            assert_eq!(declared(&folder, &given), None, "{options:?}");
            assert!(folder.netc(&given).done().contains(NOTE), "{options:?}");
        }
        for options in [&["--no-optimizer"][..], &["--pass", "dce"]] {
            let given = [&["m.nir"], options].concat();
            assert_eq!(declared(&folder, &given), None, "{options:?}");
            assert!(folder.netc(&given).done().contains(NOTE), "{options:?}");
        }
        for args in [&["-o", other][..], &["--format", "tfjs", "-o", "js"]] {
            let report = folder.netc(&[&[file, "--emit", "json"], args].concat()).done();
            let notes = serde_json::from_str::<Value>(&report).unwrap()["notes"].to_string();
            assert!(notes.contains(NOTE), "{args:?}: {notes}");
        }
        assert_eq!(declared(&folder, &[other]), None);
    }
}

#[test]
fn an_architecture_keeps_its_compile_configuration() {
    let folder = Folder::new().with("m.nir", COMPILED.replace("KEY", "compile_config"));
    folder.netc(&["m.nir", "-o", "m.json"]).done();
    let kept = declared(&folder, &["m.json"]).unwrap();
    assert!(kept.contains("loss = \"mse\"") && !kept.contains("weights"), "{kept}");
    folder.netc(&["m.json", "-o", "again.json"]).done();
    assert_eq!(folder.read("again.json"), folder.read("m.json"));
    folder.netc(&["m.nir", "-o", "m.keras"]).done();
    let report = folder.netc(&["m.json", "--weights", "m.keras", "-o", "whole.keras"]).done();
    assert!(report.contains(NOTE), "{report}");
}

#[test]
fn a_program_without_training_state_does_not_refer_to_its_file() {
    let compiled = COMPILED.replace("KEY", "compile_config");
    let apart = compiled
        .replace("netc 1\n", "netc 1\nfile file0 = \"gone.bin\"\n")
        .replace(": i32[] = 7", ": i32[] = bytes(file0, 0, 4)");
    let folder = Folder::new().with("m.nir", apart);
    folder.netc(&["m.nir", "--no-optimizer", "-o", "m.keras"]).done();
    folder.refuses(&["m.nir", "-o", "other.keras"], &["gone.bin"]);
}

#[test]
fn weights_below_a_weight_are_rejected() {
    let compiled = COMPILED.replace("KEY", "compile_config").replace("vars/10 = w2", "vars/2/a = w2");
    let folder = Folder::new().with("m.nir", compiled);
    folder.refuses(
        &["m.nir", "-o", "m.keras"],
        &["optimizer/vars/2", "is used for both a weight and a group of weights"],
    );
}
