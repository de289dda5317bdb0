//! The journal of a set of files: what to rename and what to remove, so that all of it is done or none of it.
//!
//! The journal is a file of the hidden folder, written when every new file is complete. Each file that is replaced or
//! removed is first kept in the hidden folder too. Where a file is says what was done with it, so either direction can be
//! taken up anywhere: [`Journal::forward`] by the run itself, and by the next one if a kill ends this one;
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

/// Raised when what the journal means changes.
const VERSION: u64 = 1;

/// What identifies the content of a file without reading it.
pub type Stamp = String;

/// The stamp of the file at `path`; `None` if there is no file.
pub(crate) fn stamp(path: &Path) -> io::Result<Option<Stamp>> {
    match fs::symlink_metadata(path) {
        Ok(m) if m.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(m) => Ok(Some(format!("{}:{}:{}.{:09}", m.ino(), m.len(), m.mtime(), m.mtime_nsec()))),
        Err(error) if is_nothing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the error says that there is nothing at a path.
fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Asked before each change of the file system: tests end the process there, so to speak.
pub(crate) type Gate<'a> = &'a mut dyn FnMut() -> io::Result<()>;

/// Lets every change happen.
pub(crate) fn open() -> io::Result<()> {
    Ok(())
}

/// What is to be done in a folder.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Journal {
    pub(crate) changes: Vec<Change>,
    /// Folders to make for the files, each after the one that it is in. Paths count from the folder.
    pub(crate) folders: Vec<PathBuf>,
}

/// A file to put in its place, or to remove.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Its path, which counts from the folder.
    pub(crate) target: PathBuf,
    /// The new file; `None` to remove what is there.
    pub(crate) new: Option<New>,
    /// The stamp of what is there.
    pub(crate) old: Option<Stamp>,
}

/// A file in the hidden folder.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct New {
    pub(crate) name: String,
    /// Its length: after a loss of power it may have less, and must not replace anything.
    pub(crate) bytes: u64,
    /// Its stamp, which a rename does not change: a file with another stamp in its place is somebody else's.
    pub(crate) stamp: Stamp,
}

/// The folder of a set, and the hidden folder in it.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) scratch: &'a Path,
}

impl Place<'_> {
    /// Finds the new file of a change while it is in the hidden folder.
    pub(crate) fn new_file(&self, name: String) -> io::Result<New> {
        let path = self.scratch.join(&name);
        let stamp = stamp(&path)?.ok_or(io::ErrorKind::NotFound)?;
        Ok(New { name, bytes: fs::metadata(path)?.len(), stamp })
    }

    /// Where the old file of a change is kept.
    fn kept(&self, number: usize) -> PathBuf {
        self.scratch.join(format!("old{number}"))
    }
}

impl Journal {
    /// Writes the journal. From then on the set is the new one, for every netc that looks.
    ///
    /// If the set replaces files, everything that a recovery needs is on the disk before the first rename: otherwise a
    /// loss of power could keep the renames and lose the bytes.
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

    /// Whether there are old files to lose.
    fn replaces(&self) -> bool {
        self.changes.iter().any(|change| change.old.is_some())
    }

    /// Waits until the renames are on the disk, so that the hidden folder, which keeps the old files, can be removed.
    fn sync(&self, folder: &Path) -> io::Result<()> {
        if !self.replaces() {
            return Ok(());
        }
        let folders: BTreeSet<&Path> = self.changes.iter().flat_map(|c| c.target.ancestors().skip(1)).collect();
        // The innermost come last in the set.
        folders.into_iter().rev().try_for_each(|inner| sync_folder(&folder.join(inner)))
    }

    /// Whether there is a journal in the hidden folder.
    pub(crate) fn is_in(scratch: &Path) -> bool {
        scratch.join(JOURNAL).exists()
    }

    /// The journal in the hidden folder, if there is one. A torn one never reached the disk, so it replaced nothing.
    ///
    /// # Errors
    /// A journal that cannot be read or that this netc does not understand.
    pub(crate) fn read(scratch: &Path) -> io::Result<Option<Self>> {
        let text = match fs::read_to_string(scratch.join(JOURNAL)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let Ok(json) = serde_json::from_str::<Value>(&text) else { return Ok(None) };
        Self::of_json(&json).map(Some).ok_or_else(|| io::Error::other("the journal is not one that this netc writes"))
    }

    /// Puts every new file in its place and removes what is to be removed, as far as that is not done.
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
        // A stage that was a folder leaves an empty one.
        for change in self.changes.iter().filter(|change| change.new.is_none()) {
            if let Some(folder) = change.target.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                gate().map_err(|e| cannot_write(&place.folder.join(folder), e))?;
                let _ = fs::remove_dir(place.folder.join(folder));
            }
        }
        self.sync(place.folder).map_err(|e| cannot_write(place.folder, e))
    }

    /// Puts every old file back in its place, as far as that is needed.
    ///
    /// # Errors
    /// Nothing is moved if somebody changed a new file after it was put in its place.
    pub(crate) fn back(&self, place: Place<'_>, gate: Gate<'_>) -> io::Result<()> {
        for change in &self.changes {
            change.require_new(place)?;
        }
        for (number, change) in self.changes.iter().enumerate().rev() {
            change.back(place, &place.kept(number), gate)?;
        }
        for folder in self.folders.iter().rev() {
            gate()?;
            // Only if it is empty: someone else may have put something there.
            let _ = fs::remove_dir(place.folder.join(folder));
        }
        self.sync(place.folder)
    }

    fn to_json(&self) -> Value {
        // `Outputs` refuses paths that are not UTF-8.
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

    /// Paths that lead out of the folder, or out of the hidden folder, are not accepted.
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
                // Without hard links there is a moment in which nothing is in the place.
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
            // The folder of a stage that was removed is gone too.
            target.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::rename(kept, target)?;
        }
        Ok(())
    }

    /// Refuses to undo the change if the file in its place is not the new one that netc put there.
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

    /// Refuses to replace what is `there` if that is not the file that the journal is about.
    fn require_old(&self, there: Option<Stamp>) -> io::Result<()> {
        if there == self.old { Ok(()) } else { Err(io::Error::other("it has changed while netc was running")) }
    }

    /// The path of the target, whose folder must be in `folder` itself and not behind a link.
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

/// Waits until the entries of a folder are on the disk, where the file system can. A folder that is gone has none.
fn sync_folder(folder: &Path) -> io::Result<()> {
    // A path that counts from the current folder may be empty.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(e) if is_nothing(&e) || matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        done => done,
    }
}

/// Whether there is something at `path`, be it a link that leads nowhere.
fn exists(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if is_nothing(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether the path leads to something in a folder or below, and to nothing outside of it.
pub(crate) fn is_inside(path: &Path) -> bool {
    !path.as_os_str().is_empty() && path.components().all(|c| matches!(c, Component::Normal(_)))
}
