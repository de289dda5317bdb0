//! Reads model files: `.keras` archives, HDF5, JSON and TensorFlow.js, with their own weights or those of another file.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use netc_data::{Checksum, Folders, ReadAt, Span};
use netc_dialect::Dialects;
use netc_format::module::ARCHITECTURE;
use netc_format::{Imported, Note, ReadOptions, Source, stack};
use netc_ir::{Attr, Attrs, Budget, verify};

use crate::config::attrs::{NETC, WRITTEN_BY};
use crate::config::version::KerasVersion;
use crate::config::{declaration, json};
use crate::container::assets::{self, Assets};
use crate::container::hdf5::model::WholeModel;
use crate::container::tfjs::{self, LayersModel};
use crate::container::training_state::TrainingState;
use crate::container::variable::{Variables, WeightTable, Weights};
use crate::container::zip::{Archive, MAX_MEMBER};
use crate::container::{hdf5, sharded};
use crate::error::{KerasError, Problem, Result};
use crate::import::claim::give_in_order;
use crate::import::foreign;
use crate::import::importer::Importer;
use crate::import::owners::by_layer;
use crate::legacy::{self, keras1};
use crate::text;

const CONFIG: &str = "config.json";

const METADATA: &str = "metadata.json";

const WEIGHTS: &str = "model.weights.h5";

/// Reads the model at `path`. Weights stay in the file; `dialects` infers the types of layers.
///
/// No code from the file runs: the code of a `Lambda` layer is carried as text.
///
/// # Errors
/// A file that is not a `.keras` archive or a model in HDF5 or JSON, is damaged, or has no graph. The error names the
/// place in the file.
pub fn read(path: &Path, dialects: &Dialects) -> Result<Imported, KerasError> {
    read_with(path, ReadOptions::default(), dialects)
}

/// Reads the model at `path` like [`read`], with options.
///
/// # Errors
/// As for [`read`], for the model or the separate weights file.
pub fn read_with(path: &Path, options: ReadOptions<'_>, dialects: &Dialects) -> Result<Imported, KerasError> {
    let source = netc_format::foreign::open(path);
    let source = source.map_err(|error| KerasError::Read { path: path.into(), source: error.into() })?;
    read_source(&source, options, dialects)
}

/// Reads the model in `source` like [`read_with`].
pub(crate) fn read_source(
    source: &Source,
    options: ReadOptions<'_>,
    dialects: &Dialects,
) -> Result<Imported, KerasError> {
    let failed = |path: &Path, source| KerasError::Read { path: path.into(), source };
    let given = options
        .weights
        .map(|weights| other_weights(weights, options.allowed).map_err(|source| failed(weights, source)));
    let given = given.transpose()?;
    let training_state = options.training_state && given.is_none();
    let path = source.path();
    let folders = Folders::of_model(path, options.allowed);
    Reader { path, folders, given, training_state, dialects }.read(source).map_err(|problem| {
        let of_weights = matches!(problem, Problem::Weights { .. } | Problem::Unfit { .. });
        match options.weights.filter(|_| of_weights) {
            Some(weights) => failed(weights, problem.in_whole_model()),
            None => failed(path, problem),
        }
    })
}

/// Reads the weights of a file, with or without a model.
fn other_weights(path: &Path, allowed: &[PathBuf]) -> Result<Weights> {
    let source = netc_format::foreign::open(path)?;
    let file = source.file().clone();
    let table = match container_of(&source)? {
        Container::Archive => WeightTable::Groups(weights(&open_archive(&file)?, &file, false)?),
        Container::Hdf5 => return hdf5::model::read_weights(file, path),
        Container::Json => return listed_weights(path, &Folders::of_model(path, allowed), &*file),
    };
    Ok(Weights::of_file(path, table))
}

/// Reads the weights that a JSON file lists.
fn listed_weights(path: &Path, folders: &Folders, file: &dyn ReadAt) -> Result<Weights> {
    let json = json_in(file)?;
    if sharded::is_map(&json) {
        return sharded::read_beside(path, folders, &json);
    }
    let note = "it is text, but not a list of shards; give a .weights.h5, .weights.json, .h5 or .keras file";
    Err(Problem::Unknown(note))
}

/// Opens an archive. Rejects known archives of other tools by name.
fn open_archive(file: &Arc<dyn ReadAt>) -> Result<Archive> {
    let archive = Archive::open(file.clone())?;
    if archive.member(CONFIG).is_none()
        && let Some(note) = netc_format::foreign::archive(archive.members.iter().map(|member| &*member.name))
    {
        return Err(Problem::Unknown(note));
    }
    Ok(archive)
}

/// A model that is being read.
struct Reader<'a> {
    path: &'a Path,
    /// The folders that files named by the model must be in.
    folders: Folders,
    /// The weights of a separate file.
    given: Option<Weights>,
    training_state: bool,
    dialects: &'a Dialects,
}

impl Reader<'_> {
    fn read(self, source: &Source) -> Result<Imported> {
        let file = source.file().clone();
        match container_of(source)? {
            Container::Archive => self.archive(file),
            Container::Hdf5 => self.whole_model(file),
            Container::Json => self.json(&*file),
        }
    }

    /// Reads a model in an HDF5 file.
    fn whole_model(mut self, file: Arc<dyn ReadAt>) -> Result<Imported> {
        let whole = hdf5::model::read(file.clone(), self.path, self.training_state)?;
        let WholeModel {
            object: mut model,
            keras_version,
            backend,
            is_own,
            mut weights,
            is_compiled,
            mut training_state,
        } = whole;
        let mut version = keras_version.as_deref().unwrap_or(keras1::DECLARED_AS);
        let is_of_keras_1 = keras1::is_of(keras_version.as_deref());
        if is_of_keras_1 {
            model = keras1::object(model)?;
            weights = keras1::weights(&model, weights, &*file)?;
            version = keras1::DECLARED_AS;
            // The training state refers to the layers as Keras 1 declares them.
            training_state = None;
            self.given_as_of_keras_2(&model)?;
        }
        let mut attrs = Attrs::new().with("format", "keras-h5").with("keras_version", version);
        if let Some(backend) = backend {
            attrs.set("backend", &*backend);
        }
        let is_left_out = is_compiled && training_state.is_none();
        let own = Weights::of_file(self.path, WeightTable::Lists(weights));
        let mut imported = self.import(own, Assets::default(), attrs, training_state, model)?;
        imported.is_own = is_own;
        if is_of_keras_1 {
            imported
                .notes
                .push(Note::new("layers-converted", "the file is from Keras 1: its layers are converted to Keras 2"));
        }
        if is_left_out {
            imported.notes.push(Note::training_state_dropped());
        }
        Ok(imported)
    }

    /// Reads a model that `to_json` wrote. It has no weights unless another file provides them.
    fn json(mut self, file: &dyn ReadAt) -> Result<Imported> {
        let mut object = json_in(file)?;
        // The string from `to_json` may have been encoded as JSON again.
        if let Attr::Str(inner) = &object {
            object = parse_file(inner)?;
        }
        if sharded::is_map(&object) {
            return Err(Problem::NoModel(sharded::without_model(self.path, &object)));
        }
        if tfjs::is_model(&object) {
            return self.tfjs(&object);
        }
        if object.get("class_name").is_none() || object.get("config").is_none() {
            return Err(Problem::NoModel(foreign::json(&object)));
        }
        let mut attrs = Attrs::new().with("format", "keras-json");
        let version = object.get("keras_version").and_then(Attr::as_str).map(str::to_string);
        let mut object = declaration::model(object);
        let is_of_keras_1 = version.is_some() && keras1::is_of(version.as_deref());
        if is_of_keras_1 {
            object = keras1::object(object)?;
            self.given_as_of_keras_2(&object)?;
        }
        if let Some(version) = version {
            attrs.set("keras_version", if is_of_keras_1 { keras1::DECLARED_AS } else { &version });
        }
        let mut object = object.as_map().cloned().unwrap_or_default();
        for key in ["keras_version", "backend"] {
            object.remove(key);
        }
        let is_given = self.given.is_some();
        attrs.set(ARCHITECTURE, !is_given);
        let mut none = Variables::default();
        let object = Attr::Map(object);
        let training_state = TrainingState::of_object(&object, &mut none);
        let none = Weights::of_file(self.path, WeightTable::Groups(none));
        let mut imported = self.import(none, Assets::default(), attrs, training_state, object)?;
        if !is_given {
            let note = "it is an architecture without weights; give a weights file with --weights";
            imported.notes.push(Note::new("no-weights", note));
        }
        Ok(imported)
    }

    /// Reads a TensorFlow.js layers model.
    fn tfjs(self, json: &Attr) -> Result<Imported> {
        let LayersModel { object, keras_version, weights, shards } = tfjs::read(self.path, &self.folders, json)?;
        let attrs = Attrs::new().with("format", "tfjs").with("keras_version", &*keras_version);
        let weights = by_layer(&object, KerasVersion::of(&attrs), weights)?;
        if keras1::is_of(Some(&keras_version)) {
            let note =
                format!("it is from Keras {keras_version}, which TensorFlow.js does not read; convert it from Keras 2");
            return Err(Problem::config("keras_version", note));
        }
        let own = Weights { table: WeightTable::Lists(weights), files: shards, order: Vec::new() };
        let is_own = json.get(tfjs::CONVERTED_BY).and_then(Attr::as_str) == Some(NETC);
        let imported = self.import(own, Assets::default(), attrs, None, declaration::model(object))?;
        Ok(Imported { is_own, ..imported })
    }

    fn archive(self, file: Arc<dyn ReadAt>) -> Result<Imported> {
        let archive = open_archive(&file)?;
        let given = self.given.is_some();
        let own = || if given { Ok(Variables::default()) } else { weights(&archive, &file, self.training_state) };
        let (own, config) = stack::both(own, || parse_member(&archive, CONFIG))?;
        let (config, mut own) = (config?, own?);
        let metadata = match parse_member(&archive, METADATA) {
            Err(Problem::Missing(_)) => Attr::Null,
            metadata => metadata?,
        };
        let assets = Assets::of(&archive)?;
        let attrs = module_attrs(&metadata);
        legacy::with_new_groups(&config, &mut own.datasets, &attrs);
        let training_state = TrainingState::of_object(&config, &mut own);
        let own = Weights::of_file(self.path, WeightTable::Groups(own));
        let is_own = metadata.get(WRITTEN_BY).and_then(Attr::as_str) == Some(NETC);
        let imported = self.import(own, assets, attrs, training_state, config)?;
        Ok(Imported { is_own, ..imported })
    }

    /// Converts the weights of a separate Keras 1 file to Keras 2, for the layers of `model`.
    fn given_as_of_keras_2(&mut self, model: &Attr) -> Result<()> {
        if let Some(Weights { table: WeightTable::Lists(lists), files, .. }) = &mut self.given
            && let Some(path) = files.first()
        {
            *lists = keras1::weights(model, std::mem::take(lists), &File::open(path)?)?;
        }
        Ok(())
    }

    /// Imports the model `object`, with the weights of the separate file if there is one, or else its `own`.
    fn import(
        mut self,
        own: Weights,
        assets: Assets,
        attrs: Attrs,
        training_state: Option<TrainingState>,
        object: Attr,
    ) -> Result<Imported> {
        let notes = self.given.as_mut().map(|given| fit(given, &object, &attrs)).unwrap_or_default();
        let is_deep = json::is_deep(&object);
        let import = || {
            let given = self.given.is_some();
            let weights = self.given.unwrap_or(own);
            let mut importer = Importer::new(self.path, weights, given, assets, self.dialects, attrs);
            importer.top_level(object)?;
            let is_left_out = training_state.is_some() && !self.training_state;
            if let Some(training_state) = training_state.filter(|_| self.training_state) {
                importer.training_state(training_state)?;
            }
            let mut imported = importer.finish()?;
            imported.notes.splice(0..0, notes);
            if is_left_out {
                imported.notes.push(Note::training_state_dropped());
            }
            verify(&imported.module)?;
            Ok(imported)
        };
        if is_deep { stack::on_large_stack(import)? } else { import() }
    }
}

/// Matches separate weights to the layers of the model `object`. Returns a note for each list assigned by position.
fn fit(given: &mut Weights, object: &Attr, attrs: &Attrs) -> Vec<Note> {
    match &mut given.table {
        WeightTable::Groups(variables) => {
            legacy::with_new_groups(object, &mut variables.datasets, attrs);
            Vec::new()
        }
        WeightTable::Lists(lists) => {
            let config = object.get("config").and_then(Attr::as_map).cloned().unwrap_or_default();
            let renamed = give_in_order(lists, &given.order, &config, KerasVersion::of(attrs));
            let note = |(layer, list)| {
                Note::new(
                    "weights-by-place",
                    format!("`{layer}` takes the weights of `{list}`, which has the same position in that file"),
                )
            };
            renamed.into_iter().map(note).collect()
        }
    }
}

/// Reads a JSON file.
fn json_in(file: &dyn ReadAt) -> Result<Attr> {
    let len = file.num_bytes()?;
    if len > MAX_MEMBER {
        return Err(Problem::NoModel(format!("it is text of more than {MAX_MEMBER} bytes")));
    }
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, 0)?;
    parse_file(&text::decode(bytes).map_err(|note| Problem::NoModel(format!("it {note}")))?)
}

fn parse_file(text: &str) -> Result<Attr> {
    json::parse(text, &Budget::for_file(text.len() as u64)).map_err(Problem::NotJson)
}

/// Checks the weights and assets in an archive against their checksums. Does not read the spans in `copied` again,
/// which are in file order.
pub(crate) fn check(file: &Arc<dyn ReadAt>, copied: &[Span]) -> Result<()> {
    let archive = Archive::open(file.clone())?;
    // Compressed members were checked when they were read.
    let mut streamed = archive.members.iter().filter(|member| member.is_stored() && is_streamed(&member.name));
    streamed.try_for_each(|member| archive.check(member, copied))
}

/// The length and checksum of an archive. Takes the checksums of stored members from its directory instead of reading
/// them; [`check`] verifies those. `None` if the directory is broken.
pub(crate) fn checksum(file: &Arc<dyn ReadAt>) -> Option<Checksum> {
    Archive::open(file.clone()).ok()?.whole_checksum().ok().map(Into::into)
}

/// Whether a member of an archive is read only in part or not at all: weights, shards and assets.
fn is_streamed(member: &str) -> bool {
    member.ends_with(".h5") || member.starts_with(assets::FOLDER)
}

/// The kind of a file, by its first bytes.
enum Container {
    /// A `.keras` archive, or a file that the archive reader will reject.
    Archive,
    /// An HDF5 file.
    Hdf5,
    /// Text that begins like JSON.
    Json,
}

/// The signature of an HDF5 file, at its start or after a user block of 512, 1024, 2048 ... bytes.
const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";

/// Determines the kind of a file. Rejects known files of other tools by name.
fn container_of(source: &Source) -> Result<Container> {
    let start = source.head();
    Ok(if start.is_empty() {
        return Err(Problem::Unknown("it is empty"));
    } else if is_archive(source) {
        Container::Archive
    } else if is_hdf5(source)? {
        Container::Hdf5
    } else if let Some(note) = netc_format::foreign::named(source) {
        return Err(Problem::Unknown(note));
    } else if text::begins_like_json(start) {
        Container::Json
    } else {
        Container::Archive
    })
}

/// Whether the file begins like a zip archive.
pub(crate) fn is_archive(source: &Source) -> bool {
    source.head().starts_with(b"PK")
}

/// Whether the file has the HDF5 signature in one of its possible positions.
pub(crate) fn is_hdf5(source: &Source) -> io::Result<bool> {
    let mut found = [0; HDF5.len()];
    let mut at = 0;
    while at < source.len() {
        let n = source.read_at(&mut found, at)?;
        if &found[..n] == HDF5 {
            return Ok(true);
        }
        at = (2 * at).max(512);
    }
    Ok(false)
}

fn parse_member(archive: &Archive, member: &'static str) -> Result<Attr> {
    json::parse(&archive.text(member)?, &archive.budget).map_err(|problem| Problem::Json { member, problem })
}

fn weights(archive: &Archive, file: &Arc<dyn ReadAt>, optimizer: bool) -> Result<Variables> {
    let Some(member) = archive.member(WEIGHTS) else {
        if archive.member(sharded::MAP).is_some() {
            return sharded::read_archive(archive, file, optimizer);
        }
        if archive.members.iter().any(|m| m.name.ends_with(".npz")) {
            return Err(Problem::Archive(
                "its weights are in .npz, which netc does not read; save it again with model.save()".into(),
            ));
        }
        return Err(Problem::Missing(WEIGHTS));
    };
    match member.is_stored() {
        true => hdf5::read::read(file.clone(), member.offset, member.stored, optimizer, &archive.budget),
        false => hdf5::read::read_bytes(archive.bytes(member)?, optimizer, &archive.budget),
    }
}

fn module_attrs(metadata: &Attr) -> Attrs {
    let mut attrs = Attrs::new().with("format", "keras");
    for key in ["keras_version", "date_saved"] {
        if let Some(value) = metadata.get(key).and_then(Attr::as_str) {
            attrs.set(key, value);
        }
    }
    attrs
}
