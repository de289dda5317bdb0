//! Models in JSON, and weights from other files.

use crate::bad_input::member;
use crate::support::{Folder, tiny, zip};

const EQUAL: &str = "every output is equal bit for bit";

/// A folder with `tiny.keras` and its architecture.
fn with_architecture() -> Folder {
    let folder = Folder::with_tiny();
    folder.netc(&["tiny.keras", "-o", "tiny.json"]).done();
    folder
}

#[test]
fn an_architecture_with_its_weights_is_the_model() {
    let folder = with_architecture();
    folder.netc(&["tiny.json", "--weights", "tiny.keras", "-o", "again.keras"]).done();
    assert!(folder.netc(&["diff", "tiny.keras", "again.keras"]).done().contains(EQUAL));
    folder.netc(&["tiny.json", "-o", "again.json"]).done();
    assert_eq!(folder.read("again.json"), folder.read("tiny.json"));
}

#[test]
fn an_architecture_can_be_cut_and_not_run() {
    let folder = with_architecture();
    let report = folder.netc(&["tiny.json", "--pass", "split=sum"]).done();
    assert!(report.contains("boundary `sum`: 1 tensor crosses"), "{report}");
    assert!(report.contains("it is an architecture without weights"), "{report}");
    assert!(report.contains("tiny (Functional): 8 layers, ? parameters, ? multiply-accumulates"), "{report}");
    assert!(report.contains("stage0    6 layers, ? parameters, "), "{report}");
    let cuts = folder.netc(&["cuts", "tiny.json", "--json"]).out;
    assert!(cuts.contains(r#""parameters_before": null"#) && !cuts.contains(r#""parameters_after": 0"#), "{cuts}");
    let table = folder.netc(&["inspect", "tiny.json"]).out;
    assert!(
        table.lines().any(|line| line.split_whitespace().eq(["logits", "Dense", "any[*]", "?", "pool"])),
        "{table}"
    );
    folder.refuses(&["tiny.json", "-o", "x.keras"], &["x.keras", "weights: none are given", "--weights"]);
    for args in [&["run", "tiny.json"][..], &["tiny.json", "--pass", "split=sum", "--verify"]] {
        folder.refuses(args, &["an architecture without weights does not run", "--weights"]);
    }
}

#[test]
fn weights_are_matched_by_their_places_and_not_by_names() {
    let mut folder = Folder::with_tiny();
    folder.netc(&["tiny.keras", "-o", "tiny.json"]).done();
    let json = String::from_utf8(folder.read("tiny.json")).unwrap();
    folder = folder.with("renamed.json", json.replace("\"logits\"", "\"logits_1\""));
    let report = folder.netc(&["renamed.json", "--weights", "tiny.keras", "-o", "renamed.keras"]).done();
    assert!(report.contains("`logits_1` takes the weights of `logits`"), "{report}");
    folder.netc(&["diff", "tiny.keras", "renamed.keras"]).done();
}

#[test]
fn other_weights_take_the_place_of_a_models_own() {
    let folder = with_architecture();
    folder.netc(&["gen", "--seed", "1", "--level", "layers", "-o", "other.keras"]).done();
    folder.refuses(&["tiny.keras", "--weights", "other.keras", "-o", "x.keras"], &["`other.keras`"]);
    folder.refuses(
        &["tiny.keras", "--weights", "tiny.json", "-o", "x.keras"],
        &["cannot read `tiny.json`", "it is text"],
    );
    folder.refuses(&["tiny.keras", "--weights", "none.h5", "-o", "x.keras"], &["cannot read `none.h5`"]);
    folder.netc(&["zoo:tiny", "--weights", "tiny.keras"]).failed(2, &["`zoo:tiny` has its weights"]);
    folder.netc(&["tiny.keras", "--weights", "tiny.keras", "-o", "x.keras"]).done();
    assert!(folder.netc(&["diff", "tiny.keras", "x.keras"]).done().contains(EQUAL));
}

/// As Keras 1 wrote it.
const OF_THEANO: &str = r#"{"keras_version": "1.2.2", "class_name": "Sequential", "config": [
    {"class_name": "Convolution2D", "config": {"name": "c", "nb_filter": 2, "dim_ordering": "th"}}]}"#;

#[test]
fn json_that_is_no_model_says_what_it_is() {
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
    folder.refuses(&["old.json", "-o", "x.json"], &["old.json", "c: its kernels have the order of axes of Theano"]);
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
