//! Files that a reader once answered wrongly, as the fuzz targets found them: `regressions/READER/WHAT`.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use netc_testgen::oracle::READERS;

#[test]
fn files_that_were_answered_wrongly_are_answered_right() {
    for (name, reader) in READERS {
        for path in listing(name) {
            let answer = reader(&fs::read(&path).unwrap());
            assert_eq!(answer, Ok(()), "{}", path.display());
        }
    }
}

#[test]
fn every_folder_is_named_after_a_reader() {
    let readers: BTreeSet<PathBuf> = READERS.iter().map(|(name, _)| folder(name)).collect();
    let odd: Vec<PathBuf> = listing("").into_iter().filter(|path| !readers.contains(path)).collect();
    assert!(odd.is_empty(), "{odd:?}");
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("regressions").join(name)
}

/// What is in the folder of a reader, in order; nothing if there is none.
fn listing(name: &str) -> BTreeSet<PathBuf> {
    fs::read_dir(folder(name)).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}
