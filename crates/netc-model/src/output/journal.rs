//! The journal of a set of files: its renames and removals. Either all of them take effect or none.
//!
//! The journal is a file in the hidden folder, written when every new file is complete. Each file that is replaced or
//! removed is first kept in the hidden folder. The location of a file shows how far the journal got, so either
//! direction can resume anywhere: [`Journal::forward`] in the run itself, or in the next run after a kill;
//! [`Journal::back`] if a rename fails.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use serde_json::{Value, json};

use super::cannot_write;
use super::scratch::JOURNAL;
use crate::error::{ModelError, Result};

/// Incremented when the meaning of the journal changes.
const VERSION: u64 = 1;

/// Identifies the content of a file without reading it: inode, length and modification time.
pub type Stamp = String;

/// The stamp of the file at `path`, or `None` if there is no file.
pub(crate) fn stamp(path: &Path) -> io::Result<Option<Stamp>> {
    match fs::symlink_metadata(path) {
        Ok(m) if m.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(m) => Ok(Some(format!("{}:{}:{}.{:09}", m.ino(), m.len(), m.mtime(), m.mtime_nsec()))),
        Err(error) if is_nothing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the error means that nothing exists at a path.
fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Called before each change of the file system. Tests use it to simulate the end of the process.
pub(crate) type Gate<'a> = &'a mut dyn FnMut() -> io::Result<()>;

/// The gate that allows every change.
pub(crate) fn open() -> io::Result<()> {
    Ok(())
}

/// The changes to make in a folder.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Journal {
    pub(crate) changes: Vec<Change>,
    /// Folders to create for the files, outer ones first. Paths are relative to the folder.
    pub(crate) folders: Vec<PathBuf>,
}

/// A file to move to its target, or to remove.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// The target, relative to the folder.
    pub(crate) target: PathBuf,
    /// The new file, or `None` to remove the old one.
    pub(crate) new: Option<New>,
    /// The stamp of the old file, if any.
    pub(crate) old: Option<Stamp>,
}

/// A file in the hidden folder.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct New {
    pub(crate) name: String,
    /// Its length. After a power failure it may be shorter, and then must not replace anything.
    pub(crate) bytes: u64,
    /// Its stamp, which a rename keeps. A file at the target with another stamp was written by somebody else.
    pub(crate) stamp: Stamp,
}

/// The folder of a set and the hidden folder in it.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) scratch: &'a Path,
}

impl Place<'_> {
    /// Describes a new file that is in the hidden folder.
    pub(crate) fn new_file(&self, name: String) -> io::Result<New> {
        let path = self.scratch.join(&name);
        let stamp = stamp(&path)?.ok_or(io::ErrorKind::NotFound)?;
        Ok(New { name, bytes: fs::metadata(path)?.len(), stamp })
    }

    /// The path where the old file of a change is kept.
    fn kept(&self, number: usize) -> PathBuf {
        self.scratch.join(format!("old{number}"))
    }
}

impl Journal {
    /// Writes the journal. From then on, every netc that opens the folder completes the new set.
    ///
    /// If the set replaces files, syncs everything that a recovery needs before the first rename. Otherwise a power
    /// failure could keep the renames and lose the bytes.
    pub(crate) fn write(&self, place: Place<'_>) -> io::Result<()> {
        let Place { folder, scratch } = place;
        let temporary = scratch.join(format!("{JOURNAL}.new"));
        let mut file = File::create(&temporary)?;
        file.write_all(self.to_json().to_string().as_bytes())?;
        let replaces = self.replaces();
        if replaces {
            for new in self.changes.iter().filter_map(|change| change.new.as_ref()) {
                File::open(scratch.join(&new.name))?.sync_all()?;
            }
            file.sync_all()?;
        }
        fs::rename(temporary, scratch.join(JOURNAL))?;
        if replaces {
            sync_folder(scratch)?;
            sync_folder(folder)?;
        }
        Ok(())
    }

    /// Whether the set replaces or removes old files.
    fn replaces(&self) -> bool {
        self.changes.iter().any(|change| change.old.is_some())
    }

    /// Syncs the renames to disk, so that the hidden folder with the old files can be removed.
    fn sync(&self, folder: &Path) -> io::Result<()> {
        if !self.replaces() {
            return Ok(());
        }
        let folders: BTreeSet<&Path> = self.changes.iter().flat_map(|c| c.target.ancestors().skip(1)).collect();
        // Innermost folders first: they come last in the set.
        folders.into_iter().rev().try_for_each(|inner| sync_folder(&folder.join(inner)))
    }

    /// Whether there is a journal in the hidden folder.
    pub(crate) fn is_in(scratch: &Path) -> bool {
        scratch.join(JOURNAL).exists()
    }

    /// Reads the journal in the hidden folder, if there is one. Ignores a truncated journal: nothing was replaced by
    /// it, because it had not reached the disk.
    ///
    /// # Errors
    /// The journal cannot be read, or this version of netc does not understand it.
    pub(crate) fn read(scratch: &Path) -> io::Result<Option<Self>> {
        let text = match fs::read_to_string(scratch.join(JOURNAL)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let Ok(json) = serde_json::from_str::<Value>(&text) else { return Ok(None) };
        Self::of_json(&json)
            .map(Some)
            .ok_or_else(|| io::Error::other("this version of netc does not understand the journal"))
    }

    /// Moves every new file to its target and removes files, continuing where an earlier call stopped.
    pub(crate) fn forward(&self, place: Place<'_>, gate: Gate<'_>) -> Result<()> {
        for folder in &self.folders {
            let folder = place.folder.join(folder);
            let made = gate().and_then(|()| fs::create_dir(&folder));
            if let Err(error) = made
                && !folder.is_dir()
            {
                return Err(cannot_write(&folder, error));
            }
        }
        for (number, change) in self.changes.iter().enumerate() {
            change.forward(place, &place.kept(number), gate).map_err(|e| {
                let target = place.folder.join(&change.target);
                if change.new.is_some() { cannot_write(&target, e) } else { cannot_remove(&target, e) }
            })?;
        }
        // Remove the empty folder of a stage that was a folder.
        for change in self.changes.iter().filter(|change| change.new.is_none()) {
            if let Some(folder) = change.target.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                gate().map_err(|e| cannot_write(&place.folder.join(folder), e))?;
                let _ = fs::remove_dir(place.folder.join(folder));
            }
        }
        self.sync(place.folder).map_err(|e| cannot_write(place.folder, e))
    }

    /// Moves every old file back to its target, as far as needed.
    ///
    /// # Errors
    /// Somebody changed a new file after it was moved to its target. Then nothing is moved.
    pub(crate) fn back(&self, place: Place<'_>, gate: Gate<'_>) -> io::Result<()> {
        for change in &self.changes {
            change.require_new(place)?;
        }
        for (number, change) in self.changes.iter().enumerate().rev() {
            change.back(place, &place.kept(number), gate)?;
        }
        for folder in self.folders.iter().rev() {
            gate()?;
            // Fails if the folder is not empty: somebody may have put a file there.
            let _ = fs::remove_dir(place.folder.join(folder));
        }
        self.sync(place.folder)
    }

    fn to_json(&self) -> Value {
        // `Outputs` rejects paths that are not UTF-8.
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        let changes = self.changes.iter().map(|c| {
            let new = c.new.as_ref().map(|new| json!({"name": new.name, "bytes": new.bytes, "stamp": new.stamp}));
            json!({"target": text(&c.target), "new": new, "old": c.old})
        });
        json!({
            "version": VERSION,
            "changes": changes.collect::<Vec<_>>(),
            "folders": self.folders.iter().map(text).collect::<Vec<_>>(),
        })
    }

    /// Parses a journal. Rejects paths that lead out of the folder or the hidden folder.
    fn of_json(json: &Value) -> Option<Self> {
        let path = |value: &Value| value.as_str().map(PathBuf::from).filter(|path| is_inside(path));
        let new = |value: &Value| {
            let name = value["name"].as_str().filter(|name| is_inside(Path::new(name)) && !name.contains('/'))?;
            Some(New { name: name.into(), bytes: value["bytes"].as_u64()?, stamp: value["stamp"].as_str()?.into() })
        };
        let change = |change: &Value| {
            Some(Change {
                target: path(&change["target"])?,
                new: if change["new"].is_null() { None } else { Some(new(&change["new"])?) },
                old: if change["old"].is_null() { None } else { Some(change["old"].as_str()?.into()) },
            })
        };
        let is_known = json["version"].as_u64() == Some(VERSION);
        let changes = json["changes"].as_array()?.iter().map(change).collect::<Option<_>>()?;
        let folders = json["folders"].as_array()?.iter().map(path).collect::<Option<_>>()?;
        is_known.then_some(Self { changes, folders })
    }
}

impl Change {
    fn forward(&self, place: Place<'_>, kept: &Path, gate: Gate<'_>) -> io::Result<()> {
        let target = self.target_in(place.folder)?;
        let there = stamp(&target)?;
        let Some(new) = &self.new else {
            if there.is_none() || exists(kept)? {
                return Ok(());
            }
            self.require_old(there)?;
            gate()?;
            return fs::rename(target, kept);
        };
        let (new, bytes) = (place.scratch.join(&new.name), new.bytes);
        if !exists(&new)? {
            return Ok(());
        }
        let found = fs::metadata(&new)?.len();
        if found != bytes {
            return Err(io::Error::other(format!("the new file is incomplete ({found} of {bytes} bytes)")));
        }
        if there.is_some() {
            self.require_old(there)?;
            if !exists(kept)? {
                gate()?;
                // Without hard links, the target is missing for a moment.
                fs::hard_link(&target, kept).or_else(|_| fs::rename(&target, kept))?;
            }
        }
        gate()?;
        fs::rename(new, target)
    }

    fn back(&self, place: Place<'_>, kept: &Path, gate: Gate<'_>) -> io::Result<()> {
        let target = self.target_in(place.folder)?;
        if let Some(new) = &self.new
            && !exists(&place.scratch.join(&new.name))?
            && exists(&target)?
        {
            gate()?;
            fs::rename(&target, place.scratch.join(&new.name))?;
        }
        if exists(kept)? && !exists(&target)? {
            gate()?;
            // The folder of a removed stage may be gone.
            target.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::rename(kept, target)?;
        }
        Ok(())
    }

    /// Checks that the file at the target, if any, is the new one that netc moved there, so that the change can be
    /// undone.
    fn require_new(&self, place: Place<'_>) -> io::Result<()> {
        let Some(new) = &self.new else { return Ok(()) };
        if exists(&place.scratch.join(&new.name))? {
            return Ok(());
        }
        let target = self.target_in(place.folder)?;
        match stamp(&target)? {
            Some(there) if there != new.stamp => {
                let shown = target.display();
                Err(io::Error::other(format!("`{shown}` has changed since netc wrote it")))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Checks that the target still is the old file: its stamp, `there`, must match the journal.
    fn require_old(&self, there: Option<Stamp>) -> io::Result<()> {
        if there == self.old { Ok(()) } else { Err(io::Error::other("it has changed while netc was running")) }
    }

    /// The path of the target in `folder`. Fails if a folder on the way is a link.
    fn target_in(&self, folder: &Path) -> io::Result<PathBuf> {
        let mut at = folder.to_path_buf();
        for part in self.target.parent().into_iter().flat_map(Path::components) {
            at.push(part);
            if fs::symlink_metadata(&at).is_ok_and(|m| m.is_symlink()) {
                return Err(io::Error::other(format!("`{}` is a link", at.display())));
            }
        }
        Ok(folder.join(&self.target))
    }
}

fn cannot_remove(path: &Path, error: io::Error) -> ModelError {
    ModelError::because(format!("cannot remove `{}` of the earlier split", path.display()), error)
}

/// Syncs the entries of a folder to disk, if the file system supports it. Ignores a missing folder.
fn sync_folder(folder: &Path) -> io::Result<()> {
    // A relative path may be empty.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(e) if is_nothing(&e) || matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        done => done,
    }
}

/// Whether anything exists at `path`, including a broken link.
fn exists(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if is_nothing(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether the relative path stays inside its folder.
pub(crate) fn is_inside(path: &Path) -> bool {
    !path.as_os_str().is_empty() && path.components().all(|c| matches!(c, Component::Normal(_)))
}
