//! Files that appear complete or not at all.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use crate::error::CliError;
use crate::input::Model;

/// Smaller than the blocks in which weights are copied, so that these are not copied once more.
const BUFFER: usize = 64 * 1024;

/// Files on their way: written beside their targets, and renamed when all are complete. Dropped before that, they and
/// the folders made for them are removed.
#[derive(Default)]
pub(crate) struct Outputs {
    files: Vec<Finished>,
    /// The folders made, the innermost first.
    folders: Vec<PathBuf>,
}

impl Outputs {
    /// Starts a set of files in `folder`, which is made if it does not exist.
    pub(crate) fn in_folder(folder: &Path) -> Result<Self, CliError> {
        let mut outputs = Self::default();
        outputs.make_folder(folder)?;
        Ok(outputs)
    }

    /// Makes a folder for some of the files, if it does not exist.
    pub(crate) fn make_folder(&mut self, folder: &Path) -> Result<(), CliError> {
        let fresh = folder.ancestors().take_while(|f| !f.as_os_str().is_empty() && !f.exists());
        let fresh: Vec<PathBuf> = fresh.map(Path::to_path_buf).collect();
        self.folders.splice(0..0, fresh);
        fs::create_dir_all(folder).map_err(|e| cannot_write(folder, e))
    }

    /// Writes the file that will be at `target`.
    pub(crate) fn write<T>(
        &mut self,
        target: &Path,
        fill: impl FnOnce(&mut Out<'_>) -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        let mut pending = Pending::at(target)?;
        let result = pending.fill(fill)?;
        self.files.push(pending.finish());
        Ok(result)
    }

    /// Adds files that were written apart.
    pub(crate) fn add(&mut self, files: impl IntoIterator<Item = Finished>) {
        self.files.extend(files);
    }

    /// Puts every file in its place.
    pub(crate) fn commit(mut self) -> Result<(), CliError> {
        for Finished { temporary, target } in self.files.drain(..) {
            temporary.persist(&target).map_err(|e| cannot_write(&target, e.error))?;
        }
        self.folders.clear();
        Ok(())
    }
}

/// A file on its way.
pub(crate) struct Pending {
    temporary: NamedTempFile,
    target: PathBuf,
}

/// A file that is complete, and closed: a model may have thousands.
pub(crate) struct Finished {
    temporary: TempPath,
    target: PathBuf,
}

/// What a file's bytes are written to.
pub(crate) type Out<'a> = BufWriter<&'a mut NamedTempFile>;

impl Pending {
    /// Starts the file that will be at `target`.
    pub(crate) fn at(target: &Path) -> Result<Self, CliError> {
        if target.is_dir() {
            return Err(CliError::input(format!("cannot write `{}`: it is a folder", target.display())));
        }
        let folder = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            let shown = folder.display();
            let why = if folder.exists() {
                format!("`{shown}` is a file")
            } else {
                format!("the folder `{shown}` does not exist")
            };
            return Err(CliError::input(format!("cannot write `{}`: {why}", target.display())));
        }
        let mode = Permissions::from_mode(0o666);
        let temporary = tempfile::Builder::new().prefix(".netc-").permissions(mode).tempfile_in(folder);
        // The kind alone: the message has the name of the temporary file.
        let temporary = temporary.map_err(|e| cannot_write(target, e.kind().into()))?;
        Ok(Self { temporary, target: target.to_path_buf() })
    }

    /// What its bytes are written to, where they do not come at once.
    pub(crate) fn writer(&self) -> io::Result<BufWriter<File>> {
        Ok(BufWriter::with_capacity(BUFFER, self.temporary.as_file().try_clone()?))
    }

    /// The file, to which nothing more is written but by those who have its writer.
    pub(crate) fn finish(self) -> Finished {
        Finished { temporary: self.temporary.into_temp_path(), target: self.target }
    }

    /// Writes its bytes.
    pub(crate) fn fill<T>(&mut self, fill: impl FnOnce(&mut Out<'_>) -> Result<T, CliError>) -> Result<T, CliError> {
        let mut out = BufWriter::with_capacity(BUFFER, &mut self.temporary);
        let result = fill(&mut out)?;
        out.flush().map_err(|e| cannot_write(&self.target, e))?;
        Ok(result)
    }
}

impl Drop for Outputs {
    fn drop(&mut self) {
        self.files.clear();
        for folder in &self.folders {
            // Only if it is empty: someone else may have put something there.
            let _ = fs::remove_dir(folder);
        }
    }
}

pub(crate) fn cannot_write(path: &Path, error: std::io::Error) -> CliError {
    CliError::because(format!("cannot write `{}`", path.display()), error)
}

/// Refuses a target that is one of the files that the model is read from.
pub(crate) fn refuse_input(model: &Model, target: &Path) -> Result<(), CliError> {
    model.files().try_for_each(|file| refuse_same(&file, target))
}

/// Refuses a target that is the input `file`.
pub(crate) fn refuse_same(file: &Path, target: &Path) -> Result<(), CliError> {
    match (file.canonicalize(), target.canonicalize()) {
        (Ok(a), Ok(b)) if a == b => Err(CliError::input(format!(
            "`{}` is an input, which is never overwritten; choose another output",
            target.display()
        ))),
        _ => Ok(()),
    }
}
