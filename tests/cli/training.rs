//! The compile configuration and the optimizer's state of a model.

use crate::support::Folder;

/// A model whose optimizer has two variables, of which the second is the tenth of its group.
const COMPILED: &str = r#"netc 1
weight w0 "dense/vars/0" : f32[2,1] = [0.5, -1.0]
weight w1 "optimizer/vars/2" : i32[] = 7
weight w2 "optimizer/vars/10" : f32[2,1] = [0.25, 3.0]
layer l0 "x" : keras.InputLayer {module = "keras.layers", class_name = "InputLayer", config = {batch_shape = [null, 2], dtype = "float32", sparse = false, ragged = false, name = "x"}, registered_name = null, name = "x"}
layer l1 "dense" : keras.Dense {module = "keras.layers", class_name = "Dense", config = {name = "dense", units = 1, activation = "linear", use_bias = false}, registered_name = null, build_config = {input_shape = [null, 2]}, name = "dense"} weights {vars/0 = w0}
layer l2 "sgd" : keras.Optimizer {KEY = {optimizer = {class_name = "SGD", config = {name = "sgd"}}, optimizer_config = {class_name = "SGD", config = {name = "sgd"}}, loss = "mse"}} weights {vars/2 = w1, vars/10 = w2}

func @main(%x: f32[N,2] l0) -> (%dense) attrs {class = "Functional", name = "model", inputs = $0, outputs = $0} {
  %dense = keras.Dense l1(%x) {args = [$0], kwargs = {}} : f32[N,1] loc("dense")
}
"#;

/// The declaration in the program that a command prints.
fn declared(folder: &Folder, args: &[&str]) -> Option<String> {
    let program = folder.netc(&[args, &["--emit", "ir"]].concat()).done();
    program.lines().find(|line| line.contains("keras.Optimizer")).map(str::to_string)
}

#[test]
fn what_a_file_is_read_with_is_written_and_nothing_of_it_by_passes() {
    for (key, file, others) in
        [("compile_config", "m.keras", ["m.h5", "m.json"]), ("training_config", "m.h5", ["m.keras", "m.json"])]
    {
        let folder = Folder::new().with("m.nir", COMPILED.replace("KEY", key));
        folder.netc(&["m.nir", "-o", file]).done();
        let written = declared(&folder, &[file]).unwrap();
        let from = COMPILED.replace("KEY", key);
        let from = from.lines().find(|line| line.contains("keras.Optimizer")).unwrap();
        assert_eq!(written, from);
        for options in [&["--no-optimizer"][..], &["--pass", "dce"], &["--weights", file]] {
            assert_eq!(declared(&folder, &[&[file], options].concat()), None, "{options:?}");
        }
        assert_eq!(declared(&folder, &["m.nir", "--pass", "dce"]), None);
        for other in others {
            let ran = folder.netc(&[file, "-o", other]);
            // An architecture has no state anyway.
            let note = "note: the compile configuration and the optimizer's state are left out\n";
            assert_eq!((ran.code, &*ran.err), (0, if other == "m.json" { "" } else { note }), "{ran:?}");
            assert_eq!(declared(&folder, &[other]), None);
        }
    }
}
