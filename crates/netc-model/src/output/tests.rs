//! Tests of sets of files, including a kill at every possible place.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::journal::{Change, Journal, Place};
use super::*;

/// Every file and folder below a folder, by relative path, with the text of files.
fn contents(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(at) = open.pop() {
        for path in fs::read_dir(at).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                found.insert(name, "folder".into());
                open.push(path);
            } else {
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

fn set(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files.iter().map(|(name, text)| ((*name).to_string(), (*text).to_string())).collect()
}

fn old() -> BTreeMap<String, String> {
    set(&[("a", "old a"), ("b", "old b"), ("gone", "old"), ("js", "folder"), ("js/c", "old c"), ("manifest", "old")])
}

fn new() -> BTreeMap<String, String> {
    set(&[("a", "new a"), ("b", "new b"), ("more", "folder"), ("more/d", "new d"), ("manifest", "new")])
}

/// A folder with the old set, and with the new set and a journal in a hidden folder whose process has ended.
struct Replacement {
    folder: TempDir,
    scratch: PathBuf,
    journal: Journal,
}

impl Replacement {
    fn begun() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scratch = folder.path().join(".netc-abc123");
        fs::create_dir_all(&scratch).unwrap();
        fs::write(scratch.join("lock"), "").unwrap();
        fs::create_dir(folder.path().join("js")).unwrap();
        for (name, text) in old().iter().filter(|(_, text)| *text != "folder") {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let place = Place { folder: folder.path(), scratch: &scratch };
        let mut changes = Vec::new();
        let mut change = |target: &str, text: Option<&str>| {
            let new = text.map(|text| {
                let name = format!("new{}", changes.len());
                fs::write(scratch.join(&name), text).unwrap();
                place.new_file(name).unwrap()
            });
            let old = stamp(&folder.path().join(target)).unwrap();
            changes.push(Change { target: target.into(), new, old });
        };
        change("a", Some("new a"));
        change("b", Some("new b"));
        change("more/d", Some("new d"));
        change("manifest", Some("new"));
        change("gone", None);
        change("js/c", None);
        let journal = Journal { changes, folders: vec!["more".into()] };
        journal.write(place).unwrap();
        Self { folder, scratch, journal }
    }

    fn place(&self) -> Place<'_> {
        Place { folder: self.folder.path(), scratch: &self.scratch }
    }

    /// Goes forward until `changes` changes are made. Returns whether the journal is complete.
    fn forward(&self, changes: usize) -> bool {
        self.journal.forward(self.place(), &mut limit(changes)).is_ok()
    }

    fn back(&self, changes: usize) -> bool {
        self.journal.back(self.place(), &mut limit(changes)).is_ok()
    }

    /// Simulates the next run, which reads from the folder.
    #[track_caller]
    fn next_run_finds(&self, expected: &BTreeMap<String, String>) {
        recover(self.folder.path(), Intent::Read).unwrap();
        assert_eq!(contents(self.folder.path()), *expected, "no hidden folder must remain");
    }

    fn visible(&self) -> BTreeMap<String, String> {
        let mut found = contents(self.folder.path());
        found.retain(|name, _| !name.starts_with(".netc-"));
        found
    }
}

/// A gate that simulates the end of the process after `changes` changes.
fn limit(mut changes: usize) -> impl FnMut() -> io::Result<()> {
    move || {
        changes = changes.checked_sub(1).ok_or_else(|| io::Error::other("the process ends"))?;
        Ok(())
    }
}

#[test]
fn a_set_is_completed_wherever_the_process_was_killed() {
    let mut ends = 0;
    while !Replacement::begun().forward(ends) {
        ends += 1;
    }
    assert!(ends >= 10, "{ends} changes");
    for end in 0..=ends {
        let run = Replacement::begun();
        run.forward(end);
        run.next_run_finds(&new());
        // The run that completes the set may be killed too.
        for second in 0..ends - end {
            let run = Replacement::begun();
            run.forward(end);
            run.forward(second);
            run.next_run_finds(&new());
        }
    }
}

#[test]
fn a_set_that_cannot_be_completed_is_undone() {
    for end in 0.. {
        let run = Replacement::begun();
        if run.forward(end) {
            break;
        }
        assert!(run.back(usize::MAX));
        assert_eq!(run.visible(), old(), "{end} changes, undone");
        for second in 0.. {
            let run = Replacement::begun();
            run.forward(end);
            let undone = run.back(second);
            run.next_run_finds(&new());
            if undone {
                break;
            }
        }
    }
}

/// Somebody saves a file between the kill and the next run.
#[test]
fn an_old_file_changed_after_a_kill_is_kept_with_the_old_set() {
    for end in 0..5 {
        let run = Replacement::begun();
        run.forward(end);
        let b = run.folder.path().join("b");
        assert_eq!(fs::read_to_string(&b).unwrap(), "old b");
        fs::write(&b, "trained b").unwrap();
        let mut expected = old();
        expected.insert("b".into(), "trained b".into());
        run.next_run_finds(&expected);
    }
}

/// Somebody trains both a new file that was already at its target and an old one that was not yet replaced. netc can go
/// neither forward nor back.
#[test]
fn a_trained_new_file_is_never_removed() {
    let run = Replacement::begun();
    run.forward(3);
    let path = |name: &str| run.folder.path().join(name);
    assert_eq!(fs::read_to_string(path("a")).unwrap(), "new a");
    // Programs save by renaming a new file over the old one.
    for name in ["a", "b"] {
        fs::write(path("saved"), format!("trained {name}")).unwrap();
        fs::rename(path("saved"), path(name)).unwrap();
    }
    let before = contents(run.folder.path());
    for intent in [Intent::Read, Intent::WriteSet] {
        let error = recover(run.folder.path(), intent).unwrap_err().chain();
        let hidden = run.scratch.display();
        let (a, b) = (path("a"), path("b"));
        for part in [
            format!("cannot write `{}`: it has changed", b.display()),
            format!("`{}` has changed since netc wrote it", a.display()),
            format!("The other versions are in `{hidden}`: remove it to keep the files in"),
        ] {
            assert!(error.contains(&part), "{error}");
        }
        assert_eq!(contents(run.folder.path()), before);
    }
    // Do what the message advises.
    fs::remove_dir_all(&run.scratch).unwrap();
    let mut expected = old();
    expected.extend(set(&[("a", "trained a"), ("b", "trained b"), ("more", "folder")]));
    run.next_run_finds(&expected);
}

/// A trained new file belongs to the set if the other files can be moved.
#[test]
fn a_set_with_a_trained_new_file_is_completed() {
    let run = Replacement::begun();
    run.forward(3);
    fs::write(run.folder.path().join("a"), "trained a").unwrap();
    let mut expected = new();
    expected.insert("a".into(), "trained a".into());
    run.next_run_finds(&expected);
}

/// After a power failure a file may be shorter than written.
#[test]
fn an_incomplete_file_replaces_nothing() {
    let run = Replacement::begun();
    fs::write(run.scratch.join("new3"), "").unwrap();
    let error = run.journal.forward(run.place(), &mut journal::open).unwrap_err().chain();
    assert!(error.contains("the new file is incomplete (0 of 3 bytes)"), "{error}");
    run.next_run_finds(&old());
}

/// A link makes it impossible to go either way.
#[test]
fn a_set_that_can_be_neither_completed_nor_undone_is_an_error() {
    let run = Replacement::begun();
    run.forward(3);
    fs::remove_dir_all(run.folder.path().join("js")).unwrap();
    std::os::unix::fs::symlink("elsewhere", run.folder.path().join("js")).unwrap();
    for intent in [Intent::Read, Intent::Write] {
        let error = recover(run.folder.path(), intent).unwrap_err().chain();
        assert!(error.contains("an earlier netc was killed while replacing the files in"), "{error}");
    }
    assert!(run.scratch.join("journal").exists(), "the journal must be kept");
    fs::remove_file(run.folder.path().join("js")).unwrap();
    run.next_run_finds(&new());
}

#[test]
fn unfinished_files_without_a_journal_are_removed_by_the_next_writer() {
    let run = Replacement::begun();
    fs::remove_file(run.scratch.join("journal")).unwrap();
    recover(run.folder.path(), Intent::Read).unwrap();
    assert!(run.scratch.exists());
    recover(run.folder.path(), Intent::Write).unwrap();
    assert_eq!(contents(run.folder.path()), old());
}

#[test]
fn folders_that_netc_did_not_make_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    for name in [".netc-abc", ".netc-abc-23", ".netc-abc123"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("mine"), "").unwrap();
    }
    std::os::unix::fs::symlink(".netc-abc", folder.path().join(".netc-linked")).unwrap();
    let before = contents(folder.path());
    recover(folder.path(), Intent::WriteSet).unwrap();
    assert_eq!(contents(folder.path()), before);
}

#[test]
fn a_journal_that_leads_out_of_its_folder_is_rejected() {
    for target in ["../a", "/etc/a", "", "."] {
        let run = Replacement::begun();
        let text = fs::read_to_string(run.scratch.join("journal")).unwrap();
        fs::write(run.scratch.join("journal"), text.replacen("\"a\"", &format!("\"{target}\""), 1)).unwrap();
        let before = contents(run.folder.path());
        assert!(recover(run.folder.path(), Intent::Write).is_err());
        assert_eq!(contents(run.folder.path()), before, "{target}");
    }
}

#[test]
fn only_one_run_writes_a_set_to_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let write = |outputs: &mut Outputs, text: &str| {
        for name in ["a", "b"] {
            let target = folder.path().join(name);
            outputs.write(&target, |out| out.write_all(text.as_bytes()).map_err(|e| cannot_write(&target, e))).unwrap();
        }
    };
    let mut first = Outputs::in_folder(folder.path()).unwrap();
    write(&mut first, "first");
    let Err(error) = Outputs::in_folder(folder.path()) else { panic!("two writers") };
    assert!(error.chain().contains("another netc is writing"), "{}", error.chain());
    let alone = folder.path().join("c");
    let single = Outputs::next_to(&alone).map(drop);
    assert!(single.is_ok(), "a single file can be written at the same time");
    first.commit().unwrap();
    write(&mut Outputs::in_folder(folder.path()).unwrap(), "dropped");
    assert_eq!(contents(folder.path()), set(&[("a", "first"), ("b", "first")]));
}

#[test]
fn a_file_changed_during_the_write_stops_the_set() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("a"), "old").unwrap();
    fs::write(path("b"), "old").unwrap();
    let mut outputs = Outputs::in_folder(folder.path()).unwrap();
    for name in ["a", "b"] {
        outputs.expect(path(name), stamp(&path(name)).unwrap());
        outputs.write(&path(name), |out| out.write_all(b"new").map_err(|e| cannot_write(&path(name), e))).unwrap();
    }
    fs::write(path("b"), "trained").unwrap();
    let error = outputs.commit().unwrap_err().chain();
    assert!(error.contains("it has changed while netc was running"), "{error}");
    assert_eq!(contents(folder.path()), set(&[("a", "old"), ("b", "trained")]));
}

/// The hidden folder then has the only copy of an old file.
#[test]
fn a_half_replaced_set_keeps_its_hidden_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("a"), "old").unwrap();
    fs::create_dir(path("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", path("js")).unwrap();
    let mut outputs = Outputs::in_folder(folder.path()).unwrap();
    for name in ["a", "js/c"] {
        outputs.write(&path(name), |out| out.write_all(b"new").map_err(|e| cannot_write(&path(name), e))).unwrap();
    }
    let scratch = outputs.scratch.as_ref().unwrap().path().to_path_buf();
    let error = outputs.commit().unwrap_err().chain();
    assert!(error.contains("is a link") && error.contains(&scratch.display().to_string()), "{error}");
    assert_eq!(fs::read_to_string(scratch.join("old0")).unwrap(), "old");
    fs::remove_file(path("js")).unwrap();
    fs::rename(path("elsewhere"), path("js")).unwrap();
    recover(folder.path(), Intent::Read).unwrap();
    assert_eq!(contents(folder.path()), set(&[("a", "new"), ("js", "folder"), ("js/c", "new")]));
}

/// A journal is JSON.
#[test]
fn names_of_a_set_must_be_utf8() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join(std::ffi::OsStr::from_bytes(b"m\xff.nir"));
    let write = |outputs: &mut Outputs, target: &Path| {
        outputs.write(target, |out| out.write_all(b"new").map_err(|e| cannot_write(target, e)))
    };
    let mut outputs = Outputs::in_folder(folder.path()).unwrap();
    let error = write(&mut outputs, &odd).unwrap_err().chain();
    assert!(error.contains("their names must be UTF-8; choose another name"), "{error}");
    drop(outputs);
    let mut outputs = Outputs::next_to(&odd).unwrap();
    write(&mut outputs, &odd.with_extension("safetensors")).unwrap();
    assert!(write(&mut outputs, &odd).is_err());
    drop(outputs);
    assert!(contents(folder.path()).is_empty());
    let mut outputs = Outputs::next_to(&odd).unwrap();
    write(&mut outputs, &odd).unwrap();
    outputs.commit().unwrap();
    assert_eq!(fs::read_to_string(odd).unwrap(), "new");
}

#[test]
fn journals_round_trip() {
    let run = Replacement::begun();
    assert_eq!(Journal::read(&run.scratch).unwrap(), Some(run.journal));
    fs::write(run.scratch.join("journal"), "{\"version").unwrap();
    assert_eq!(Journal::read(&run.scratch).unwrap(), None);
    fs::write(run.scratch.join("journal"), "{\"version\": 2, \"changes\": [], \"folders\": []}").unwrap();
    assert!(Journal::read(&run.scratch).is_err());
}
