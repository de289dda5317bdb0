//! Tests the whole command with a custom format.

use std::fs;
use std::path::Path;
use std::process::Command;

fn my_netc(folder: &Path, args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_my-netc")).args(args).current_dir(folder).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_command_reads_splits_and_writes_steps() {
    let folder = tempfile::tempdir().unwrap();
    let text = "steps\nx f32[2,3]\na tanh x\nb neg a\ny relu b\n";
    fs::write(folder.path().join("m.steps"), text).unwrap();
    let run = |args: &[&str]| my_netc(folder.path(), args);

    assert!(run(&["inspect", "m.steps"]).contains("tanh"));
    assert!(run(&["cuts", "m.steps"]).contains("f32[2,3]"));
    let report = run(&["m.steps", "--pass", "split=a", "--format", "steps", "-o", "out", "--verify"]);
    assert!(report.contains("outputs are equal bit for bit"), "{report}");
    assert_eq!(fs::read_to_string(folder.path().join("out/m.stage0.steps")).unwrap(), "steps\nx f32[2,3]\na tanh x\n");
    assert!(run(&["diff", "m.steps", "out"]).contains("equal bit for bit"));
    run(&["merge", "out/manifest.json", "-o", "again.steps"]);
    assert_eq!(fs::read_to_string(folder.path().join("again.steps")).unwrap(), text);
    run(&["m.steps", "-o", "m.nir"]);
    run(&["m.nir", "-o", "back.steps"]);
    assert_eq!(fs::read_to_string(folder.path().join("back.steps")).unwrap(), text);
}
