//! Tests models saved by Keras 2 (`legacy/`, made by `interop/legacy_models.py`) and Keras 1 (made by
//! `interop/keras1_models.py`): they compute what Keras 2 computed, and converting them to `.keras` loses nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod golden;
mod tfjs;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use netc_data::Store;
use netc_dialect::Dialects;
use netc_exec::{Plan, Tensor, npz};
use netc_format::ReadOptions;
use netc_ir::{Attr, Attrs, Layer, MAIN, Module};
use netc_keras::lower::KerasDialect;
use netc_keras_testgen::oracle;
use netc_pass::{Context, Manager, Pipeline};

const OF_KERAS_1: [&str; 3] = ["keras1_image", "keras1_text", "keras1_nested"];

/// Allowed difference of elements, relative to the largest.
const TOLERANCE: f64 = 1e-5;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("legacy").join(name)
}

fn dialects() -> Dialects {
    let mut dialects = Dialects::new();
    dialects.push(KerasDialect);
    dialects
}

fn read(path: &Path) -> Module {
    netc_keras::read(path, &dialects()).unwrap_or_else(|e| panic!("{e:?}")).module
}

fn run(module: &Module, inputs: &[Tensor]) -> Vec<Tensor> {
    let (mut core, dialects) = (module.clone(), dialects());
    let lower: Pipeline = "lower".parse().unwrap();
    let registry = netc_passes::registry();
    Manager::new(&registry).run(&mut core, &lower, &mut Context::new(&dialects)).unwrap();
    let plan = Plan::new(&core, core.func_named(MAIN).unwrap(), &Store::open(&core).unwrap()).unwrap();
    plan.run(inputs).unwrap()
}

/// The inputs and outputs recorded with Keras 2.
fn recorded(name: &str) -> [Vec<Tensor>; 2] {
    let tensors = npz::read(&file(&format!("{name}.npz"))).unwrap();
    ["in", "out"].map(|kind| tensors.iter().filter(|(key, _)| key.starts_with(kind)).map(|(_, t)| t.clone()).collect())
}

fn assert_near(found: &[Tensor], expected: &[Tensor], name: &str) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for (found, expected) in found.iter().zip(expected) {
        let (found, expected) = (found.to_f64s(), expected.to_f64s());
        let largest = expected.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
        assert_eq!(found.len(), expected.len(), "{name}");
        let far = found.iter().zip(&expected).find(|(a, b)| (*a - *b).abs() > TOLERANCE * largest);
        assert_eq!(far, None, "{name}");
    }
}

/// The writer's notes about changes from the model to a `.keras` file.
fn changes(module: &Module) -> Vec<String> {
    let notes = netc_keras::KERAS.writer.unwrap().notes(module, &[]);
    notes.into_iter().map(|note| note.text).collect()
}

#[test]
fn models_compute_what_keras_2_computed() {
    let of_keras_2 = ["nested", "spread_names", "chain", "bare_list", "functions", "recurrent", "slashes"];
    for name in of_keras_2.into_iter().chain(OF_KERAS_1) {
        let [inputs, outputs] = recorded(name);
        assert_near(&run(&read(&file(&format!("{name}.h5"))), &inputs), &outputs, name);
    }
}

#[test]
fn archives_with_older_weight_groups_compute_what_keras_2_computed() {
    for name in ["groups_2_13", "groups_2_14"] {
        let [inputs, outputs] = recorded(name);
        assert_near(&run(&read(&file(&format!("{name}.keras"))), &inputs), &outputs, name);
    }
}

#[test]
fn converting_to_keras_3_keeps_the_bits() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["nested", "spread_names", "chain", "bare_list", "recurrent", "slashes", "keras1_image"] {
        let [inputs, _] = recorded(name);
        let module = read(&file(&format!("{name}.h5")));
        let path = folder.path().join(name);
        let main = module.func_named(MAIN).unwrap();
        netc_keras::write(&module, main, &Store::open(&module).unwrap(), File::create(&path).unwrap()).unwrap();
        let modern = read(&path);
        assert_eq!(run(&module, &inputs), run(&modern, &inputs), "{name}");
        assert!(modern.layers.iter().all(|l| l.config.get("module").is_some()), "{name}");
        oracle::round_trip_keras(&modern, &dialects()).unwrap();
    }
}

#[test]
fn slashes_in_names_are_replaced_and_names_stay_unique() {
    let module = read(&file("slashes.h5"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("modern.keras");
    let main = module.func_named(MAIN).unwrap();
    netc_keras::write(&module, main, &Store::open(&module).unwrap(), File::create(&path).unwrap()).unwrap();
    let modern = read(&path);
    let mut names: Vec<&str> = modern.layers.iter().map(|l| &*l.name).collect();
    names.sort_unstable();
    let expected = ["conv1_bn", "conv1_conv", "conv1_conv_1", "conv1_conv_2", "conv1_relu", "conv1_sum"];
    assert_eq!(names, [&expected[..], &["image", "inner", "inner_in"]].concat());
    let listed = changes(&module);
    assert!(listed[0].contains("Keras 2.") && listed[1].contains("4 more"), "{listed:?}");
    assert_eq!(changes(&modern), Vec::<String>::new());
}

#[test]
fn changes_of_configurations_are_listed() {
    for (name, listed) in [
        (
            "recurrent",
            "`batch_input_shape` becomes `batch_shape` (`tokens`), `batch_input_shape` is dropped (`embedding`), \
             `time_major` is dropped (`both` and 1 more)",
        ),
        (
            "functions",
            "`batch_input_shape` becomes `batch_shape` (`x`), `ThresholdedReLU` becomes `ReLU` (`threshold`), \
             `theta` becomes `threshold` (`threshold`)",
        ),
        (
            "keras1_text",
            "`batch_input_shape` becomes `batch_shape` (`embedding_input`), `batch_input_shape` is dropped \
             (`embedding`), `reset_after = false` is added (`gru_1`)",
        ),
        ("slashes", "`batch_input_shape` becomes `batch_shape` (`image` and 1 more), `axis` becomes `3` (`conv1/bn`)"),
    ] {
        let changes = changes(&read(&file(&format!("{name}.h5"))));
        let (_, found) = changes[0].split_once("to Keras 3: ").unwrap();
        assert_eq!(found, listed, "{name}");
    }
}

#[test]
fn every_weight_belongs_to_a_layer() {
    for (name, count) in [("nested", 20), ("chain", 12), ("functions", 4), ("recurrent", 14), ("slashes", 10)] {
        let imported = netc_keras::read(&file(&format!("{name}.h5")), &dialects()).unwrap();
        assert_eq!((imported.notes, imported.module.weights.len()), (Vec::new(), count), "{name}");
    }
}

#[test]
fn keras_1_models_are_converted_to_keras_2_declarations() {
    let folder = tempfile::tempdir().unwrap();
    for (name, count) in OF_KERAS_1.into_iter().zip([12, 21, 10]) {
        let imported = netc_keras::read(&file(&format!("{name}.h5")), &dialects()).unwrap();
        let notes: Vec<&str> = imported.notes.iter().map(|note| &*note.text).collect();
        assert_eq!(notes, ["the file is from Keras 1: its layers are converted to Keras 2"], "{name}");
        assert_eq!(imported.module.weights.len(), count, "{name}");
        let (module, path) = (imported.module, folder.path().join(name));
        let own = file(&format!("{name}.h5"));
        let given =
            netc_keras::read_with(&own, ReadOptions { weights: Some(&own), ..ReadOptions::default() }, &dialects())
                .unwrap()
                .module;
        let [inputs, _] = recorded(name);
        assert_eq!(run(&module, &inputs), run(&given, &inputs), "{name}");
        // Written as a Keras 2 file, it is the same model.
        let main = module.func_named(MAIN).unwrap();
        netc_keras::write_hdf5(&module, main, &Store::open(&module).unwrap(), File::create(&path).unwrap()).unwrap();
        assert_eq!(run(&module, &inputs), run(&read(&path), &inputs), "{name}");
        oracle::round_trip_hdf5(&module, &dialects()).unwrap();
    }
}

#[test]
fn weights_of_inner_layers_get_keras_3_paths() {
    let module = read(&file("recurrent.h5"));
    let places = |name: &str| {
        let layer = module.layers.iter().find(|l| &*l.name == name).unwrap();
        layer.weights.iter().map(|(place, _)| place.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(places("gru"), ["cell/vars/0", "cell/vars/1", "cell/vars/2"]);
    assert_eq!(places("each"), ["layer/vars/0", "layer/vars/1"]);
    let both = ["backward_layer", "forward_layer"].map(|part| [0, 1, 2].map(|i| format!("{part}/cell/vars/{i}")));
    assert_eq!(places("both"), both.concat());
}

#[test]
fn types_of_variable_length_sequences_are_inferred() {
    let module = read(&file("open_steps.h5"));
    let main = module.main().unwrap();
    let types = main.ops().flat_map(|(_, op)| op.results.iter().map(|v| main[*v].ty.to_string())).collect::<Vec<_>>();
    let expected = ["f32[N,d1,4]", "f32[N,d1,6]", "f32[N,d1,4]", "f32[N,3]", "f32[N,3]", "f32[N,2]"];
    assert_eq!(types, expected);
}

/// Sets the given keys to `hard_sigmoid` in the declaration of a layer and of its inner layers.
fn with_gates(object: &Attrs, keys: &[&str]) -> Attrs {
    let mut config = object.get("config").and_then(Attr::as_map).unwrap().clone();
    for key in keys.iter().filter(|key| config.get(key).is_some()).collect::<Vec<_>>() {
        config.set(*key, "hard_sigmoid");
    }
    for key in ["layer", "backward_layer"] {
        if let Some(inner) = config.get(key).and_then(Attr::as_map).map(|inner| with_gates(inner, keys)) {
            config.set(key, inner);
        }
    }
    object.clone().with("config", config)
}

/// Turns the layer into an `Activation` with `hard_sigmoid`.
fn as_activation(layer: &mut Layer) {
    let config = Attrs::new().with("name", &*layer.name).with("activation", "hard_sigmoid");
    layer.class = "keras.Activation".into();
    layer.config = layer.config.clone().with("class_name", "Activation").with("config", config);
}

/// Reads a model and sets the given keys to `hard_sigmoid` in every layer of the given classes.
fn gated(name: &str, keys: &[&str], classes: &[&str]) -> Module {
    let mut module = read(&file(name));
    for layer in module.layers.iter_mut().filter(|layer| classes.contains(&&*layer.class)) {
        layer.config = with_gates(&layer.config, keys);
    }
    module
}

/// Writes the module as `.keras` and reads it back; the error is the reason why it cannot be written.
fn written(module: &Module, folder: &Path) -> Result<Module, String> {
    let path = folder.join("m.keras");
    let main = module.func_named(MAIN).unwrap();
    let done = netc_keras::write(module, main, &Store::open(module).unwrap(), File::create(&path).unwrap());
    done.map_err(|error| std::error::Error::source(&error).unwrap().to_string())?;
    Ok(read(&path))
}

#[test]
fn the_hard_sigmoid_of_keras_2_is_expressed_in_keras_3() {
    let (activation, gates) = (["activation"], ["recurrent_activation"]);
    let wrapped = ["keras.Bidirectional", "keras.TimeDistributed"];
    let folder = tempfile::tempdir().unwrap();
    for (name, keys, classes) in [
        ("functions", &[][..], &[][..]),
        ("keras1_text", &[], &[]),
        ("keras1_nested", &[], &[]),
        ("recurrent", &gates, &["keras.Bidirectional", "keras.GRU"]),
        ("recurrent", &activation, &["keras.GRU", "keras.TimeDistributed"]),
        ("recurrent", &["activation", "recurrent_activation"], &["keras.GRU"]),
        ("recurrent", &gates, &wrapped),
        ("chain", &activation, &["keras.SeparableConv2D", "keras.DepthwiseConv2D", "keras.Dense"]),
        ("slashes", &activation, &["keras.Conv2D"]),
    ] {
        let mut module = gated(&format!("{name}.h5"), keys, classes);
        let relu = |layer: &&mut Layer| name == "slashes" && &*layer.class == "keras.ReLU";
        module.layers.iter_mut().filter(relu).for_each(as_activation);
        let modern = written(&module, folder.path()).unwrap();
        let [inputs, outputs] = recorded(name);
        let (found, expected) = (run(&modern, &inputs), run(&module, &inputs));
        assert_near(&found, &expected, name);
        let elements = |tensors: &[Tensor]| tensors.iter().flat_map(Tensor::to_f64s).collect::<Vec<f64>>();
        let far = elements(&expected).iter().zip(elements(&outputs)).any(|(a, b)| (a - b).abs() > 1e-3);
        assert_eq!(far, !keys.is_empty(), "{name}: replacing the activations changes the values");
        let changes = changes(&module);
        let said = |what: &str| changes.iter().filter(|change| change.contains(what)).count();
        assert_eq!(said("times 1.2"), 1, "{name}: {changes:?}");
        assert_eq!(said("becomes a `Sequential`"), usize::from(name == "slashes"), "{changes:?}");
    }
}

#[test]
fn models_that_keras_3_would_compute_differently_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name, classes: &[&str]| written(&gated(name, &["activation"], classes), folder.path()).unwrap_err();
    let why = "its `hard_sigmoid` is clip(0.2 * x + 0.5, 0, 1), and Keras 3 computes clip(x / 6 + 0.5, 0, 1)";
    // An LSTM applies its activation to its state too.
    assert_eq!(refused("recurrent.h5", &["keras.Bidirectional"]), format!("layer `both`: {why}"));
}

#[test]
fn the_keras_version_is_recorded() {
    let version = |name: &str| {
        let module = read(&file(name));
        module.attrs.get("keras_version").and_then(Attr::as_str).map(str::to_string)
    };
    assert_eq!(version("bare_list.h5").as_deref(), Some("2.0.8"));
    assert_eq!(version("chain.h5").as_deref(), Some("2.21.0"));
}

#[test]
fn errors_of_damaged_files_name_the_place() {
    let bytes = fs::read(file("functions.h5")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.h5");
    let error = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let error = netc_keras::read(&path, &dialects()).unwrap_err();
        let netc_keras::KerasError::Read { source, .. } = error else { panic!("{error}") };
        source.to_string()
    };
    let without = |word: &str| {
        let at = bytes.windows(word.len()).position(|w| w == word.as_bytes()).unwrap();
        let mut bytes = bytes.clone();
        bytes[at] = b'X';
        bytes
    };
    assert_eq!(
        error(&without("model_config")),
        "it is HDF5 without the attribute `model_config`, so Keras did not save it as a model"
    );
    assert_eq!(error(&bytes[..bytes.len() / 2]), "file: it is truncated: it has 8412 of 16824 bytes");
    let renamed = error(&without("gate/kernel:0"));
    assert_eq!(renamed, "model_weights/gate: lists the weight `Xate/kernel:0`, which is missing or listed twice");
}

#[test]
fn keras_2_files_round_trip() {
    for name in ["nested", "spread_names", "chain", "bare_list", "functions", "recurrent", "open_steps", "slashes"] {
        let module = read(&file(&format!("{name}.h5")));
        oracle::round_trip_hdf5(&module, &dialects()).unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
    }
}
