//! What ends the command early, and with which exit code.

use std::error::Error;
use std::io;

use netc_model::ModelError;
use netc_pass::chain;
use thiserror::Error;

/// A result with the error that ends the command.
pub(crate) type Result<T, E = CliError> = std::result::Result<T, E>;

/// Why the command did not do what it was asked.
#[derive(Debug, Error)]
pub(crate) enum CliError {
    /// The command line asks for something that does not exist or does not fit together.
    #[error("{0}")]
    Usage(String),
    /// The input cannot be done.
    #[error("{context}")]
    Input {
        context: String,
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// An error of another part, as it is.
    #[error(transparent)]
    Model(ModelError),
    /// Values differ.
    #[error("{0}")]
    Verification(String),
    /// Standard output does not take the result.
    #[error("cannot write to standard output")]
    Stdout(#[source] io::Error),
}

impl CliError {
    pub(crate) fn input(context: impl Into<String>) -> Self {
        Self::Input { context: context.into(), source: None }
    }

    /// An error of another part, as it is.
    pub(crate) fn from_error(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Model(ModelError::from_error(error))
    }

    pub(crate) fn because(context: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Input { context: context.into(), source: Some(Box::new(source)) }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Input { .. } | Self::Model(_) | Self::Stdout(_) => 1,
            Self::Usage(_) => 2,
            Self::Verification(_) => 3,
        }
    }

    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Stdout(e) if e.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The message with its causes, each after a colon.
    pub(crate) fn chain(&self) -> String {
        chain(self)
    }
}

impl From<ModelError> for CliError {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Usage(message) => Self::Usage(message),
            ModelError::Failed { context, source } => Self::Input { context, source },
            other @ ModelError::Other(_) => Self::Model(other),
        }
    }
}
