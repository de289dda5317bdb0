//! Passes: options, registry, pipelines, and the manager that runs them.
//!
//! A [`Pass`] rewrites a module. A [`PassInfo`] describes it to users, and a [`Registry`] is a table of these. A
//! [`Pipeline`] is a sequence of passes, as data and as text. The [`Manager`] runs it: it builds every pass before the
//! first runs, verifies the module after each, notifies [`Observer`]s, and returns a [`Record`].
//!
//! ```
//! use netc_dialect::Dialects;
//! use netc_ir::{Module, Uses, parse};
//! use netc_pass::{Context, Fidelity, Manager, Pass, PassInfo, Registry, Result};
//!
//! struct DropUnread;
//!
//! impl Pass for DropUnread {
//!     fn run(&self, module: &mut Module, context: &mut Context<'_>) -> Result<()> {
//!         for func in &mut module.funcs {
//!             let uses = Uses::of(func);
//!             let unread = func.ops().filter(|(_, op)| op.results.iter().all(|value| uses.is_unused(*value)));
//!             // One rewrite per op, so `--fuel` can stop after any of them.
//!             let unread: Vec<_> = unread.map(|(id, _)| id).filter(|_| context.rewrite()).collect();
//!             func.retain_ops(|op| !unread.contains(&op));
//!         }
//!         Ok(())
//!     }
//! }
//!
//! const INFO: PassInfo = PassInfo {
//!     name: "drop-unread",
//!     summary: "Drop ops that nothing reads.",
//!     help: "Each run drops the last op of a chain of unread ops; `fix(drop-unread)` drops the whole chain.",
//!     fidelity: Fidelity::Exact,
//!     options: &[],
//!     build: |_| Ok(Box::new(DropUnread)),
//! };
//!
//! let text = "netc 1
//! func @main(%x: f32[N,4]) -> (%x) {
//!   %a = relu(%x) : f32[N,4]
//!   %b = exp(%a) : f32[N,4]
//! }";
//! let mut module = parse(text)?;
//! let (registry, dialects) = (Registry::new(&[&INFO], &[]), Dialects::new());
//! let mut context = Context::new(&dialects);
//! let record = Manager::new(&registry).run(&mut module, &"fix(drop-unread)".parse()?, &mut context)?;
//! assert_eq!(module.num_ops(), 0);
//! assert_eq!(record.fidelity, Fidelity::Exact);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod chain;
mod consts;
mod context;
mod manager;
mod pass;
mod pipeline;
mod registry;
mod wording;

pub use chain::chain;
pub use consts::{ConstError, ConstEval, OpCosts, Operand};
pub use context::{Context, Fuel, Remark};
pub use manager::{Event, FailedPass, Failure, Manager, Observer, PipelineError, Record};
pub use pass::{Fidelity, OptionInfo, OptionKind, Options, Pass, PassError, PassInfo, Result};
pub use pipeline::{PassCall, Pipeline, PipelineStep, PipelineSyntaxError, parse_pass, spelled};
pub use registry::{NamedPipeline, Registry};
pub use wording::{counted, misspelt, nearest, nearest_of, thousands};
