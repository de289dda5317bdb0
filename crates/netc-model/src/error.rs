//! Errors of operations on models.

use std::error::Error;

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
}

impl ModelError {
    pub(crate) fn failed(context: impl Into<String>) -> Self {
        Self::Failed { context: context.into(), source: None }
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
