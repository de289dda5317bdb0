//! Tests of damaged files: the command exits with 0 or 1 and leaves nothing half-written.

use netc_ir::WeightData;

use crate::support::{Folder, tiny};

/// Splits the file and checks that the result is complete or absent. Returns the exit code.
#[track_caller]
fn check(what: &str, bytes: &[u8]) -> i32 {
    let folder = Folder::new().with("tiny.keras", bytes);
    let ran = folder.netc(&["tiny.keras", "--pass", "split=sum", "-o", "out"]);
    let files: &[&str] = match ran.code {
        0 => &["out", "out/manifest.json", "out/tiny.stage0.keras", "out/tiny.stage1.keras", "tiny.keras"],
        _ => &["tiny.keras"],
    };
    assert!(matches!(ran.code, 0 | 1), "{what}: {ran:?}");
    assert_eq!(folder.names(), files, "{what}: {ran:?}");
    ran.code
}

#[test]
fn truncated_files() {
    let bytes = tiny();
    for i in 0..40 {
        let len = bytes.len() * i / 40;
        assert_eq!(check(&format!("the first {len} bytes"), &bytes[..len]), 1, "the first {len} bytes are not a model");
    }
    assert_eq!(check("all bytes but one", &bytes[..bytes.len() - 1]), 1);
    assert_eq!(check("all bytes", &bytes), 0);
}

#[test]
fn truncation_is_reported() {
    let folder = Folder::with_tiny();
    folder.netc(&["tiny.keras", "-o", "tiny.h5"]).done();
    for (name, said) in [("tiny.keras", "its end is missing"), ("tiny.h5", "it is truncated: it has")] {
        let bytes = folder.read(name);
        for len in [bytes.len() / 2, bytes.len() - 100] {
            std::fs::write(folder.path(name), &bytes[..len]).unwrap();
            folder.refuses(&["inspect", name], &[name, said]);
        }
    }
}

#[test]
fn flipped_bytes() {
    let bytes = tiny();
    let flip = |at: usize| {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0xff;
        check(&format!("byte {at}"), &damaged)
    };
    // Members have checksums, but their headers contain fields that nothing reads, such as dates.
    let refused: i32 = (0..70).map(|i| flip(bytes.len() * i / 70)).sum();
    assert!(refused > 60, "only {refused} of 70 are rejected");
}

/// Only the checksum reveals a changed number in the weights.
#[test]
fn damaged_weights_are_neither_used_nor_copied() {
    let mut bytes = tiny();
    let folder = Folder::new().with("whole.keras", &bytes);
    let kernel = netc_keras::read(&folder.path("whole.keras"), &netc_keras_testgen::dialects()).unwrap().module;
    let place = kernel.weights.iter().find_map(|weight| match weight.data {
        WeightData::File { offset, .. } => Some(offset),
        WeightData::Inline(_) | WeightData::Random { .. } => None,
    });
    bytes[place.unwrap() as usize] ^= 1;
    let folder = folder.with("tiny.keras", &bytes);

    let uses: &[&[&str]] = &[
        &["tiny.keras", "--pass", "split=sum", "-o", "out"],
        &["tiny.keras", "-o", "copy.keras"],
        &["tiny.keras", "--pass", "split=sum", "--verify"],
        &["run", "tiny.keras"],
        &["diff", "whole.keras", "tiny.keras"],
    ];
    for arguments in uses {
        folder.refuses(arguments, &["tiny.keras", "`model.weights.h5` is damaged"]);
    }
    assert_eq!(folder.netc(&["cuts", "tiny.keras"]).code, 0, "listing cuts reads no weights");
}

#[test]
fn zip_directories_with_wrong_sizes_and_offsets() {
    let bytes = tiny();
    let directory = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    for field in [20, 24, 28, 30, 42] {
        for value in [0xffu8, 0x7f, 0x00] {
            let mut damaged = bytes.clone();
            damaged[directory + field..directory + field + 2].fill(value);
            check(&format!("field {field} of the directory"), &damaged);
        }
    }
}
