//! The passes and pipelines that can be named.

use crate::pass::Options;
use crate::pass::{Pass, PassError, PassInfo, Result};
use crate::pipeline::PassCall;
use crate::wording::nearest;

/// A pipeline with a name. In pipelines: `@name`.
pub struct NamedPipeline {
    /// Its name.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// What it stands for: the text of a pipeline.
    pub text: &'static str,
}

/// The passes and pipelines that pipelines may name.
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
    /// The passes and pipelines of the tables.
    pub fn new(passes: &[&'static PassInfo], pipelines: &[&'static NamedPipeline]) -> Self {
        Self { passes: passes.to_vec(), pipelines: pipelines.to_vec() }
    }

    /// With another pass. A pass of the same name that is there already is replaced.
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

    /// The pass called `name`.
    pub fn pass(&self, name: &str) -> Result<&'static PassInfo> {
        self.passes()
            .find(|p| p.name == name)
            .ok_or_else(|| PassError::new(format!("there is no pass `{name}`{}", self.nearest(name))))
    }

    /// The pipeline called `name`.
    pub fn pipeline(&self, name: &str) -> Result<&'static NamedPipeline> {
        self.pipelines().find(|p| p.name == name).ok_or_else(|| {
            PassError::new(format!("there is no pipeline `@{name}`{}", self.nearest(&format!("@{name}"))))
        })
    }

    /// What may be meant by a name, which begins with `@` if it is to be one of a pipeline.
    fn nearest(&self, name: &str) -> String {
        let pipelines: Vec<String> = self.pipelines().map(|p| format!("@{}", p.name)).collect();
        let names: Vec<&str> = self.passes().map(|p| p.name).chain(pipelines.iter().map(String::as_str)).collect();
        nearest(name, &names)
    }

    /// The pass that `call` names, made from its options.
    pub fn build(&self, call: &PassCall) -> Result<Box<dyn Pass>> {
        let info = self.pass(&call.name)?;
        (info.build)(&Options::new(info, call)?)
    }
}
