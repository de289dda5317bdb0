//! The rules of the repository: required and forbidden contents of files, and allowed dependencies of crates.

#![allow(clippy::unwrap_used, reason = "a test")]

mod messages;
mod rooms;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Maximum length of a file. A longer one should be two.
const MAX_LINES: usize = 500;

/// Forbidden dependencies of a crate, direct or through other crates of the workspace. `candle` stands for all its
/// crates.
const ABSENCES: &[(&str, &[&str])] = &[
    ("netc-data", &["candle", "netc-keras"]),
    ("netc-dialect", &["candle", "netc-data", "netc-exec", "netc-keras", "netc-pass"]),
    ("netc-format", &["candle", "netc-exec", "netc-keras", "netc-pass"]),
    ("netc-pass", &["candle", "netc-exec", "netc-keras"]),
    ("netc-passes", &["candle", "netc-exec", "netc-keras"]),
    ("netc-exec", &["candle", "netc-keras"]),
    ("netc-model", &["candle", "netc-keras"]),
    ("netc-cli", &["candle"]),
    ("netc-keras", &["candle", "netc-exec", "netc-pass"]),
    ("netc-zoo", &["candle", "netc-exec"]),
];

/// Crates that read and write a model format. None may depend on another.
const FORMATS: &[&str] = &["netc-keras"];

/// Code that may name a crate of formats, besides that crate, tests and examples: the table of formats, and generators
/// of Keras models.
const KNOWS_FORMATS: &[&str] = &["crates/netc-cli/src/lib.rs", "crates/netc-keras-testgen/", "crates/netc-zoo/"];

/// Sources that must be independent of formats.
const SERVES_ALL_FORMATS: &[&str] =
    &["crates/netc-ir/src", "crates/netc-dialect/src", "crates/netc-pass/src", "crates/netc-model/src", "passes"];

/// Words that belong to one format, in lower case, and accesses to a layer's declaration, whose keys belong to the
/// format.
const OF_ONE_FORMAT: &[&str] = &[
    "keras",
    "tensorflow",
    "\"tf.",
    "\"sequential\"",
    "\"functional\"",
    "\"inbound_nodes\"",
    "\"class_name\"",
    "\"registered_name\"",
    "\"build_config\"",
    "\"trainable\"",
    "\"args\"",
    "\"kwargs\"",
    "\"mask\"",
    "\"object\"",
    ".config.get(",
    ".config.set(",
];

/// Features that only some systems have (positioned reads, threads, clocks), and the files that may use them. All other
/// files in [`PORTABLE`] must build without them.
const OF_SYSTEM: &[(&str, &[&str])] = &[
    ("std::os::", &["crates/netc-data/src/read_at.rs"]),
    (
        "thread::",
        &["crates/netc-data/src/ahead.rs", "crates/netc-data/src/checksum.rs", "crates/netc-format/src/stack.rs"],
    ),
    ("Instant", &["crates/netc-pass/src/manager.rs"]),
];

/// Crates that must build for systems without files, threads and clocks.
const PORTABLE: &[&str] = &[
    "crates/netc-ir/",
    "crates/netc-data/",
    "crates/netc-dialect/",
    "crates/netc-format/",
    "crates/netc-keras/",
    "crates/netc-pass/",
    "crates/netc-rules/",
    "passes/",
];

/// Signs of unfinished or disabled code. Written in pieces so that this file does not contain them.
const UNFINISHED: &[&str] = &[
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("dbg", "!("),
    concat!("#[ig", "nore"),
    concat!("FIX", "ME"),
];

#[test]
fn every_source_file_begins_with_a_doc_comment() {
    check(sources().filter(|(_, text)| !text.starts_with("//! ")), "does not begin with `//! `");
}

#[test]
fn no_source_file_is_too_long() {
    check(sources().filter(|(_, text)| text.lines().count() > MAX_LINES), "is longer than 500 lines");
}

#[test]
fn nothing_is_unfinished_or_disabled() {
    for word in UNFINISHED {
        check(sources().filter(|(_, text)| text.contains(word)), &format!("contains `{word}`"));
    }
}

#[test]
fn netc_ir_depends_only_on_thiserror() {
    assert_eq!(packages()["netc-ir"], BTreeSet::from(["thiserror".to_string()]));
}

#[test]
fn crates_have_no_forbidden_dependencies() {
    let packages = packages();
    let formats = FORMATS.iter().flat_map(|f| FORMATS.iter().filter(move |g| *g != f).map(move |g| (*f, *g)));
    let absences = ABSENCES.iter().flat_map(|(package, absent)| absent.iter().map(move |a| (*package, *a)));
    for (package, absent) in absences.chain(formats) {
        let known = reachable(&packages, package);
        let found = known.iter().find(|k| *k == absent || (absent == "candle" && k.starts_with("candle")));
        assert_eq!(found, None, "{package} depends on {absent}, directly or through another crate");
    }
}

#[test]
fn formats_are_named_only_in_their_table() {
    let is_production = |path: &Path| {
        let is_there = path.starts_with("crates") || path.starts_with("passes");
        let is_test = path.iter().any(|part| matches!(part.to_str(), Some("tests" | "examples" | "tests.rs")));
        is_there && !is_test && !KNOWS_FORMATS.iter().any(|known| path.to_string_lossy().starts_with(known))
    };
    let is_doc = |line: &str| ["//!", "///"].iter().any(|start| line.trim_start().starts_with(start));
    for format in FORMATS {
        let name = format!("{}::", format.replace('-', "_"));
        let own = Path::new("crates").join(format);
        let others = sources().filter(|(path, _)| is_production(path) && !path.starts_with(&own));
        let naming = others.filter(|(_, text)| text.lines().any(|l| l.contains(&name) && !is_doc(l)));
        check(naming, &format!("names `{name}`"));
    }
}

/// Code that depends on a framework belongs behind `netc_dialect::Dialect`.
#[test]
fn words_of_one_format_are_only_in_its_crate() {
    let of_all = |path: &Path| SERVES_ALL_FORMATS.iter().any(|folder| path.starts_with(folder)) && !is_test(path);
    for word in OF_ONE_FORMAT {
        let using = sources().filter(|(path, text)| of_all(path) && without_examples(text).contains(word));
        check(using, &format!("contains `{word}`"));
    }
}

/// The file in lower case, without its tests and the code in its doc comments.
fn without_examples(text: &str) -> String {
    let mut is_example = false;
    let mut kept = String::new();
    for line in text.split("#[cfg(test)]").next().unwrap_or_default().lines() {
        let comment = line.trim_start().trim_start_matches("//!").trim_start_matches("///").trim_start();
        if comment.starts_with("```") {
            is_example = !is_example;
        } else if !is_example {
            kept.push_str(&line.to_lowercase());
            kept.push('\n');
        }
    }
    kept
}

#[test]
fn system_dependent_code_is_in_few_files() {
    let is_portable = |path: &Path| PORTABLE.iter().any(|folder| path.starts_with(folder));
    for (word, allowed) in OF_SYSTEM {
        let production = |text: &str| text.split("#[cfg(test)]").next().unwrap_or_default().contains(word);
        let using = sources().filter(|(path, text)| is_portable(path) && !is_test(path) && production(text));
        let forbidden = using.filter(|(path, _)| !allowed.iter().any(|file| path.ends_with(file)));
        check(forbidden, &format!("contains `{word}`"));
    }
}

/// `cargo package` rejects a dependency that has only a path.
#[test]
fn workspace_dependencies_have_versions() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let own = section(&manifest, "workspace.dependencies").filter(|line| line.contains("path = "));
    let lacking: Vec<&str> = own.filter(|line| !line.contains("version = ")).collect();
    assert!(lacking.is_empty(), "dependencies without a version: {lacking:?}");
}

#[test]
fn the_code_map_names_every_crate() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let section = map.lines().skip_while(|l| *l != "## Code map").skip(1).take_while(|l| !l.starts_with("## "));
    let listed = section.filter_map(|l| l.strip_prefix("| `")?.split('`').next());
    assert_eq!(
        listed.map(str::to_string).collect::<BTreeSet<_>>(),
        members(),
        "rows of the code map, and the workspace"
    );
}

#[test]
fn every_pass_is_registered_under_the_name_of_its_file() {
    let table = fs::read_to_string(root().join("passes/lib.rs")).unwrap();
    let passes = files().into_iter().filter(|p| p.parent() == Some(&root().join("passes")));
    for path in passes.filter(|p| p.extension().is_some_and(|e| e == "rs")) {
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        if text.contains("pub const INFO: PassInfo") {
            let name = stem.replace('_', "-");
            assert!(table.contains(&format!("&{stem}::INFO")), "passes/{stem}.rs is a pass but not in PASSES");
            assert!(text.contains(&format!("name: \"{name}\"")), "passes/{stem}.rs: expected the name `{name}`");
        }
    }
}

#[test]
fn links_between_pages_are_valid() {
    let pages: Vec<PathBuf> = files().into_iter().filter(|p| p.extension().is_some_and(|e| e == "md")).collect();
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.contains(' ') {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: the target of `{link}` does not exist", page.display());
            if !anchor.is_empty() {
                let headings = fs::read_to_string(&target).unwrap();
                let found = headings.lines().any(|l| l.starts_with('#') && slug(l) == anchor);
                assert!(found, "{}: the target of `{link}` has no such heading", page.display());
            }
        }
    }
}

/// Whether the file contains only tests or their helpers.
fn is_test(path: &Path) -> bool {
    let names = ["tests", "testing", "tests.rs", "testing.rs", "properties.rs"];
    path.iter().any(|part| names.iter().any(|name| part == *name))
}

#[track_caller]
fn check(offenders: impl Iterator<Item = (PathBuf, String)>, what: &str) {
    let found: Vec<String> = offenders.map(|(path, _)| format!("{} {what}", path.display())).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// The anchor of a heading.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn sources() -> impl Iterator<Item = (PathBuf, String)> {
    let rust = files().into_iter().filter(|p| p.extension().is_some_and(|e| e == "rs"));
    rust.map(|path| (path.strip_prefix(root()).unwrap().to_path_buf(), fs::read_to_string(&path).unwrap()))
}

/// Every file of the repository, in order, except build output and hidden files.
fn files() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![root()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if name == "target" || name.starts_with('.') {
                continue;
            }
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                open.push(path);
            } else {
                found.insert(path);
            }
        }
    }
    found
}

/// The folders of the workspace's crates.
fn members() -> BTreeSet<String> {
    let crates = fs::read_dir(root().join("crates")).unwrap().flatten();
    let crates = crates.filter(|e| e.path().join("Cargo.toml").exists());
    let crates = crates.map(|e| format!("crates/{}", e.file_name().to_string_lossy()));
    crates.chain(["passes", "tests", "tests/candle"].map(String::from)).collect()
}

/// The packages of the workspace and their `[dependencies]`.
fn packages() -> BTreeMap<String, BTreeSet<String>> {
    let read = |folder: String| {
        let text = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let name =
            section(&text, "package").find_map(|l| l.strip_prefix("name = \"")?.strip_suffix('"').map(str::to_string));
        let key = |line: &str| line.split(['.', '=', ' ']).next().unwrap_or(line).to_string();
        (name.unwrap(), section(&text, "dependencies").map(key).collect())
    };
    members().into_iter().map(read).collect()
}

/// The lines of a section of a manifest, without empty lines and comments.
fn section<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let header = format!("[{name}]");
    let lines = text.lines().skip_while(move |l| *l != header).skip(1).take_while(|l| !l.starts_with('['));
    lines.filter(|l| !l.trim().is_empty() && !l.starts_with('#'))
}

/// All dependencies of `package`, including those through crates of the workspace.
fn reachable(packages: &BTreeMap<String, BTreeSet<String>>, package: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![package.to_string()];
    while let Some(next) = open.pop() {
        for dependency in packages.get(&next).into_iter().flatten() {
            if found.insert(dependency.clone()) {
                open.push(dependency.clone());
            }
        }
    }
    found
}
