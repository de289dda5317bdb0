//! Tests layers models of TensorFlow.js (`tfjs/`, made by `interop/tfjs_models.mjs`): they compute what TensorFlow.js
//! computed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use netc_exec::Tensor;
use netc_ir::{F64, Literal, MAIN, Module, Type, WeightData};
use netc_keras_testgen::oracle;
use serde_json::Value;

use super::{assert_near, dialects, read, run};

const MODELS: [&str; 4] = ["branches", "nested", "quantised", "recurrent"];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tfjs").join(name)
}

fn model(name: &str) -> Module {
    read(&folder(name).join("model.json"))
}

/// The inputs and outputs recorded with TensorFlow.js. The inputs have the types of the model's parameters.
fn recorded(name: &str, module: &Module) -> [Vec<Tensor>; 2] {
    let values: Value = serde_json::from_slice(&fs::read(folder(name).join("values.json")).unwrap()).unwrap();
    let main = module.main().unwrap();
    let tensor = |value: &Value| {
        let numbers =
            |key: &str| value[key].as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect::<Vec<_>>();
        let dims: Vec<u64> = numbers("shape").into_iter().map(|n| n as u64).collect();
        let floats: Vec<f32> = numbers("values").into_iter().map(|n| n as f32).collect();
        Tensor::from_f32(&dims, &floats).unwrap()
    };
    let all = |key: &str| values[key].as_array().unwrap().iter().map(tensor).collect::<Vec<_>>();
    let inputs =
        all("inputs").iter().zip(&main.params).map(|(x, p)| x.convert(main[p.value].ty.elem).unwrap()).collect();
    [inputs, all("outputs")]
}

#[test]
fn models_compute_what_tensorflow_js_computed() {
    for name in MODELS {
        let module = model(name);
        let [inputs, outputs] = recorded(name, &module);
        assert_near(&run(&module, &inputs), &outputs, name);
    }
}

#[test]
fn converting_to_keras_2_keeps_the_bits() {
    let folder = tempfile::tempdir().unwrap();
    for name in MODELS {
        let module = model(name);
        let (path, main) = (folder.path().join(name), module.func_named(MAIN).unwrap());
        let store = netc_data::Store::open(&module).unwrap();
        netc_keras::write_hdf5(&module, main, &store, fs::File::create(&path).unwrap()).unwrap();
        let [inputs, _] = recorded(name, &module);
        assert_eq!(run(&module, &inputs), run(&read(&path), &inputs), "{name}");
        oracle::round_trip_hdf5(&module, &dialects()).unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
    }
}

#[test]
fn weights_stay_in_their_shards_unless_split_or_quantised() {
    let in_files = |name: &str| {
        let module = model(name);
        let places = module.weights.iter().map(|w| match &w.data {
            WeightData::File { file, .. } => module.files[file.index()].rsplit('/').next().unwrap().to_string(),
            WeightData::Inline(_) | WeightData::Random { .. } => "inline".to_string(),
        });
        places.collect::<Vec<_>>()
    };
    let branches = in_files("branches");
    assert_eq!(branches.iter().filter(|place| *place == "inline").count(), 1, "{branches:?}");
    assert_eq!((&*branches[0], &*branches[9]), ("group1-shard1.bin", "group1-shard2.bin"));
    let quantised = in_files("quantised");
    assert_eq!(quantised.iter().filter(|place| *place != "inline").count(), 2, "{quantised:?}");
}

#[test]
fn errors_of_damaged_files_name_the_place() {
    let temporary = tempfile::tempdir().unwrap();
    let (json, shard) = (temporary.path().join("model.json"), temporary.path().join("group1-shard1.bin"));
    let text = fs::read_to_string(folder("nested").join("model.json")).unwrap();
    let bytes = fs::read(folder("nested").join("group1-shard1.bin")).unwrap();
    let error = |text: &str, bytes: Option<&[u8]>| {
        fs::write(&json, text).unwrap();
        let _ = fs::remove_file(&shard);
        bytes.into_iter().for_each(|bytes| fs::write(&shard, bytes).unwrap());
        let error = netc_keras::read(&json, &dialects()).unwrap_err();
        let netc_keras::KerasError::Read { source, .. } = error else { panic!("{error}") };
        source.to_string()
    };
    for (from, to, part) in [
        (
            "\"group1-shard1.bin\"",
            "\"../group1-shard1.bin\"",
            "weightsManifest[0]: `../group1-shard1.bin` is not the name",
        ),
        ("\"group1-shard1.bin\"", "\"/dev/zero\"", "weightsManifest[0]: `/dev/zero` is not the name"),
        ("\"group1-shard1.bin\"", "7", "weightsManifest[0]: `` is not the name"),
        (
            "[5,5],\"dtype\"",
            "[5,4000000000],\"dtype\"",
            "weight `hidden/kernel`: its bytes begin at 0 and go beyond the 168 bytes",
        ),
        ("[5,5],\"dtype\"", "[5,-5],\"dtype\"", "weight `hidden/kernel`: its `shape` is not a list of extents"),
        ("[5,5],\"dtype\"", "[5,4],\"dtype\"", "weightsManifest[0]: its files have 168 bytes, its weights 148"),
        ("[5,5],\"dtype\":\"float32\"", "[5,5],\"dtype\":\"string\"", "its dtype `string` is not supported"),
        ("layers-model", "graph-model", "it is a graph model of TensorFlow.js"),
        ("\"weightsManifest\":[", "\"weights\":[", "weightsManifest: expected a list"),
    ] {
        let damaged = text.replacen(from, to, 1);
        assert_ne!(damaged, text, "{from}");
        let found = error(&damaged, Some(&bytes));
        assert!(found.contains(part), "{found}");
    }
    assert!(error(&text, None).contains("its weights are in `group1-shard1.bin`, which cannot be read"));
    assert!(
        error(&text, Some(&bytes[..110]))
            .contains("weight `hidden/bias`: its bytes begin at 100 and go beyond the 110 bytes")
    );
    assert!(error(&text, Some(&[])).contains("its bytes begin at 0 and go beyond the 0 bytes"));
}

/// Writes the model into the folder as a TensorFlow.js model.
fn write(module: &Module, folder: &Path) -> Result<(), netc_keras::KerasError> {
    let store = netc_data::Store::open(module).unwrap();
    let create = |name: &str| fs::File::create(folder.join(name));
    netc_keras::write_tfjs(module, module.func_named(MAIN).unwrap(), &store, create).map(drop)
}

/// The bytes of every file in the folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap())).collect()
}

/// The text of the program without positions of weights, and the bytes of the weights.
fn without_places(mut module: Module) -> (String, Vec<Vec<u8>>) {
    let store = netc_data::Store::open(&module).unwrap();
    let bytes = module.weights.iter().map(|weight| store.read(weight).unwrap()).collect();
    module.files.clear();
    for weight in &mut module.weights {
        let dims = weight.ty.fixed_dims().unwrap();
        weight.data = WeightData::Inline(Literal::splat(weight.ty.elem, &dims, 0.0));
    }
    (netc_ir::print(&module), bytes)
}

#[test]
fn written_models_round_trip() {
    for name in MODELS {
        let module = model(name);
        let [first, second] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        write(&module, first.path()).unwrap();
        let back = read(&first.path().join("model.json"));
        let ((found, found_bytes), (expected, expected_bytes)) = (without_places(back.clone()), without_places(module));
        assert_eq!(found, expected, "{name}");
        assert!(found_bytes == expected_bytes, "{name}: the bytes of the weights differ");
        write(&back, second.path()).unwrap();
        assert_eq!(files(first.path()), files(second.path()), "{name}");
        let json: Value = serde_json::from_slice(&files(first.path())["model.json"]).unwrap();
        assert_eq!(json["weightsManifest"][0]["paths"], serde_json::json!(["group1-shard1of1.bin"]), "{name}");
    }
}

#[test]
fn weights_are_named_as_in_tensorflow_js() {
    for name in ["branches", "nested", "recurrent"] {
        let folder_of_copy = tempfile::tempdir().unwrap();
        write(&model(name), folder_of_copy.path()).unwrap();
        let names = |folder: &Path| {
            let json: Value = serde_json::from_slice(&fs::read(folder.join("model.json")).unwrap()).unwrap();
            let weights = json["weightsManifest"][0]["weights"].as_array().unwrap().clone();
            weights.iter().map(|w| (w["name"].to_string(), w["shape"].to_string())).collect::<BTreeMap<_, _>>()
        };
        assert_eq!(names(folder_of_copy.path()), names(&folder(name)), "{name}");
    }
}

#[test]
fn weights_are_split_into_shards_of_4_mb() {
    let mut module = model("nested");
    let [kernel, out] = [0, 2].map(|i| module.weights[i].name.clone());
    for weight in &mut module.weights {
        let dims = match &weight.name {
            name if *name == kernel => vec![5, 500_000],
            name if *name == out => vec![500_000, 2],
            _ => continue,
        };
        weight.ty = Type::fixed(weight.ty.elem, &dims);
        weight.data = WeightData::Random { seed: 3, low: F64::new(-1.0), high: F64::new(1.0) };
    }
    let folder = tempfile::tempdir().unwrap();
    write(&module, folder.path()).unwrap();
    let written = files(folder.path());
    let shards: Vec<usize> = (1..=4).map(|i| written[&format!("group1-shard{i}of4.bin")].len()).collect();
    assert_eq!(shards, [4 << 20, 4 << 20, 4 << 20, 14_000_028 - (12 << 20)]);
    let store = netc_data::Store::open(&module).unwrap();
    let all: Vec<u8> = (1..=4).flat_map(|i| written[&format!("group1-shard{i}of4.bin")].clone()).collect();
    let expected: Vec<u8> = module.weights.iter().flat_map(|weight| store.read(weight).unwrap()).collect();
    assert!(all == expected);
}

#[test]
fn models_that_tensorflow_js_cannot_represent_are_rejected() {
    let refused = |module: &Module, part: &str| {
        let folder = tempfile::tempdir().unwrap();
        let netc_keras::KerasError::Write { source, .. } = write(module, folder.path()).unwrap_err() else { panic!() };
        assert!(source.to_string().contains(part), "{source}");
        assert_eq!(files(folder.path()).len(), 0);
    };
    let text = netc_ir::print(&model("recurrent"));
    let changed = |from: &str, to: &str| {
        let changed = text.replace(from, to);
        assert_ne!(text, changed, "{from}");
        netc_ir::parse(&changed).unwrap()
    };
    refused(&changed("\"LSTM\"", "\"Wrapper\""), "TensorFlow.js has no layer `Wrapper`");
    refused(&changed("keras.LSTM", "custom.LSTM"), "does not record for custom layers");
    refused(&changed("return_state = false", "reset_after = true"), "does not compute `LSTM` with its `reset_after`");
    refused(&changed("keras_version = \"2.15.0\"", "keras_version = \"3.1.0\""), "clip(x / 6 + 0.5, 0, 1)");
    let twice = netc_ir::print(&model("nested")).replace("\"hidden\"", "\"out\"").replace("tower/hidden", "tower/out");
    refused(&netc_ir::parse(&twice).unwrap(), "another layer has a `out/kernel` too");
}
