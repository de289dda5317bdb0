//! Writes a function as a file that Keras or TensorFlow.js loads.

use std::io::{self, Write};

use netc_data::{Hashed, Store};
use netc_format::module::is_architecture;
use netc_format::{Written, stack};
use netc_ir::{Attr, Attrs, FuncId, Module, WeightId};

use crate::config::attrs::{BACKEND, NETC, WRITTEN_BY};
use crate::config::json;
use crate::config::version::{KERAS_2, KerasVersion};
use crate::container::hdf5;
use crate::container::hdf5::write::Tree;
use crate::container::training_state::{OPTIMIZER_WEIGHTS, TRAINING_CONFIG};
use crate::container::zip::ArchiveWriter;
use crate::error::{KerasError, Problem, Result};
use crate::export::exporter::{Container, Exporter};
use crate::export::lists::{self, WeightList};
use crate::export::{masks, shards, training_state};
use crate::legacy;

/// The Keras version to record in a file, unless the model comes from a file that records one.
const KERAS_VERSION: &str = "3.15.1";

/// Writes the function `func` to `out` as a `.keras` file. Streams the bytes of weights from `store`.
///
/// The same module yields the same bytes: a time stamp comes from the original file or is omitted.
///
/// # Errors
/// A function with core ops or calls of stages, an input of unknown type, a weight whose bytes cannot be read, or an
/// output that cannot be written.
pub fn write(module: &Module, func: FuncId, store: &Store, out: impl Write) -> Result<Written, KerasError> {
    let place = |source| KerasError::Write { model: module[func].name.clone(), source };
    write_archive(module, func, store, out).map_err(place)
}

/// Writes the function `func` to `out` as an HDF5 file for the Keras version of the module: layers stay declared as
/// they were read. Streams the bytes of weights from `store`.
///
/// # Errors
/// As for [`write()`], and a layer for which netc does not know the order in which Keras lists its weights.
pub fn write_hdf5(module: &Module, func: FuncId, store: &Store, out: impl Write) -> Result<Written, KerasError> {
    let place = |source| KerasError::Write { model: module[func].name.clone(), source };
    write_whole_model(module, func, store, out).map_err(place)
}

/// Writes the function `func` to `out` as an HDF5 file for tf.keras 2.15, from a model of any Keras version. Streams
/// the bytes of weights from `store`.
///
/// # Errors
/// As for [`write_hdf5`], and a layer or operation that Keras 2 does not have or computes differently.
pub fn write_hdf5_of_keras_2(
    module: &Module,
    func: FuncId,
    store: &Store,
    out: impl Write,
) -> Result<Written, KerasError> {
    let place = |source| KerasError::Write { model: module[func].name.clone(), source };
    if KerasVersion::of(&module.attrs) == KerasVersion::Keras3 {
        masks::same_in_both(module, func).map_err(place)?;
    }
    let downgraded = legacy::as_keras_2(module).map_err(place)?;
    write_whole_model(&downgraded, func, store, out).map_err(place)
}

/// Writes the function `func` as a TensorFlow.js layers model: `model.json`, then the shards of its weights, 4 MiB
/// each. `create` opens the file with the given name. Streams the bytes of weights from `store`.
///
/// # Errors
/// As for [`write_hdf5`], and a layer that TensorFlow.js does not have or computes differently.
pub fn write_tfjs<W: Write>(
    module: &Module,
    func: FuncId,
    store: &Store,
    create: impl FnMut(&str) -> io::Result<W>,
) -> Result<Written, KerasError> {
    let place = |source| KerasError::Write { model: module[func].name.clone(), source };
    write_layers_model(module, func, store, create).map_err(place)
}

/// Writes the function `func` to `out` as JSON without weights, for `keras.models.model_from_json`.
///
/// # Errors
/// As for [`write()`], except errors of weights.
pub fn write_json(module: &Module, func: FuncId, out: impl Write) -> Result<Written, KerasError> {
    let place = |source| KerasError::Write { model: module[func].name.clone(), source };
    write_architecture(module, func, out).map_err(place)
}

fn write_architecture(module: &Module, func: FuncId, mut out: impl Write) -> Result<Written> {
    let renamed = legacy::without_slashes(module);
    let (mut object, mut written) = Exporter::new(&renamed, Container::Archive).top_level(func)?;
    training_state::add_to_object(module, func, &mut object);
    let mut hashed = Hashed::new(&mut out);
    hashed.write_all(json::print(&Attr::Map(object)).as_bytes())?;
    written.checksums.push(hashed.into_crc().into());
    Ok(written)
}

fn write_archive(module: &Module, func: FuncId, store: &Store, out: impl Write) -> Result<Written> {
    require_weights(module)?;
    let module = legacy::without_slashes(module);
    let module = &*legacy::with_new_gates(&module, store)?;
    let mut exporter = Exporter::new(module, Container::Archive);
    let (mut object, mut written) = exporter.top_level(func)?;
    training_state::add_to_object(module, func, &mut object);
    training_state::add_to_weights(&mut exporter, module, func);
    let mut archive = ArchiveWriter::new(out);
    let lay_out = || hdf5::write::lay_out(&exporter.weights, module);
    let (laid, written_text) = stack::both(lay_out, || {
        let mut members = [("metadata.json", metadata(module)), ("config.json", object)].into_iter();
        members.try_for_each(|(name, object)| {
            let text = json::print(&Attr::Map(object));
            archive.member(name, |out| Ok(out.write_all(text.as_bytes())?))
        })
    })?;
    written_text?;
    let laid = laid?;
    archive.member("model.weights.h5", |out| laid.write(module, store, out))?;
    for (name, asset) in &exporter.assets {
        archive.member(name, |out| Ok(out.splice(|out| store.copy(&module[*asset], out))?))?;
    }
    written.checksums.push(archive.finish()?.into());
    Ok(written)
}

fn write_whole_model(module: &Module, func: FuncId, store: &Store, mut out: impl Write) -> Result<Written> {
    require_weights(module)?;
    let mut exporter = Exporter::new(module, Container::Hdf5);
    let (object, mut written) = exporter.top_level(func)?;
    let mut weights = lists::group(&exporter.lists);
    let text = |key: &str, default: &str| module.attrs.get(key).and_then(Attr::as_str).unwrap_or(default).to_string();
    let mut file = Tree::default();
    file.set_ascii(WRITTEN_BY, NETC);
    file.set_ascii(hdf5::model::CONFIG, &json::print_ascii(&Attr::Map(object)));
    for (key, value) in [("keras_version", text("keras_version", KERAS_VERSION)), ("backend", text("backend", BACKEND))]
    {
        file.set_ascii(key, &value);
        weights.set_ascii(key, &value);
    }
    file.groups.insert(hdf5::model::WEIGHTS.into(), weights);
    if let Some((config, variables)) = training_state::for_hdf5(module, func) {
        file.set_ascii(TRAINING_CONFIG, &json::print_ascii(config));
        if !variables.weights.is_empty() || !variables.groups.is_empty() {
            file.groups.insert(OPTIMIZER_WEIGHTS.into(), variables);
        }
    }
    let mut hashed = Hashed::new(&mut out);
    hdf5::write::lay_out(&file, module)?.write(module, store, &mut hashed)?;
    written.checksums.push(hashed.into_crc().into());
    out.flush()?;
    Ok(written)
}

fn write_layers_model<W: Write>(
    module: &Module,
    func: FuncId,
    store: &Store,
    mut create: impl FnMut(&str) -> io::Result<W>,
) -> Result<Written> {
    require_weights(module)?;
    let module = &*legacy::downgrade(module, legacy::Reader::TensorFlowJs)?;
    let version = module.attrs.get("keras_version").and_then(Attr::as_str).unwrap_or(KERAS_2);
    let mut exporter = Exporter::new(module, Container::Tfjs);
    let (object, mut written) = exporter.top_level(func)?;
    let weights: Vec<(&str, WeightId)> = exporter.lists.iter().flat_map(WeightList::weights).collect();
    let json = shards::layers_model(object, version, module, &weights);
    let mut model = create(shards::MODEL)?;
    let mut hashed = Hashed::new(&mut model);
    hashed.write_all(json::print(&json).as_bytes())?;
    written.checksums.push(hashed.into_crc().into());
    model.flush()?;
    written.checksums.extend(shards::write_shards(module, &weights, store, create)?);
    Ok(written)
}

fn require_weights(module: &Module) -> Result<()> {
    if !is_architecture(module) {
        return Ok(());
    }
    let note = "the model is an architecture without weights; give a weights file with --weights";
    Err(Problem::NotKeras { place: "weights".into(), note: note.into() })
}

fn metadata(module: &Module) -> Attrs {
    let own = module.attrs.get("keras_version").filter(|_| KerasVersion::of(&module.attrs) == KerasVersion::Keras3);
    let version = own.cloned().unwrap_or_else(|| KERAS_VERSION.into());
    let mut metadata = Attrs::new().with("keras_version", version);
    if let Some(date) = module.attrs.get("date_saved") {
        metadata.set("date_saved", date.clone());
    }
    metadata.with(WRITTEN_BY, NETC)
}
