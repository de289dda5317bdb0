//! `manifest.json`: the stages of a split model and how to run them.
//!
//! `stages[]` lists the stages in execution order, with their inputs and outputs in the order of the stage's file. An
//! input's `source` is `{"model_input": NAME}` or `{"stage": I, "output": J}`.
//!
//! `passes[]` lists the passes that produced the stages.
//!
//! `bytes` and `checksum` of a stage describe its file as netc wrote it; `shards[]` does so for the files next to it.
//! If a file differs, netc accepts the stage if a framework saved it with the same signature, because then somebody
//! trained it. If netc wrote it, it belongs to another split and is rejected.
//!
//! Merging needs two more entries. `main` is `@main` without its ops, as IR text. It holds the attributes of the whole
//! model and its inputs, including those that no stage reads. A stage's `calls` gives the call numbers of layers in the
//! whole model, where they differ from those in the stage.

mod entry;
mod files;
mod read;
mod shared;
mod text;
mod write;

pub use crate::manifest::entry::{FILE_NAME, Recorded, StageFile, port};
pub(crate) use crate::manifest::files::{Earlier, Rest};
pub(crate) use crate::manifest::read::load;
pub(crate) use crate::manifest::text::is_manifest;
pub use crate::manifest::write::{verification_json, write};
