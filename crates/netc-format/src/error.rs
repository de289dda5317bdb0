//! Errors of reading and writing model files.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use netc_ir::Name;
use thiserror::Error;

/// The cause of an error, defined by the crate of a format.
pub type Cause = Box<dyn Error + Send + Sync>;

/// A file cannot be opened as a model.
#[derive(Debug, Error)]
pub enum OpenError {
    /// An error of the operating system.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not a model. Says what it is and what to do.
    #[error("{0}")]
    NoModel(String),
}

/// A result with [`FormatError`].
pub type Result<T, E = FormatError> = std::result::Result<T, E>;

/// A model file cannot be read or written.
#[derive(Debug, Error)]
pub enum FormatError {
    /// Reading failed.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Cause,
    },
    /// Weights were given for a model that has its own.
    #[error("`{path}` has its own weights; the weights in `{weights}` are for models without weights")]
    TakesNoWeights {
        /// The model.
        path: PathBuf,
        /// The weights.
        weights: PathBuf,
    },
    /// Writing failed.
    #[error("cannot write the model `{model}`")]
    Write {
        /// The function that was to be written.
        model: Name,
        /// Why.
        source: Cause,
    },
    /// The format does not support the model.
    #[error("cannot write the model `{model}`")]
    Unsupported {
        /// The function that was to be written.
        model: Name,
        /// What the format does not support.
        source: Cause,
    },
}

impl FormatError {
    /// A [`FormatError::Read`] for the file at `path`.
    pub fn read(path: &Path, source: impl Into<Cause>) -> Self {
        Self::Read { path: path.into(), source: source.into() }
    }
}
