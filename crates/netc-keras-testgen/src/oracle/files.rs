//! Nothing is lost in a file of Keras.

use std::io::Write;

use netc_data::Store;
use netc_dialect::Dialects;
use netc_ir::{FuncId, Layer, MAIN, Module, print};
use netc_testgen::oracle::{
    Split, Tools, Wrong, differs, lowered, random_inputs, require, round_trip, run, split_compose_files, through,
};
use rawzip::{CompressionMethod, ZipArchive, ZipArchiveWriter};
use tempfile::TempDir;

use crate::recipe::formats;

/// The Keras model that is written as `.keras` and read back is the same but for the place of its weights' bytes, which are
/// equal; writing it again gives the same file.
pub fn round_trip_keras(module: &Module, dialects: &Dialects) -> Result<(), Wrong> {
    let written = round_trip(module, Tools { formats: &formats(), dialects }, &netc_keras::KERAS)?;
    require(written, || format!("is refused by the writer of .keras files:\n{}", print(module)))
}

/// The same through an HDF5 file, unless that cannot say the model: netc does not know in which order the weights of some
/// layers are listed, and an index with `...` is misread.
pub fn round_trip_hdf5(module: &Module, dialects: &Dialects) -> Result<(), Wrong> {
    let cannot_say = |l: &Layer| match &*l.class {
        "keras.ops.GetItem" | "keras.RNN" | "keras.SpectralNormalization" => true,
        class => class.starts_with("custom.") && !l.weights.is_empty(),
    };
    let written = round_trip(module, Tools { formats: &formats(), dialects }, &netc_keras::H5)?;
    require(written || module.layers.iter().any(cannot_say), || {
        format!("is refused by the writer of HDF5 files:\n{}", print(module))
    })
}

/// The model that is written as JSON, without weights, and read back is written the same again: types are not known there.
pub fn round_trip_json(module: &Module, dialects: &Dialects) -> Result<(), Wrong> {
    let written = round_trip(module, Tools { formats: &formats(), dialects }, &netc_keras::JSON)?;
    require(written, || format!("is refused by the writer of JSON:\n{}", print(module)))
}

/// The model, of Keras 3, that is written for TensorFlow.js and read back is one of Keras 2 that computes the same bits and is
/// written the same again; unless TensorFlow.js has no such model.
pub fn round_trip_tfjs(module: &Module, dialects: &Dialects) -> Result<(), Wrong> {
    let main = module.func_named(MAIN).ok_or("there is no @main")?;
    let Some((back, _folder)) = through(module, main, Tools { formats: &formats(), dialects }, &netc_keras::TFJS)?
    else {
        return Ok(());
    };
    // Keras 2 names outputs otherwise.
    let (before, after) = (lowered(module, dialects)?, lowered(&back, dialects)?);
    let given = random_inputs(&before)?;
    let same = run(&before, MAIN, &given)? == run(&after, MAIN, &given)?;
    require(same, || differs("of Keras 2", module, &back))?;
    let written = round_trip(&back, Tools { formats: &formats(), dialects }, &netc_keras::TFJS)?;
    require(written, || format!("is refused after it was written for TensorFlow.js:\n{}", print(&back)))
}

/// [`split_compose_files`] with stages in `.keras` files.
pub fn split_compose_keras(module: &Module, cuts: &[String], dialects: &Dialects) -> Result<Split, Wrong> {
    split_compose_files(module, cuts, Tools { formats: &formats(), dialects }, &netc_keras::KERAS)
}

/// The bytes of the `.keras` file of the function `id`.
pub fn file_bytes(module: &Module, id: FuncId) -> Result<Vec<u8>, Wrong> {
    let store = Store::open(module).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    netc_keras::write(module, id, &store, &mut bytes).map_err(|e| format!("{e:?}\n{}", print(module)))?;
    Ok(bytes)
}

/// The function written as a `.keras` file and read back, with the folder that holds the file and its weights.
pub fn through_file(module: &Module, id: FuncId, dialects: &Dialects) -> Result<(Module, TempDir), Wrong> {
    let read = through(module, id, Tools { formats: &formats(), dialects }, &netc_keras::KERAS)?;
    read.ok_or_else(|| format!("is refused by the writer of .keras files:\n{}", print(module)))
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
