//! Reading model files: `.keras` archives, and whole models in HDF5.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use netc_data::Span;
use netc_ir::{Attr, Attrs, Module, verify};
use netc_pass::Dialects;

use crate::archive::Archive;
use crate::error::{KerasError, Problem};
use crate::h5read::{self, Variables};
use crate::h5whole::{self, WholeModel};
use crate::import::Importer;
use crate::weights::WeightTable;
use crate::{json, legacy};

/// A model as it was read.
#[derive(Debug)]
pub struct Imported {
    /// The model: `@main` is its graph.
    pub module: Module,
    /// What the file holds and the module does not, and what looks odd; for the user.
    pub notes: Vec<String>,
}

const CONFIG: &str = "config.json";
const METADATA: &str = "metadata.json";
const WEIGHTS: &str = "model.weights.h5";

/// Reads the model at `path`. Weights stay in the file; `dialects` gives the types of layers.
///
/// Nothing of the file is executed: a `Lambda` layer's code is carried as the text that it is.
///
/// # Errors
/// A file that is neither a `.keras` archive nor a model in HDF5, is damaged, or does not hold a graph, with the place in the file.
pub fn read(path: &Path, dialects: &Dialects) -> Result<Imported, KerasError> {
    read_file(path, dialects).map_err(|source| KerasError::Read { path: path.into(), source })
}

fn read_file(path: &Path, dialects: &Dialects) -> Result<Imported, Problem> {
    let file = Arc::new(File::open(path)?);
    match container(&file)? {
        Container::Archive => read_archive(path, file, dialects),
        Container::Hdf5 => read_whole_model(path, file, dialects),
    }
}

/// A model in an HDF5 file.
fn read_whole_model(path: &Path, file: Arc<File>, dialects: &Dialects) -> Result<Imported, Problem> {
    let WholeModel { config, keras_version, weights, has_more } = h5whole::read(file)?;
    let config = json::parse(&config).map_err(|source| Problem::Json { member: h5whole::CONFIG, source })?;
    let version = keras_version.filter(|v| !v.starts_with("1.")).ok_or_else(|| {
        let note = "it is of Keras 1, whose layers are configured otherwise; load it in Keras 2 and save it anew";
        Problem::whole("/", note)
    })?;
    let attrs = Attrs::new().with("format", "keras-h5").with("keras_version", version.as_str());
    let mut importer = Importer::new(path, WeightTable::Lists(weights), dialects, attrs);
    importer.top_level(&legacy::model(config))?;
    let Imported { module, mut notes } = importer.finish();
    verify(&module)?;
    if has_more {
        notes.push("the optimizer's state is left out".into());
    }
    Ok(Imported { module, notes })
}

fn read_archive(path: &Path, file: Arc<File>, dialects: &Dialects) -> Result<Imported, Problem> {
    let archive = Archive::open(file.clone())?;
    let (variables, config) = thread::scope(|scope| {
        let variables = scope.spawn(|| weights(&archive, file));
        let config = parse_member(&archive, CONFIG);
        (variables.join().unwrap_or_else(|panic| resume_unwind(panic)), config)
    });
    let (config, variables) = (config?, variables?);
    let metadata = match parse_member(&archive, METADATA) {
        Err(Problem::Missing(_)) => Attr::Null,
        metadata => metadata?,
    };
    let mut importer = Importer::new(path, WeightTable::Groups(variables), dialects, module_attrs(&metadata));
    importer.top_level(&config)?;
    let Imported { module, mut notes } = importer.finish();
    verify(&module)?;
    notes.extend(left_out(&archive, &config));
    Ok(Imported { module, notes })
}

/// Compares the weights of the model at `path` with their checksum, which [`read`] does not, as it reads none of them.
/// Those in `copied`, in the order of the file, are taken to have the checksums that they had there. A file that is no
/// archive has no checksum, and passes.
///
/// # Errors
/// Weights that are damaged, and a file that cannot be read.
pub fn check(path: &Path, copied: &[Span]) -> Result<(), KerasError> {
    check_file(path, copied).map_err(|source| KerasError::Read { path: path.into(), source })
}

fn check_file(path: &Path, copied: &[Span]) -> Result<(), Problem> {
    let file = Arc::new(File::open(path)?);
    let mut magic = [0u8; 2];
    let n = file.read_at(&mut magic, 0)?;
    if &magic[..n] != b"PK" {
        return Ok(());
    }
    let archive = Archive::open(file)?;
    archive.member(WEIGHTS).map_or(Ok(()), |weights| archive.check(weights, copied))
}

/// What a file is, by its first bytes.
enum Container {
    /// A `.keras` archive, or so the reader of archives will say.
    Archive,
    /// An HDF5 file.
    Hdf5,
}

/// Tells the usual mix-ups apart before a reader does.
fn container(file: &File) -> Result<Container, Problem> {
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(Problem::Archive("it is a directory; a .keras model is a single file".into()));
    }
    let mut magic = [0u8; 8];
    let n = file.read_at(&mut magic, 0)?;
    if n == 0 {
        return Err(Problem::Archive("it is empty".into()));
    }
    Ok(if magic[..n].starts_with(b"\x89HDF\r\n\x1a\n") { Container::Hdf5 } else { Container::Archive })
}

fn parse_member(archive: &Archive, member: &'static str) -> Result<Attr, Problem> {
    json::parse(&archive.text(member)?).map_err(|source| Problem::Json { member, source })
}

fn weights(archive: &Archive, file: Arc<File>) -> Result<Variables, Problem> {
    let Some(member) = archive.member(WEIGHTS) else {
        if archive.members.iter().any(|m| m.name.ends_with(".npz") || m.name.ends_with("weights.json")) {
            return Err(Problem::Archive("its weights are sharded or in .npz; save it anew with model.save()".into()));
        }
        return Err(Problem::Missing(WEIGHTS));
    };
    member.require_stored()?;
    h5read::read(file, member.offset, member.stored)
}

fn module_attrs(metadata: &Attr) -> Attrs {
    let mut attrs = Attrs::new().with("format", "keras");
    for key in ["keras_version", "date_saved"] {
        if let Some(value) = metadata.get(key) {
            attrs.set(key, value.clone());
        }
    }
    attrs
}

fn left_out(archive: &Archive, config: &Attr) -> Vec<String> {
    let mut notes = Vec::new();
    if config.get("compile_config").is_some_and(|c| c.as_map().is_some_and(|m| !m.is_empty())) {
        notes.push("the compile configuration and the optimizer's state are left out".into());
    }
    let assets: Vec<&str> =
        archive.members.iter().map(|m| m.name.as_str()).filter(|n| n.starts_with("assets/")).collect();
    if !assets.is_empty() {
        notes.push(format!("assets are left out: {}", assets.join(", ")));
    }
    notes
}
