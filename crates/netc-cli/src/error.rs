//! Errors of the command and their exit codes.

use std::error::Error;
use std::io;

use netc_data::PlaceError;
use netc_model::{ModelError, Remedy};
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

    /// The same error, as a failure instead of wrong usage.
    pub(crate) fn without_usage(self) -> Self {
        match self {
            Self::Usage(message) => Self::input(message),
            other @ (Self::Input { .. } | Self::Model(_) | Self::Verification(_) | Self::Stdout(_)) => other,
        }
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

    /// The message and its causes, separated by colons, with the option that helps.
    pub(crate) fn chain(&self) -> String {
        let mut cause: Option<&(dyn Error + 'static)> = Some(self);
        while let Some(error) = cause {
            if let Some(PlaceError::Outside { folder, .. }) = error.downcast_ref() {
                return format!("{}; if you trust the model, allow it with `--allow-path {folder}`", chain(self));
            }
            cause = error.source();
        }
        chain(self)
    }
}

impl From<ModelError> for CliError {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Usage(message) => Self::Usage(message),
            ModelError::Failed { context, source } => Self::Input { context, source },
            ModelError::Needs { context, remedy } => Self::input(format!("{context}{}", advice(&remedy))),
            other @ (ModelError::Other(_) | ModelError::Recovered { .. }) => Self::Model(other),
        }
    }
}

/// Names the option that helps, after the message of an error.
fn advice(remedy: &Remedy) -> String {
    match remedy {
        Remedy::Steps => "; allow more with `--max-steps`".into(),
        Remedy::Memory => "; allow more with `--max-memory`".into(),
        Remedy::Layers(classes) => {
            let is_scale = classes.iter().all(|class| class == "Scale");
            let example = if is_scale { "layers/scale.nir defines it" } else { "see docs/guide/custom-layers.md" };
            format!(". Define each unsupported class with `--layers FILE.nir`: {example}")
        }
        Remedy::Weights => "; name a weights file with `--weights`".into(),
        Remedy::Force => ", or overwrite it with `--force`".into(),
    }
}
