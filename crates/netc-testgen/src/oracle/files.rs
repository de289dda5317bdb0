//! Nothing is lost in a file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, DirEntry};
use std::io::{self, Write};
use std::path::Path;

use netc_data::Store;
use netc_dialect::Dialects;
use netc_format::{Format, FormatError, Holds, InPlace, ModelRef, ReadOptions};
use netc_ir::{Attr, Attrs, FuncId, Layer, Literal, Loc, MAIN, Module, WeightData, print};
use rawzip::{CompressionMethod, ZipArchive, ZipArchiveWriter};
use tempfile::TempDir;

use super::runs::{differs, lowered, random_inputs, run};
use super::{Wrong, print_parse, require};

/// The Keras model that is written as `.keras` and read back is the same but for the place of its weights' bytes, which are
/// equal; writing it again gives the same file.
pub fn round_trip_keras(module: &Module, dialects: &Dialects) -> Result<(), Wrong> {
    let written = round_trip(module, dialects, &netc_keras::KERAS)?;
    require(written, || format!("is refused by the writer of .keras files:\n{}", print(module)))
}

/// The same through an HDF5 file, unless that cannot say the model: netc does not know in which order the weights of some
/// layers are listed, and an index with `...` is misread.
pub fn round_trip_hdf5(module: &Module, dialects: &Dialects) -> Result<(), Wrong> {
    let cannot_say = |l: &Layer| match &*l.class {
        "keras.ops.GetItem" | "keras.RNN" | "keras.SpectralNormalization" => true,
        class => class.starts_with("custom.") && !l.weights.is_empty(),
    };
    let written = round_trip(module, dialects, &netc_keras::H5)?;
    require(written || module.layers.iter().any(cannot_say), || {
        format!("is refused by the writer of HDF5 files:\n{}", print(module))
    })
}

/// The model that is written as JSON, without weights, and read back is written the same again: types are not known there.
pub fn round_trip_json(module: &Module, dialects: &Dialects) -> Result<(), Wrong> {
    let written = round_trip(module, dialects, &netc_keras::JSON)?;
    require(written, || format!("is refused by the writer of JSON:\n{}", print(module)))
}

/// The model, of Keras 3, that is written for TensorFlow.js and read back is one of Keras 2 that computes the same bits and is
/// written the same again; unless TensorFlow.js has no such model.
pub fn round_trip_tfjs(module: &Module, dialects: &Dialects) -> Result<(), Wrong> {
    let main = module.func_named(MAIN).ok_or("there is no @main")?;
    let Some((back, _folder)) = through(module, main, dialects, &netc_keras::TFJS)? else { return Ok(()) };
    // Keras 2 names outputs otherwise.
    let (before, after) = (lowered(module, dialects)?, lowered(&back, dialects)?);
    let given = random_inputs(&before)?;
    let same = run(&before, MAIN, &given)? == run(&after, MAIN, &given)?;
    require(same, || differs("of Keras 2", module, &back))?;
    let written = round_trip(&back, dialects, &netc_keras::TFJS)?;
    require(written, || format!("is refused after it was written for TensorFlow.js:\n{}", print(&back)))
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
pub(super) fn round_trip(module: &Module, dialects: &Dialects, format: &'static Format) -> Result<bool, Wrong> {
    let main = module.func_named(MAIN).ok_or("there is no @main")?;
    let Some((back, folder)) = through(module, main, dialects, format)? else { return Ok(false) };
    print_parse(&back)?;
    if format.holds != Holds::Architecture {
        let (expected, found) = (print(&without_places(module)), print(&without_places(&back)));
        require(expected == found, || format!("is read back differently:\n{expected}\n---\n{found}"))?;
        require(weight_bytes(module)? == weight_bytes(&back)?, || "the bytes of the weights differ".into())?;
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

/// The bytes of the `.keras` file of the function `id`.
pub fn file_bytes(module: &Module, id: FuncId) -> Result<Vec<u8>, Wrong> {
    let store = Store::open(module).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    netc_keras::write(module, id, &store, &mut bytes).map_err(|e| format!("{e:?}\n{}", print(module)))?;
    Ok(bytes)
}

/// All that a file holds, how its model was compiled too.
pub(super) const WHOLE: ReadOptions<'_> = ReadOptions { weights: None, training_state: true, allowed: &[] };

/// The function written as a `.keras` file and read back, with the folder that holds the file and its weights.
pub fn through_file(module: &Module, id: FuncId, dialects: &Dialects) -> Result<(Module, TempDir), Wrong> {
    let read = through(module, id, dialects, &netc_keras::KERAS)?;
    read.ok_or_else(|| format!("is refused by the writer of .keras files:\n{}", print(module)))
}

/// The function written in the format and read back, with the folder of its files; nothing if it cannot be said.
pub(super) fn through(
    module: &Module,
    id: FuncId,
    dialects: &Dialects,
    format: &'static Format,
) -> Result<Option<(Module, TempDir)>, Wrong> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    if !write(format, module, id, folder.path())? {
        return Ok(None);
    }
    let imported = crate::formats().read(&folder.path().join(format.main_file()), &WHOLE, dialects);
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

/// The bytes of the member `name` of a zip archive that stores it.
pub fn member(archive: &[u8], name: &str) -> Result<Vec<u8>, Wrong> {
    let archive = ZipArchive::from_slice(archive).map_err(|e| e.to_string())?;
    let mut entries = archive.entries();
    while let Some(header) = entries.next_entry().map_err(|e| e.to_string())? {
        if header.file_path().as_ref() == name.as_bytes() {
            let entry = archive.get_entry(header.wayfinder()).map_err(|e| e.to_string())?;
            return Ok(entry.data().to_vec());
        }
    }
    Err(format!("there is no `{name}`"))
}

/// A zip archive that stores `members`.
pub(super) fn archive(members: &[(&str, &[u8])]) -> Result<Vec<u8>, Wrong> {
    let write = || {
        let mut archive = ZipArchiveWriter::new(Vec::new());
        for (name, bytes) in members {
            let (mut entry, config) = archive.new_file(name).compression_method(CompressionMethod::STORE).start()?;
            let mut writer = config.wrap(&mut entry);
            writer.write_all(bytes).map_err(rawzip::Error::from)?;
            let (_, descriptor) = writer.finish()?;
            entry.finish(descriptor)?;
        }
        archive.finish()
    };
    write().map_err(|e: rawzip::Error| e.to_string())
}
