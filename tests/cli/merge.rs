//! Tests of merging stages back into the model.

use netc_keras::build::{Dense, ModelBuilder};
use netc_keras_testgen::KerasRecipe;
use netc_testgen::Cuts;

use crate::support::{Folder, keras_file, saved_by_keras};

/// Splits `whole.keras` and checks that merging the stages restores the file byte for byte.
#[track_caller]
fn check(folder: &Folder, cuts: &str) {
    folder.netc(&["whole.keras", "--pass", &format!("split={cuts}"), "-o", "out"]).done();
    folder.netc(&["merge", "out/manifest.json", "-o", "merged.keras"]).done();
    assert!(folder.read("merged.keras") == folder.read("whole.keras"), "split={cuts}: the merged file differs");
    std::fs::remove_dir_all(folder.path("out")).unwrap();
}

fn zoo(name: &str) -> Folder {
    Folder::new().with("whole.keras", keras_file(&(netc_zoo::find(name).unwrap().build)(3).unwrap()))
}

#[test]
fn merging_stages_restores_the_file() {
    for cuts in ["sum", "before:sum", "conv,relu,pool", "branch"] {
        check(&zoo("tiny"), cuts);
    }
}

#[test]
fn shared_layers_are_merged() {
    let folder = zoo("siamese");
    for cuts in ["tower_pool1@0", "tower_conv2@1", "tower_pool1@0+tower_pool1@1", "tower_embedding@1,difference"] {
        check(&folder, cuts);
    }
}

/// The calls of the model are numbered in another order than its graph suggests.
#[test]
fn merging_restores_the_numbers_of_calls() {
    let mut m = ModelBuilder::new("m", 0);
    let (a, b) = (m.input(&[4]), m.input(&[4]));
    let first = m.named("tower").dense(a, Dense::default());
    let second = m.apply(m.layer_of(first), &[b]);
    let y = m.named("difference").subtract(second, first);
    let y = m.named("top").dense(y, Dense::default());
    let folder = Folder::new().with("whole.keras", keras_file(&m.finish(&[("top", y)]).unwrap()));
    for cuts in ["tower@0", "tower@1", "tower@0+tower@1"] {
        check(&folder, cuts);
    }
}

#[test]
fn merging_restores_the_files_of_random_models() {
    let mut merged = 0;
    for seed in 0..12 {
        let module = KerasRecipe::from_seed(seed, 12).build();
        let cuts = Cuts::from_seed(seed).names(&module);
        let folder = Folder::new().with("whole.keras", keras_file(&module));
        let split = folder.netc(&["whole.keras", "--pass", &format!("split={}", cuts.join(","))]);
        if !cuts.is_empty() && split.code == 0 {
            check(&folder, &cuts.join(","));
            merged += 1;
        }
    }
    assert!(merged >= 6, "only {merged} of 12 models have valid cuts");
}

#[test]
fn merge_also_works_as_a_pass() {
    let folder = zoo("tiny");
    folder.netc(&["whole.keras", "--pass", "split=sum", "-o", "out"]).done();
    let out = folder.netc(&["out/manifest.json", "--pass", "merge", "--verify", "-o", "merged.keras"]).done();
    assert!(out.contains("merge: merged 2 stages\n") && out.contains("outputs are equal bit for bit"), "{out}");
    assert!(folder.read("merged.keras") == folder.read("whole.keras"));
    let out = folder.netc(&["whole.keras", "--pass", "split=sum", "--pass", "merge", "--emit", "ir"]).done();
    assert_eq!(out, folder.netc(&["whole.keras", "--emit", "ir"]).done());
    folder.refuses(&["merge", "whole.keras", "-o", "x.keras"], &["the module is not split"]);
}

#[test]
fn stages_of_different_models_are_rejected() {
    let folder =
        zoo("siamese").with("other.keras", keras_file(&(netc_zoo::find("siamese").unwrap().build)(4).unwrap()));
    folder.netc(&["whole.keras", "--pass", "split=tower_pool1@0", "-o", "out"]).done();
    folder.netc(&["other.keras", "--pass", "split=tower_pool1@0", "-o", "others"]).done();
    let other = folder.read("others/other.stage1.keras");
    folder.write("out/whole.stage1.keras", saved_by_keras(&other));
    let note = "the layer `tower_conv1` differs between `@stage0` and `@stage1`: its weights `vars/0` differ";
    folder.refuses(&["merge", "out/manifest.json", "-o", "x.keras"], &[note]);
}

#[test]
fn the_manifest_of_a_folder_is_never_overwritten() {
    let folder = Folder::with_tiny();
    folder.netc(&["tiny.keras", "--pass", "split=sum", "-o", "out"]).done();
    let manifest = folder.read("out/manifest.json");
    for input in ["out", "./out", "out/", "out/manifest.json"] {
        folder.refuses(&["merge", input, "-o", "out/manifest.json"], &["`out/manifest.json` is an input"]);
    }
    assert_eq!(folder.read("out/manifest.json"), manifest);
}
