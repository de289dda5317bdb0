//! Layers-models of TensorFlow.js (`tfjs/`, made by `interop/tfjs_models.mjs`): they compute what TensorFlow.js computed.

use std::fs;
use std::path::{Path, PathBuf};

use netc_exec::Tensor;
use netc_ir::{MAIN, Module, WeightData};
use netc_testgen::oracle;
use serde_json::Value;

use super::{assert_near, dialects, read, run};

const MODELS: [&str; 4] = ["branches", "nested", "quantised", "recurrent"];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tfjs").join(name)
}

fn model(name: &str) -> Module {
    read(&folder(name).join("model.json"))
}

/// The inputs and outputs that TensorFlow.js had, as the model takes them.
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
fn they_become_files_of_keras_2_that_compute_the_same_bits() {
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
fn weights_stay_in_their_shards_unless_they_are_cut_or_quantised() {
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
fn damage_is_an_error_with_a_place() {
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
        ("[5,5],\"dtype\"", "[5,4000000000],\"dtype\"", "weight `hidden/kernel`: its bytes begin at 0 of 168"),
        ("[5,5],\"dtype\"", "[5,-5],\"dtype\"", "weight `hidden/kernel`: its `shape` is not a list of extents"),
        ("[5,5],\"dtype\"", "[5,4],\"dtype\"", "weightsManifest[0]: its files have 168 bytes, its weights 148"),
        ("[5,5],\"dtype\":\"float32\"", "[5,5],\"dtype\":\"string\"", "the dtype `string` are not known"),
        ("layers-model", "graph-model", "format: it is a graph of TensorFlow"),
        ("\"weightsManifest\":[", "\"weights\":[", "weightsManifest: expected a list"),
    ] {
        let damaged = text.replacen(from, to, 1);
        assert_ne!(damaged, text, "{from}");
        let found = error(&damaged, Some(&bytes));
        assert!(found.contains(part), "{found}");
    }
    assert!(error(&text, None).contains("its weights are in `group1-shard1.bin`, which cannot be read"));
    assert!(error(&text, Some(&bytes[..110])).contains("weight `hidden/bias`: its bytes begin at 100 of 110"));
    assert!(error(&text, Some(&[])).contains("its bytes begin at 0 of 0"));
}
