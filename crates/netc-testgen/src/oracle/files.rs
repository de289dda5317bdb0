//! Oracles of files: writing and reading a model loses nothing.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;

use netc_data::Store;
use netc_dialect::Dialects;
use netc_format::{Format, FormatError, Formats, Holds, InPlace, ModelRef, ReadOptions};
use netc_ir::{Attr, Attrs, FuncId, Literal, Loc, MAIN, Module, WeightData, print};
use tempfile::TempDir;

use super::{Wrong, print_parse, require};

/// The formats and dialects with which oracles write and read files.
#[derive(Clone, Copy)]
pub struct Tools<'a> {
    /// The formats.
    pub formats: &'a Formats,
    /// The dialects, which define the layers.
    pub dialects: &'a Dialects,
}

/// Writes the function `func` into `folder`. Returns false if the format cannot represent the model.
fn write(format: &Format, module: &Module, func: FuncId, folder: &Path) -> Result<bool, Wrong> {
    let store = Store::open(module).map_err(|e| e.to_string())?;
    let writer = format.writer.ok_or("the format has no writer")?;
    let written = writer.write(ModelRef { module, func }, &store, &mut InPlace::new(folder.join(format.main_file())));
    match written {
        Ok(_) => Ok(true),
        Err(FormatError::Unsupported { .. }) => Ok(false),
        Err(error) => Err(format!("writing fails: {error:?}\n{}", print(module))),
    }
}

/// Checks that writing and reading `@main` gives the same model, and that writing that again gives the same files.
///
/// A format without weights is checked only for the same files. Returns false if the format cannot represent the model.
pub fn round_trip(module: &Module, tools: Tools<'_>, format: &'static Format) -> Result<bool, Wrong> {
    let main = module.func_named(MAIN).ok_or("there is no @main")?;
    let Some((back, folder)) = through(module, main, tools, format)? else { return Ok(false) };
    print_parse(&back)?;
    if format.holds != Holds::Architecture {
        let (expected, found) = (print(&without_places(module)), print(&without_places(&back)));
        require(expected == found, || format!("the file reads back as another model:\n{expected}\n---\n{found}"))?;
        let (expected, found) = (weight_bytes(module)?, weight_bytes(&back)?);
        let differing = expected.iter().zip(&found).find(|(expected, found)| expected != found);
        if let Some(((name, _), _)) = differing {
            return Err(format!(
                "weight {name:?} has other bytes after a round trip through {}:\n{}",
                format.name,
                print(module)
            ));
        }
    }
    let again = tempfile::tempdir().map_err(|e| e.to_string())?;
    let main = back.func_named(MAIN).ok_or("there is no @main")?;
    let same = write(format, &back, main, again.path())? && files_in(again.path())? == files_in(folder.path())?;
    require(same, || format!("writing the model again gives other files:\n{}", print(&back)))?;
    Ok(true)
}

/// The contents of the files in a folder, by name.
fn files_in(folder: &Path) -> Result<BTreeMap<OsString, Vec<u8>>, Wrong> {
    let read = |entry: io::Result<DirEntry>| entry.and_then(|e| Ok((e.file_name(), fs::read(e.path())?)));
    let files = fs::read_dir(folder).and_then(|entries| entries.map(read).collect());
    files.map_err(|e| e.to_string())
}

/// Options to read everything in a file, including the training state.
pub const WHOLE: ReadOptions<'_> = ReadOptions { weights: None, training_state: true, allowed: &[] };

/// Writes the function `id` in the format and reads it back. Returns the module with the folder of its files, or `None`
/// if the format cannot represent it.
pub fn through(
    module: &Module,
    id: FuncId,
    tools: Tools<'_>,
    format: &'static Format,
) -> Result<Option<(Module, TempDir)>, Wrong> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    if !write(format, module, id, folder.path())? {
        return Ok(None);
    }
    let imported = tools.formats.read(&folder.path().join(format.main_file()), &WHOLE, tools.dialects);
    let imported = imported.map_err(|e| format!("reading back fails: {e:?}\n{}", print(module)))?;
    Ok(Some((imported.module, folder)))
}

/// The module without what only a model from a file has: positions of weight bytes, and attributes beyond the graph.
fn without_places(module: &Module) -> Module {
    let mut module = module.clone();
    module.files.clear();
    module.attrs = Attrs::new();
    for weight in &mut module.weights {
        let dims = weight.ty.fixed_dims().unwrap_or_default();
        weight.data = WeightData::Inline(Literal::splat(weight.ty.elem, &dims, 0.0));
    }
    for func in &mut module.funcs {
        let kept = ["class", "name"].into_iter().filter_map(|k| Some((k.into(), func.attrs.get(k)?.clone())));
        func.attrs = kept.collect::<Attrs>();
        let ops: Vec<_> = func.op_ids().collect();
        for op in ops {
            if let Loc::Call { file, .. } = &mut func[op].loc {
                *file = None;
            }
        }
    }
    module
}

/// The bytes of every weight, by its name.
fn weight_bytes(module: &Module) -> Result<Vec<(Attr, Vec<u8>)>, Wrong> {
    let store = Store::open(module).map_err(|e| e.to_string())?;
    let bytes = |w: &netc_ir::Weight| Ok((Attr::str(&*w.name), store.read(w).map_err(|e| e.to_string())?));
    module.weights.iter().map(bytes).collect()
}

/// What an oracle requires of a format.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The format can write the model.
    Written,
    /// The format may reject the model as unsupported.
    IfSupported,
}

/// Checks that the model verifies and round-trips through each of the formats.
pub fn survives(module: &Module, tools: Tools<'_>, claim: Claim, formats: &[&'static Format]) -> Result<(), Wrong> {
    print_parse(module)?;
    let main = module.func_named(MAIN).ok_or("there is no @main")?;
    for format in formats {
        // The first round trip gives the model the names of the file; only then must a round trip change nothing.
        let Some((ours, _folder)) = through(module, main, tools, format)? else {
            let is_allowed = claim == Claim::IfSupported;
            require(is_allowed, || format!("{} cannot write the model:\n{}", format.name, print(module)))?;
            continue;
        };
        let written = round_trip(&ours, tools, format)?;
        require(written, || format!("{} wrote the model but cannot write it again:\n{}", format.name, print(&ours)))?;
    }
    Ok(())
}
