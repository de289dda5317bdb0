//! Tests of models in JSON, with weights from other files.

use crate::bad_input::member;
use crate::support::{Folder, tiny, zip};

const EQUAL: &str = "outputs are equal bit for bit";

/// A folder with `tiny.keras` and its architecture `tiny.json`.
fn with_architecture() -> Folder {
    let folder = Folder::with_tiny();
    folder.netc(&["tiny.keras", "-o", "tiny.json"]).done();
    folder
}

#[test]
fn an_architecture_and_its_weights_give_the_model() {
    let folder = with_architecture();
    folder.netc(&["tiny.json", "--weights", "tiny.keras", "-o", "again.keras"]).done();
    assert!(folder.netc(&["diff", "tiny.keras", "again.keras"]).done().contains(EQUAL));
    folder.netc(&["tiny.json", "-o", "again.json"]).done();
    assert_eq!(folder.read("again.json"), folder.read("tiny.json"));
}

#[test]
fn an_architecture_with_manifest_keys_is_still_a_model() {
    let folder = with_architecture();
    let json = String::from_utf8(folder.read("tiny.json")).unwrap();
    let folder = folder.with("keys.json", json.replacen('{', "{\"netc\": 1, \"stages\": [], ", 1));
    assert_eq!(folder.netc(&["inspect", "keys.json"]).out, folder.netc(&["inspect", "tiny.json"]).out);
}

#[test]
fn an_architecture_can_be_split_but_not_run() {
    let folder = with_architecture();
    let report = folder.netc(&["tiny.json", "--pass", "split=sum"]).done();
    assert!(report.contains("boundary `sum`: 1 tensor crosses"), "{report}");
    assert!(report.contains("it is an architecture without weights"), "{report}");
    assert!(report.contains("tiny (Functional), 8 layers, ? params, ? MAC"), "{report}");
    assert!(report.contains("\nstage0       6       ?  "), "{report}");
    let cuts = folder.netc(&["cuts", "tiny.json", "--json"]).out;
    assert!(cuts.contains(r#""parameters_before": null"#) && !cuts.contains(r#""parameters_after": 0"#), "{cuts}");
    let table = folder.netc(&["inspect", "tiny.json"]).out;
    assert!(
        table.lines().any(|line| line.split_whitespace().eq(["logits", "Dense", "any[*]", "?", "pool"])),
        "{table}"
    );
    folder.refuses(
        &["tiny.json", "-o", "x.keras"],
        &["x.keras", "weights: the model is an architecture without weights", "--weights"],
    );
    for args in [&["run", "tiny.json"][..], &["tiny.json", "--pass", "split=sum", "--verify"]] {
        folder.refuses(args, &["cannot run an architecture without weights", "--weights"]);
    }
}

#[test]
fn weights_are_matched_by_path_not_by_layer_name() {
    let mut folder = Folder::with_tiny();
    folder.netc(&["tiny.keras", "-o", "tiny.json"]).done();
    let json = String::from_utf8(folder.read("tiny.json")).unwrap();
    folder = folder.with("renamed.json", json.replace("\"logits\"", "\"logits_1\""));
    let report = folder.netc(&["renamed.json", "--weights", "tiny.keras", "-o", "renamed.keras"]).done();
    assert!(report.contains("`logits_1` takes the weights of `logits`"), "{report}");
    folder.netc(&["diff", "tiny.keras", "renamed.keras"]).done();
}

#[test]
fn given_weights_replace_those_of_the_model() {
    let folder = with_architecture();
    folder.netc(&["gen", "--seed", "1", "--level", "layers", "-o", "other.keras"]).done();
    folder.refuses(&["tiny.keras", "--weights", "other.keras", "-o", "x.keras"], &["`other.keras`"]);
    folder.refuses(
        &["tiny.keras", "--weights", "tiny.json", "-o", "x.keras"],
        &["cannot read `tiny.json`", "it is text"],
    );
    folder.refuses(&["tiny.keras", "--weights", "none.h5", "-o", "x.keras"], &["cannot read `none.h5`"]);
    folder
        .netc(&["zoo:tiny", "--weights", "tiny.keras"])
        .failed(2, &["does not apply to `zoo:tiny`, which has its own weights"]);
    folder.netc(&["tiny.keras", "--weights", "tiny.keras", "-o", "x.keras"]).done();
    assert!(folder.netc(&["diff", "tiny.keras", "x.keras"]).done().contains(EQUAL));
}

/// An architecture written by Keras 1 with Theano.
const OF_THEANO: &str = r#"{"keras_version": "1.2.2", "class_name": "Sequential", "config": [
    {"class_name": "Convolution2D", "config": {"name": "c", "nb_filter": 2, "dim_ordering": "th"}}]}"#;

#[test]
fn unusual_json_is_read_or_explained() {
    let folder = with_architecture();
    let text = String::from_utf8(folder.read("tiny.json")).unwrap();
    let folder = folder
        .with("twice.json", serde_json::to_string(&text).unwrap())
        .with("old.json", OF_THEANO)
        .with("js.json", r#"{"modelTopology": {}}"#)
        .with("marked.json", format!("\u{feff}{}{text}", " ".repeat(20)))
        .with("half.json", &text[..text.len() / 2]);
    for name in ["twice.json", "marked.json"] {
        assert!(folder.netc(&[name]).done().contains("tiny (Functional)"), "{name}");
    }
    folder.refuses(&["old.json", "-o", "x.json"], &["old.json", "c: its kernels have Theano's axis order"]);
    folder.refuses(&["js.json", "-o", "x.json"], &["js.json", "weightsManifest: expected a list"]);
    folder.refuses(&["half.json", "-o", "x.json"], &["half.json", "not JSON"]);
}

#[test]
fn text_with_a_byte_order_mark_and_utf_16_are_read() {
    let folder = with_architecture();
    let text = String::from_utf8(folder.read("tiny.json")).unwrap();
    let wide = |mark: bool, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        mark.then_some(0xfeff).into_iter().chain(text.encode_utf16()).flat_map(bytes).collect()
    };
    let weights = member(&tiny(), "model.weights.h5");
    let mut folder = folder;
    for (i, config) in [
        format!("\u{feff}{text}").into_bytes(),
        wide(true, u16::to_le_bytes),
        wide(true, u16::to_be_bytes),
        wide(false, u16::to_le_bytes),
        wide(false, u16::to_be_bytes),
    ]
    .iter()
    .enumerate()
    {
        let (json, keras) = (format!("{i}.json"), format!("{i}.keras"));
        let archive = zip(&[("config.json", &config[..]), ("model.weights.h5", &weights)]);
        folder = folder.with(&json, config).with(&keras, archive);
        for model in [&json, &keras] {
            folder.netc(&[model, "--weights", "tiny.keras", "-o", "again.keras"]).done();
            assert!(folder.netc(&["diff", "tiny.keras", "again.keras"]).done().contains(EQUAL), "{model}");
        }
    }
    let folder = folder.with("half.json", b"\xff\xfe{\0\0\xd8").with("wide.json", b"\xff\xfe\0\0{\0\0\0");
    folder.refuses(&["inspect", "half.json"], &["half.json", "begins as UTF-16 text does"]);
    folder.refuses(&["inspect", "wide.json"], &["wide.json", "UTF-32"]);
}

/// The object of a layer in `config.json` that reads the layer `from`.
fn layer(class: &str, name: &str, config: &str, built_for: &str, from: &str) -> String {
    let nodes = match from {
        "" => "[]".into(),
        _ => format!(
            r#"[{{"args": [{{"class_name": "__keras_tensor__", "config": {{"keras_history": ["{from}", 0, 0]}}}}], "kwargs": {{}}}}]"#
        ),
    };
    let module = if class.starts_with("My") { "mine" } else { "keras.layers" };
    format!(
        r#"{{"module": "{module}", "class_name": "{class}", "name": "{name}", "registered_name": null,
            "config": {{"name": "{name}", "trainable": true, {config}}}, "build_config": {{"input_shape": {built_for}}},
            "inbound_nodes": {nodes}}}"#
    )
}

const INPUT: &str = r#""dtype": "float32", "batch_shape": [null, 4]"#;

/// The output of `inspect` for a model with these layers.
fn inspected(class: &str, layers: &[String]) -> String {
    let last = r#""input_layers": [["x", 0, 0]], "output_layers": [["last", 0, 0]]"#;
    let graph = if class == "Functional" { format!(", {last}") } else { String::new() };
    let text = format!(
        r#"{{"module": "keras", "class_name": "{class}", "registered_name": null,
            "config": {{"name": "m", "layers": [{}]{graph}}}}}"#,
        layers.join(", ")
    );
    Folder::new().with("m.json", &text).netc(&["inspect", "m.json"]).out
}

#[track_caller]
fn assert_shows(table: &str, layer: &str, ty: &str) {
    let row = table.lines().find(|line| line.starts_with(layer)).unwrap_or_default();
    assert!(row.split_whitespace().any(|cell| cell == ty), "{layer}, expected {ty}:\n{table}");
}

#[test]
fn build_shapes_do_not_override_inferred_types() {
    for class in ["Sequential", "Functional"] {
        let layers = [
            layer("InputLayer", "x", INPUT, "null", ""),
            layer("Flatten", "first", r#""data_format": "channels_last""#, "[null, 4]", "x"),
            layer("Flatten", "last", r#""data_format": "channels_last""#, "[null, 7]", "first"),
        ];
        let table = inspected(class, &layers);
        assert_shows(&table, "first", "f32[N,4]");
        assert!(!table.contains('7'), "{table}");
    }
}

#[test]
fn unsupported_layers_take_the_build_shape_of_their_reader() {
    let layers = [
        layer("InputLayer", "x", INPUT, "null", ""),
        layer("MyScale", "first", r#""by": 2"#, "[null, 4]", "x"),
        layer("Flatten", "last", r#""data_format": "channels_last""#, "[null, 3, 2]", "first"),
    ];
    for class in ["Sequential", "Functional"] {
        assert_shows(&inspected(class, &layers), "first", "any[N,3,2]");
    }
}

#[test]
fn extents_are_known_only_if_all_readers_agree() {
    let flatten = r#""data_format": "channels_last""#;
    let layers = [
        layer("InputLayer", "x", INPUT, "null", ""),
        layer("MyScale", "first", r#""by": 2"#, "[null, 4]", "x"),
        layer("Flatten", "other", flatten, "[null, 3, 2]", "first"),
        layer("Flatten", "last", flatten, "[null, 3, 5]", "first"),
    ];
    let table = inspected("Functional", &layers);
    let row = table.lines().find(|line| line.starts_with("first")).unwrap();
    assert!(row.contains("any[N,3,d"), "{table}");
}

#[test]
fn stateful_layers_keep_their_fixed_batch() {
    let input = r#""dtype": "float32", "batch_shape": [2, 3, 5]"#;
    let config = |more: &str| format!(r#""units": 4, "stateful": true, "return_sequences": true{more}"#);
    let inner = format!(
        r#""layer": {{"module": "keras.layers", "class_name": "GRU", "config": {{"name": "g", {}}}}}, "merge_mode": "concat""#,
        config("")
    );
    for (input, class, config, ty) in [
        (input, "LSTM", config(""), "f32[2,3,4]"),
        (input, "GRU", config(r#", "dtype": "mixed_float16""#), "f16[2,3,4]"),
        (input, "Bidirectional", inner, "f32[2,3,8]"),
    ] {
        let layers = [layer("InputLayer", "x", input, "null", ""), layer(class, "last", &config, "null", "x")];
        assert_shows(&inspected("Sequential", &layers), "last", ty);
    }
}

#[test]
fn unknown_option_values_make_a_layer_unsupported() {
    let layers = [
        layer("InputLayer", "x", r#""dtype": "float32", "batch_shape": [null, 8, 8, 1]"#, "null", ""),
        layer("UpSampling2D", "last", r#""size": [2, 2], "interpolation": "of_tomorrow""#, "null", "x"),
    ];
    assert_shows(&inspected("Sequential", &layers), "last", "any[*]");
}
