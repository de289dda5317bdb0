//! The hidden folder that holds files until they are complete: `.netc-XXXXXX`, in the folder where they belong.
//!
//! Its file `lock` stays locked while the process lives. So another run can tell a folder that is in use from one that a
//! killed process left. [`abandon`] removes everything that this process has not put in its place yet: whoever makes a
//! file or a folder, or puts files in their places, holds the same mutex, so nothing appears after that.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::mem;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

const PREFIX: &str = ".netc-";

/// The length of the random part of the name.
const RANDOM: usize = 6;

const LOCK: &str = "lock";

/// What the folder has for the next run: see the module `journal`.
pub(super) const JOURNAL: &str = "journal";

/// What the lock file says if the files are a set that has the folder for itself.
const SET: &[u8] = b"set\n";

/// How often to try again when another run takes a fresh folder for one that was left.
const ATTEMPTS: usize = 16;

/// What this process has made and not put in its place.
pub(crate) struct Unfinished {
    /// Hidden folders. One that is not listed here any more is not removed by this process.
    scratch: Vec<PathBuf>,
    /// Folders made for the outputs, the innermost first.
    folders: Vec<PathBuf>,
}

static UNFINISHED: Mutex<Unfinished> = Mutex::new(Unfinished { scratch: Vec::new(), folders: Vec::new() });

fn unfinished() -> MutexGuard<'static, Unfinished> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does `work` without a signal in the middle of it.
pub(crate) fn undisturbed<T>(work: impl FnOnce(&mut Unfinished) -> T) -> T {
    work(&mut unfinished())
}

/// Removes what this process has made and not put in its place. From then on it makes nothing more: the process must end.
pub fn abandon() {
    let mut made = unfinished();
    made.scratch.drain(..).for_each(|path| drop(remove(&path)));
    made.folders.drain(..).for_each(|path| drop(fs::remove_dir(path)));
    mem::forget(made);
}

/// Makes `folder` and those above it, and gives the fresh ones, the innermost first.
pub fn make_folder(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut made = unfinished();
    let fresh = folder.ancestors().take_while(|f| !f.as_os_str().is_empty() && !f.exists());
    let fresh: Vec<PathBuf> = fresh.map(Path::to_path_buf).collect();
    if let Err(error) = fs::create_dir_all(folder) {
        fresh.iter().for_each(|folder| drop(fs::remove_dir(folder)));
        return Err(error);
    }
    made.folders.splice(0..0, fresh.iter().cloned());
    Ok(fresh)
}

/// Forgets folders that [`make_folder`] made, and removes those that are empty: someone else may have put something there.
pub(crate) fn release_folders(folders: &[PathBuf]) {
    let mut made = unfinished();
    for folder in folders {
        let _ = fs::remove_dir(folder);
        made.folders.retain(|other| other != folder);
    }
}

/// Removes a hidden folder. A kill in the middle leaves one that the next run can remove too: the journal goes first, as it
/// is done or void, and the lock file last.
fn remove(path: &Path) -> io::Result<()> {
    let is_lock = |entry: &fs::DirEntry| entry.file_name() == LOCK;
    let _ = fs::remove_file(path.join(JOURNAL));
    fs::read_dir(path)?.flatten().filter(|entry| !is_lock(entry)).for_each(|entry| drop(fs::remove_file(entry.path())));
    let _ = fs::remove_file(path.join(LOCK));
    fs::remove_dir(path)
}

/// A hidden folder of this process. Dropped, it is removed with all that is in it, unless it was left.
pub struct Scratch {
    path: PathBuf,
    /// Locked while it is open; none if the file system has no locks.
    _lock: Option<File>,
    next: AtomicU64,
}

impl Scratch {
    /// Makes a hidden folder in `folder`; `is_set` says that the files will be a set that has the folder for itself.
    pub fn in_folder(folder: &Path, is_set: bool) -> io::Result<Self> {
        let mut made = unfinished();
        for _ in 0..ATTEMPTS {
            let path = tempfile::Builder::new().prefix(PREFIX).rand_bytes(RANDOM).tempdir_in(folder)?.keep();
            match lock_fresh(&path, if is_set { SET } else { b"" }) {
                Ok(Lock::OfOther) => {}
                Ok(Lock::Held(lock)) => {
                    made.scratch.push(path.clone());
                    return Ok(Self { path, _lock: Some(lock), next: AtomicU64::new(0) });
                }
                Ok(Lock::Unsupported) => {
                    made.scratch.push(path.clone());
                    return Ok(Self { path, _lock: None, next: AtomicU64::new(0) });
                }
                Err(error) => {
                    let _ = remove(&path);
                    return Err(error);
                }
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a file in the folder, and gives its name.
    pub fn create(&self) -> io::Result<(String, File)> {
        let name = format!("new{}", self.next.fetch_add(1, Ordering::Relaxed));
        let file = undisturbed(|_| File::create_new(self.path.join(&name)))?;
        Ok((name, file))
    }

    /// Leaves the folder for the next run, which finds a journal in it: neither a signal nor `drop` removes it any more.
    pub(crate) fn leave(&self, made: &mut Unfinished) {
        made.scratch.retain(|path| *path != self.path);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut made = unfinished();
        if let Some(at) = made.scratch.iter().position(|path| *path == self.path) {
            let _ = remove(&self.path);
            made.scratch.remove(at);
        }
    }
}

enum Lock {
    Held(File),
    /// Another process has it.
    OfOther,
    Unsupported,
}

/// Makes the lock file of a fresh folder and locks it. Until then another run may take the folder for one that was left,
/// and remove it.
fn lock_fresh(folder: &Path, content: &[u8]) -> io::Result<Lock> {
    let mut file = match File::create_new(folder.join(LOCK)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Lock::OfOther),
        file => file?,
    };
    let lock = lock(&folder.join(LOCK), file.try_clone()?);
    if !matches!(lock, Lock::OfOther) {
        file.write_all(content)?;
    }
    Ok(lock)
}

/// Locks the `file` that was opened at `path`, if it is still there.
fn lock(path: &Path, file: File) -> Lock {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Lock::OfOther,
        Err(TryLockError::Error(_)) => Lock::Unsupported,
        Ok(()) => {
            let inode = |metadata: io::Result<fs::Metadata>| metadata.ok().map(|m| (m.dev(), m.ino()));
            match inode(fs::symlink_metadata(path)) {
                Some(there) if inode(file.metadata()) == Some(there) => Lock::Held(file),
                Some(_) | None => Lock::OfOther,
            }
        }
    }
}

/// A hidden folder of another process.
pub(crate) enum Other {
    /// The process lives.
    InUse(InUse),
    /// The process has ended.
    Left(Left),
}

pub(crate) struct InUse {
    pub(crate) path: PathBuf,
    pub(crate) is_set: bool,
}

/// A hidden folder whose process has ended. Nobody else takes it while this lives.
pub(crate) struct Left {
    pub(crate) path: PathBuf,
    /// None of a folder that has no lock file yet.
    lock: Option<File>,
}

impl Left {
    /// Removes the folder. One without a lock file may be another run's that has just begun: it is removed if it is empty.
    pub(crate) fn remove(&self) -> io::Result<()> {
        if self.lock.is_some() { remove(&self.path) } else { fs::remove_dir(&self.path) }
    }
}

/// The hidden folders of other processes in `folder`; none if it cannot be listed.
pub(crate) fn others(folder: &Path, own: Option<&Scratch>) -> Vec<Other> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| is_scratch_name(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .filter(|path| own.is_none_or(|own| own.path.file_name() != path.file_name()))
        .filter(|path| fs::symlink_metadata(path).is_ok_and(|m| m.is_dir()))
        .collect();
    paths.sort_unstable();
    paths.into_iter().filter_map(other).collect()
}

/// Tells whether the process that made the folder at `path` still lives; `None` if netc cannot tell.
fn other(path: PathBuf) -> Option<Other> {
    let lock_path = path.join(LOCK);
    let file = match File::open(&lock_path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Some(Other::Left(Left { path, lock: None })),
        file => file.ok()?,
    };
    match lock(&lock_path, file) {
        Lock::Held(lock) => Some(Other::Left(Left { path, lock: Some(lock) })),
        Lock::OfOther => {
            let is_set = fs::read(&lock_path).is_ok_and(|content| content == SET);
            Some(Other::InUse(InUse { path, is_set }))
        }
        Lock::Unsupported => None,
    }
}

fn is_scratch_name(name: &str) -> bool {
    name.strip_prefix(PREFIX)
        .is_some_and(|rest| rest.len() == RANDOM && rest.bytes().all(|b| b.is_ascii_alphanumeric()))
}
