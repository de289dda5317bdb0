//! Writes files atomically: a single file or a set appears complete or not at all.
//!
//! Every file is written to a hidden folder (`scratch`) next to its target. A single file is then renamed. The files of
//! a set are moved by a `journal`, so that the folder holds the old set or the new one, however the process ends.
//!
//! - Code that creates a file or moves files to their targets holds the mutex of a table of hidden folders. A signal
//!   handler takes the same mutex, so a signal never interrupts these steps.
//! - New files, journal and hidden folder are synced before the first rename, and the target's folder before old files
//!   are unlinked. A set that replaces nothing is not synced: a split into a fresh folder takes about as long as `cp`.
//! - The journal has a [`Stamp`] of each old and new file, which a rename keeps. If an old file changed meanwhile, the
//!   set is undone. If a new file changed after its rename, undoing would lose that change. Then the set is completed,
//!   or nothing moves and the error names the hidden folder.

mod journal;
mod scratch;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use netc_format::Note;
pub use netc_format::source::folder_of;

use crate::error::{ModelError, Result};
use crate::output::journal::{Change, Journal, Place};
use crate::output::scratch::{Left, Other};

pub use crate::output::journal::Stamp;
pub(crate) use crate::output::journal::{is_inside, stamp};
pub use crate::output::scratch::{Scratch, abandon, make_folder};

/// The code of notes about files recovered from a killed netc.
pub const RECOVERED: &str = "recovered";

/// Buffer size. Smaller than the blocks in which weights are copied, so that those bypass the buffer.
const BUFFER: usize = 64 * 1024;

/// Files being written to one folder or below it.
///
/// If dropped before [`Outputs::commit`], removes the files and the folders made for them.
pub struct Outputs {
    folder: PathBuf,
    scratch: Option<Scratch>,
    /// Whether the files are a set that owns the folder.
    is_set: bool,
    files: Vec<Finished>,
    /// Files to remove, with their stamps at the time of the decision.
    removed: Vec<(PathBuf, Option<Stamp>)>,
    /// Stamps of targets that the caller has inspected.
    seen: BTreeMap<PathBuf, Option<Stamp>>,
    /// The created folders, innermost first.
    folders: Vec<PathBuf>,
    recovered: Vec<Note>,
}

impl Outputs {
    /// Starts a set of files that owns `folder`. Creates the folder if it does not exist.
    pub fn in_folder(folder: &Path) -> Result<Self> {
        let recovered = recover(folder, Intent::WriteSet)?;
        let mut outputs = Self::of(folder, recovered);
        outputs.is_set = true;
        outputs.folders = make_folder(folder).map_err(|e| cannot_write(folder, e))?;
        let scratch = Scratch::in_folder(folder, true).map_err(|e| cannot_write(folder, e.kind().into()))?;
        // If two runs begin at the same time, at least one sees the other here.
        refuse_other_set(folder, Some(&scratch))?;
        outputs.scratch = Some(scratch);
        Ok(outputs)
    }

    /// Starts the file `target`, and others in the same folder.
    pub fn next_to(target: &Path) -> Result<Self> {
        let folder = folder_of(target);
        check_target(target)?;
        let recovered = recover(folder, Intent::Write)?;
        // Keep only the kind, because the message names the hidden folder.
        let scratch = Scratch::in_folder(folder, false).map_err(|e| cannot_write(target, e.kind().into()))?;
        let mut outputs = Self::of(folder, recovered);
        outputs.scratch = Some(scratch);
        Ok(outputs)
    }

    fn of(folder: &Path, recovered: Vec<Note>) -> Self {
        let (folder, scratch, is_set, seen) = (folder.to_path_buf(), None, false, BTreeMap::new());
        let (files, removed, folders) = (Vec::new(), Vec::new(), Vec::new());
        Self { folder, scratch, is_set, files, removed, seen, folders, recovered }
    }

    /// Notes about files recovered from a killed run.
    pub fn recovered(&self) -> &[Note] {
        &self.recovered
    }

    /// Starts the file `target`, in the folder or below.
    pub fn start(&self, target: &Path) -> Result<Pending> {
        if target.is_dir() {
            return Err(is_a_folder(target));
        }
        if self.is_set || !self.files.is_empty() {
            refuse_not_utf8(target, &self.relative(target))?;
        }
        let scratch = self.scratch.as_ref().ok_or(io::ErrorKind::NotFound.into());
        let made = scratch.and_then(Scratch::create);
        let (name, file) = made.map_err(|e: io::Error| cannot_write(target, e.kind().into()))?;
        Ok(Pending { file, finished: Finished { name, target: target.to_path_buf() } })
    }

    /// Writes the file `target`.
    pub fn write<T>(&mut self, target: &Path, fill: impl FnOnce(&mut Out<'_>) -> Result<T>) -> Result<T> {
        let mut pending = self.start(target)?;
        let result = pending.fill(fill)?;
        self.files.push(pending.finish());
        Ok(result)
    }

    /// Adds files that were started with [`Outputs::start`].
    pub fn add(&mut self, files: impl IntoIterator<Item = Finished>) {
        self.files.extend(files);
    }

    /// Records the stamp that the caller saw at a target. If it differs at the commit, nothing is replaced.
    pub fn expect(&mut self, target: PathBuf, stamp: Option<Stamp>) {
        self.seen.insert(target, stamp);
    }

    /// Removes the file `target` at the commit, if its stamp is still the same.
    pub fn remove(&mut self, target: PathBuf, stamp: Option<Stamp>) {
        self.removed.push((target, stamp));
    }

    /// Moves every file to its target, all or none.
    pub fn commit(mut self) -> Result<()> {
        let Some(scratch) = self.scratch.take() else { return Ok(()) };
        if let ([Finished { name, target }], []) = (&self.files[..], &self.removed[..]) {
            let renamed = scratch::undisturbed(|_| fs::rename(scratch.path().join(name), target));
            return renamed.map_err(|e| cannot_write(target, e));
        }
        let place = Place { folder: &self.folder, scratch: scratch.path() };
        let journal = self.journal(place)?;
        scratch::undisturbed(|made| {
            journal.write(place).map_err(|e| cannot_write(&self.folder, e))?;
            settle(&journal, place).map_err(|unsettled| match unsettled {
                Unsettled::No(error) => error,
                Unsettled::Yes(error) => {
                    // The folder has the only copies of some files, so keep it before a signal can arrive.
                    scratch.leave(made);
                    error
                }
            })
        })
    }

    /// Plans the changes for the files in the hidden folder.
    fn journal(&self, place: Place<'_>) -> Result<Journal> {
        let mut changes = Vec::new();
        let mut folders = Vec::new();
        for Finished { name, target } in &self.files {
            let old = match self.seen.get(target) {
                Some(seen) => seen.clone(),
                None => stamp(target).map_err(|e| cannot_write(target, e))?,
            };
            let relative = self.relative(target);
            refuse_not_utf8(target, &relative)?;
            let above = relative.ancestors().skip(1).filter(|f| !f.as_os_str().is_empty());
            let fresh = above.filter(|f| !self.folder.join(f).exists() && !folders.iter().any(|g| g == f));
            let fresh: Vec<PathBuf> = fresh.map(Path::to_path_buf).collect();
            folders.extend(fresh.into_iter().rev());
            let new = place.new_file(name.clone()).map_err(|e| cannot_write(target, e))?;
            changes.push(Change { target: relative, new: Some(new), old });
        }
        for (target, old) in &self.removed {
            changes.push(Change { target: self.relative(target), new: None, old: old.clone() });
        }
        Ok(Journal { changes, folders })
    }

    fn relative(&self, target: &Path) -> PathBuf {
        target
            .strip_prefix(&self.folder)
            .map_or_else(|_| target.file_name().unwrap_or_default().into(), Path::to_path_buf)
    }
}

impl Drop for Outputs {
    fn drop(&mut self) {
        self.scratch = None;
        scratch::release_folders(&self.folders);
    }
}

/// Why a journal was not completed.
enum Unsettled {
    /// It was undone.
    No(ModelError),
    /// It is half done: only some files are at their targets.
    Yes(ModelError),
}

/// Carries out the journal, and undoes it if that fails.
fn settle(journal: &Journal, place: Place<'_>) -> Result<(), Unsettled> {
    let Err(error) = journal.forward(place, &mut journal::open) else { return Ok(()) };
    match journal.back(place, &mut journal::open) {
        Ok(()) => Err(Unsettled::No(error)),
        Err(failed) => {
            let (folder, hidden) = (shown(place.folder), place.scratch.display());
            Err(Unsettled::Yes(ModelError::failed(format!(
                "netc can neither finish replacing the files in `{folder}` ({}) nor restore the old ones ({failed}). The \
                 other versions are in `{hidden}`: remove it to keep the files in `{folder}` as they are, or fix the \
                 problem and run netc again",
                error.chain()
            ))))
        }
    }
}

/// What a run intends to do in a folder.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// Read files that belong together.
    Read,
    /// Write a file, or a few.
    Write,
    /// Write a set that owns the folder.
    WriteSet,
}

/// Cleans up after killed runs in `folder` and returns notes about it.
///
/// Completes a set that was half replaced. Removes unfinished files if this run will write there.
///
/// # Errors
/// A set cannot be completed, or another run is replacing it.
pub fn recover(folder: &Path, intent: Intent) -> Result<Vec<Note>> {
    let mut notes = Vec::new();
    for other in scratch::others(folder, None) {
        match other {
            Other::Left(left) => take_up(folder, &left, intent, &mut notes)?,
            Other::InUse(other) if intent == Intent::Read && Journal::is_in(&other.path) => {
                return Err(busy(folder, "replacing the files"));
            }
            Other::InUse(_) => {}
        }
    }
    if intent == Intent::WriteSet {
        refuse_other_set(folder, None)?;
    }
    Ok(notes)
}

fn refuse_other_set(folder: &Path, own: Option<&Scratch>) -> Result<()> {
    let is_other = scratch::others(folder, own).iter().any(|other| matches!(other, Other::InUse(it) if it.is_set));
    if is_other { Err(busy(folder, "writing files")) } else { Ok(()) }
}

fn busy(folder: &Path, what: &str) -> ModelError {
    let folder = shown(folder);
    ModelError::failed(format!(
        "another netc is {what} in `{folder}`; wait until it has finished or choose another folder"
    ))
}

fn take_up(folder: &Path, left: &Left, intent: Intent, notes: &mut Vec<Note>) -> Result<()> {
    let place = Place { folder, scratch: &left.path };
    let failed = |why: &str| {
        ModelError::failed(format!(
            "an earlier netc was killed while replacing the files in `{}`: {why}",
            shown(folder)
        ))
    };
    let hidden = left.path.display();
    let unreadable = |e| failed(&format!("cannot read `{hidden}/{}`: {e}", scratch::JOURNAL));
    let journal = Journal::read(&left.path).map_err(unreadable)?;
    if let Some(journal) = &journal {
        match scratch::undisturbed(|_| settle(journal, place)) {
            Ok(()) => {
                let note = format!("completed the files that a killed netc was writing in `{}`", shown(folder));
                notes.push(Note::new(RECOVERED, note));
            }
            Err(Unsettled::No(error)) => {
                let note = format!("a killed netc was replacing the files in `{}`", shown(folder));
                notes.push(Note::new(RECOVERED, format!("{note}; restored the old ones: {}", error.chain())));
            }
            Err(Unsettled::Yes(error)) => return Err(failed(&error.chain())),
        }
    }
    if journal.is_some() || intent != Intent::Read {
        // Harmless if it cannot be removed.
        let _ = left.remove();
    }
    Ok(())
}

/// A file being written.
pub struct Pending {
    file: File,
    finished: Finished,
}

/// A file that is complete and closed. A model may have thousands, so they are not kept open.
pub struct Finished {
    /// Its name in the hidden folder.
    name: String,
    /// Its final path.
    pub target: PathBuf,
}

/// A buffered writer to a pending file.
pub type Out<'a> = BufWriter<&'a mut File>;

impl Pending {
    /// A writer that owns the file, for bytes that arrive over time.
    pub fn into_writer(self) -> (BufWriter<File>, Finished) {
        (BufWriter::with_capacity(BUFFER, self.file), self.finished)
    }

    /// Closes the file.
    pub fn finish(self) -> Finished {
        self.finished
    }

    /// Writes its content.
    pub fn fill<T>(&mut self, fill: impl FnOnce(&mut Out<'_>) -> Result<T>) -> Result<T> {
        let mut out = BufWriter::with_capacity(BUFFER, &mut self.file);
        let result = fill(&mut out)?;
        out.flush().map_err(|e| cannot_write(&self.finished.target, e))?;
        Ok(result)
    }
}

/// Checks that `target` can be written as a file.
pub fn check_target(target: &Path) -> Result<()> {
    if target.is_dir() {
        return Err(is_a_folder(target));
    }
    let folder = folder_of(target);
    if folder.is_dir() {
        return Ok(());
    }
    let shown = folder.display();
    let exists = folder.exists();
    let why = if exists { format!("`{shown}` is a file") } else { format!("the folder `{shown}` does not exist") };
    Err(ModelError::failed(format!("cannot write `{}`: {why}", target.display())))
}

/// Checks that the path of a file in its folder, `relative`, can be written to a journal.
fn refuse_not_utf8(target: &Path, relative: &Path) -> Result<()> {
    if relative.to_str().is_some() {
        return Ok(());
    }
    let note = "netc writes several files that refer to each other, so their names must be UTF-8; choose another name";
    Err(ModelError::failed(format!("cannot write `{}`: {note}", target.display())))
}

fn is_a_folder(target: &Path) -> ModelError {
    ModelError::failed(format!("cannot write `{}`: it is a folder", target.display()))
}

fn shown(folder: &Path) -> std::path::Display<'_> {
    if folder.as_os_str().is_empty() { Path::new(".").display() } else { folder.display() }
}

/// The error for a file that cannot be written.
pub fn cannot_write(path: &Path, error: io::Error) -> ModelError {
    ModelError::because(format!("cannot write `{}`", path.display()), error)
}

/// Checks that `target` is not the input `file`.
pub fn refuse_same(file: &Path, target: &Path) -> Result<()> {
    match (file.canonicalize(), target.canonicalize()) {
        (Ok(a), Ok(b)) if a == b => Err(ModelError::failed(format!(
            "`{}` is an input, and netc never overwrites an input; choose another output",
            target.display()
        ))),
        _ => Ok(()),
    }
}
