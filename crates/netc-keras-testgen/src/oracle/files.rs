//! Oracles for files: nothing is lost in a Keras file.

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

/// Checks that a `.keras` file reads back as the same model with the same weights, and that writing it again gives the
/// same bytes. Only the places of the weights' bytes may differ.
pub fn round_trip_keras(module: &Module, dialects: &Dialects) -> Result<(), Wrong> {
    let written = round_trip(module, Tools { formats: &formats(), dialects }, &netc_keras::KERAS)?;
    require(written, || format!("is rejected by the writer of .keras files:\n{}", print(module)))
}

/// Checks the same with an HDF5 file. Models that HDF5 cannot store may be rejected: netc does not know the order in
/// which some layers list their weights, and an index with `...` is misread.
pub fn round_trip_hdf5(module: &Module, dialects: &Dialects) -> Result<(), Wrong> {
    let cannot_say = |l: &Layer| match &*l.class {
        "keras.ops.GetItem" | "keras.RNN" | "keras.SpectralNormalization" => true,
        class => class.starts_with("custom.") && !l.weights.is_empty(),
    };
    let written = round_trip(module, Tools { formats: &formats(), dialects }, &netc_keras::H5)?;
    require(written || module.layers.iter().any(cannot_say), || {
        format!("is rejected by the writer of HDF5 files:\n{}", print(module))
    })
}

/// Checks that JSON, which has no weights, reads back as a model that is written as the same JSON. Types are not
/// compared, because JSON has none.
pub fn round_trip_json(module: &Module, dialects: &Dialects) -> Result<(), Wrong> {
    let written = round_trip(module, Tools { formats: &formats(), dialects }, &netc_keras::JSON)?;
    require(written, || format!("is rejected by the writer of JSON:\n{}", print(module)))
}

/// Checks that a Keras 3 model, written for TensorFlow.js, reads back as a Keras 2 model that computes the same bits
/// and is written as the same files. TensorFlow.js may lack some models.
pub fn round_trip_tfjs(module: &Module, dialects: &Dialects) -> Result<(), Wrong> {
    let main = module.func_named(MAIN).ok_or("there is no @main")?;
    let Some((back, _folder)) = through(module, main, Tools { formats: &formats(), dialects }, &netc_keras::TFJS)?
    else {
        return Ok(());
    };
    // Keras 2 names outputs differently.
    let (before, after) = (lowered(module, dialects)?, lowered(&back, dialects)?);
    let given = random_inputs(&before)?;
    let same = run(&before, MAIN, &given)? == run(&after, MAIN, &given)?;
    require(same, || differs("as a model of Keras 2", module, &back))?;
    let written = round_trip(&back, Tools { formats: &formats(), dialects }, &netc_keras::TFJS)?;
    require(written, || format!("is rejected after a round trip through TensorFlow.js:\n{}", print(&back)))
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
    read.ok_or_else(|| format!("is rejected by the writer of .keras files:\n{}", print(module)))
}

/// The bytes of the member `name` of a zip archive without compression.
pub fn member(archive: &[u8], name: &str) -> Result<Vec<u8>, Wrong> {
    let archive = ZipArchive::from_slice(archive).map_err(|e| e.to_string())?;
    let mut entries = archive.entries();
    while let Some(header) = entries.next_entry().map_err(|e| e.to_string())? {
        if header.file_path().as_ref() == name.as_bytes() {
            let entry = archive.get_entry(header.wayfinder()).map_err(|e| e.to_string())?;
            return Ok(entry.data().to_vec());
        }
    }
    Err(format!("the archive has no member `{name}`"))
}

/// A zip archive of `members` without compression.
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
