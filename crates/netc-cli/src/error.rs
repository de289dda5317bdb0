//! Errors of the command and their exit codes.

use std::error::Error;
use std::io;

use netc_model::ModelError;
use netc_pass::chain;
use thiserror::Error;

/// The result of a command.
pub(crate) type Result<T, E = CliError> = std::result::Result<T, E>;

/// Why a command failed.
#[derive(Debug, Error)]
pub(crate) enum CliError {
    /// The command line is wrong: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// The command failed on its input: exit code 1.
    #[error("{context}")]
    Input {
        context: String,
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
    /// An error of the library, unchanged: exit code 1.
    #[error(transparent)]
    Model(ModelError),
    /// Outputs differ: exit code 3.
    #[error("{0}")]
    Verification(String),
    /// The result cannot be written to standard output: exit code 1.
    #[error("cannot write to standard output")]
    Stdout(#[source] io::Error),
}

impl CliError {
    pub(crate) fn input(context: impl Into<String>) -> Self {
        Self::Input { context: context.into(), source: None }
    }

    /// Wraps an error of the library, unchanged.
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
