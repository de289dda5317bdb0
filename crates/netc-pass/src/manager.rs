//! Running passes one after the other, with the module verified after each.

use netc_ir::{Module, Violations, verify};
use thiserror::Error;

use crate::pass::{Context, PassError, Registry};
use crate::text::PassCall;

/// A pipeline that did not finish.
#[derive(Debug, Error)]
pub enum PipelineError {
    /// A pass cannot be made from its options.
    #[error("{0}")]
    Options(#[source] PassError),
    /// A pass cannot do what it was asked.
    #[error("pass `{pass}`: {source}")]
    Pass {
        /// The pass.
        pass: String,
        /// Why.
        source: PassError,
    },
    /// A pass left a module that breaks the rules: a bug of the pass.
    #[error("pass `{pass}` left a module that breaks the rules (a bug of the pass):\n{source}")]
    Broken {
        /// The pass.
        pass: String,
        /// The broken rules.
        source: Violations,
    },
}

/// A pass that ran: what it was called with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The call.
    pub call: PassCall,
}

/// Runs `calls` in order on `module`, and checks every rule after each. On an error the module is as it was before
/// the pass that failed.
pub fn run_pipeline(
    module: &mut Module,
    calls: &[PassCall],
    registry: &Registry,
    context: &mut Context<'_>,
) -> Result<Vec<Step>, PipelineError> {
    let passes =
        calls.iter().map(|c| registry.build(c)).collect::<Result<Vec<_>, _>>().map_err(PipelineError::Options)?;
    let mut steps = Vec::new();
    for (call, pass) in calls.iter().zip(passes) {
        pass.run(module, context).map_err(|source| PipelineError::Pass { pass: call.to_string(), source })?;
        verify(module).map_err(|source| PipelineError::Broken { pass: call.to_string(), source })?;
        steps.push(Step { call: call.clone() });
    }
    Ok(steps)
}
