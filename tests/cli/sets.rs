//! Tests that the stages of a split are one set: changed files are not lost, and files of different splits are not
//! mixed.

use std::fs;
use std::os::unix::fs::MetadataExt;

use netc_data::Checksum;
use netc_keras::build::{Dense, ModelBuilder};
use serde_json::{Value, json};

use crate::support::{Folder, Ran, keras_file, saved_by_keras, unwrapped};

const SPLIT: [&str; 5] = ["tiny.keras", "--pass", "split=relu,pool", "-o", "out"];

/// A folder with a split of `tiny`, and in `other/` a split of the same model with other weights.
fn split() -> Folder {
    let folder = Folder::with_tiny();
    folder.netc(&SPLIT).done();
    fs::create_dir(folder.path("other")).unwrap();
    folder.write("other/tiny.keras", keras_file(&(netc_zoo::find("tiny").unwrap().build)(1).unwrap()));
    folder.netc(&["other/tiny.keras", "--pass", "split=relu,pool", "-o", "other/out"]).done();
    folder
}

/// A folder with a split whose stage 1 was trained.
fn trained() -> Folder {
    let folder = split();
    let stage = saved_by_keras(&folder.read("other/out/tiny.stage1.keras"));
    folder.write("out/tiny.stage1.keras", stage);
    folder
}

/// Checks that the command succeeded with a note on standard error that contains each of `parts`.
#[track_caller]
fn noted(ran: Ran, parts: &[&str]) -> String {
    assert!(ran.code == 0 && ran.err.lines().all(|line| line.starts_with("note: ")), "{}", ran.err);
    assert!(ran.err.lines().any(|line| parts.iter().all(|part| line.contains(part))), "{}", ran.err);
    ran.out
}

#[test]
fn the_manifest_has_the_checksum_of_every_file() {
    let folder = Folder::with_tiny();
    let checked = |out: &str| {
        let manifest = folder.json(&format!("{out}/manifest.json"));
        let stages = manifest["stages"].as_array().unwrap();
        let entries =
            stages.iter().flat_map(|s| std::iter::once(s).chain(s["shards"].as_array().into_iter().flatten()));
        let entries: Vec<&Value> = entries.collect();
        for entry in &entries {
            let path = folder.path(&format!("{out}/{}", entry["file"].as_str().unwrap()));
            let Checksum { bytes, crc } = Checksum::of(&path).unwrap();
            assert_eq!((&entry["bytes"], &entry["checksum"]), (&json!(bytes), &json!(format!("crc32:{crc:08x}"))));
        }
        entries.len()
    };
    for (format, files) in [("keras", 2), ("h5", 2), ("tfjs", 4)] {
        assert_eq!(folder.netc(&["tiny.keras", "--pass", "split=sum", "-o", format, "--format", format]).code, 0);
        assert_eq!(checked(format), files, "{format}");
    }
    // Streamed weights.
    folder.netc(&["zoo:squeezenet", "--pass", "split=#20", "-o", "large"]).done();
    assert_eq!(checked("large"), 2);
}

#[test]
fn trained_stages_are_replaced_only_with_force() {
    split().netc(&SPLIT).done();
    let folder = trained();
    let stage = "`out/tiny.stage1.keras` has changed since netc wrote it; choose another folder, or overwrite it with `--force`";
    folder.refuses(&SPLIT, &[stage]);
    folder.refuses(&["tiny.keras", "--pass", "split=relu,sum", "-o", "out"], &[stage]);
    let report = folder.netc(&[&SPLIT[..], &["--force"]].concat()).done();
    let replaced = "replaced `tiny.stage1.keras`, which has changed since netc wrote it";
    assert!(report.contains(replaced) && !report.contains("`tiny.stage0.keras`"), "{report}");
    assert!(folder.netc(&["diff", "tiny.keras", "out/manifest.json"]).done().contains("equal bit for bit"));
    // A missing stage is written again.
    fs::remove_file(folder.path("out/tiny.stage0.keras")).unwrap();
    folder.netc(&SPLIT).done();
}

#[test]
fn unrelated_files_are_replaced_only_with_force() {
    let folder = Folder::with_tiny();
    fs::create_dir(folder.path("out")).unwrap();
    folder.write("out/tiny.stage2.keras", "mine");
    folder.refuses(&SPLIT, &["`out/tiny.stage2.keras` does not belong to the earlier split", "--force"]);
    fs::remove_file(folder.path("out/tiny.stage2.keras")).unwrap();
    for text in ["{}", "", "[1]", "{\"model\": 7, \"stages\": []}"] {
        folder.write("out/manifest.json", text);
        folder.refuses(&SPLIT, &["`out/manifest.json` was not written by netc", "--force"]);
    }
    folder.netc(&[&SPLIT[..], &["--force"]].concat()).done();
    folder.netc(&["diff", "tiny.keras", "out/manifest.json"]).done();
}

#[test]
fn a_folder_stands_for_the_manifest_or_the_model_in_it() {
    let folder = split();
    folder.netc(&["tiny.keras", "-o", "js", "--format", "tfjs"]).done();
    for given in ["out", "out/", "js"] {
        assert!(folder.netc(&["diff", "tiny.keras", given]).done().contains("equal bit for bit"));
    }
    folder.netc(&["merge", "out", "-o", "merged.keras"]).done();
    assert_eq!(folder.read("merged.keras"), folder.read("tiny.keras"));
    folder.refuses(&["out", "--pipeline", "merge,split=relu", "-o", "out"], &["`out/tiny.stage0.keras`", "input"]);
}

/// Some editors add a byte order mark.
#[test]
fn manifests_may_begin_with_a_byte_order_mark() {
    let folder = split();
    let manifest = folder.read("out/manifest.json");
    folder.write("out/manifest.json", [&b"\xef\xbb\xbf"[..], &manifest[..]].concat());
    folder.netc(&["diff", "tiny.keras", "out/manifest.json"]).done();
    folder.netc(&SPLIT).done();
    assert_eq!(folder.read("out/manifest.json"), manifest);
}

#[test]
fn stages_of_another_model_are_kept() {
    let folder = split();
    let siamese = ["zoo:siamese", "--pass", "split=tower_pool1@0", "-o", "out"];
    folder.refuses(&siamese, &["`out/manifest.json` is the manifest of another model, `tiny`", "--force"]);
    let report = folder.netc(&[&siamese[..], &["--force"]].concat()).done();
    let note = "`out` still has tiny.stage0.keras, tiny.stage1.keras, tiny.stage2.keras from an earlier split";
    assert!(unwrapped(&report).contains(note), "{report}");
    assert!(folder.path("out/tiny.stage2.keras").exists());
}

#[test]
fn stages_of_an_earlier_split_are_removed_unless_they_changed() {
    let again = ["tiny.keras", "--pass", "split=relu", "-o", "out"];
    let folder = split();
    let report = folder.netc(&again).done();
    assert!(report.contains("note      removed tiny.stage2.keras of an earlier split from `out`\n"), "{report}");
    assert!(!folder.path("out/tiny.stage2.keras").exists());
    assert!(!folder.netc(&again).done().contains("note"), "no stage is left to remove");

    let folder = split();
    let trained = saved_by_keras(&folder.read("other/out/tiny.stage2.keras"));
    folder.write("out/tiny.stage2.keras", &trained);
    let json = folder.netc(&[&again[..], &["--emit", "json"]].concat()).done();
    let json: Value = serde_json::from_str(&json).unwrap();
    let note = "`out` still has tiny.stage2.keras from an earlier split, which this split does not use";
    assert_eq!(json["notes"], json!([{"code": "stages-kept", "text": note}]));
    assert_eq!(folder.read("out/tiny.stage2.keras"), trained);
}

/// A TensorFlow.js stage is a folder with shards.
#[test]
fn shards_of_tensorflow_js_stages_are_guarded() {
    let folder = Folder::with_tiny();
    let split = |cut: &str, out: &str| folder.netc(&["tiny.keras", "--pass", cut, "-o", out, "--format", "tfjs"]);
    assert_eq!(split("split=relu,pool", "out").code, 0);
    let shard = "out/tiny.stage1/group1-shard1of1.bin";
    let own = folder.read(shard);
    folder.write(shard, vec![0; own.len()]);
    split("split=relu,pool", "out").failed(1, &[shard, "has changed since netc wrote it"]);
    let refused = "is not the stage that `out/manifest.json` describes";
    folder.refuses(&["run", "out/manifest.json"], &[shard, refused]);
    folder.write(shard, own);
    assert_eq!(split("split=relu", "out").code, 0);
    assert!(!folder.path("out/tiny.stage2").exists(), "{:?}", folder.names());
    assert!(folder.netc(&["diff", "tiny.keras", "out/manifest.json"]).done().contains("equal bit for bit"));
}

#[test]
fn without_checksums_stages_are_read_but_not_replaced() {
    let folder = split();
    let mut manifest = folder.json("out/manifest.json");
    for stage in manifest["stages"].as_array_mut().unwrap() {
        stage.as_object_mut().unwrap().remove("checksum");
    }
    folder.write("out/manifest.json", manifest.to_string());
    folder.netc(&["diff", "tiny.keras", "out/manifest.json"]).done();
    folder.refuses(&SPLIT, &["`out/tiny.stage0.keras` may have changed", "--force"]);
}

/// Every command that reads a manifest.
const READERS: [&[&str]; 7] = [
    &["run", "out/manifest.json"],
    &["diff", "tiny.keras", "out/manifest.json"],
    &["merge", "out/manifest.json", "-o", "merged.keras"],
    &["cuts", "out/manifest.json"],
    &["inspect", "out/manifest.json"],
    &["layers", "out/manifest.json", "--above", "sum"],
    &["out/manifest.json", "-o", "x.nir"],
];

#[test]
fn stages_of_another_split_are_rejected() {
    for format in ["keras", "h5", "tfjs"] {
        let folder = Folder::with_tiny();
        let split = |cut: &str, out: &str| {
            assert_eq!(folder.netc(&["tiny.keras", "--pass", cut, "-o", out, "--format", format]).code, 0);
        };
        split("split=pool", "out");
        split("split=relu", "other");
        let stage = if format == "tfjs" { "tiny.stage0/model.json" } else { &format!("tiny.stage0.{format}") };
        folder.write(&format!("out/{stage}"), folder.read(&format!("other/{stage}")));
        // A TensorFlow.js model with the shards of another one cannot be read.
        let why = if format == "tfjs" { "its files have" } else { "netc wrote it for another split" };
        for args in READERS {
            let note = format!("`out/{stage}` is not the stage that `out/manifest.json` describes: ");
            folder.refuses(args, &[&note, why, "split the model again"]);
        }
    }
}

#[test]
fn trained_stages_are_used_with_a_note() {
    let folder = trained();
    let note = ["`out/tiny.stage1.keras` has changed since netc wrote it", "a framework saved it"];
    noted(folder.netc(READERS[0]), &note);
    for args in &READERS[3..6] {
        noted(folder.netc(args), &note);
    }
    let differs = folder.netc(READERS[1]);
    assert!(differs.code == 3 && note.iter().all(|part| differs.err.contains(part)), "{differs:?}");
    let report = unwrapped(&folder.netc(READERS[2]).done());
    assert!(note.iter().all(|part| report.contains(part)), "{report}");
    let json = folder.netc(&["merge", "out/manifest.json", "-o", "merged.keras", "--emit", "json"]).done();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert!(note.iter().all(|part| json["notes"][0]["text"].as_str().unwrap().contains(part)), "{json}");
    // The merged model has the trained weights.
    let same = noted(folder.netc(&["diff", "merged.keras", "out/manifest.json"]), &note);
    assert!(same.contains("equal bit for bit"), "{same}");
}

#[test]
fn trained_stages_must_keep_their_signature() {
    let folder = split();
    let with = |stage: Vec<u8>, why: &str| {
        folder.write("out/tiny.stage2.keras", saved_by_keras(&stage));
        for args in READERS {
            folder.refuses(args, &["`out/tiny.stage2.keras` is not the stage that", why]);
        }
    };
    with(folder.read("out/tiny.stage0.keras"), "input `image` is float32 [null,8,8,3], expected `pool`");
    let model = |width: u64, names: &[&str]| {
        let mut m = ModelBuilder::new("m", 0);
        let x = m.named("pool").input(&[4]);
        let outputs: Vec<(&str, _)> = names
            .iter()
            .map(|name| (*name, m.named(*name).dense(x, Dense { units: width, ..Dense::default() })))
            .collect();
        keras_file(&m.finish(&outputs).unwrap())
    };
    with(model(11, &["logits"]), "output `logits` is float32 [null,11], expected `logits` float32 [null,10]");
    with(model(10, &["others"]), "output `others` is float32 [null,10], expected `logits`");
    with(model(10, &["logits", "more"]), "its model has 2 outputs, expected 1");
    folder.write("out/tiny.stage2.keras", saved_by_keras(&model(10, &["logits"])));
    noted(folder.netc(READERS[0]), &["`out/tiny.stage2.keras` has changed"]);
}

#[test]
fn damaged_stages_are_rejected() {
    let folder = split();
    let mut stage = folder.read("out/tiny.stage1.keras");
    let at = stage.len() / 2;
    stage[at] ^= 1;
    folder.write("out/tiny.stage1.keras", stage);
    for args in [READERS[0], READERS[1]] {
        folder.refuses(args, &["out/tiny.stage1.keras"]);
    }
}

/// Simulates a kill between two renames: stage 0 is new, stage 1 and the manifest are old, and the rest is in a hidden
/// folder.
#[test]
fn a_half_replaced_set_is_completed() {
    for args in READERS {
        let folder = Folder::with_tiny();
        let split = |cut: &str, out: &str| folder.netc(&["tiny.keras", "--pass", cut, "-o", out]).done();
        split("split=pool", "out");
        split("split=relu", "new");
        let files = ["tiny.stage0.keras", "tiny.stage1.keras", "manifest.json"];
        fs::create_dir(folder.path("out/.netc-a1B2c3")).unwrap();
        folder.write("out/.netc-a1B2c3/lock", "set\n");
        let mut changes = Vec::new();
        for (i, file) in files.iter().enumerate() {
            folder.write(&format!("out/.netc-a1B2c3/new{i}"), folder.read(&format!("new/{file}")));
            let stamp = |file: &str| {
                let m = fs::metadata(folder.path(file)).unwrap();
                (m.len(), format!("{}:{}:{}.{:09}", m.ino(), m.len(), m.mtime(), m.mtime_nsec()))
            };
            let (bytes, new) = stamp(&format!("out/.netc-a1B2c3/new{i}"));
            let (_, old) = stamp(&format!("out/{file}"));
            let new = json!({"name": format!("new{i}"), "bytes": bytes, "stamp": new});
            changes.push(json!({"target": file, "new": new, "old": old}));
        }
        let journal = json!({"version": 1, "changes": changes, "folders": []});
        folder.write("out/.netc-a1B2c3/journal", journal.to_string());
        fs::rename(folder.path("out/tiny.stage0.keras"), folder.path("out/.netc-a1B2c3/old0")).unwrap();
        fs::rename(folder.path("out/.netc-a1B2c3/new0"), folder.path("out/tiny.stage0.keras")).unwrap();

        let ran = folder.netc(args);
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
        assert!(ran.err.contains("note: completed the files that a killed netc was writing in `out`"), "{}", ran.err);
        for file in files {
            assert_eq!(folder.read(&format!("out/{file}")), folder.read(&format!("new/{file}")), "{args:?}");
        }
        assert!(!folder.path("out/.netc-a1B2c3").exists());
    }
}

/// The note about a recovery is printed even if the model cannot be read afterwards.
#[test]
fn a_recovery_note_survives_a_later_error() {
    let folder = Folder::with_tiny();
    folder.netc(&["tiny.keras", "--pass", "split=pool", "-o", "out"]).done();
    fs::create_dir(folder.path("out/.netc-a1B2c3")).unwrap();
    folder.write("out/.netc-a1B2c3/lock", "set\n");
    folder.write("out/.netc-a1B2c3/journal", json!({"version": 1, "changes": [], "folders": []}).to_string());
    folder.write("out/manifest.json", "{}");
    let ran = folder.netc(&["inspect", "out/manifest.json"]);
    let note = "note: completed the files that a killed netc was writing in `out`";
    assert!(ran.code == 1 && ran.err.contains(note) && ran.err.contains("error: "), "{}", ran.err);
}

/// The split has more stages than the process may open files.
#[test]
fn many_stages_are_written_with_few_descriptors() {
    let mut m = ModelBuilder::new("m", 0);
    let mut x = m.input(&[2]);
    for i in 0..300 {
        x = m.named(format!("d{i}")).dense(x, Dense { units: 2, ..Dense::default() });
    }
    let folder = Folder::new().with("m.keras", keras_file(&m.finish(&[("y", x)]).unwrap()));
    let cuts: Vec<String> = (0..299).map(|i| format!("d{i}")).collect();
    for format in ["keras", "h5", "tfjs"] {
        let split = format!("$NETC m.keras --pass split={} -o {format} --format {format}", cuts.join(","));
        let ran = folder.shell(&format!("ulimit -n 40; {split}"));
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert_eq!(folder.json(&format!("{format}/manifest.json"))["stages"].as_array().unwrap().len(), 300);
        // Replacing the earlier set needs few descriptors, too.
        let ran = folder.shell(&format!("ulimit -n 40; {split}"));
        assert_eq!(ran.code, 0, "{}", ran.err);
    }
}
