//! Why something cannot be done with a model.

use std::error::Error;

use netc_format::Note;
use netc_pass::chain;
use thiserror::Error;

/// A result whose error is a [`ModelError`].
pub type Result<T, E = ModelError> = std::result::Result<T, E>;

/// Why something cannot be done with a model.
#[derive(Debug, Error)]
pub enum ModelError {
    /// What is asked for does not exist or does not fit together.
    #[error("{0}")]
    Usage(String),
    /// An error of another part, as it is.
    #[error(transparent)]
    Other(Box<dyn Error + Send + Sync>),
    /// The model or a file does not allow it.
    #[error("{context}")]
    Failed {
        /// What was done, and where.
        context: String,
        /// Why it failed.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// Whoever asked must give something first.
    #[error("{context}")]
    Needs {
        /// What was done, where, and what it lacks.
        context: String,
        /// What to give.
        remedy: Remedy,
    },
    /// It failed after the files of a netc that was killed had been put in order.
    #[error("{}; then", texts(notes))]
    Recovered {
        /// What was done about these files.
        notes: Vec<Note>,
        /// Why it failed.
        source: Box<ModelError>,
    },
}

/// What would make it possible. A command names the option that gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// More steps: [`Config::max_steps`](crate::Config::max_steps).
    Steps,
    /// More memory: [`Config::max_memory`](crate::Config::max_memory).
    Memory,
    /// A layer library with these classes: [`Config::layers`](crate::Config::layers).
    Layers(Vec<String>),
    /// The weights of an architecture: [`OpenOptions::weights`](crate::OpenOptions::weights).
    Weights,
    /// Leave to replace a file: the argument `force` of [`Destination::of`](crate::Destination::of).
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

    /// The same, after what `notes` say was done about the files of a netc that was killed.
    pub(crate) fn after(self, notes: Vec<Note>) -> Self {
        if notes.is_empty() { self } else { Self::Recovered { notes, source: Box::new(self) } }
    }

    /// An error of another part, as it is.
    pub fn from_error(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Other(Box::new(error))
    }

    /// An error of another part, in which `context` fails.
    pub fn because(context: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Failed { context: context.into(), source: Some(Box::new(source)) }
    }

    /// The message with its causes: see [`chain()`].
    pub fn chain(&self) -> String {
        chain(self)
    }
}
