//! The table of named passes and pipelines.

use crate::pass::Options;
use crate::pass::{Pass, PassError, PassInfo, Result};
use crate::pipeline::PassCall;
use crate::wording::nearest;

/// A pipeline with a name, written `@name` in other pipelines.
pub struct NamedPipeline {
    /// Its name.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// The text of the pipeline.
    pub text: &'static str,
}

/// The passes and named pipelines that a pipeline may use.
///
/// ```
/// use netc_pass::{NamedPipeline, Registry};
///
/// const TWICE: NamedPipeline = NamedPipeline { name: "twice", summary: "Simplify twice.", text: "simplify,simplify" };
/// let registry = Registry::new(&[], &[&TWICE]);
/// assert_eq!(registry.pipeline("twice")?.text, "simplify,simplify");
/// assert!(registry.pass("simplify").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Registry {
    passes: Vec<&'static PassInfo>,
    pipelines: Vec<&'static NamedPipeline>,
}

impl Registry {
    /// A registry of these passes and pipelines.
    pub fn new(passes: &[&'static PassInfo], pipelines: &[&'static NamedPipeline]) -> Self {
        Self { passes: passes.to_vec(), pipelines: pipelines.to_vec() }
    }

    /// Adds a pass, replacing any pass of the same name.
    pub fn with(mut self, info: &'static PassInfo) -> Self {
        self.passes.retain(|p| p.name != info.name);
        self.passes.push(info);
        self
    }

    /// The passes, in order.
    pub fn passes(&self) -> impl Iterator<Item = &'static PassInfo> + '_ {
        self.passes.iter().copied()
    }

    /// The pipelines, in order.
    pub fn pipelines(&self) -> impl Iterator<Item = &'static NamedPipeline> + '_ {
        self.pipelines.iter().copied()
    }

    /// The pass called `name`, or an error with the nearest names.
    pub fn pass(&self, name: &str) -> Result<&'static PassInfo> {
        self.passes()
            .find(|p| p.name == name)
            .ok_or_else(|| PassError::new(format!("no such pass: `{name}`{}", self.nearest(name))))
    }

    /// The pipeline called `name`, without `@`, or an error with the nearest names.
    pub fn pipeline(&self, name: &str) -> Result<&'static NamedPipeline> {
        self.pipelines()
            .find(|p| p.name == name)
            .ok_or_else(|| PassError::new(format!("no such pipeline: `@{name}`{}", self.nearest(&format!("@{name}")))))
    }

    /// Suggests known names close to `name`. Names of pipelines begin with `@`.
    fn nearest(&self, name: &str) -> String {
        let pipelines: Vec<String> = self.pipelines().map(|p| format!("@{}", p.name)).collect();
        let names: Vec<&str> = self.passes().map(|p| p.name).chain(pipelines.iter().map(String::as_str)).collect();
        nearest(name, &names)
    }

    /// Builds the pass that `call` names, with its options.
    ///
    /// Fails if there is no such pass, or if an option does not fit.
    pub fn build(&self, call: &PassCall) -> Result<Box<dyn Pass>> {
        let info = self.pass(&call.name)?;
        (info.build)(&Options::new(info, call)?)
    }
}
