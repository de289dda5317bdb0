//! Why something cannot be done with a model.

use std::error::Error;

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
}

impl ModelError {
    pub(crate) fn failed(context: impl Into<String>) -> Self {
        Self::Failed { context: context.into(), source: None }
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
