//! The `Pass` trait, and how a pass is described to users.

mod options;

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use netc_ir::Module;
use thiserror::Error;

use crate::context::Context;
pub use options::{OptionInfo, OptionKind, Options};

/// The result of a pass.
pub type Result<T, E = PassError> = std::result::Result<T, E>;

/// A transform of a module.
pub trait Pass {
    /// Rewrites `module`. On error the module is unchanged.
    ///
    /// A pass calls [`Context::rewrite`] before each rewrite and skips the rewrite if the answer is false. This counts
    /// rewrites, so that bisecting can find the first wrong one.
    fn run(&self, module: &mut Module, context: &mut Context<'_>) -> Result<(), PassError>;

    /// Its fidelity with its current options, if that differs from [`PassInfo::fidelity`].
    fn fidelity(&self) -> Option<Fidelity> {
        None
    }
}

/// Why a pass failed.
#[derive(Debug, Clone, Error)]
#[error(transparent)]
pub struct PassError(Reason);

#[derive(Debug, Clone, Error)]
enum Reason {
    #[error("{0}")]
    Message(String),
    #[error("{context}")]
    Because { context: String, source: Arc<dyn Error + Send + Sync> },
    #[error(transparent)]
    Other(Arc<dyn Error + Send + Sync>),
}

impl PassError {
    /// An error with the reason `message` and no cause.
    pub fn new(message: impl Into<String>) -> Self {
        Self(Reason::Message(message.into()))
    }

    /// An error that says `context` and was caused by `source`.
    pub fn because(context: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        Self(Reason::Because { context: context.into(), source: Arc::new(source) })
    }

    /// An error caused by `source`, with the same message.
    pub fn from_error(source: impl Error + Send + Sync + 'static) -> Self {
        Self(Reason::Other(Arc::new(source)))
    }

    /// The error for a module without `@main`.
    pub fn no_main() -> Self {
        Self::new("the module has no function `@main`")
    }
}

/// How far a pass may change the values that a module computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Fidelity {
    /// Not at all: values are the same bit for bit.
    #[default]
    Exact,
    /// Only by rounding: values would be equal in exact arithmetic. Holds for programs whose numbers are finite.
    Rounding,
    /// In any way: the pass exists to change what the module computes.
    Other,
}

impl fmt::Display for Fidelity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exact => "exact",
            Self::Rounding => "rounding",
            Self::Other => "other",
        })
    }
}

/// A pass as users see it: name, help, options.
pub struct PassInfo {
    /// Its name, as in `--pass name`.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// What it does, in full, as Markdown.
    pub help: &'static str,
    /// How far it may change values.
    pub fidelity: Fidelity,
    /// Its options. `pass=value` sets the first.
    pub options: &'static [OptionInfo],
    /// Builds the pass from its options.
    pub build: fn(&Options<'_>) -> Result<Box<dyn Pass>, PassError>,
}
