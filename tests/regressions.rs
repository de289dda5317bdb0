//! Inputs on which a reader once failed, found by the fuzz targets: `regressions/READER/FILE`.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use netc_testgen::oracle::Reader;

/// Address space that reading one file may take. Each file has a few kilobytes.
const MAX_KILOBYTES: u64 = 100_000;

/// Environment variable of the allocator. Unless it is 1, the allocator reserves address space for each thread.
const ARENAS: &str = "MALLOC_ARENA_MAX";

#[test]
fn former_failures_are_read_correctly() {
    if env::var_os(ARENAS).is_none() {
        let mut itself = Command::new(env::current_exe().unwrap());
        itself.args(["--exact", "former_failures_are_read_correctly", "--nocapture"]);
        assert!(itself.env(ARENAS, "1").status().unwrap().success());
        return;
    }
    for (name, reader) in readers() {
        for path in listing(name) {
            let before = peak();
            let answer = reader(&fs::read(&path).unwrap());
            assert_eq!(answer, Ok(()), "{}", path.display());
            let taken = peak() - before;
            assert!(taken < MAX_KILOBYTES, "{} takes {taken} kB of address space", path.display());
        }
    }
}

/// The peak address space of this process, in kilobytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn every_folder_is_named_after_a_reader() {
    let readers: BTreeSet<PathBuf> = readers().map(|(name, _)| folder(name)).collect();
    let odd: Vec<PathBuf> = listing("").into_iter().filter(|path| !readers.contains(path)).collect();
    assert!(odd.is_empty(), "folders without a reader: {odd:?}");
}

/// All readers and the names of their folders.
fn readers() -> impl Iterator<Item = &'static (&'static str, Reader)> {
    netc_testgen::oracle::READERS.iter().chain(netc_keras_testgen::oracle::READERS)
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("regressions").join(name)
}

/// The entries in the folder of a reader, in order; none if the folder does not exist.
fn listing(name: &str) -> BTreeSet<PathBuf> {
    fs::read_dir(folder(name)).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}
