//! Tests of weights in several files.

use crate::bad_input::member;
use crate::support::{Folder, tiny, zip};

const EQUAL: &str = "outputs are equal bit for bit";

const MAP: &str = r#"{"metadata": {"total_size": 1304}, "weight_map": {
    "/layers/conv2d/vars": "model_00000.weights.h5",
    "/layers/batch_normalization/vars": ["model_00000.weights.h5"],
    "/layers/conv2d_1/vars": "model_00000.weights.h5",
    "/layers/dense/vars": "model_00001.weights.h5"}}"#;

/// A folder with `tiny`, its architecture, and its weights in two shards: the weights of its stages before and after
/// the layer `sum`.
fn folder() -> Folder {
    let folder = Folder::with_tiny();
    folder.netc(&["tiny.keras", "-o", "tiny.json"]).done();
    folder.netc(&["tiny.keras", "--pass", "split=sum", "-o", "out"]).done();
    let folder = folder.with("model.weights.json", MAP);
    let [first, second] = shards(&folder);
    folder.with("model_00000.weights.h5", first).with("model_00001.weights.h5", second)
}

fn shards(folder: &Folder) -> [Vec<u8>; 2] {
    ["out/tiny.stage0.keras", "out/tiny.stage1.keras"].map(|stage| member(&folder.read(stage), "model.weights.h5"))
}

fn archive(map: &str, shards: &[(&str, &[u8])]) -> Vec<u8> {
    let config = member(&tiny(), "config.json");
    zip(&[&[("config.json", &*config), ("model.weights.json", map.as_bytes())], shards].concat())
}

#[test]
fn weights_are_read_from_all_shards() {
    let folder = folder();
    let given = ["tiny.json", "--weights", "model.weights.json", "-o", "again.keras"];
    assert!(!folder.netc(&given).done().contains("note"));
    assert_eq!(folder.read("again.keras"), folder.read("tiny.keras"));
    let [first, second] = shards(&folder);
    let parts: [(&str, &[u8]); 2] = [("model_00000.weights.h5", &first), ("model_00001.weights.h5", &second)];
    let folder = folder.with("sharded.keras", archive(MAP, &parts));
    assert!(folder.netc(&["diff", "sharded.keras", "tiny.keras"]).done().contains(EQUAL));
    folder.netc(&["sharded.keras", "--pass", "split=sum", "-o", "parts"]).done();
    assert_eq!(folder.read("parts/sharded.stage1.keras"), folder.read("out/tiny.stage1.keras"));
    folder.refuses(&["inspect", "model.weights.json"], &["it lists the shards of weights without a model"]);
}

#[test]
fn damaged_shards_are_neither_used_nor_copied() {
    let folder = folder();
    let [first, mut second] = shards(&folder);
    let whole = archive(MAP, &[("model_00000.weights.h5", &first), ("model_00001.weights.h5", &second)]);
    let numbers = second.windows(8).rposition(|bytes| bytes.iter().all(|b| *b != 0)).unwrap();
    let at = whole.windows(second.len()).position(|bytes| bytes == second).unwrap();
    let mut damaged = whole;
    damaged[at + numbers] ^= 1;
    second[numbers] ^= 1;
    let folder = folder.with("damaged.keras", damaged);
    for arguments in [["damaged.keras", "-o", "x.keras"].as_slice(), &["run", "damaged.keras"]] {
        folder.refuses(arguments, &["damaged.keras", "`model_00001.weights.h5` is damaged"]);
    }
}

#[test]
fn wrong_lists_of_shards_are_rejected() {
    let folder = folder();
    let [first, second] = shards(&folder);
    let dense = r#""/layers/dense/vars": "model_00001.weights.h5""#;
    for (i, (to, parts)) in [
        (r#""/layers/dense/vars": "../model_00001.weights.h5""#, ["`/layers/dense/vars`", "is not the name of a file"]),
        (r#""/layers/dense/vars": "/dev/zero""#, ["`/dev/zero`", "is not the name of a file next to"]),
        (r#""/layers/dense/vars": ["..", 7]"#, ["`..`", "is not the name of a file"]),
        (r#""/layers/dense/vars": 7"#, ["weight_map", "is not the name of a file"]),
        (r#""/layers/dense/vars": "tiny.keras""#, ["`tiny.keras`", ""]),
        (r#""/layers/dense/vars": "none.weights.h5""#, ["`none.weights.h5`", ""]),
        (r#""/layers/dense/vars": "model_00000.weights.h5""#, ["`model_00000.weights.h5`: layers/dense/vars", "different saves"]),
        (r#""/layers/den": "model_00001.weights.h5""#, ["`model_00001.weights.h5`: layers/den", "different saves"]),
        (
            r#""/layers/dense/vars": "model_00001.weights.h5", "/layers/conv2d/vars": ["model_00000.weights.h5", "copy.h5"]"#,
            ["copy.h5", "different saves"],
        ),
    ]
    .iter()
    .enumerate()
    {
        let map = MAP.replace(dense, to);
        assert_ne!(map, MAP);
        let name = format!("m{i}.json");
        let inside = archive(&map, &[("model_00000.weights.h5", &first), ("model_00001.weights.h5", &second), ("copy.h5", &first)]);
        let folder = Folder::with_tiny()
            .with("tiny.json", folder.read("tiny.json"))
            .with("model_00000.weights.h5", &first)
            .with("model_00001.weights.h5", &second)
            .with("copy.h5", &first)
            .with(&name, &map)
            .with("inside.keras", inside);
        folder.refuses(&["tiny.json", "--weights", &name, "-o", "x.keras"], &[parts.as_slice(), &[&name]].concat());
        folder.refuses(&["inside.keras", "-o", "x.keras"], parts);
    }
}

#[test]
fn a_weight_in_two_shards_is_rejected() {
    let folder = folder();
    let [first, _] = shards(&folder);
    let map = MAP.replace("\"model_00000.weights.h5\"", r#"["model_00000.weights.h5", "copy.h5"]"#);
    let map = map.replace("[[", "[").replace("]]", "]");
    let folder = folder.with("model.weights.json", map).with("copy.h5", first);
    let parts = &["the shard `model_00000.weights.h5`: layers/", "another shard has it too"];
    folder.refuses(&["tiny.json", "--weights", "model.weights.json", "-o", "x.keras"], parts);
}
