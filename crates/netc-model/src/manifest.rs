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

mod files;
mod read;
mod shared;
mod text;
mod write;

use netc_data::dtype_name;
use netc_ir::{Dim, ElemType, FuncId, Module, Type};
use serde_json::{Map, Value, json};

pub use crate::manifest::files::Recorded;
pub(crate) use crate::manifest::files::{Earlier, Rest};
pub(crate) use crate::manifest::read::load;
pub(crate) use crate::manifest::text::is_manifest;
pub use crate::manifest::write::{verification_json, write};

/// The name of the file.
pub const FILE_NAME: &str = "manifest.json";

/// How a stage appears in the manifest.
pub struct StageFile {
    /// The file, by its name in the folder of the manifest; `None` where nothing is written.
    pub file: Option<String>,
    /// What was written: that file, then those next to it.
    pub files: Vec<Recorded>,
    /// The names of its inputs, in the order of the file.
    pub inputs: Vec<String>,
    /// The names of its outputs, in the order of the file.
    pub outputs: Vec<String>,
}

impl StageFile {
    /// The names that the function itself has.
    pub fn unwritten(module: &Module, func: FuncId) -> Self {
        let func = &module[func];
        Self {
            file: None,
            files: Vec::new(),
            inputs: func.params.iter().map(|p| p.name.to_string()).collect(),
            outputs: func.outputs.iter().map(|o| o.name.to_string()).collect(),
        }
    }
}

/// Name, shape (null where open), type and size of a tensor.
pub fn port(name: &str, ty: &Type) -> Map<String, Value> {
    let shape = ty.dims.as_ref().map(|dims| dims.iter().map(Dim::known).collect::<Vec<_>>());
    let mut port = Map::new();
    port.insert("name".into(), name.into());
    port.insert("shape".into(), json!(shape));
    let dtype = (ty.elem != ElemType::Any).then(|| dtype_name(ty.elem));
    port.insert("dtype".into(), json!(dtype));
    port.insert("bytes_per_example".into(), json!(ty.bytes_per_example()));
    port
}
