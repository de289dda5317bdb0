//! Why a model file cannot be read or written.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use netc_ir::Name;
use thiserror::Error;

/// An error of a format, as its crate explains it.
pub type Cause = Box<dyn Error + Send + Sync>;

/// A file that is not opened as a model.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is something else; what, and what to do.
    #[error("{0}")]
    NoModel(String),
}

/// A result with the error of a format.
pub type Result<T, E = FormatError> = std::result::Result<T, E>;

/// A file that cannot be read as a model, or a model that cannot be written.
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
    /// Weights are given for a model that has its own.
    #[error("`{path}` has its weights: those in `{weights}` are for a model without weights")]
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
    /// The format has no such model.
    #[error("cannot write the model `{model}`")]
    Unsupported {
        /// The function that was to be written.
        model: Name,
        /// What the format does not have.
        source: Cause,
    },
}

impl FormatError {
    /// The error that the file at `path` cannot be read.
    pub fn read(path: &Path, source: impl Into<Cause>) -> Self {
        Self::Read { path: path.into(), source: source.into() }
    }
}
