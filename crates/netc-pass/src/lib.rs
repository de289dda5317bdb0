//! What a pass is: options, registry, pipeline text, and the manager that runs them; and how source ops get meaning.

pub mod library;
pub mod lowering;
pub mod manager;
pub mod pass;
pub mod text;

pub use library::LayerLibrary;
pub use lowering::{Dialect, Dialects, LowerError, Lowered, OpContext};
pub use manager::{PipelineError, Step, run_pipeline};
pub use pass::{Context, OptionInfo, Pass, PassError, PassInfo, Registry, Remark};
pub use text::{PassCall, PipelineSyntaxError, nearest, parse_pipeline};
