//! The modules of a crate must not import each other in cycles.
//!
//! A *room* is a top-level module: a file, or a file with the folder of its submodules. `lib.rs` is a room of its own.
//! Rooms must not import each other in cycles, and within a room a cycle may have at most three files. A file imports
//! another if a path in its code leads there. Test code does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::{files, root};

/// The crates that follow the rule.
const HELD: &[&str] = &[
    "crates/netc-cli",
    "crates/netc-data",
    "crates/netc-dialect",
    "crates/netc-exec",
    "crates/netc-format",
    "crates/netc-ir",
    "crates/netc-keras",
    "crates/netc-model",
    "crates/netc-pass",
    "crates/netc-rules",
    "crates/netc-zoo",
];

/// Maximum number of files in a cycle within a room. A module and its submodules often import each other.
const MAX_CIRCLE: usize = 3;

#[test]
fn rooms_have_no_import_cycles() {
    let mut all = Vec::new();
    for package in HELD {
        let sources = sources_of(package);
        assert!(!sources.is_empty(), "there is no {package}");
        all.extend(circles(&sources).into_iter().map(|circle| format!("{package}: {circle}")));
    }
    assert!(all.is_empty(), "there are import cycles:\n{}", all.join("\n"));
}

#[test]
fn a_cycle_of_rooms_is_found() {
    let b = "mod c; fn f() { crate::a::g() }";
    let circle = ["a.rs imports b/c.rs", "b.rs imports a.rs"];
    check(&[("a.rs", "use crate::b::{c::X};"), ("b.rs", b), ("b/c.rs", "")], &circle);
    let circle = ["lib.rs imports a.rs", "a.rs imports lib.rs"];
    check(&[("lib.rs", "mod a; use a::X;"), ("a.rs", "use crate::Y;")], &circle);
    check(&[("lib.rs", "mod a; use a::X;"), ("a.rs", "use std::fmt; use crate::b::Y as Z;"), ("b.rs", "")], &[]);
}

#[test]
fn a_cycle_of_four_files_in_a_room_is_found() {
    let room = |last| {
        [
            ("a.rs", "mod b; use b::B;"),
            ("a/b.rs", "use super::c::C;"),
            ("a/c.rs", "use crate::a::d::D;"),
            ("a/d.rs", last),
        ]
    };
    check(&room("use super::A;"), &["a.rs, a/b.rs, a/c.rs, a/d.rs import each other"]);
    check(&room("use super::b::B;"), &[]);
}

#[test]
fn a_path_may_begin_with_an_imported_name() {
    let files = [
        ("a.rs", "mod b;"),
        ("a/b.rs", "use super::c::C;"),
        ("a/c.rs", "use super::d::D;"),
        ("a/d.rs", "use crate::a::e; fn f() { e::g::h() }"),
        ("a/e.rs", "mod g;"),
        ("a/e/g.rs", "use crate::a::b::B;"),
    ];
    check(&files, &["a/b.rs, a/c.rs, a/d.rs, a/e/g.rs import each other"]);
}

#[test]
fn tests_comments_and_strings_do_not_import() {
    let code = "/* crate::b::X */ const A: &str = \"crate::b::X\"; const B: char = '\"';";
    let a = format!("//! See crate::b.\n{code} #[cfg(test)]\nmod tests {{ use crate::b::X; }}");
    let b = "#[cfg(test)]\nmod checks;\nuse crate::a::A;";
    check(&[("a.rs", &a), ("b.rs", b), ("b/checks.rs", "use crate::c::C;"), ("c.rs", "use crate::b::B;")], &[]);
}

#[track_caller]
fn check(files: &[(&str, &str)], expected: &[&str]) {
    let files = files.iter().map(|(path, text)| ((*path).to_string(), (*text).to_string())).collect();
    assert_eq!(circles(&files), expected);
}

/// The source files of a crate, by their paths in it.
fn sources_of(package: &str) -> BTreeMap<String, String> {
    let folder = root().join(package);
    let src = if folder.join("src").is_dir() { folder.join("src") } else { folder };
    let mut sources = BTreeMap::new();
    for file in files() {
        if let Ok(path) = file.strip_prefix(&src)
            && path.extension().is_some_and(|e| e == "rs")
        {
            sources.insert(path.to_str().unwrap().to_string(), fs::read_to_string(&file).unwrap());
        }
    }
    sources
}

/// The path of a module from the root of its crate.
type Module = Vec<String>;

/// The imports of each item.
type Graph<T> = BTreeMap<T, BTreeSet<T>>;

/// The import cycles of rooms, and those of too many files within a room.
fn circles(files: &BTreeMap<String, String>) -> Vec<String> {
    let path_of: BTreeMap<Module, &String> = files.keys().map(|path| (module_of(path), path)).collect();
    let imports = imports(files);
    let mut found = Vec::new();

    let mut rooms: Graph<&str> = BTreeMap::new();
    for (from, to) in &imports {
        let others = to.iter().map(room_of).filter(|to| *to != room_of(from));
        rooms.entry(room_of(from)).or_default().extend(others);
    }
    for circle in groups(&rooms) {
        let mut examples = Graph::<&str>::new();
        for (from, to) in imports.iter().flat_map(|(from, all)| all.iter().map(move |to| (from, to))) {
            let (a, b) = (room_of(from), room_of(to));
            let is_first = circle.contains(a) && circle.contains(b) && examples.entry(a).or_default().insert(b);
            if is_first && a != b {
                found.push(format!("{} imports {}", path_of[from], path_of[to]));
            }
        }
    }

    let mut inside: Graph<&Module> = BTreeMap::new();
    for (from, to) in &imports {
        inside.insert(from, to.iter().filter(|to| room_of(to) == room_of(from)).collect());
    }
    for circle in groups(&inside).iter().filter(|circle| circle.len() > MAX_CIRCLE) {
        let circle: Vec<&str> = circle.iter().map(|module| path_of[*module].as_str()).collect();
        found.push(format!("{} import each other", circle.join(", ")));
    }
    found
}

fn room_of(module: &Module) -> &str {
    module.first().map_or("lib", String::as_str)
}

fn module_of(path: &str) -> Module {
    let mut module: Module = path.trim_end_matches(".rs").split('/').map(String::from).collect();
    if module.last().is_some_and(|name| matches!(name.as_str(), "mod" | "lib" | "main")) {
        module.pop();
    }
    module
}

/// The modules that each module imports, without test modules.
fn imports(files: &BTreeMap<String, String>) -> Graph<Module> {
    let mut code: BTreeMap<Module, Vec<String>> =
        files.iter().map(|(path, text)| (module_of(path), words(text))).collect();
    let tests: BTreeSet<Module> = code.iter().flat_map(|(module, words)| test_modules(module, words)).collect();
    code.retain(|module, _| !(1..=module.len()).any(|n| tests.contains(&module[..n])));
    let modules: BTreeSet<&Module> = code.keys().collect();
    let mut imports = BTreeMap::new();
    for (module, words) in &code {
        let found = paths(words).into_iter().filter_map(|path| target(&modules, module, &path));
        imports.insert(module.clone(), found.filter(|found| *found != module).cloned().collect());
    }
    imports
}

/// The strongly connected components with two or more members.
fn groups<T: Ord + Copy>(graph: &Graph<T>) -> Vec<BTreeSet<T>> {
    let mut reached: Graph<T> = BTreeMap::new();
    for from in graph.keys() {
        let (mut seen, mut open) = (BTreeSet::new(), vec![*from]);
        while let Some(next) = open.pop() {
            open.extend(graph.get(&next).into_iter().flatten().filter(|to| seen.insert(**to)));
        }
        reached.insert(*from, seen);
    }
    let mut found: Vec<BTreeSet<T>> = Vec::new();
    for (from, to) in &reached {
        let leads_back = |to: &&T| reached.get(*to).is_some_and(|back| back.contains(from));
        let group: BTreeSet<T> = to.iter().filter(leads_back).copied().collect();
        if group.len() > 1 && !found.contains(&group) {
            found.push(group);
        }
    }
    found
}

/// The module of the crate that a path in the code of `module` leads to, if any.
fn target<'m>(modules: &BTreeSet<&'m Module>, module: &Module, path: &[String]) -> Option<&'m Module> {
    let supers = path.iter().take_while(|part| *part == "super").count();
    let is_child = || modules.contains(&[&module[..], &path[..1]].concat());
    let (mut found, rest) = match path[0].as_str() {
        "crate" => (Module::new(), &path[1..]),
        "self" => (module.clone(), &path[1..]),
        "super" => (module[..module.len().saturating_sub(supers)].to_vec(), &path[supers..]),
        _ if is_child() => (module.clone(), path),
        _ => return None,
    };
    for part in rest {
        found.push(part.clone());
        if !modules.contains(&found) {
            found.pop();
            break;
        }
    }
    modules.get(&found).copied()
}

/// The paths in the code of a file: its imports, and the paths in its expressions, which may begin with an imported
/// name.
fn paths(words: &[String]) -> Vec<Vec<String>> {
    let (mut imported, mut written) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < words.len() {
        if words[at] == "use" && words.get(at + 1).is_some_and(|next| next != "<") {
            at = tree(words, at + 1, &[], &mut imported);
        } else if is_name(&words[at]) && words.get(at + 1).is_some_and(|next| next == "::") {
            let mut path = vec![words[at].clone()];
            while words.get(at + 1).is_some_and(|next| next == "::")
                && words.get(at + 2).is_some_and(|next| is_name(next))
            {
                at += 2;
                path.push(words[at].clone());
            }
            written.push(path);
            at += 1;
        } else {
            at += 1;
        }
    }
    let names: BTreeMap<&str, &Vec<String>> =
        imported.iter().filter_map(|path| Some((path.last()?.as_str(), path))).collect();
    for path in &mut written {
        if let Some(of) = names.get(path[0].as_str()) {
            *path = [of, &path[1..]].concat();
        }
    }
    [imported, written].concat()
}

/// Adds the paths of the import tree at `at`, below the prefix `above`. Returns the end of the tree.
fn tree(words: &[String], mut at: usize, above: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut path = above.to_vec();
    while at < words.len() {
        match words[at].as_str() {
            "{" => {
                at += 1;
                while at < words.len() && !matches!(words[at].as_str(), "}" | ";") {
                    at = tree(words, at, &path, found);
                    at += usize::from(words.get(at).is_some_and(|word| word == ","));
                }
                return at + 1;
            }
            "as" => at += 2,
            "," | "}" | ";" => break,
            word if is_name(word) => {
                path.push(word.into());
                at += 1;
            }
            _ => at += 1,
        }
    }
    found.extend((!path.is_empty()).then_some(path));
    at
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The modules that the file declares as `#[cfg(test)] mod name;`.
fn test_modules(module: &Module, words: &[String]) -> Vec<Module> {
    let declared = words.windows(CFG_TEST.len() + 3).filter(|w| is_test_module(w) && w[CFG_TEST.len() + 2] == ";");
    declared.map(|w| [&module[..], &w[CFG_TEST.len() + 1..CFG_TEST.len() + 2]].concat()).collect()
}

const CFG_TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];

fn is_test_module(words: &[String]) -> bool {
    words.iter().zip(CFG_TEST.iter().chain(["mod"].iter())).all(|(word, expected)| word == expected)
}

/// The tokens of a file, without comments, strings and test modules.
fn words(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut words: Vec<String> = Vec::new();
    let mut at = 0;
    let starts = |at: usize, with: &str| with.chars().enumerate().all(|(i, c)| chars.get(at + i) == Some(&c));
    let after = |at: usize, end: &str| {
        (at..chars.len()).find(|at| starts(*at, end)).map_or(chars.len(), |found| found + end.len())
    };
    while at < chars.len() {
        let c = chars[at];
        if starts(at, "//") {
            at = after(at, "\n");
        } else if starts(at, "/*") {
            at = after(at + 2, "*/");
        } else if starts(at, "r\"") || starts(at, "r#") && chars[at + 1..].iter().find(|c| **c != '#') == Some(&'"') {
            let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
            at = after(at + hashes + 2, &format!("\"{}", "#".repeat(hashes)));
        } else if c == '"' {
            at += 1;
            while at < chars.len() && chars[at] != '"' {
                at += 1 + usize::from(chars[at] == '\\');
            }
            at += 1;
        } else if c == '\'' && chars.get(at + 1) == Some(&'\\') {
            at = after(at + 3, "'");
        } else if c == '\'' && chars.get(at + 2) == Some(&'\'') {
            at += 3;
        } else if c.is_alphanumeric() || c == '_' {
            let end = (at..chars.len())
                .find(|at| !(chars[*at].is_alphanumeric() || chars[*at] == '_'))
                .unwrap_or(chars.len());
            words.push(chars[at..end].iter().collect());
            at = end;
        } else if starts(at, "::") {
            words.push("::".into());
            at += 2;
        } else {
            words.extend((!c.is_whitespace()).then(|| c.to_string()));
            at += 1;
        }
    }
    without_tests(&words)
}

fn without_tests(words: &[String]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let end = CFG_TEST.len() + 2;
        if words.len() > at + end && is_test_module(&words[at..]) && words[at + end] == "{" {
            let mut depth = 0;
            at += end;
            loop {
                depth += i32::from(words[at] == "{") - i32::from(words[at] == "}");
                at += 1;
                if depth == 0 || at == words.len() {
                    break;
                }
            }
        } else {
            kept.push(words[at].clone());
            at += 1;
        }
    }
    kept
}
