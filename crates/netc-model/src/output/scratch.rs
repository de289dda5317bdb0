//! The hidden folder that holds files until they are complete: `.netc-` and six random characters,
//! in the target folder.
//!
//! Its file `lock` stays locked while the process lives, so another run can tell a folder in use from one that a killed
//! process left. [`abandon`] removes everything that this process has not moved to its target. Code that creates files
//! or folders, or moves files to their targets, holds the same mutex, so nothing appears after that.

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

/// The journal file: see the module `journal`.
pub(super) const JOURNAL: &str = "journal";

/// The content of the lock file if the files are a set that owns the folder.
const SET: &[u8] = b"set\n";

/// The maximum number of attempts to make a hidden folder, because another run may mistake a fresh one for an abandoned
/// one.
const ATTEMPTS: usize = 16;

/// Everything that this process has made and not moved to its target.
pub(crate) struct Unfinished {
    /// Hidden folders that this process will remove.
    scratch: Vec<PathBuf>,
    /// Folders made for the outputs, innermost first.
    folders: Vec<PathBuf>,
}

static UNFINISHED: Mutex<Unfinished> = Mutex::new(Unfinished { scratch: Vec::new(), folders: Vec::new() });

fn unfinished() -> MutexGuard<'static, Unfinished> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does `work` without interruption by a signal.
pub(crate) fn undisturbed<T>(work: impl FnOnce(&mut Unfinished) -> T) -> T {
    work(&mut unfinished())
}

/// Removes everything that this process has made and not moved to its target.
///
/// Keeps the mutex locked, so the process can create nothing more and must end.
pub fn abandon() {
    let mut made = unfinished();
    made.scratch.drain(..).for_each(|path| drop(remove(&path)));
    made.folders.drain(..).for_each(|path| drop(fs::remove_dir(path)));
    mem::forget(made);
}

/// Creates `folder` and its parents. Returns the created folders, innermost first.
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

/// Forgets folders that [`make_folder`] created and removes the empty ones. Somebody may have put files into the
/// others.
pub(crate) fn release_folders(folders: &[PathBuf]) {
    let mut made = unfinished();
    for folder in folders {
        let _ = fs::remove_dir(folder);
        made.folders.retain(|other| other != folder);
    }
}

/// Removes a hidden folder.
///
/// Removes the journal first, because it is done or void, and the lock file last. So the next run can remove the rest
/// if this process is killed.
fn remove(path: &Path) -> io::Result<()> {
    let is_lock = |entry: &fs::DirEntry| entry.file_name() == LOCK;
    let _ = fs::remove_file(path.join(JOURNAL));
    fs::read_dir(path)?.flatten().filter(|entry| !is_lock(entry)).for_each(|entry| drop(fs::remove_file(entry.path())));
    let _ = fs::remove_file(path.join(LOCK));
    fs::remove_dir(path)
}

/// A hidden folder of this process. Removed with its content when dropped, unless it was left.
pub struct Scratch {
    path: PathBuf,
    /// The lock file, locked while it is open. `None` if the file system has no locks.
    _lock: Option<File>,
    next: AtomicU64,
}

impl Scratch {
    /// Creates a hidden folder in `folder`. `is_set`: the files will be a set that owns the folder.
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

    /// Creates a file in the folder and returns its name.
    pub fn create(&self) -> io::Result<(String, File)> {
        let name = format!("new{}", self.next.fetch_add(1, Ordering::Relaxed));
        let file = undisturbed(|_| File::create_new(self.path.join(&name)))?;
        Ok((name, file))
    }

    /// Leaves the folder with its journal for the next run. Neither a signal nor `drop` will remove it.
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

/// Creates and locks the lock file of a fresh folder. Until then, another run may mistake the folder for an abandoned
/// one and remove it.
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

/// Locks `file`, which was opened at `path`, if it is still at that path.
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

/// A hidden folder whose process has ended. This run holds its lock.
pub(crate) struct Left {
    pub(crate) path: PathBuf,
    /// The lock, or `None` if the folder has no lock file yet.
    lock: Option<File>,
}

impl Left {
    /// Removes the folder. Without a lock file it may belong to a run that has only begun, so it is removed only if
    /// empty.
    pub(crate) fn remove(&self) -> io::Result<()> {
        if self.lock.is_some() { remove(&self.path) } else { fs::remove_dir(&self.path) }
    }
}

/// The hidden folders of other processes in `folder`. Empty if it cannot be listed.
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

/// Whether the process that made the hidden folder at `path` still lives. `None` if netc cannot tell.
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
