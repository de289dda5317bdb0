//! What a pass is.

mod options;

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use netc_ir::Module;
use thiserror::Error;

use crate::context::Context;
pub use options::{OptionInfo, OptionKind, Options};

/// A result with the error of a pass.
pub type Result<T, E = PassError> = std::result::Result<T, E>;

/// A transform of a module.
pub trait Pass {
    /// Rewrites `module`. On an error the module is as it was.
    ///
    /// A pass asks [`Context::rewrite`] before each single rewrite and leaves it out where the answer is no: so rewrites
    /// are counted, and the first that is wrong can be found.
    fn run(&self, module: &mut Module, context: &mut Context<'_>) -> Result<(), PassError>;

    /// What it does to values with the options that it was made with, where these say more than [`PassInfo::fidelity`].
    fn fidelity(&self) -> Option<Fidelity> {
        None
    }
}

/// Why a pass cannot do its work.
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
    /// The reason is `message`, and no other error caused it.
    pub fn new(message: impl Into<String>) -> Self {
        Self(Reason::Message(message.into()))
    }

    /// `context` failed because of `source`.
    pub fn because(context: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        Self(Reason::Because { context: context.into(), source: Arc::new(source) })
    }

    /// The reason is `source`, which needs no context.
    pub fn from_error(source: impl Error + Send + Sync + 'static) -> Self {
        Self(Reason::Other(Arc::new(source)))
    }

    /// The reason is that the module has no `@main`.
    pub fn no_main() -> Self {
        Self::new("the module has no function `@main`")
    }
}

/// How close the values are that a module computes after a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Fidelity {
    /// The same, bit for bit.
    #[default]
    Exact,
    /// Equal in exact arithmetic, of programs whose numbers are finite; floats may round differently.
    Rounding,
    /// Something else: what the module computes is what the pass is there to change.
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

/// A pass as users see it: everything about it that they can name.
pub struct PassInfo {
    /// Its name, as in `--pass name`.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// What it does, in full, as Markdown.
    pub help: &'static str,
    /// What it does to values, at most.
    pub fidelity: Fidelity,
    /// Its options. The first is the one that `pass=value` sets.
    pub options: &'static [OptionInfo],
    /// Makes the pass from its options.
    pub build: fn(&Options<'_>) -> Result<Box<dyn Pass>, PassError>,
}
