//! Tests of models in more files than a process may open, with a low limit on open files.

use std::fs;

use netc_keras::build::{Dense, ModelBuilder};

use crate::support::{Folder, keras_file};

const EQUAL: &str = "outputs are equal bit for bit";

/// Runs the command with few file descriptors. netc keeps at most 64 weight files open.
const FEW_FILES: &str = "ulimit -n 100; \"$NETC\"";

/// Number of layers of the chain, and of stages.
const STAGES: usize = 150;

fn chain() -> Vec<u8> {
    let mut m = ModelBuilder::new("chain", 0);
    let mut x = m.named("x").input(&[2]);
    for i in 0..STAGES {
        x = m.named(format!("d{i}")).dense(x, Dense { units: 2, ..Dense::default() });
    }
    keras_file(&m.finish(&[("y", x)]).unwrap())
}

#[test]
fn stages_are_opened_as_they_are_needed() {
    let folder = Folder::new().with("chain.keras", chain());
    let cuts: Vec<String> = (0..STAGES - 1).map(|i| format!("d{i}")).collect();
    folder.netc(&["chain.keras", "--pass", &format!("split={}", cuts.join(",")), "-o", "out"]).done();
    let diff = folder.shell(&format!("{FEW_FILES} diff chain.keras out/manifest.json")).done();
    assert!(diff.contains(EQUAL), "{diff}");
    folder.shell(&format!("{FEW_FILES} merge out/manifest.json -o merged.keras")).done();
    assert_eq!(folder.read("merged.keras"), folder.read("chain.keras"));
}

#[test]
fn shards_are_opened_as_they_are_needed() {
    let folder = Folder::with_tiny();
    folder.netc(&["tiny.keras", "--format", "tfjs", "-o", "web"]).done();
    let bytes = folder.read("web/group1-shard1of1.bin");
    let mut model = folder.json("web/model.json");
    let size = bytes.len().div_ceil(STAGES);
    let names: Vec<String> = (0..bytes.len().div_ceil(size)).map(|i| format!("{i}.bin")).collect();
    for (name, part) in names.iter().zip(bytes.chunks(size)) {
        fs::write(folder.path(&format!("web/{name}")), part).unwrap();
    }
    assert!(names.len() > 100);
    model["weightsManifest"][0]["paths"] = names.into();
    fs::write(folder.path("web/many.json"), model.to_string()).unwrap();
    let diff = folder.shell(&format!("{FEW_FILES} diff web/model.json web/many.json")).done();
    assert!(diff.contains(EQUAL), "{diff}");
}
