//! Tests that a model file cannot make netc read files outside of its folder, block, or send escape codes to the
//! terminal.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::support::Folder;

/// A program that outputs the first 32 bytes of a file.
fn reads(file: &str) -> String {
    format!(
        "netc 1
file file0 = \"{file}\"
weight w0 \"v\" : u8[32] = bytes(file0, 0, 32)
func @main() -> (%y) {{
  %y = weight w0() : u8[32]
}}
"
    )
}

/// A temporary folder with the folder `in` for models, and weight files inside and outside of it.
fn folder() -> Folder {
    let folder = Folder::new();
    fs::create_dir(folder.path("in")).unwrap();
    fs::create_dir(folder.path("out")).unwrap();
    folder.with("in/own.bin", [1; 32]).with("out/other.bin", [2; 32])
}

#[test]
fn a_program_reads_only_files_below_its_folder() {
    let folder = folder();
    symlink(folder.path("out/other.bin"), folder.path("in/link.bin")).unwrap();
    let outside = folder.path("out/other.bin").to_string_lossy().into_owned();
    for file in ["../out/other.bin", "link.bin", "./../in/../out/other.bin", &outside] {
        folder.write("in/m.nir", reads(file));
        for args in [&["run", "in/m.nir", "-o", "y.npy"][..], &["in/m.nir", "-o", "copy.nir"], &["inspect", "in/m.nir"]]
        {
            folder.refuses(args, &["in/m.nir", "other.bin` is outside of the model's folder", "--allow-path"]);
        }
    }
    folder.write("in/m.nir", reads("own.bin"));
    folder.netc(&["run", "in/m.nir", "-o", "y.npy"]);
    assert!(folder.read("y.npy").ends_with(&[1; 32]));
}

#[test]
fn allow_path_allows_another_folder() {
    let folder = folder().with("in/m.nir", reads("../out/other.bin"));
    let ran = folder.netc(&["run", "in/m.nir", "--allow-path", "out", "-o", "y.npy"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(folder.read("y.npy").ends_with(&[2; 32]));
    folder.netc(&["diff", "in/m.nir", "in/m.nir", "--allow-path", "out"]).done();
    let line = "cd in && \"$NETC\" inspect - < m.nir";
    folder.shell(line).failed(1, &["standard input", "outside of the model's folder"]);
    folder.write("in/m.nir", reads("../in/own.bin"));
    folder.shell(line).done();
    folder.write("beside.bin", [3; 32]);
    folder.write("in/m.nir", reads("../beside.bin"));
    folder.shell(line).failed(1, &["standard input", "outside of the model's folder"]);
}

#[test]
fn links_out_of_the_folder_are_rejected() {
    let folder = Folder::with_tiny();
    folder.netc(&["tiny.keras", "--pass", "split=conv", "-o", "s"]).done();
    folder.netc(&["tiny.keras", "--format", "tfjs", "-o", "js"]);
    fs::create_dir(folder.path("other")).unwrap();
    for (model, file) in [("s/manifest.json", "tiny.stage0.keras"), ("js/model.json", "group1-shard1of1.bin")] {
        let place = folder.path(model).with_file_name(file);
        assert!(place.exists(), "{file}");
        fs::rename(&place, folder.path("other").join(file)).unwrap();
        symlink(folder.path("other").join(file), &place).unwrap();
        folder.refuses(&["inspect", model], &["outside of the model's folder"]);
        folder.netc(&["inspect", model, "--allow-path", "other"]).done();
    }
}

#[test]
fn pipes_and_devices_are_not_opened() {
    let folder = folder();
    folder.shell("mkfifo in/pipe").done();
    for (file, found) in [("pipe", "a pipe or a device"), (".", "a folder")] {
        folder.write("in/m.nir", reads(file));
        folder.netc(&["run", "in/m.nir"]).failed(1, &["in/m.nir", found]);
    }
    folder.write("in/m.nir", reads("/dev/zero"));
    folder
        .netc(&["run", "in/m.nir", "--allow-path", "/dev"])
        .failed(1, &["`/dev/zero` is a pipe or a device, not a file"]);
}

#[test]
fn names_cannot_send_escape_codes() {
    let name = r"\u{1b}]0;title\u{7}\u{9b}2J\u{202e}";
    let program = format!(
        "netc 1
layer l0 \"{name}\" : keras.ReLU {{config = {{max_value = null, negative_slope = 0.0, threshold = 0.0}}}}
func @main(%x: f32[N,2]) -> (%y \"{name}\") {{
  %y = keras.ReLU l0(%x) {{args = [$0], kwargs = {{}}}} : f32[N,2] loc(\"{name}\")
}}
"
    );
    let folder = Folder::new().with("m.nir", program);
    let commands = [
        &["inspect", "m.nir"][..],
        &["m.nir"],
        &["run", "m.nir"],
        &["cuts", "m.nir"],
        &["m.nir", "--pass", "split=nope"],
    ];
    for args in commands.into_iter().chain([&["m.nir", "--emit", "json"][..], &["m.nir", "--emit", "ir"]]) {
        let ran = folder.netc(args);
        assert!(!ran.err.contains("cannot parse"), "{}", ran.err);
        let text = ran.out + &ran.err;
        let steers = |c: &char| matches!(c, '\u{0}'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{202e}');
        assert_eq!(text.chars().find(steers), None, "{args:?}: {text}");
    }
}

/// A model with `n` unsupported layers and the sum of result number `result` of each.
fn many_results(n: usize, result: usize) -> String {
    let tensor = |layer: &str, i: usize| {
        let config = json!({"shape": [null, 4], "dtype": "float32", "keras_history": [layer, 0, i]});
        json!({"class_name": "__keras_tensor__", "config": config})
    };
    let layer = |module: &str, class: &str, name: &str, config: Value, read: &[Value]| {
        let calls = if read.is_empty() { json!([]) } else { json!([{"args": read, "kwargs": {}}]) };
        json!({"module": module, "class_name": class, "name": name, "config": config, "inbound_nodes": calls})
    };
    let input = json!({"name": "x", "batch_shape": [null, 4], "dtype": "float32"});
    let mut layers = vec![layer("keras.layers", "InputLayer", "x", input, &[])];
    let names: Vec<String> = (0..n).map(|i| format!("l{i}")).collect();
    for name in &names {
        layers.push(layer("mine", "Many", name, json!({"name": name}), &[tensor("x", 0)]));
    }
    let results: Vec<Value> = names.iter().map(|name| tensor(name, result)).collect();
    layers.push(layer("keras.layers", "Add", "sum", json!({"name": "sum"}), &[Value::Array(results)]));
    let graph = json!({"name": "m", "layers": layers, "input_layers": ["x", 0, 0], "output_layers": ["sum", 0, 0]});
    json!({"module": "keras", "class_name": "Functional", "config": graph}).to_string()
}

#[test]
fn the_number_of_unread_results_is_limited() {
    let folder = Folder::new().with("few.json", many_results(100, 1_000)).with("many.json", many_results(200, 1_000));
    assert_eq!(folder.netc(&["inspect", "few.json"]).code, 0);
    folder.refuses(&["inspect", "many.json"], &["more than 131072 results are never used"]);
}
