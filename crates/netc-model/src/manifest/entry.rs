//! What a manifest says of a stage.

use netc_data::{Checksum, dtype_name};
use netc_ir::{Dim, ElemType, FuncId, Module, Type};
use serde_json::{Map, Value, json};

/// A file of a stage as netc wrote it.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Its path, which counts from the folder of the manifest.
    pub file: String,
    /// What it was.
    pub checksum: Checksum,
}

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
