//! Files that a reader once answered wrongly, as the fuzz targets found them: `regressions/READER/WHAT`.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use netc_testgen::oracle::Reader;

/// The address space that answering a file may take: each has a few kilobytes.
const MAX_KILOBYTES: u64 = 100_000;

/// The allocator reserves address space for each thread, unless this is 1.
const ARENAS: &str = "MALLOC_ARENA_MAX";

#[test]
fn files_that_were_answered_wrongly_are_answered_right() {
    if env::var_os(ARENAS).is_none() {
        let mut itself = Command::new(env::current_exe().unwrap());
        itself.args(["--exact", "files_that_were_answered_wrongly_are_answered_right", "--nocapture"]);
        assert!(itself.env(ARENAS, "1").status().unwrap().success());
        return;
    }
    for (name, reader) in readers() {
        for path in listing(name) {
            let before = peak();
            let answer = reader(&fs::read(&path).unwrap());
            assert_eq!(answer, Ok(()), "{}", path.display());
            let taken = peak() - before;
            assert!(taken < MAX_KILOBYTES, "{} takes {taken} kilobytes", path.display());
        }
    }
}

/// The most address space that this process has had, in kilobytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn every_folder_is_named_after_a_reader() {
    let readers: BTreeSet<PathBuf> = readers().map(|(name, _)| folder(name)).collect();
    let odd: Vec<PathBuf> = listing("").into_iter().filter(|path| !readers.contains(path)).collect();
    assert!(odd.is_empty(), "{odd:?}");
}

/// Every reader, with the name of its folder.
fn readers() -> impl Iterator<Item = &'static (&'static str, Reader)> {
    netc_testgen::oracle::READERS.iter().chain(netc_keras_testgen::oracle::READERS)
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("regressions").join(name)
}

/// What is in the folder of a reader, in order; nothing if there is none.
fn listing(name: &str) -> BTreeSet<PathBuf> {
    fs::read_dir(folder(name)).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}
