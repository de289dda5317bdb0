//! What a pass is: options, registry, pipelines, and the manager that runs them.
//!
//! A [`Pass`] rewrites a module. What users can name of it is a [`PassInfo`]; a [`Registry`] is a table of these. A
//! [`Pipeline`] is passes one after the other, as data and as text, and the [`Manager`] runs it: it makes every pass
//! before the first runs, verifies the module after each, lets [`Observer`]s look on, and keeps a [`Record`].

mod chain;
mod consts;
mod context;
mod manager;
mod options;
mod pass;
mod pipeline;
mod registry;
mod wording;

pub use chain::chain;
pub use consts::{ConstError, ConstEval, OpCosts, Operand};
pub use context::{Context, Fuel, Remark};
pub use manager::{Event, FailedPass, Failure, Manager, Observer, PipelineError, Record};
pub use options::{OptionInfo, OptionKind, Options};
pub use pass::{Fidelity, Pass, PassError, PassInfo};
pub use pipeline::{PassCall, Pipeline, PipelineStep, PipelineSyntaxError, parse_pass, spelled};
pub use registry::{NamedPipeline, Registry};
pub use wording::{counted, misspelt, nearest, nearest_of, thousands};
