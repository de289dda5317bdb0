//! Oracles for manifests: no bytes make the reader panic, and the stages that it reads are a program.

use std::collections::BTreeMap;
use std::fs;
use std::sync::LazyLock;

use netc_ir::verify;
use netc_model::{ModelError, Session};

use netc_testgen::oracle::{Wrong, print_parse};

use super::readers::small_model;
use crate::recipe::formats;

/// The name of the manifest among [`small_stages`].
pub const MANIFEST: &str = "manifest.json";

/// Reads `bytes` as the `manifest.json` of [`small_stages`]. A program that is read must verify, parse back from its
/// text, and either merge into one model or be rejected.
pub fn manifest(bytes: &[u8]) -> Result<(), Wrong> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    for (name, stage) in &*STAGES {
        let content = if name == MANIFEST { bytes } else { stage };
        fs::write(folder.path().join(name), content).map_err(|e| e.to_string())?;
    }
    let Ok(model) = Session::new(formats()).open(folder.path().join(MANIFEST)) else { return Ok(()) };
    print_parse(&model.module)?;
    let Ok(merged) = model.merged() else { return Ok(()) };
    verify(&merged.module).map_err(|violations| format!("merges to a malformed program: {violations}"))
}

/// The files of [`small_model`] split into three stages, by name.
pub fn small_stages() -> &'static BTreeMap<String, Vec<u8>> {
    &STAGES
}

static STAGES: LazyLock<BTreeMap<String, Vec<u8>>> = LazyLock::new(|| {
    let split = || -> Result<BTreeMap<String, Vec<u8>>, ModelError> {
        let folder = tempfile::tempdir().map_err(ModelError::from_error)?;
        let model = Session::new(formats()).model(small_model(), "small", "the small model")?;
        let names: Vec<&str> = model.module[model.main].layers().iter().map(|l| &*model.module[*l].name).collect();
        let cuts = names.iter().copied().filter(|name| name.starts_with("conv") || name.starts_with("activation"));
        model.split(cuts)?.save(folder.path(), None)?;
        let files = fs::read_dir(folder.path()).map_err(ModelError::from_error)?.flatten();
        let read = |file: fs::DirEntry| {
            Ok((
                file.file_name().to_string_lossy().into_owned(),
                fs::read(file.path()).map_err(ModelError::from_error)?,
            ))
        };
        files.map(read).collect()
    };
    let stages = split();
    debug_assert!(stages.is_ok(), "{stages:?}");
    stages.unwrap_or_default()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifest_of_the_small_stages_is_read() {
        let stages = small_stages();
        assert_eq!(stages.len(), 4, "{:?}", stages.keys());
        manifest(&stages[MANIFEST]).unwrap();
        let text = String::from_utf8(stages[MANIFEST].clone()).unwrap();
        manifest(text.replacen("\"output\": 0", "\"output\": 7", 1).as_bytes()).unwrap();
    }
}
