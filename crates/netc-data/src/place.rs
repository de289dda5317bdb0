//! Restricts where the files that a model names may be.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use netc_ir::Name;
use thiserror::Error;

/// The folders that files named by a model may be in: the model's own, and those that the user allows.
///
/// Model files are untrusted. Without this check, a model could name any file on the machine as its weights, and netc
/// would copy that file into its output.
#[derive(Debug, Clone)]
pub struct Folders {
    allowed: Vec<PathBuf>,
}

/// A file that may not be read.
#[derive(Debug, Error)]
pub enum PlaceError {
    /// It does not exist or cannot be accessed.
    #[error("cannot open `{path}`")]
    Missing {
        /// The file.
        path: Name,
        /// Why.
        source: io::Error,
    },
    /// It is a pipe, a device or a folder.
    #[error("`{path}` is {found}, not a file")]
    NoFile {
        /// The file.
        path: Name,
        /// What it is.
        found: &'static str,
    },
    /// It is outside the allowed folders.
    #[error("`{path}` is outside of the model's folder")]
    Outside {
        /// The file, with links resolved.
        path: Name,
        /// Its folder.
        folder: Name,
    },
}

impl Folders {
    /// Allows the folder of the model at `model` and the folders `others`, all including subfolders.
    ///
    /// If the model is a link, also allows the folder of its target, because download caches link models that way.
    pub fn of_model(model: &Path, others: &[PathBuf]) -> Self {
        let own = model.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
        let linked = fs::canonicalize(model).ok().and_then(|model| model.parent().map(Path::to_path_buf));
        let given = own.into_iter().map(Path::to_path_buf).chain(linked).chain(others.iter().cloned());
        Self { allowed: given.filter_map(|folder| fs::canonicalize(folder).ok()).collect() }
    }

    /// Checks that a file, with links resolved, is a regular file in an allowed folder.
    ///
    /// A missing file passes; opening it will fail.
    ///
    /// # Errors
    /// See [`PlaceError`].
    pub fn check(&self, file: &Path) -> Result<(), PlaceError> {
        let name = || Name::from(file.to_string_lossy());
        let found = match fs::canonicalize(file) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(PlaceError::Missing { path: name(), source }),
        };
        if !self.allowed.iter().any(|folder| found.starts_with(folder)) {
            let folder = found.parent().unwrap_or(&found).to_string_lossy().into();
            return Err(PlaceError::Outside { path: found.to_string_lossy().into(), folder });
        }
        require_file(&found)
    }
}

/// Opens a regular file. Rejects pipes, because opening one would wait for a writer.
///
/// # Errors
/// It is not a regular file, or cannot be opened.
pub fn open_file(path: &Path) -> Result<File, PlaceError> {
    require_file(path)?;
    File::open(path).map_err(|source| PlaceError::Missing { path: path.to_string_lossy().into(), source })
}

fn require_file(path: &Path) -> Result<(), PlaceError> {
    let name = || Name::from(path.to_string_lossy());
    let metadata = fs::metadata(path).map_err(|source| PlaceError::Missing { path: name(), source })?;
    match (metadata.is_file(), metadata.is_dir()) {
        (true, _) => Ok(()),
        (_, true) => Err(PlaceError::NoFile { path: name(), found: "a folder" }),
        (_, false) => Err(PlaceError::NoFile { path: name(), found: "a pipe or a device" }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_files_in_allowed_folders_pass_after_resolving_links() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for folder in ["model/sub", "other", "model2"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        for file in ["model/m.nir", "model/in.bin", "model/sub/in.bin", "other/out.bin", "model2/out.bin"] {
            fs::write(at(file), file).unwrap();
        }
        symlink(at("other/out.bin"), at("model/link.bin")).unwrap();
        symlink(at("model/m.nir"), at("other/linked.nir")).unwrap();
        let own = Folders::of_model(&at("model/m.nir"), &[]);
        for (file, passes) in [
            ("model/in.bin", true),
            ("model/sub/in.bin", true),
            ("model/sub/../in.bin", true),
            ("other/../model/in.bin", true),
            ("model/../other/out.bin", false),
            ("model/link.bin", false),
            ("model2/out.bin", false),
        ] {
            assert_eq!(own.check(&at(file)).is_ok(), passes, "{file}");
        }
        assert!(Folders::of_model(&at("model/m.nir"), &[at("other")]).check(&at("model/link.bin")).is_ok());
        let linked = Folders::of_model(&at("other/linked.nir"), &[]);
        assert!(linked.check(&at("model/in.bin")).is_ok() && linked.check(&at("other/out.bin")).is_ok());
        let error = own.check(&at("other/out.bin")).unwrap_err().to_string();
        assert!(error.contains("outside of the model's folder") && !error.contains("--"), "{error}");
        assert!(matches!(own.check(&at("model/sub")), Err(PlaceError::NoFile { found: "a folder", .. })));
        assert!(own.check(&at("model/none")).is_ok());
        assert!(matches!(open_file(&at("model/none")), Err(PlaceError::Missing { .. })));
    }
}
