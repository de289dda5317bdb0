//! What ends the command early, and with which exit code.

use std::error::Error;
use std::io;

use thiserror::Error;

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
        let source = error.source().map(|s| s.to_string());
        match source {
            // Keep the chain without repeating the outermost message.
            Some(_) => Self::Input { context: String::new(), source: Some(Box::new(error)) },
            None => Self::input(error.to_string()),
        }
    }

    pub(crate) fn because(context: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Input { context: context.into(), source: Some(Box::new(source)) }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Input { .. } | Self::Stdout(_) => 1,
            Self::Usage(_) => 2,
            Self::Verification(_) => 3,
        }
    }

    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Stdout(e) if e.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The message with its causes, each after a colon. A cause that its parent already tells is not repeated.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = Error::source(self);
        while let Some(error) = cause {
            let message = error.to_string();
            if text.is_empty() {
                text = message;
            } else if !text.contains(&message) {
                text = format!("{text}: {message}");
            }
            cause = error.source();
        }
        text
    }
}
