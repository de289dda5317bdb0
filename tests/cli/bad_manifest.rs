//! Tests manifests with wrong files, sources and counts.

use serde_json::{Value, json};

use crate::support::Folder;

fn split() -> Folder {
    let folder = Folder::with_tiny();
    folder.netc(&["tiny.keras", "--pass", "split=sum", "-o", "out"]).done();
    folder
}

/// Checks that a manifest with another value at `pointer` is rejected with a message that contains each of `parts`.
#[track_caller]
fn check(pointer: &str, value: &Value, parts: &[&str]) {
    let folder = split();
    let mut manifest = folder.json("out/manifest.json");
    *manifest.pointer_mut(pointer).unwrap() = value.clone();
    let folder = folder.with("out/bad.json", manifest.to_string());
    for args in
        [&["inspect", "out/bad.json"][..], &["run", "out/bad.json", "-o", "y.npz"], &["out/bad.json", "-o", "x.nir"]]
    {
        folder.refuses(args, parts);
    }
}

#[test]
fn stage_files_must_be_in_the_folder() {
    for file in ["../tiny.keras", "/etc/passwd", "", ".", "..", "a/../../tiny.keras"] {
        check("/stages/0/file", &json!(file), &["out/bad.json", "stages[0]", "a file in the folder of the manifest"]);
    }
    check("/stages/0/file", &json!("gone.keras"), &["out/gone.keras"]);
    check("/stages/0/file", &json!("manifest.json"), &["out/manifest.json"]);
    check("/stages/0/file", &json!(7), &["stages[0]", "`file`"]);
    let first = split().json("out/manifest.json")["stages"][0]["file"].take();
    check("/stages/1/file", &first, &["out/bad.json", "stages[1]: expected a file that no earlier stage uses"]);
    check("/stages/0/file", &Value::Null, &["stages[0]", "`file`"]);
}

#[test]
fn crossing_tensors_must_have_unique_names_and_matching_types() {
    let mut folder = split();
    let mut manifest = folder.json("out/manifest.json");
    let port = manifest["outputs"][0].clone();
    manifest["outputs"] = json!([port, port]);
    folder = folder.with("out/twice.json", manifest.to_string());
    folder.refuses(&["inspect", "out/twice.json"], &["out/twice.json", "outputs: expected distinct names", "twice"]);
    let mut manifest = folder.json("out/manifest.json");
    // The first stage expects an image, not its own output.
    let first = folder.read(&format!("out/{}", manifest["stages"][0]["file"].as_str().unwrap()));
    folder = folder.with("out/first.keras", first);
    manifest["stages"][1]["file"] = json!("first.keras");
    for key in ["bytes", "checksum"] {
        manifest["stages"][1][key] = manifest["stages"][0][key].clone();
    }
    folder = folder.with("out/image.json", manifest.to_string());
    let parts = ["out/image.json", "stages[1].inputs[0]: expected f32[", "as its model takes, found f32["];
    folder.refuses(&["inspect", "out/image.json"], &parts);
}

/// The program of a manifest says of the inputs what the models of the stages say.
#[test]
fn the_program_must_fit_the_stages() {
    let main = split().json("out/manifest.json")["main"].as_str().unwrap().to_string();
    assert!(main.contains("f32[N,8,8,3]"), "{main}");
    for found in ["f32[N,9,8,3]", "i32[N,8,8,3]", "f32[N,8,8]"] {
        let expected = format!("main: expected f32[N,8,8,3] for `%image`, as stages[0].inputs[0] takes, found {found}");
        check("/main", &json!(main.replace("f32[N,8,8,3]", found)), &["out/bad.json", &expected]);
    }
}

#[test]
fn sources_must_be_earlier_stages() {
    let source = "/stages/0/inputs/0/source";
    check(source, &json!({"stage": 1, "output": 0}), &["stages[0]", "earlier stage"]);
    check(source, &json!({"stage": 0, "output": 0}), &["stages[0]", "earlier stage"]);
    check(source, &json!({"stage": u64::MAX, "output": u64::MAX}), &["stages[0]"]);
    check(source, &json!({"model_input": "nothing"}), &["stages[0]", "model input"]);
    check(source, &json!({"stage": -1, "output": 0}), &["stages[0]", "`source`"]);
    check(source, &json!("image"), &["stages[0]", "`source`"]);
    check("/outputs/0/source", &json!({"stage": 1, "output": 1}), &["outputs[0]"]);
}

#[test]
fn types_and_counts_must_match() {
    // Stage 1 expects the output of stage 0, not the model's input.
    let given = ["stages[1].inputs[0]: expected f32[N,8,8,4], as its model takes, found f32[N,8,8,3]"];
    check("/stages/1/inputs/0/source", &json!({"model_input": "image"}), &given);
    check("/stages/1/inputs", &json!([]), &["stages[1]", "1 input"]);
    check("/stages/1/inputs", &json!({}), &["stages[1]", "`inputs`"]);
    check("/stages", &json!([]), &["out/bad.json"]);
    check("/stages", &json!(3), &["`stages`"]);
    check("/inputs", &Value::Null, &["`inputs`"]);
    check("/outputs/0/name", &Value::Null, &["outputs[0]", "`name`"]);
    check(
        "/outputs",
        &json!([{"name": "a", "source": {"stage": 1, "output": 0}}, {"name": "a", "source": {"stage": 1, "output": 0}}]),
        &["out/bad.json"],
    );
}

#[test]
fn files_that_are_not_manifests() {
    let folder =
        Folder::new().with("a.json", "").with("b.json", "[]").with("c.json", "{").with("d.json", "[".repeat(100_000));
    for (name, part) in [
        ("a.json", "it is empty"),
        ("b.json", "it is JSON, but not an object"),
        ("c.json", "not JSON"),
        ("d.json", "nested deeper than 1024 levels"),
        ("e.json", "No such file"),
    ] {
        folder.refuses(&["inspect", name], &[name, part]);
    }
}

#[test]
fn entries_for_merging_are_checked() {
    check("/main", &json!(7), &["main", "a program"]);
    check("/main", &json!("func"), &["main", "a program"]);
    for calls in [json!(1), json!({"conv": 1}), json!({"conv": [-1]}), json!({"conv": []})] {
        let folder = split();
        let mut manifest = folder.json("out/manifest.json");
        manifest["stages"][0]["calls"] = calls;
        let folder = folder.with("out/bad.json", manifest.to_string());
        folder.refuses(&["merge", "out/bad.json", "-o", "x.keras"], &["stages[0].calls"]);
    }
}

/// The JSON pointers to every part of a value.
fn places(value: &Value) -> Vec<String> {
    let below = |key: &str, value: &Value| -> Vec<String> {
        let key = key.replace('~', "~0").replace('/', "~1");
        places(value).into_iter().map(|place| format!("/{key}{place}")).collect()
    };
    let inside: Vec<String> = match value {
        Value::Array(items) => items.iter().enumerate().flat_map(|(i, item)| below(&i.to_string(), item)).collect(),
        Value::Object(map) => map.iter().flat_map(|(key, value)| below(key, value)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    [vec![String::new()], inside].concat()
}

#[test]
fn hostile_values_anywhere_are_accepted_or_rejected_with_an_error() {
    let mut folder = split();
    let manifest = folder.json("out/manifest.json");
    let hostile = [Value::Null, json!(-1), json!(u64::MAX), json!("../\u{0}"), json!([[7]]), json!({"stage": 1})];
    let mut refused = 0;
    for place in places(&manifest) {
        for value in &hostile {
            let mut bad = manifest.clone();
            *bad.pointer_mut(&place).unwrap() = value.clone();
            folder = folder.with("out/bad.json", bad.to_string());
            let ran = folder.netc(&["merge", "out/bad.json", "-o", "merged.keras"]);
            assert!(ran.code == 0 || ran.code == 1 && ran.err.starts_with("error: "), "{place} = {value}: {ran:?}");
            refused += ran.code;
        }
    }
    assert!(refused > 100, "only {refused} are rejected");
}
