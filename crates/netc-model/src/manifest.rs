//! `manifest.json`: the stages of a split model, and how to run them one after the other.
//!
//! `stages[]` are in the order in which they run. The inputs and outputs of a stage are in the order in which its file's
//! model takes and returns them. An input's `source` is `{"model_input": NAME}` or `{"stage": I, "output": J}`.
//!
//! `passes[]` says what made the stages of the model.
//!
//! `bytes` and `checksum` of a stage are those of its file when netc wrote it; `shards[]` has them for files next to it. A
//! stage that differs is accepted if a framework saved it and it takes and returns what it did: somebody trained it. If
//! netc wrote it, it belongs to another split.
//!
//! Merging needs two things more. `main` is `@main` without its ops, in the IR's own text: what the model is as a whole, and
//! its inputs, even those that no stage reads. A stage's `calls` hold the numbers that calls of a layer have in the whole,
//! if those in the stage differ.

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
