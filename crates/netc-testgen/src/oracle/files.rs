//! Nothing is lost in a file.

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

/// The formats and the meaning of layers with which oracles write and read files.
#[derive(Clone, Copy)]
pub struct Tools<'a> {
    /// The formats.
    pub formats: &'a Formats,
    /// The meaning of layers.
    pub dialects: &'a Dialects,
}

/// Writes the function `func` into `folder`; whether the format has such a model.
fn write(format: &Format, module: &Module, func: FuncId, folder: &Path) -> Result<bool, Wrong> {
    let store = Store::open(module).map_err(|e| e.to_string())?;
    let writer = format.writer.ok_or("is of a format that is not written")?;
    let written = writer.write(ModelRef { module, func }, &store, &mut InPlace::new(folder.join(format.main_file())));
    match written {
        Ok(_) => Ok(true),
        Err(FormatError::Unsupported { .. }) => Ok(false),
        Err(error) => Err(format!("cannot be written: {error:?}\n{}", print(module))),
    }
}

/// Whether the format can say the model: then it is read back the same, if it has weights, and written the same again.
pub fn round_trip(module: &Module, tools: Tools<'_>, format: &'static Format) -> Result<bool, Wrong> {
    let main = module.func_named(MAIN).ok_or("there is no @main")?;
    let Some((back, folder)) = through(module, main, tools, format)? else { return Ok(false) };
    print_parse(&back)?;
    if format.holds != Holds::Architecture {
        let (expected, found) = (print(&without_places(module)), print(&without_places(&back)));
        require(expected == found, || format!("is read back differently:\n{expected}\n---\n{found}"))?;
        let (expected, found) = (weight_bytes(module)?, weight_bytes(&back)?);
        let differing = expected.iter().zip(&found).find(|(expected, found)| expected != found);
        if let Some(((name, _), _)) = differing {
            return Err(format!("has other bytes in weight {name:?} after {}:\n{}", format.name, print(module)));
        }
    }
    let again = tempfile::tempdir().map_err(|e| e.to_string())?;
    let main = back.func_named(MAIN).ok_or("there is no @main")?;
    let same = write(format, &back, main, again.path())? && files_in(again.path())? == files_in(folder.path())?;
    require(same, || format!("is written differently the second time:\n{}", print(&back)))?;
    Ok(true)
}

/// The files in a folder, by name.
fn files_in(folder: &Path) -> Result<BTreeMap<OsString, Vec<u8>>, Wrong> {
    let read = |entry: io::Result<DirEntry>| entry.and_then(|e| Ok((e.file_name(), fs::read(e.path())?)));
    let files = fs::read_dir(folder).and_then(|entries| entries.map(read).collect());
    files.map_err(|e| e.to_string())
}

/// All that a file holds, how its model was compiled too.
pub const WHOLE: ReadOptions<'_> = ReadOptions { weights: None, training_state: true, allowed: &[] };

/// The function written in the format and read back, with the folder of its files; nothing if it cannot be said.
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
    let imported = imported.map_err(|e| format!("cannot be read back: {e:?}\n{}", print(module)))?;
    Ok(Some((imported.module, folder)))
}

/// The module without what only a model from a file has: places of bytes, and the parts of the file that are no graph.
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

/// What a model must do in a format.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It can be written.
    Written,
    /// It can be written unless the format has no such model.
    IfSupported,
}

/// The model verifies, and is the same after it was written in each of the formats and read back.
pub fn survives(module: &Module, tools: Tools<'_>, claim: Claim, formats: &[&'static Format]) -> Result<(), Wrong> {
    print_parse(module)?;
    let main = module.func_named(MAIN).ok_or("there is no @main")?;
    for format in formats {
        // What was read is not named as a file says it: it is what is read of that which is written the same.
        let Some((ours, _folder)) = through(module, main, tools, format)? else {
            let is_allowed = claim == Claim::IfSupported;
            require(is_allowed, || format!("is not written as {}:\n{}", format.name, print(module)))?;
            continue;
        };
        let written = round_trip(&ours, tools, format)?;
        require(written, || format!("is written as {} once alone:\n{}", format.name, print(&ours)))?;
    }
    Ok(())
}
