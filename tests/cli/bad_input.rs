//! Tests of bad input: exit code 1, an error that names the file and the place, and nothing left behind.

use netc_ir::{ElemType, Layer, Literal, Module, Type, WeightData};
use serde_json::{Value, json};

use crate::support::{Folder, keras_file, tiny, tiny_module, zip};

/// Checks that splitting `name` fails with an error that names the file and contains each of `parts`.
#[track_caller]
fn check(folder: &Folder, name: &str, parts: &[&str]) {
    folder.refuses(&[name, "--pass", "split=sum", "-o", "out"], &[parts, &[name]].concat());
}

#[test]
fn files_that_are_not_models() {
    let folder = Folder::new()
        .with("empty.keras", b"")
        .with("text.keras", b"hello")
        .with("old.h5", b"\x89HDF\r\n\x1a\n and more");
    std::fs::create_dir(folder.path("folder.keras")).unwrap();
    check(&folder, "missing.keras", &["No such file"]);
    check(&folder, "folder.keras", &["directory"]);
    check(&folder, "empty.keras", &["empty"]);
    check(&folder, "text.keras", &["the format is unknown; netc reads"]);
    check(&folder, "old.h5", &["HDF5", "superblock"]);
}

#[test]
fn misspelt_arguments_get_suggestions() {
    let folder = Folder::with_tiny();
    folder.refuses(&["resnet50"], &["Did you mean `zoo:resnet50`?"]);
    folder.refuses(&["cutz"], &["no such file. Did you mean `cuts`?"]);
    let ran = folder.netc(&["split", "tiny.keras"]);
    assert!(ran.code == 2 && ran.err.contains("use `netc tiny.keras --pass split`"), "{}", ran.err);
    let ran = folder.netc(&["cutz", "tiny.keras"]);
    let meant = "error: there is no subcommand `cutz`; did you mean `cuts`?\n";
    assert!(ran.code == 2 && ran.err.starts_with(meant), "{}", ran.err);
    folder.refuses(&["layers", "tiny.keras", "--above", "image"], &["`image` is an input of the model; name a layer"]);
    for (args, stray) in [
        (["a.keras", "b.keras"].as_slice(), "b.keras"),
        (&["a.keras", "--verify", "3"], "3"),
        (&["--pass", "dce", "a.keras", "b.keras"], "b.keras"),
    ] {
        let ran = folder.netc(args);
        assert!(ran.code == 2 && ran.err.contains(&format!("unexpected argument `{stray}`")), "{}", ran.err);
    }
}

#[test]
fn archives_with_missing_or_bad_members() {
    let h5 = member(&tiny(), "model.weights.h5");
    let config = member(&tiny(), "config.json");
    let folder = Folder::new()
        .with("no_config.keras", zip(&[("metadata.json", b"{}"), ("model.weights.h5", &h5)]))
        .with("no_weights.keras", zip(&[("metadata.json", b"{}"), ("config.json", &config)]))
        .with("bad_weights.keras", zip(&[("config.json", &config), ("model.weights.h5", b"not HDF5")]))
        .with("nothing.keras", zip(&[]))
        .with("fine.keras", zip(&[("config.json", &config), ("model.weights.h5", &h5)]));
    check(&folder, "no_config.keras", &["config.json"]);
    check(&folder, "no_weights.keras", &["model.weights.h5"]);
    check(&folder, "bad_weights.keras", &["model.weights.h5"]);
    check(&folder, "nothing.keras", &["config.json"]);
    folder.netc(&["diff", "fine.keras", "zoo:tiny"]).done();
}

#[test]
fn json_that_is_not_a_model() {
    let h5 = member(&tiny(), "model.weights.h5");
    let model = |config: &str| zip(&[("config.json", config.as_bytes()), ("model.weights.h5", &h5)]);
    let subclassed =
        r#"{"module": null, "class_name": "MyModel", "config": {"name": "m"}, "registered_name": "Custom>MyModel"}"#;
    let folder = Folder::new()
        .with("truncated.keras", model("{\"class_name\": "))
        .with("list.keras", model("[1, 2]"))
        .with("object.keras", model("{\"a\": 1}"))
        .with("deep.keras", model(&"[".repeat(100_000)))
        .with("subclassed.keras", model(subclassed));
    check(&folder, "truncated.keras", &["config.json", "not JSON"]);
    check(&folder, "list.keras", &["config.json", "expected a model"]);
    check(&folder, "object.keras", &["config.json", "expected a model"]);
    check(&folder, "deep.keras", &["config.json", "nested deeper than 1024 levels"]);
    let line = "`keras.Model(m.inputs, m.outputs).save(\"x.keras\")` writes the graph";
    let arguments = "the file records the arguments of the class `MyModel`, not its graph";
    // The weights have a group for an input layer, so the model is functional.
    check(&folder, "subclassed.keras", &[arguments, "the model is functional, so", line]);
    let folder = folder.with("subclassed.json", subclassed);
    check(&folder, "subclassed.json", &[arguments, "if the model is functional", line, "the Python code of `call`"]);
}

/// `tiny` with one part of its configuration replaced by another.
fn tiny_with(from: &str, to: &str) -> Vec<u8> {
    let config = String::from_utf8(member(&tiny(), "config.json")).unwrap();
    assert!(config.contains(from), "{config}");
    zip(&[
        ("config.json", config.replacen(from, to, 1).as_bytes()),
        ("model.weights.h5", &member(&tiny(), "model.weights.h5")),
    ])
}

#[test]
fn inconsistent_configurations() {
    let folder = Folder::new()
        .with("padding.keras", tiny_with(r#""padding": "same""#, r#""padding": 3"#))
        .with("filters.keras", tiny_with(r#""filters": 4"#, r#""filters": 5"#))
        .with("layer.keras", tiny_with(r#""keras_history": ["conv", 0, 0]"#, r#""keras_history": ["nowhere", 0, 0]"#))
        .with("call.keras", tiny_with(r#""keras_history": ["conv", 0, 0]"#, r#""keras_history": ["conv", 7, 0]"#))
        .with("cycle.keras", tiny_with(r#""keras_history": ["image", 0, 0]"#, r#""keras_history": ["norm", 0, 0]"#))
        .with("twice.keras", tiny_with(r#""name": "norm", "inbound"#, r#""name": "conv", "inbound"#))
        .with("inputs.keras", tiny_with(r#""input_layers""#, r#""inputs""#))
        .with("config.keras", tiny_with(r#""class_name": "Conv2D", "config""#, r#""class_name": "Conv2D", "konfig""#));
    check(&folder, "padding.keras", &["layer `conv`", "padding", "3"]);
    check(&folder, "layer.keras", &["`nowhere`"]);
    check(&folder, "call.keras", &["`conv`"]);
    check(&folder, "cycle.keras", &["cycle"]);
    check(&folder, "twice.keras", &["two layers are named `conv`"]);
    check(&folder, "inputs.keras", &["the model of the class Functional has no `input_layers`"]);
    check(&folder, "config.keras", &["conv: the layer has no `config`"]);
}

#[test]
fn operations_without_a_module() {
    let history = json!({"shape": [null, 4, 4, 3], "dtype": "float32", "keras_history": ["image", 0, 0]});
    let call = json!({"args": [{"class_name": "__keras_tensor__", "config": history}], "kwargs": {}});
    let pool =
        json!({"name": "pool", "pool_size": 2, "strides": 1, "padding": "valid", "data_format": "channels_last"});
    let model = |pool: Value| {
        let image = json!({"name": "image", "batch_shape": [null, 4, 4, 3], "dtype": "float32"});
        let input = json!({"module": "keras.layers", "class_name": "InputLayer", "config": image, "name": "image"});
        let graph = json!({"name": "m", "layers": [input, pool], "input_layers": ["image", 0, 0], "output_layers": ["pool", 0, 0]});
        let config = json!({"module": "keras", "class_name": "Functional", "config": graph}).to_string();
        zip(&[
            ("config.json", config.as_bytes()),
            ("metadata.json", br#"{"keras_version": "3.15.1"}"#),
            ("model.weights.h5", &member(&tiny(), "model.weights.h5")),
        ])
    };
    let mut operation = json!({
        "module": "keras.src.ops.nn", "class_name": "AveragePool", "config": pool, "registered_name": "AveragePool",
        "name": "pool", "inbound_nodes": [call]
    });
    let folder = Folder::new().with("fine.keras", model(operation.clone()));
    folder.netc(&["fine.keras", "-o", "back.keras"]).done();
    operation.as_object_mut().unwrap().remove("module");
    let folder = folder.with("operation.keras", model(operation));
    folder.refuses(&["operation.keras", "-o", "back.keras", "--force"], &["pool: the operation has no `module`"]);
}

#[test]
fn missing_weights_and_wrong_shapes() {
    let mut missing = tiny_module();
    let logits = missing.layers.iter().position(|l| &*l.name == "logits").unwrap();
    missing.layers[logits].weights.pop();
    let mut wrong = tiny_module();
    let kernel = wrong.layers[logits].weights[0].1;
    let literal = Literal::splat(ElemType::F32, &[3, 10], 0.5);
    wrong[kernel].ty = Type::fixed(ElemType::F32, &[3, 10]);
    wrong[kernel].data = WeightData::Inline(literal);
    let folder = Folder::new().with("missing.keras", keras_file(&missing)).with("wrong.keras", keras_file(&wrong));
    check(&folder, "missing.keras", &["layer `logits`", "vars/1", "missing"]);
    check(&folder, "wrong.keras", &["layer `logits`", "3"]);
}

#[test]
fn invalid_cuts() {
    let folder = Folder::with_tiny();
    let refuses = |cut: &str, parts: &[&str]| {
        folder.refuses(&["tiny.keras", "--pass", &format!("split={cut}"), "-o", "out"], parts)
    };
    refuses("brnch", &["no such layer: `brnch`", "did you mean `branch`"]);
    refuses("image", &["`image` is an input of the model"]);
    refuses("before:conv", &["nothing is computed before `conv`"]);
    refuses("logits", &["nothing is computed after `logits`"]);
    refuses("#99", &["`#99` is out of range"]);
    refuses("sum,sum", &["given twice"]);
}

#[test]
fn invalid_programs() {
    let deep = format!("netc 1\nattrs {{a = {}", "[".repeat(200_000));
    let maps = format!("netc 1\nattrs {}", "{a = ".repeat(200_000));
    let dims = format!("netc 1\nfunc @main(%x: f32[{}N]) -> () {{}}", "floor(".repeat(200_000));
    let folder = Folder::new()
        .with("empty.nir", "")
        .with("binary.nir", b"\xff\xfe\0")
        .with("deep.nir", deep)
        .with("maps.nir", maps)
        .with("dims.nir", dims)
        .with("type.nir", "netc 1\nfunc @main(%x: f32[2]) -> (%y) {\n  %y = relu(%x) : f32[3]\n}")
        .with("name.nir", "netc 1\nfunc @main(%x: f32[2]) -> (%y) {\n  %y = relu(%z) : f32[2]\n}")
        .with("nomain.nir", "netc 1\nfunc @other(%x: f32[2]) -> (%x) {}")
        .with("loop.nir", "netc 1\nfunc @main(%x: f32[2]) -> (%y) {\n  %y = call @main(%x) : f32[2]\n}")
        .with("far.nir", "netc 1\nfile file0 = \"gone.bin\"\nweight w0 \"w\" : f32[2] = bytes(file0, 18446744073709551610, 8)\nfunc @main() -> (%y) {\n  %y = weight w0() : f32[2]\n}");
    let refuses = |name: &str, parts: &[&str]| folder.refuses(&[name], &[parts, &[name]].concat());
    refuses("empty.nir", &["line 1"]);
    refuses("binary.nir", &["UTF-8"]);
    refuses("deep.nir", &["line 2"]);
    refuses("maps.nir", &["line 2"]);
    refuses("dims.nir", &["line 2"]);
    refuses("type.nir", &["V2", "f32[2]"]);
    refuses("name.nir", &["line 3, column 13", "not defined"]);
    refuses("nomain.nir", &["no function `@main`"]);
    refuses("loop.nir", &["V6"]);
    folder.refuses(&["run", "far.nir"], &["gone.bin"]);
    folder.refuses(&["diff", "far.nir", "far.nir"], &["gone.bin"]);
    let padded = folder.with("gone.bin", [0; 16]);
    padded.refuses(&["run", "far.nir"], &["gone.bin", "18446744073709551610"]);
}

/// Models of keras-hub contain nested models of custom classes.
#[test]
fn a_nested_model_of_a_custom_class_is_one_layer() {
    let config = String::from_utf8(member(&tiny(), "config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    let layers = config["config"]["layers"].as_array_mut().unwrap();
    let norm = layers.iter_mut().find(|layer| layer["name"] == "norm").unwrap();
    norm["class_name"] = "Backbone".into();
    norm["registered_name"] = "keras_hub>Backbone".into();
    norm["module"] = Value::Null;
    norm["compile_config"] = json!({});
    let weights = member(&tiny(), "model.weights.h5");
    let archive = zip(&[("config.json", config.to_string().as_bytes()), ("model.weights.h5", &weights)]);
    let folder = Folder::new().with("hub.keras", archive);
    let ran = folder.netc(&["inspect", "hub.keras"]);
    let note = "for the model `norm` the file records the arguments of the class `Backbone`, not its graph";
    assert!(ran.err.contains(note) && ran.err.contains("`keras.models.clone_model(m, clone_function="), "{ran:?}");
}

/// A folder with `tiny` as JSON, and a file with its weights after `edit`.
fn with_weights(edit: impl FnOnce(&mut Module)) -> Folder {
    let folder = Folder::with_tiny();
    folder.netc(&["tiny.keras", "-o", "tiny.json"]).done();
    let mut module = tiny_module();
    edit(&mut module);
    folder.with("other.keras", keras_file(&module))
}

/// The layer called `name`.
fn layer<'m>(module: &'m mut Module, name: &str) -> &'m mut Layer {
    module.layers.iter_mut().find(|layer| &*layer.name == name).unwrap()
}

#[test]
fn errors_name_the_weights_file_that_does_not_fit() {
    let refuses = |folder: &Folder, parts: &[&str]| {
        for model in ["tiny.json", "tiny.keras"] {
            let args = [model, "--weights", "other.keras", "-o", "x.keras"];
            folder.refuses(&args, &[parts, &["cannot read `other.keras`"]].concat());
        }
    };
    let reshaped = |dims: &'static [u64]| {
        move |module: &mut Module| {
            let kernel = layer(module, "logits").weights[0].1;
            module[kernel].ty = Type::fixed(ElemType::F32, dims);
            module[kernel].data = WeightData::Inline(Literal::splat(ElemType::F32, dims, 0.5));
        }
    };
    refuses(&with_weights(reshaped(&[3, 10])), &["do not fit layer `logits`", "`vars/0` f32[3,10]", "f32[N,4]"]);
    refuses(&with_weights(reshaped(&[4, 9])), &["do not fit layer `logits`", "`vars/0` f32[4,9]", "10"]);
    let lacking = with_weights(|module| layer(module, "logits").weights.clear());
    refuses(&lacking, &["do not fit layer `logits`", "the file has no weights", "`vars/0` is missing"]);
    let folder = with_weights(|_| {}).with("none.h5", b"\x89HDF\r\n\x1a\n").with("text.h5", "hello");
    for (name, part) in [("none.h5", "unexpected EOF"), ("text.h5", "it is neither HDF5"), ("gone.h5", "No such file")]
    {
        folder.refuses(&["tiny.json", "--weights", name, "-o", "x.keras"], &[&format!("cannot read `{name}`"), part]);
    }
    let h5 = member(&tiny(), "model.weights.h5");
    let folder = folder.with("tiny.weights.h5", h5);
    let line = "it holds weights without a model; give the model too: `netc model.json --weights tiny.weights.h5`";
    folder.refuses(&["inspect", "tiny.weights.h5"], &["`tiny.weights.h5`", line]);
    folder.netc(&["tiny.json", "--weights", "tiny.weights.h5", "-o", "x.keras"]).done();
}

#[test]
fn errors_in_models_name_layers_instead_of_rules_of_the_ir() {
    let call = |layer: &str, extent: u64| {
        let config = json!({"shape": [null, extent], "dtype": "float32", "keras_history": [layer, 0, 0]});
        json!([{"args": [{"class_name": "__keras_tensor__", "config": config}], "kwargs": {}}])
    };
    let input = |extent: u64| {
        let config = json!({"name": "x", "batch_shape": [null, extent], "dtype": "float32"});
        json!({"class_name": "InputLayer", "module": "keras.layers", "name": "x", "inbound_nodes": [], "config": config})
    };
    let relu = |name: &str, inbound: Value| {
        let config = json!({"name": name});
        json!({"class_name": "ReLU", "module": "keras.layers", "name": name, "config": config, "inbound_nodes": inbound})
    };
    let model = |name: &str, layers: Value, output: Value| {
        let config = json!({"name": name, "layers": layers, "input_layers": ["x", 0, 0], "output_layers": output});
        json!({"class_name": "Functional", "module": "keras", "name": name, "config": config})
    };
    let mut inner = model("inner", json!([input(4), relu("r", call("x", 4))]), json!(["r", 0, 0]));
    inner["inbound_nodes"] = call("x", 3);
    let called = model("m", json!([input(3), inner, relu("y", call("inner", 3))]), json!(["y", 0, 0]));
    let mut inner = model("inner", json!([input(4), relu("r", call("x", 4))]), json!(["r", 0, 0]));
    inner["inbound_nodes"] = call("x", 4);
    let recorded = model("m", json!([input(4), inner, relu("y", call("inner", 7))]), json!(["y", 0, 0]));
    let reads_itself = model("m", json!([input(4), relu("y", call("y", 4))]), json!(["y", 0, 0]));
    let folder = Folder::new()
        .with("called.json", called.to_string())
        .with("recorded.json", recorded.to_string())
        .with("itself.json", reads_itself.to_string());
    folder.refuses(
        &["inspect", "called.json"],
        &["called.json", "inner: is called with f32[N,3], but its input `x` is f32[N,4]"],
    );
    folder.refuses(&["inspect", "itself.json"], &["itself.json", "y: the layer depends on its own result"]);
    let ran = folder.netc(&["inspect", "recorded.json"]);
    assert!(
        ran.code == 0 && ran.err.contains("`inner`: its model returns f32[N,4], the file records f32[N,7]"),
        "{ran:?}"
    );
}

/// The bytes of a stored member of a zip archive.
pub(crate) fn member(zip: &[u8], name: &str) -> Vec<u8> {
    let u16_at = |at: usize| usize::from(u16::from_le_bytes(zip[at..at + 2].try_into().unwrap()));
    let u32_at = |at: usize| u32::from_le_bytes(zip[at..at + 4].try_into().unwrap()) as usize;
    let end = zip.windows(4).rposition(|w| w == b"PK\x05\x06").unwrap();
    let mut entry = u32_at(end + 16);
    for _ in 0..u16_at(end + 10) {
        let (size, name_len, extra, comment) =
            (u32_at(entry + 20), u16_at(entry + 28), u16_at(entry + 30), u16_at(entry + 32));
        let local = u32_at(entry + 42);
        if &zip[entry + 46..entry + 46 + name_len] == name.as_bytes() {
            let start = local + 30 + u16_at(local + 26) + u16_at(local + 28);
            return zip[start..start + size].to_vec();
        }
        entry += 46 + name_len + extra + comment;
    }
    panic!("the archive has no `{name}`");
}

#[test]
fn pipes_and_devices_are_rejected() {
    let ran = Folder::new().shell("mkfifo pipe && timeout 20 $NETC cuts pipe");
    ran.failed(1, &["cannot read `pipe`", "a pipe or a device"]);
    Folder::new().refuses(&["cuts", "/dev/zero"], &["cannot read `/dev/zero`", "a pipe or a device"]);
}
