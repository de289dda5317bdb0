//! File tests: each `tests/files/*.nir` is a program with a header that says what to run.
//!
//! ```text
//! ; run: split=mixed9         one pass; several lines run in order
//! ; layers: scale.nir         a layer library from layers/
//! ```
//!
//! The snapshot of the same name has the remarks and the program after each pass, or the error that ends the run.
//! `INSTA_UPDATE=always cargo test -p netc-tests --test files` updates the snapshots; review the diff.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking, and so do their helpers")]

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use netc_dialect::{Dialects, LayerLibrary};
use netc_ir::{Module, parse, print, verify};
use netc_keras::lower::KerasDialect;
use netc_pass::{Context, Manager, Pipeline, chain, parse_pass};

#[test]
fn every_file_matches_its_snapshot() {
    let wrong: Vec<PathBuf> =
        files("files", "nir").into_iter().filter(|f| catch_unwind(AssertUnwindSafe(|| check(f))).is_err()).collect();
    assert!(wrong.is_empty(), "files that differ from their snapshots: {wrong:#?}");
}

#[test]
fn every_snapshot_has_a_file() {
    let stems = |paths: Vec<PathBuf>| paths.iter().map(|p| p.file_stem().unwrap().to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(stems(files("snapshots", "snap")), stems(files("files", "nir")));
}

/// Runs the passes in the header of the file and compares the outcome with the snapshot.
fn check(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    insta::with_settings!({
        snapshot_path => folder("snapshots"),
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!(name, outcome(&text));
    });
}

fn outcome(text: &str) -> String {
    let mut module = parse(text).unwrap_or_else(|e| panic!("{e}"));
    verify(&module).unwrap_or_else(|e| panic!("{e}"));
    let runs = header(text, "run");
    assert!(!runs.is_empty(), "the header has no line `; run: PASS`");
    let dialects = dialects(&header(text, "layers"));
    let mut out = String::new();
    for pass in runs {
        out.push_str(&format!("; {pass}\n"));
        match run(&mut module, pass, &dialects) {
            Ok(remarks) => {
                remarks.iter().for_each(|r| out.push_str(&format!("; {r}\n")));
                out.push_str(&format!("{}\n", print(&module)));
            }
            Err(error) => {
                out.push_str(&format!("error: {error}\n"));
                break;
            }
        }
    }
    out
}

/// Runs one pass and returns its remarks. Checks that a failing pass leaves the module unchanged.
fn run(module: &mut Module, pass: &str, dialects: &Dialects) -> Result<Vec<String>, String> {
    let before = module.clone();
    let pipeline = Pipeline(vec![parse_pass(pass).map_err(|e| e.to_string())?]);
    let mut context = Context::new(dialects).with_consts(&netc_exec::Consts);
    match Manager::new(&netc_passes::registry()).run(module, &pipeline, &mut context) {
        Ok(_) => {
            assert_eq!(parse(&print(module)).as_ref(), Ok(&*module), "the printed module parses back equal");
            Ok(context.remarks.iter().map(ToString::to_string).collect())
        }
        Err(error) => {
            assert_eq!(*module, before, "a failing pass leaves the module unchanged");
            Err(chain(&error))
        }
    }
}

fn dialects(libraries: &[&str]) -> Dialects {
    let mut dialects = Dialects::new();
    for library in libraries {
        let text = fs::read_to_string(folder("../layers").join(library)).unwrap();
        dialects.push_library(LayerLibrary::parse(&text).unwrap());
    }
    dialects.push(KerasDialect);
    dialects
}

/// The values of the header lines `; key: value`.
fn header<'t>(text: &'t str, key: &str) -> Vec<&'t str> {
    let line = |l: &'t str| l.strip_prefix("; ")?.strip_prefix(key)?.strip_prefix(": ");
    text.lines().filter_map(line).map(str::trim).collect()
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn files(name: &str, extension: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder(name)).unwrap().map(|e| e.unwrap().path()).collect();
    found.retain(|p| p.extension().is_some_and(|e| e == extension));
    found.sort();
    found
}
