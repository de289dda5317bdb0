//! The files of a store. There can be any number of them, but only a few are open at a time.
//!
//! The default limit is 1,024 open descriptors per process, and a model can have more files than that.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use netc_ir::{FileId, Name};

use crate::error::{DataError, Result};
use crate::place::open_file;
use crate::read_at::number;

/// The maximum number of open files: more than the reading threads, and far fewer than a process may have.
const MAX_OPEN: usize = 64;

/// Files by their id in the module.
#[derive(Default)]
pub(crate) struct Files {
    known: BTreeMap<FileId, Known>,
    open: Mutex<Open>,
}

/// A file that was opened once.
struct Known {
    path: Name,
    identity: Identity,
}

/// Identifies a file and its content, to detect that it was replaced or changed.
#[derive(PartialEq, Eq)]
struct Identity {
    number: (u64, u64),
    len: u64,
    modified: Option<SystemTime>,
}

/// The open files, each with the turn of its last use.
#[derive(Default)]
struct Open {
    files: BTreeMap<FileId, (u64, Arc<File>)>,
    turn: u64,
}

impl Files {
    /// Adds the file at `path`, unless it is known.
    pub(crate) fn add(&mut self, id: FileId, path: &Name) -> Result<()> {
        if self.known.contains_key(&id) {
            return Ok(());
        }
        let (file, identity) = open(path)?;
        self.known.insert(id, Known { path: path.clone(), identity });
        lock(&self.open).insert(id, Arc::new(file));
        Ok(())
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = (FileId, &Name)> {
        self.known.iter().map(|(id, known)| (*id, &known.path))
    }

    /// The open file and its path. Reopens the file if it was closed.
    pub(crate) fn get(&self, id: FileId) -> Result<(&Name, Arc<File>)> {
        let Some(Known { path, identity }) = self.known.get(&id) else {
            let source = io::Error::other("the store was opened for another module");
            return Err(DataError::Open { path: id.to_string().into(), source });
        };
        if let Some(file) = lock(&self.open).get(id) {
            return Ok((path, file));
        }
        // Open the file outside the lock, so that other threads do not wait.
        let (file, found) = open(path)?;
        if found != *identity {
            return Err(DataError::Changed { path: path.clone() });
        }
        let file = Arc::new(file);
        lock(&self.open).insert(id, file.clone());
        Ok((path, file))
    }
}

impl Open {
    fn get(&mut self, id: FileId) -> Option<Arc<File>> {
        self.turn += 1;
        let (turn, file) = self.files.get_mut(&id)?;
        *turn = self.turn;
        Some(file.clone())
    }

    /// Adds a file. If there are too many, drops the least recently used one; its current readers keep it open.
    fn insert(&mut self, id: FileId, file: Arc<File>) {
        self.turn += 1;
        self.files.insert(id, (self.turn, file));
        if self.files.len() > MAX_OPEN
            && let Some(oldest) = self.files.iter().min_by_key(|(_, (turn, _))| *turn).map(|(id, _)| *id)
        {
            self.files.remove(&oldest);
        }
    }
}

fn open(path: &Name) -> Result<(File, Identity)> {
    let file = open_file(Path::new(&**path))?;
    let metadata = file.metadata().map_err(|source| DataError::Open { path: path.clone(), source })?;
    let identity = Identity { number: number(&metadata), len: metadata.len(), modified: metadata.modified().ok() };
    Ok((file, identity))
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread;

    use netc_ir::{ElemType, Module, Type, Weight, WeightData};

    use super::*;
    use crate::Store;

    /// A module and store of `n` files. Each has one byte, the number of the file.
    fn store(folder: &tempfile::TempDir, n: usize) -> (Module, Store) {
        let mut module = Module::new();
        for i in 0..n {
            let path = folder.path().join(i.to_string());
            fs::write(&path, [i as u8]).unwrap();
            let file = module.intern_file(path.to_str().unwrap());
            let data = WeightData::File { file, offset: 0, len: 1 };
            module.add_weight(Weight { name: format!("w{i}").into(), ty: Type::fixed(ElemType::U8, &[1]), data });
        }
        let store = Store::open(&module).unwrap();
        (module, store)
    }

    #[test]
    fn threads_can_read_more_files_than_a_process_may_open() {
        let folder = tempfile::tempdir().unwrap();
        let (module, store) = store(&folder, 1500);
        let read = |from: usize| {
            for (i, weight) in module.weights.iter().enumerate().skip(from).step_by(3) {
                assert_eq!(store.read(weight).unwrap(), [i as u8]);
            }
        };
        thread::scope(|scope| (0..3).for_each(|from| drop(scope.spawn(move || read(from)))));
        let open = fs::read_dir("/proc/self/fd").unwrap().count();
        assert!(open < 500, "{open} files are open");
    }

    #[test]
    fn a_replaced_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let (module, store) = store(&folder, MAX_OPEN + 2);
        let other = folder.path().join("other");
        fs::write(&other, [9]).unwrap();
        fs::rename(&other, folder.path().join("0")).unwrap();
        let error = store.read(&module.weights[0]).unwrap_err();
        assert!(matches!(&error, DataError::Changed { path } if path.ends_with("/0")), "{error}");
        assert_eq!(store.read(&module.weights[MAX_OPEN + 1]).unwrap(), [MAX_OPEN as u8 + 1]);
    }
}
