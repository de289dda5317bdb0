//! Runs every command in the `console` blocks of the README and the book in `docs/`, and compares the output.
//!
//! The commands of a page run in order, in a folder of their own. In the output, a line `...` matches any lines, and
//! times are not compared. A command without output in the page must succeed, whatever it prints. A command with an
//! `error:` line must fail. A comment `<!-- setup` has commands that readers need not see.
//!
//! `NETC=PATH` selects the command to test. `UPDATE_DOCS=1 cargo test --workspace --test pages` writes the output into
//! the pages, except in blocks with `...`.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking, and so do their helpers")]

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// The parts of the book, by their folders in `docs/`.
const FOLDERS: [&str; 4] = ["guide", "how-to", "internals", "reference"];

/// A part of a page.
enum Part {
    /// Text, which is not run.
    Text(String),
    /// Hidden commands that prepare the page.
    Setup(Vec<String>),
    /// Shown commands, each with its output.
    Console(Vec<(String, Vec<String>)>),
}

fn parse(page: &str) -> Vec<Part> {
    let (mut parts, mut text) = (Vec::new(), String::new());
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        text.push_str(&format!("{line}\n"));
        let end = match line {
            "```console" => "```",
            "<!-- setup" => "-->",
            _ => continue,
        };
        parts.push(Part::Text(std::mem::take(&mut text)));
        let block: Vec<String> = lines.by_ref().take_while(|line| *line != end).map(str::to_string).collect();
        parts.push(if end == "-->" { Part::Setup(block) } else { Part::Console(commands(&block)) });
        text = format!("{end}\n");
    }
    parts.push(Part::Text(text));
    parts
}

fn commands(block: &[String]) -> Vec<(String, Vec<String>)> {
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    for line in block {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command.to_string(), Vec::new())),
            (None, Some((command, printed))) if printed.is_empty() && command.ends_with('\\') => {
                command.push_str(&format!("\n{line}"));
            }
            (None, Some((_, printed))) => printed.push(line.clone()),
            (None, None) => panic!("a console block begins with `{line}`, expected `$ `"),
        }
    }
    commands
}

/// Builds the command of `examples/my-netc`, as a user would.
fn my_netc() -> PathBuf {
    let root = Path::new(ROOT).canonicalize().unwrap();
    let example = root.join("examples/my-netc");
    // Use the versions of the workspace, to share its builds.
    fs::copy(root.join("Cargo.lock"), example.join("Cargo.lock")).unwrap();
    let target = root.join("target");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--target-dir"]).arg(&target).current_dir(example);
    assert!(cargo.status().unwrap().success());
    target.join("debug/my-netc")
}

/// Where the commands of one page run.
struct Place {
    folder: tempfile::TempDir,
    path: String,
}

impl Place {
    fn new(page: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join(".bin");
        fs::create_dir(&bin).unwrap();
        if page.contains("$ my-netc ") {
            symlink(my_netc(), bin.join("my-netc")).unwrap();
        }
        let netc = env::var_os("NETC").map_or_else(|| env!("CARGO_BIN_EXE_netc-with-faults").into(), PathBuf::from);
        symlink(fs::canonicalize(netc).unwrap(), bin.join("netc")).unwrap();
        // Folders of the repository that commands name.
        for name in ["layers", "examples"] {
            symlink(Path::new(ROOT).join(name).canonicalize().unwrap(), folder.path().join(name)).unwrap();
        }
        let path = format!("{}:{}", bin.display(), env::var("PATH").unwrap());
        Self { folder, path }
    }

    /// Runs the command. Returns the lines of both streams, and whether it succeeds.
    fn run(&self, command: &str) -> (Vec<String>, bool) {
        let mut shell = Command::new("bash");
        shell.args(["-c", &format!("set -o pipefail; exec 2>&1\n{command}")]);
        let output = shell.current_dir(self.folder.path()).env("PATH", &self.path).env_remove("NO_COLOR").output();
        let output = output.unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        (printed.lines().map(|line| line.trim_end().to_string()).collect(), output.status.success())
    }
}

/// Replaces times in a line: `0.12 s` and `3 ms` become `_ s` and `_ ms`.
fn with_open_times(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let is_number = |word: &str| {
        let digits = word.trim_start_matches('(');
        !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit() || c == '.')
    };
    let is_unit = |word: &str| matches!(word.trim_end_matches([',', ')', ';']), "s" | "ms" | "µs");
    let open = |(i, word): (usize, &&str)| {
        let is_time = is_number(word) && words.get(i + 1).is_some_and(|next| is_unit(next));
        if is_time { "_".to_string() } else { (*word).to_string() }
    };
    words.iter().enumerate().map(open).collect::<Vec<_>>().join(" ")
}

/// Whether the printed lines match those shown, where `...` matches any lines.
fn matches(shown: &[String], printed: &[String]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((dots, rest)) if dots == "..." => (0..=printed.len()).any(|skipped| matches(rest, &printed[skipped..])),
        Some((line, rest)) => printed
            .split_first()
            .is_some_and(|(first, left)| with_open_times(line) == with_open_times(first) && matches(rest, left)),
    }
}

/// Whether another test runs the command: continuous integration runs the setup, `tests/interop/test_pages.py` Python.
fn runs_elsewhere(command: &str) -> bool {
    ["cargo ", "bash ", "git ", "cd ", "python "].iter().any(|tool| command.starts_with(tool))
}

#[track_caller]
fn check(name: &str) {
    let file = Path::new(ROOT).join(name);
    let page = fs::read_to_string(&file).unwrap();
    let (update, place) = (env::var_os("UPDATE_DOCS").is_some(), Place::new(&page));
    let (mut written, mut wrong) = (String::new(), Vec::new());
    for part in parse(&page) {
        match part {
            Part::Text(text) => written.push_str(&text),
            Part::Setup(commands) => {
                for command in commands {
                    let (printed, succeeds) = place.run(&command);
                    assert!(succeeds, "{name}: the setup `{command}` fails:\n{}", printed.join("\n"));
                    written.push_str(&format!("{command}\n"));
                }
            }
            Part::Console(commands) => {
                let open = commands.iter().any(|(_, shown)| shown.iter().any(|line| line == "..."));
                for (command, mut shown) in commands {
                    if !runs_elsewhere(&command) {
                        let (printed, succeeds) = place.run(&command);
                        let fails = shown.iter().any(|line| line.starts_with("error: "));
                        if succeeds == fails || !shown.is_empty() && !matches(&shown, &printed) {
                            wrong.push(format!("$ {command}\n{}", printed.join("\n")));
                        }
                        if !shown.is_empty() && !open {
                            shown = printed;
                        }
                    }
                    written.push_str(&format!("$ {command}\n"));
                    shown.iter().for_each(|line| written.push_str(&format!("{line}\n")));
                }
            }
        }
    }
    if update {
        fs::write(&file, written).unwrap();
    } else {
        assert!(wrong.is_empty(), "{name} is out of date; these commands print:\n{}", wrong.join("\n\n"));
        assert_eq!(page, written, "{name} does not round-trip through this test's parser");
    }
}

#[test]
fn readme() {
    check("README.md");
}

#[test]
fn introduction() {
    check("docs/README.md");
}

#[test]
fn guide() {
    check_folder("guide");
}

#[test]
fn reference() {
    check_folder("reference");
}

#[test]
fn how_tos() {
    check_folder("how-to");
}

#[test]
fn internals() {
    check_folder("internals");
}

/// The names of the pages in a folder of the book, in order.
fn pages(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(Path::new(ROOT).join("docs").join(folder)).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(".md"));
    names.sort();
    names
}

fn check_folder(folder: &str) {
    pages(folder).iter().for_each(|name| check(&format!("docs/{folder}/{name}")));
}

/// The options in the tables of a section of `docs/reference/commands.md`, with those of the sections after `Also:`.
fn documented(page: &str, heading: &str) -> BTreeSet<String> {
    let start = page.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("commands.md has no `{heading}`"));
    let body = &page[start + heading.len() + 2..];
    let section = &body[..body.find("\n#").unwrap_or(body.len())];
    let option = |word: &str| word.starts_with("--").then(|| word.trim_end_matches("[=N]").to_string());
    let rows = section.lines().filter(|line| line.starts_with("| `-"));
    let mut options: BTreeSet<String> = rows
        .flat_map(|row| row.split(" | ").next().unwrap().split(['`', ' ', ',', '[', '|']))
        .filter_map(option)
        .collect();
    let also = section.split_once("\nAlso: ").map_or("", |(_, also)| also);
    for link in also.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        let title = |line: &&str| {
            line.starts_with('#') && line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-") == link
        };
        let heading = page.lines().find(title).unwrap();
        // What a shared section refers to in turn is named by the command itself.
        options.extend(documented(&page.replace("\nAlso: ", "\n"), heading));
    }
    options
}

#[test]
fn the_page_of_commands_has_the_options_that_help_prints() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/reference/commands.md")).unwrap();
    let place = Place::new("");
    let (help, _) = place.run("netc --help");
    let list = help.iter().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let mut commands: Vec<String> = list.filter_map(|line| line.split_whitespace().next().map(String::from)).collect();
    commands.retain(|command| command != "help");
    assert!(commands.len() > 10, "{commands:?}");
    commands.push(String::new());
    for command in commands {
        let (help, _) = place.run(&format!("netc {command} --help"));
        let flags = help.iter().map(|line| line.trim_start()).filter(|line| line.starts_with('-'));
        let words = flags.flat_map(|line| line.split([' ', ',', '[', '=']).take(3).collect::<Vec<_>>());
        let printed: BTreeSet<String> =
            words.filter(|w| w.starts_with("--") && *w != "--help" && *w != "--version").map(String::from).collect();
        let heading = format!("## netc {command}");
        assert_eq!(
            documented(&page, heading.trim_end()),
            printed,
            "commands.md on the left, `{command} --help` on the right"
        );
    }
}

/// A comment `<!-- from FILE -->` before a block says that the file has its lines.
#[test]
fn quoted_code_is_in_the_files_it_is_from() {
    let mut quotes = 0;
    for folder in FOLDERS {
        for name in pages(folder) {
            let page = fs::read_to_string(Path::new(ROOT).join("docs").join(folder).join(&name)).unwrap();
            let mut lines = page.lines();
            while let Some(line) = lines.next() {
                let Some(file) = line.trim_start().strip_prefix("<!-- from ") else { continue };
                let file = file.strip_suffix(" -->").unwrap();
                let block = lines.by_ref().skip(1).take_while(|line| line.trim_start() != "```");
                let quoted: String = block.map(|line| format!("{line}\n")).collect();
                let text = fs::read_to_string(Path::new(ROOT).join(file)).unwrap();
                assert!(text.contains(&quoted), "docs/{folder}/{name}: `{file}` has no lines\n{quoted}");
                quotes += 1;
            }
        }
    }
    assert!(quotes > 10, "only {quotes} quotes were found");
}

/// mdBook leaves out a page that the summary does not list.
#[test]
fn the_summary_lists_every_page_by_its_title() {
    let docs = Path::new(ROOT).join("docs");
    let title =
        |page: &Path| fs::read_to_string(page).unwrap().lines().next().unwrap().trim_start_matches("# ").to_string();
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let link = |line: &str| {
        let (title, path) = line.split_once('[')?.1.strip_suffix(')')?.split_once("](")?;
        Some((path.to_string(), title.to_string()))
    };
    let mut listed: Vec<(String, String)> =
        summary.lines().filter_map(link).filter(|(path, _)| path != "README.md").collect();
    let mut written = Vec::new();
    for folder in FOLDERS {
        for name in pages(folder) {
            written.push((format!("{folder}/{name}"), title(&docs.join(folder).join(name))));
        }
    }
    listed.sort();
    written.sort();
    assert_eq!(listed, written, "docs/SUMMARY.md lists the pages on the left, docs/ has those on the right");
}

/// A folder that no test reads would have pages that nothing checks.
#[test]
fn every_folder_of_the_book_is_checked() {
    let entries = fs::read_dir(Path::new(ROOT).join("docs")).unwrap().map(|e| e.unwrap().path());
    let mut folders: Vec<String> =
        entries.filter(|p| p.is_dir()).map(|p| p.file_name().unwrap().to_str().unwrap().to_string()).collect();
    folders.sort();
    assert_eq!(folders, FOLDERS);
}

#[test]
fn continuous_integration_runs_the_setup_commands_of_the_readme() {
    let [page, ci] = ["README.md", ".ci/run"].map(|file| fs::read_to_string(Path::new(ROOT).join(file)).unwrap());
    let is_console = |part: Part| if let Part::Console(commands) = part { Some(commands) } else { None };
    let shown = parse(&page).into_iter().filter_map(is_console).flatten().map(|(command, _)| command);
    let set_up: Vec<String> = shown.filter(|command| runs_elsewhere(command)).collect();
    assert!(set_up.len() >= 2, "{set_up:?}");
    for command in set_up {
        let command = command.split(" #").next().unwrap().trim_end();
        assert!(ci.lines().any(|line| line == command), "`.ci/run` does not run `{command}`");
    }
}

#[test]
fn dots_match_any_lines_and_times_are_ignored() {
    let lines = |text: &str| text.lines().map(str::to_string).collect::<Vec<_>>();
    let check = |shown, printed| matches(&lines(shown), &lines(printed));
    assert!(check("a\n...\nd", "a\nb\nc\nd") && check("...", "") && check("a\n...", "a"));
    assert!(!check("a\n...\nd", "a\nb") && !check("a", "a\nb") && !check("a\nb", "a"));
    assert!(check("split 0.5 s (3 ms)", "split 12.25 s (41 ms)"));
    assert!(!check("split 0.5 s", "cut 0.5 s") && !check("5 layers", "6 layers"));
}
