//! Errors of operations on models.

use std::error::Error;

use netc_format::Note;
use netc_pass::chain;
use thiserror::Error;

/// A result whose error is a [`ModelError`].
pub type Result<T, E = ModelError> = std::result::Result<T, E>;

/// An operation on a model failed.
#[derive(Debug, Error)]
pub enum ModelError {
    /// The request is wrong: something does not exist, or options contradict each other.
    #[error("{0}")]
    Usage(String),
    /// An error of another crate.
    #[error(transparent)]
    Other(Box<dyn Error + Send + Sync>),
    /// The operation failed because of the model or a file.
    #[error("{context}")]
    Failed {
        /// What failed, and where.
        context: String,
        /// Why it failed.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// The operation needs something that the caller can provide.
    #[error("{context}")]
    Needs {
        /// What failed, where, and what is missing.
        context: String,
        /// What to provide.
        remedy: Remedy,
    },
    /// The operation failed after recovering files from a killed netc.
    #[error("{}; then", texts(notes))]
    Recovered {
        /// What the recovery did.
        notes: Vec<Note>,
        /// Why it failed.
        source: Box<ModelError>,
    },
}

/// What the caller can provide to make an operation possible. The command line names the option for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// A higher step limit: [`Config::max_steps`](crate::Config::max_steps).
    Steps,
    /// A higher memory limit: [`Config::max_memory`](crate::Config::max_memory).
    Memory,
    /// A layer library that defines these classes: [`Config::layers`](crate::Config::layers).
    Layers(Vec<String>),
    /// The weights of an architecture: [`OpenOptions::weights`](crate::OpenOptions::weights).
    Weights,
    /// Permission to replace a file: the argument `force` of [`Destination::of`](crate::Destination::of).
    Force,
}

fn texts(notes: &[Note]) -> String {
    notes.iter().map(|note| note.text.as_str()).collect::<Vec<_>>().join("; ")
}

impl ModelError {
    pub(crate) fn failed(context: impl Into<String>) -> Self {
        Self::Failed { context: context.into(), source: None }
    }

    pub(crate) fn needs(remedy: Remedy, context: impl Into<String>) -> Self {
        Self::Needs { context: context.into(), remedy }
    }

    /// Adds `notes` about files recovered from a killed netc, if there are any.
    pub(crate) fn after(self, notes: Vec<Note>) -> Self {
        if notes.is_empty() { self } else { Self::Recovered { notes, source: Box::new(self) } }
    }

    /// Wraps an error of another crate.
    pub fn from_error(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Other(Box::new(error))
    }

    /// `context` failed because of `source`.
    pub fn because(context: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Failed { context: context.into(), source: Some(Box::new(source)) }
    }

    /// The message followed by its causes: see [`chain()`].
    pub fn chain(&self) -> String {
        chain(self)
    }
}
