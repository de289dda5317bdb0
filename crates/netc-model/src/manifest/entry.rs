//! The entry of a stage in a manifest.

use netc_data::{Checksum, dtype_name};
use netc_ir::{Dim, ElemType, FuncId, Module, Type};
use serde_json::{Map, Value, json};

/// A file of a stage as netc wrote it.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Its path relative to the folder of the manifest.
    pub file: String,
    /// Its checksum.
    pub checksum: Checksum,
}

/// The name of the manifest file.
pub const FILE_NAME: &str = "manifest.json";

/// The files, inputs and outputs of a stage.
pub struct StageFile {
    /// The main file, relative to the folder of the manifest, or `None` if nothing was written.
    pub file: Option<String>,
    /// All written files: the main file, then those next to it.
    pub files: Vec<Recorded>,
    /// The names of its inputs, in the order of the file.
    pub inputs: Vec<String>,
    /// The names of its outputs, in the order of the file.
    pub outputs: Vec<String>,
}

impl StageFile {
    /// A stage that was not written, with the function's own names.
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

/// Name, shape (null for symbolic extents), element type and size of a tensor.
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
