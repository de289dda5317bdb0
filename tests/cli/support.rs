//! Helpers to run the command, and the files for it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};

use netc_data::Store;
use netc_ir::{MAIN, Module};
use serde_json::Value;
use tempfile::TempDir;

/// The outcome of a run of the command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let ran = Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) };
        assert!(!ran.err.contains("panicked"), "{}", ran.err);
        ran
    }

    /// Checks that the command succeeded without output on standard error. Returns standard output.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// Checks that the command failed with a usage error.
    #[track_caller]
    pub(crate) fn failed_with_usage(self) {
        assert_eq!((self.code, self.out.as_str()), (2, ""), "{}", self.err);
    }

    /// Checks that the command failed with the exit code and a one-line error that contains each of `parts`. Notes may
    /// precede the error. Standard output must be empty.
    #[track_caller]
    pub(crate) fn failed(self, code: i32, parts: &[&str]) {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{}", self.err);
        let (last, notes) = self.err.trim_end().rsplit_once('\n').map_or((self.err.as_str(), ""), |(a, b)| (b, a));
        assert!(last.starts_with("error: ") && notes.lines().all(|n| n.starts_with("note: ")), "{}", self.err);
        for part in parts {
            assert!(last.contains(part), "expected `{part}` in: {}", self.err);
        }
    }
}

/// The text of a report with the lines of wrapped paragraphs joined.
pub(crate) fn unwrapped(report: &str) -> String {
    report.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A temporary folder in which the command runs.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A folder with the built-in model `tiny` as `tiny.keras`.
    pub(crate) fn with_tiny() -> Self {
        Self::new().with("tiny.keras", tiny())
    }

    pub(crate) fn with(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.write(name, bytes);
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.read(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn netc(&self, args: &[&str]) -> Ran {
        self.netc_reading("", args)
    }

    pub(crate) fn netc_reading(&self, stdin: &str, args: &[&str]) -> Ran {
        let mut command = command(args);
        command.current_dir(self.0.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that fails early does not read its input.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        Ran::of(child.wait_with_output().unwrap())
    }

    /// Runs a line of `sh`, in which `$NETC` is the command.
    pub(crate) fn shell(&self, line: &str) -> Ran {
        let mut command = Command::new("sh");
        command.args(["-c", line]).env("NETC", binary()).current_dir(self.0.path());
        Ran::of(command.output().unwrap())
    }

    /// Like [`shell`](Self::shell), but a signal may end the command.
    pub(crate) fn shell_ended(&self, line: &str) -> ExitStatus {
        let mut command = Command::new("sh");
        command.args(["-c", line]).env("NETC", binary()).current_dir(self.0.path());
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap()
    }

    /// The bytes of every file below the folder, by path. Folders have no bytes.
    pub(crate) fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut open = vec![self.0.path().to_path_buf()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(self.0.path()).unwrap().to_string_lossy().into_owned();
                let bytes = if path.is_dir() { Vec::new() } else { fs::read(&path).unwrap() };
                found.insert(name, bytes);
                if path.is_dir() {
                    open.push(path);
                }
            }
        }
        found
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.contents().into_keys().collect()
    }

    /// Checks that the command fails with exit code 1 and an error that contains each of `parts`, and that it leaves
    /// the folder unchanged.
    #[track_caller]
    pub(crate) fn refuses(&self, args: &[&str], parts: &[&str]) {
        let before = self.contents();
        self.netc(args).failed(1, parts);
        assert_eq!(before, self.contents(), "{args:?} left something behind");
    }
}

/// The command under test, which also has a pass with bugs.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_netc-with-faults"))
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(args).env_remove("NO_COLOR");
    command
}

/// The bytes of the built-in model `tiny` as a Keras file.
pub(crate) fn tiny() -> Vec<u8> {
    keras_file(&tiny_module())
}

pub(crate) fn tiny_module() -> Module {
    (netc_zoo::find("tiny").unwrap().build)(0).unwrap()
}

pub(crate) fn keras_file(module: &Module) -> Vec<u8> {
    let mut bytes = Vec::new();
    netc_keras::write(module, module.func_named(MAIN).unwrap(), &Store::open(module).unwrap(), &mut bytes).unwrap();
    bytes
}

/// Turns a `.keras` file written by netc into one that looks as if Keras had saved it.
pub(crate) fn saved_by_keras(archive: &[u8]) -> Vec<u8> {
    let mut members = unzip(archive);
    for (name, bytes) in &mut members {
        if name == "metadata.json" {
            *bytes = br#"{"keras_version": "3.15.1", "date_saved": "2026-01-01@00:00:00"}"#.to_vec();
        }
    }
    zip(&members.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect::<Vec<_>>())
}

/// The stored members of an archive without a comment.
fn unzip(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let number = |at: usize, len: usize| archive[at..at + len].iter().rev().fold(0, |n, b| n << 8 | usize::from(*b));
    let end = archive.len() - 22;
    let mut at = number(end + 16, 4);
    let mut members = Vec::new();
    while at < end {
        let (len, name) = (number(at + 24, 4), number(at + 28, 2));
        let local = number(at + 42, 4);
        let start = local + 30 + number(local + 26, 2) + number(local + 28, 2);
        let text = String::from_utf8(archive[at + 46..at + 46 + name].to_vec()).unwrap();
        members.push((text, archive[start..start + len].to_vec()));
        at += 46 + name + number(at + 30, 2) + number(at + 32, 2);
    }
    members
}

/// A zip archive of stored members.
pub(crate) fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in members {
        let mut fields = Vec::new();
        // Version 2.0, no flags, stored, time 0, 1 January 1980.
        [20u16, 0, 0, 0, 0x21].iter().for_each(|x| fields.extend(x.to_le_bytes()));
        let len = bytes.len() as u32;
        [crc32(bytes), len, len, name.len() as u32].iter().for_each(|x| fields.extend(x.to_le_bytes()));
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&fields);
        directory.extend([0; 10]);
        directory.extend((out.len() as u32).to_le_bytes());
        directory.extend(name.as_bytes());
        out.extend(b"PK\x03\x04");
        out.extend(&fields);
        out.extend(name.as_bytes());
        out.extend(*bytes);
    }
    let (start, count) = (out.len() as u32, members.len() as u16);
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    [count, count].iter().for_each(|x| out.extend(x.to_le_bytes()));
    [directory.len() as u32, start].iter().for_each(|x| out.extend(x.to_le_bytes()));
    out.extend([0; 2]);
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0u32, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}
