//! Tests of splitting models into files, and of manifests as inputs.

use netc_ir::{Attr, Attrs};
use netc_keras::build::{Dense, ModelBuilder};
use serde_json::{Value, json};

use crate::support::{Folder, keras_file, tiny};

#[test]
fn without_an_output_only_a_report_is_printed() {
    let folder = Folder::with_tiny();
    let out = folder.netc(&["tiny.keras", "--pass", "split=sum", "--verify=2", "--seed", "5"]).done();
    insta::assert_snapshot!(out, @"
    model     tiny (Functional), 8 layers, 326 params, 16.2 kMAC
    pass      split=sum
              split: boundary `sum`: 1 tensor crosses: %sum

    stage   layers  params    MACs
    stage0       6     276  16.1 k
    stage1       3      50      40

    tensor  type          per example  from    to
    image   f32[N,8,8,3]        768 B  input   stage0
    sum     f32[N,8,8,4]     1.00 KiB  stage0  stage1
    logits  f32[N,10]            40 B  stage1  output

    verify    outputs are equal bit for bit on 2 random inputs (batch 1, seed 5)
    wrote     nothing; add `-o out/` to write the stages
    ");
    assert_eq!(folder.names(), ["tiny.keras"]);
}

#[test]
fn the_default_model_is_inception_with_a_note() {
    let folder = Folder::new();
    let ran = folder.netc(&["--pass", "split=mixed9"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(ran.err, "note: no INPUT is given: using zoo:inception_v3 with random weights\n");
    assert!(
        ran.out.starts_with("model     inception_v3 (Functional), 313 layers, 23.9 M params, 5.71 GMAC\n"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("boundary `mixed9`: 1 tensor crosses: %mixed9\n"), "{}", ran.out);
    assert!(ran.out.contains("\nstage0 ") && ran.out.contains("\nstage1 "), "{}", ran.out);
    assert!(folder.names().is_empty());
}

/// A split of `tiny` with its manifest.
fn split_tiny() -> Folder {
    let folder = Folder::with_tiny();
    folder.netc(&["tiny.keras", "--pass", "split=relu,pool", "--verify", "-o", "out"]).done();
    folder
}

#[test]
fn a_folder_gets_the_stages_and_the_manifest() {
    let folder = split_tiny();
    let files = [
        "out",
        "out/manifest.json",
        "out/tiny.stage0.keras",
        "out/tiny.stage1.keras",
        "out/tiny.stage2.keras",
        "tiny.keras",
    ];
    assert_eq!(folder.names(), files);
    assert_eq!(folder.read("tiny.keras"), tiny(), "the input is unchanged");

    let manifest = folder.json("out/manifest.json");
    let image = json!({"name": "image", "shape": [null, 8, 8, 3], "dtype": "float32", "bytes_per_example": 768});
    let with = |port: &Value, key: &str, value: Value| {
        let mut port = port.clone();
        port[key] = value;
        port
    };
    assert_eq!(manifest["inputs"], json!([with(&image, "readers", json!([{"stage": 0, "input": 0}]))]));
    let logits = json!({"name": "logits", "shape": [null, 10], "dtype": "float32", "bytes_per_example": 40});
    assert_eq!(manifest["outputs"], json!([with(&logits, "source", json!({"stage": 2, "output": 0}))]));
    assert_eq!(manifest["model"], "tiny");
    assert_eq!(manifest["passes"], json!(["split=[relu,pool]"]), "the passes that made the stages");

    let stages = manifest["stages"].as_array().unwrap();
    assert_eq!(stages.len(), 3);
    assert_eq!(stages[0]["inputs"], json!([with(&image, "source", json!({"model_input": "image"}))]));
    let relu = json!({"name": "relu", "shape": [null, 8, 8, 4], "dtype": "float32", "bytes_per_example": 1024});
    assert_eq!(stages[0]["outputs"], json!([relu]));
    assert_eq!(stages[1]["inputs"], json!([with(&relu, "source", json!({"stage": 0, "output": 0}))]));
    assert_eq!(stages[2]["outputs"], json!([logits]));
    let counts = |key: &str| stages.iter().map(|s| s[key].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!(counts("layers"), [4, 4, 2], "each stage counts its own input layers");
    assert_eq!(counts("parameters"), [128, 148, 50]);
    assert_eq!(counts("multiply_accumulates"), [6912, 9216, 40]);
    let file = |s: &Value| s["file"].as_str().unwrap().to_string();
    assert_eq!(
        stages.iter().map(file).collect::<Vec<_>>(),
        ["tiny.stage0.keras", "tiny.stage1.keras", "tiny.stage2.keras"]
    );

    let verification = &manifest["verification"];
    assert_eq!((&verification["bit_equal"], &verification["inputs"]), (&json!(true), &json!(1)));
    assert_eq!(verification["largest_absolute_difference"].as_f64(), Some(0.0));
}

#[test]
fn a_manifest_is_accepted_where_a_model_is() {
    let folder = split_tiny();
    let out = folder.netc(&["diff", "tiny.keras", "out/manifest.json", "-n", "2"]).done();
    assert!(out.contains("outputs are equal bit for bit"), "{out}");
    let run = |model: &str, output: &str| folder.netc(&["run", model, "--input", "x.npy", "-o", output]).done();
    let x = netc_exec::Tensor::from_f32(&[2, 8, 8, 3], &vec![0.25; 2 * 8 * 8 * 3]).unwrap();
    netc_exec::npy::write(&folder.path("x.npy"), &x).unwrap();
    run("tiny.keras", "whole.npz");
    run("out/manifest.json", "chain.npz");
    assert_eq!(folder.read("whole.npz"), folder.read("chain.npz"));
}

#[test]
fn queries_answer_the_same_for_a_manifest_and_the_whole() {
    let folder = split_tiny();
    let same = |command: &str, options: &[&str]| {
        let ask = |model| folder.netc(&[&[command, model], options].concat()).done();
        let answer = ask("tiny.keras");
        assert_eq!(ask("out/manifest.json"), answer, "{command}");
        answer
    };
    same("inspect", &[]);
    same("inspect", &["--json"]);
    same("cuts", &[]);
    assert_eq!(same("layers", &["--above", "sum"]), "sum\npool\nlogits\n");
    let merge = "netc merge out/manifest.json -o x.keras";
    folder.netc(&["out/manifest.json", "-o", "x.keras"]).failed(2, &[merge]);
    folder.refuses(&["out/manifest.json", "--pass", "split=sum"], &["netc merge manifest.json -o FILE"]);
}

#[test]
fn operations_are_listed_among_layers() {
    let mut m = ModelBuilder::new("m", 0);
    let x = m.input(&[4]);
    let doubled =
        m.named("doubled").op("numpy", "Multiply", Attrs::new(), vec![Attr::from(2.0), Attr::Operand(0)], &[x]);
    let y = m.named("top").dense(doubled, Dense::default());
    let folder = Folder::new().with("m.keras", keras_file(&m.finish(&[("top", y)]).unwrap()));
    assert_eq!(folder.netc(&["layers", "m.keras", "--above", "doubled"]).done(), "doubled\ntop\n");
    let json = folder.netc(&["layers", "m.keras", "--above", "top", "--json"]).done();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json, json!([{"name": "top", "class": "Dense"}]));
}

#[test]
fn stages_need_a_folder() {
    let folder = Folder::with_tiny();
    for name in ["foo.json", "foo.onnx", "foo.npz"] {
        folder.netc(&["tiny.keras", "--pass", "split=sum", "-o", name]).failed(2, &[name, "need a folder"]);
    }
    for name in ["foo.keras", "foo.h5", "foo.hdf5"] {
        folder.netc(&["tiny.keras", "--pass", "split=sum", "-o", name]).failed(2, &[name, "give a folder instead"]);
    }
    assert_eq!(folder.names(), ["tiny.keras"]);
}

#[test]
fn stages_are_written_in_the_requested_format() {
    let folder = Folder::with_tiny();
    folder.netc(&["tiny.keras", "--pass", "split=sum", "-o", "out", "--format", "h5"]).done();
    let stages = ["out/tiny.stage0.h5", "out/tiny.stage1.h5"];
    assert!(stages.iter().all(|stage| folder.read(stage).starts_with(b"\x89HDF")));
    folder.netc(&["diff", "tiny.keras", "out/manifest.json"]).done();
    folder.netc(&["merge", "out/manifest.json", "-o", "merged.h5"]).done();
    folder.netc(&["tiny.keras", "-o", "whole.h5"]).done();
    assert_eq!(folder.read("merged.h5"), folder.read("whole.h5"));
    let again = folder.netc(&["tiny.keras", "--pass", "split=sum", "-o", "out"]).done();
    assert!(
        again.contains("note      removed tiny.stage0.h5, tiny.stage1.h5 of an earlier split from `out`"),
        "{again}"
    );
    folder.netc(&["tiny.keras", "-o", "x.keras", "--format", "h5"]).failed(2, &["`--format`", "`x.keras`"]);
}

#[test]
fn a_stage_is_a_model_and_can_be_split_again() {
    let folder = split_tiny();
    folder.netc(&["out/tiny.stage1.keras", "--pass", "split=branch", "--verify", "-o", "again"]).done();
    let manifest = folder.json("again/manifest.json");
    assert_eq!(manifest["inputs"][0]["name"], "relu");
    assert_eq!(manifest["stages"].as_array().unwrap().len(), 2);
    folder.refuses(
        &["out/tiny.stage1.keras", "--pass", "split=branch", "-o", "out/"],
        &["`out/tiny.stage1.keras` is a stage of the chain in `out/manifest.json`", "choose another folder"],
    );
}

#[test]
fn two_runs_give_the_same_bytes() {
    let run = || {
        let folder = Folder::with_tiny();
        let out = folder.netc(&["tiny.keras", "--pass", "split=sum", "--verify", "-o", "out", "--emit", "json"]).done();
        folder.netc(&["zoo:siamese", "-o", "siamese.keras"]).done();
        folder.netc(&["zoo:siamese", "-o", "siamese.nir"]).done();
        (out, folder.contents())
    };
    assert_eq!(run(), run());
}

#[test]
fn programs_go_in_and_out_as_text() {
    let folder = Folder::with_tiny();
    folder.netc(&["tiny.keras", "-o", "tiny.nir"]).done();
    folder.netc(&["tiny.nir", "-o", "again.nir"]).done();
    assert_eq!(folder.read("tiny.nir"), folder.read("again.nir"));
    // Weights stay in the model file; its path is relative to the folder of the program.
    std::fs::create_dir(folder.path("sub")).unwrap();
    folder.netc(&["tiny.nir", "--pass", "split=sum", "--pass", "lower", "-o", "sub/split.nir"]).done();
    assert!(String::from_utf8(folder.read("sub/split.nir")).unwrap().contains("\"../tiny.keras\""));
    folder.netc(&["diff", "tiny.keras", "sub/split.nir", "--allow-path", "."]).done();
    let piped =
        folder.netc_reading(&String::from_utf8(folder.read("tiny.nir")).unwrap(), &["-", "--emit", "ir"]).done();
    assert_eq!(piped.as_bytes(), folder.read("tiny.nir"));
    // The program is still a Keras model.
    folder.netc(&["tiny.nir", "-o", "back.keras"]).done();
    assert_eq!(folder.read("back.keras"), folder.read("tiny.keras"));
}

#[test]
fn emitted_json_is_the_manifest() {
    let folder = Folder::with_tiny();
    let out = folder.netc(&["tiny.keras", "--pass", "split=sum", "-o", "out", "--emit", "json"]).done();
    let mut json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["passes"], json!(["split=sum"]));
    assert_eq!(json["written"], json!(["out/tiny.stage0.keras", "out/tiny.stage1.keras", "out/manifest.json"]));
    assert!(json["remarks"][0].as_str().unwrap().contains("boundary `sum`: 1 tensor crosses"));
    for key in ["notes", "remarks", "written"] {
        json.as_object_mut().unwrap().remove(key);
    }
    assert_eq!(json, folder.json("out/manifest.json"));
    let whole: Value = serde_json::from_str(&folder.netc(&["tiny.keras", "--emit", "json"]).done()).unwrap();
    assert_eq!((&whole["layers"], &whole["parameters"]), (&json!(8), &json!(326)));
}

/// TensorFlow.js reads a folder, so each stage is a folder.
#[test]
fn stages_are_written_for_tensorflow_js() {
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tfjs/branches/model.json");
    let folder = Folder::new();
    let out = folder.netc(&[model, "--pass", "split=bn", "--format", "tfjs", "-o", "out", "--verify"]).done();
    assert!(out.contains("  model.stage0/model.json\n"), "{out}");
    let names = ["model.stage0/group1-shard1of1.bin", "model.stage0/model.json", "model.stage1/model.json"];
    assert!(names.iter().all(|name| folder.path("out").join(name).exists()), "{:?}", folder.names());
    folder.netc(&["merge", "out/manifest.json", "--format", "tfjs", "-o", "merged"]).done();
    folder.netc(&[model, "--format", "tfjs", "-o", "js/whole"]).done();
    for name in ["model.json", "group1-shard1of1.bin"] {
        assert_eq!(folder.read(&format!("merged/{name}")), folder.read(&format!("js/whole/{name}")), "{name}");
    }
    assert!(folder.netc(&["diff", "js/whole/model.json", "out/manifest.json"]).done().contains("equal bit for bit"));
    let refuses = |args: &[&str], code: i32, parts: &[&str]| {
        let before = folder.contents();
        folder.netc(args).failed(code, parts);
        assert_eq!(before, folder.contents());
    };
    let whole = "js/whole/model.json";
    refuses(&[whole, "--format", "tfjs", "-o", "js/whole"], 1, &["never overwrites an input"]);
    refuses(&[whole, "--format", "tfjs", "-o", "x.json"], 2, &["`x.json` is the name of a file", "give a folder"]);
    let own = format!("{}/layers/scale.nir", concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let custom = ["zoo:resnet152_scale", "--layers", &own, "--format", "tfjs", "-o", "fresh/js"];
    refuses(&custom, 1, &["TensorFlow.js finds weights by their names"]);
}

/// TensorFlow.js expects layers as Keras 2 declares them.
#[test]
fn keras_3_models_are_converted_for_tensorflow_js() {
    let folder = Folder::new();
    folder.netc(&["zoo:tiny", "-o", "tiny.keras"]).done();
    for args in [&["-o", "js"][..], &["--pass", "split=sum", "-o", "out", "--verify"]] {
        let ran = folder.netc(&[&["tiny.keras", "--format", "tfjs"], args].concat());
        assert_eq!(ran.code, 0, "{}", ran.out);
        assert!(ran.out.contains("to Keras 2.15.0"), "{}", ran.err);
    }
    for other in ["js/model.json", "out/manifest.json"] {
        assert!(folder.netc(&["diff", "tiny.keras", other]).done().contains("equal bit for bit"), "{other}");
    }
    let text = String::from_utf8(folder.read("js/model.json")).unwrap();
    let only_in_3 = ["\"module\"", "registered_name", "batch_shape", "DTypePolicy"];
    assert!(only_in_3.iter().all(|word| !text.contains(word)), "{text}");
}
