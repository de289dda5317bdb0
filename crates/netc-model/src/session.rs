//! What models are opened, rewritten and run with.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use netc_dialect::{Dialects, LayerLibrary};
use netc_exec::Host;
use netc_format::{FormatError, Formats, ReadOptions, Source};
use netc_ir::Module;
use netc_pass::Registry;

use crate::error::{ModelError, Result};
use crate::limits;
use crate::manifest;
use crate::model::Model;
use crate::output::{Intent, folder_of, recover};

/// What a [`Session`] is made of.
pub struct Config {
    /// The formats that files may have.
    pub formats: Formats,
    /// The passes that pipelines may name.
    pub registry: Registry,
    /// Layer libraries, which are asked before the dialects of the formats.
    pub layers: Vec<LayerLibrary>,
    /// Folders in which files that a model names may be, besides the model's own.
    pub allowed: Vec<PathBuf>,
    /// The most bytes that a run may take; nine tenths of the memory that is free unless given.
    pub max_memory: Option<u64>,
    /// The most steps that a run may take: see [`Host`].
    pub max_steps: Option<u64>,
}

impl Config {
    /// The passes of netc, on these formats.
    pub fn new(formats: Formats) -> Self {
        let (layers, allowed) = (Vec::new(), Vec::new());
        Self { formats, registry: netc_passes::registry(), layers, allowed, max_memory: None, max_steps: None }
    }
}

/// What models are opened, rewritten and run with. A clone is the same session.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    formats: Formats,
    registry: Registry,
    dialects: Dialects,
    allowed: Vec<PathBuf>,
    host: Arc<Host>,
}

/// How a model is opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenOptions<'a> {
    /// A file with weights in place of the model's own.
    pub weights: Option<&'a Path>,
    /// Whether the compile configuration and the optimizer's state are read too: see [`ReadOptions::training_state`].
    pub training_state: bool,
}

impl Session {
    /// A session with the passes of netc.
    pub fn new(formats: Formats) -> Self {
        Self::of(Config::new(formats))
    }

    /// A session of these parts.
    pub fn of(config: Config) -> Self {
        let Config { formats, registry, layers, allowed, max_memory, max_steps } = config;
        let mut dialects = Dialects::new();
        layers.into_iter().for_each(|library| dialects.push(library));
        formats.add_dialects(&mut dialects);
        let host = Arc::new(Host::new(max_memory.unwrap_or_else(limits::memory), max_steps));
        Self(Arc::new(Inner { formats, registry, dialects, allowed, host }))
    }

    /// The formats that files may have.
    pub fn formats(&self) -> &Formats {
        &self.0.formats
    }

    /// The passes that pipelines may name.
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// What layers mean.
    pub fn dialects(&self) -> &Dialects {
        &self.0.dialects
    }

    /// What programs run on: models of one session share their weights.
    pub fn host(&self) -> &Arc<Host> {
        &self.0.host
    }

    /// Folders in which files that a model names may be, besides the model's own.
    pub fn allowed(&self) -> &[PathBuf] {
        &self.0.allowed
    }

    /// Opens the model at `path`: a file of any format of the session, the manifest of a split, or a folder with either.
    ///
    /// # Errors
    /// A file that cannot be read as a model.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Model> {
        self.open_with(path.as_ref(), OpenOptions::default())
    }

    /// Opens the model at `path` as [`Session::open`] does, as `options` say.
    ///
    /// # Errors
    /// As for [`Session::open`], and options that do not fit the file.
    pub fn open_with(&self, given: &Path, options: OpenOptions<'_>) -> Result<Model> {
        let path = self.file_of(given);
        if fs::metadata(&path).is_ok_and(|m| !m.is_file() && !m.is_dir()) {
            let note = "it is a pipe or a device, not a file";
            return Err(ModelError::failed(format!("cannot read `{}`: {note}", path.display())));
        }
        // The file may be one of a set that a killed netc had begun to replace.
        let recovered = recover(folder_of(&path), Intent::Read)?;
        let mut model = if manifest::is_manifest(&path) {
            options.refuse_weights(given)?;
            manifest::load(&path, self)?
        } else {
            self.open_file(&path, options)?
        };
        model.finish(Some(given), options.training_state);
        model.notes.splice(0..0, recovered);
        Ok(model)
    }

    /// The main file of the model that `path` is: the path itself, unless it is a folder that has one.
    fn file_of(&self, path: &Path) -> PathBuf {
        let manifest = path.join(manifest::FILE_NAME);
        let main = if manifest.is_file() { Some(manifest) } else { self.formats().main_file(path) };
        main.unwrap_or_else(|| path.into())
    }

    fn open_file(&self, path: &Path, options: OpenOptions<'_>) -> Result<Model> {
        let read = |error: FormatError| ModelError::from_error(error);
        let source = Source::open(path).map_err(|error| read(FormatError::read(path, error)))?;
        let reader = self.formats().sniff(&source).map_err(read)?;
        if !reader.takes_weights() {
            options.refuse_weights(path)?;
        }
        let imported = reader.read(&source, &self.read_options(options), self.dialects()).map_err(read)?;
        let name = path.file_stem().map_or_else(|| "model".into(), |stem| stem.to_string_lossy().into_owned());
        Model::new(self, imported.module, name, imported.notes, &path.display().to_string())
    }

    pub(crate) fn read_options<'a>(&'a self, options: OpenOptions<'a>) -> ReadOptions<'a> {
        let OpenOptions { weights, training_state } = options;
        ReadOptions { weights, training_state, allowed: self.allowed() }
    }

    /// The model that the module is. `place` names it in errors.
    ///
    /// # Errors
    /// A module without `@main`.
    pub fn model(&self, module: Module, name: impl Into<String>, place: &str) -> Result<Model> {
        let mut model = Model::new(self, module, name.into(), Vec::new(), place)?;
        model.finish(None, true);
        Ok(model)
    }
}

impl OpenOptions<'_> {
    fn refuse_weights(self, path: &Path) -> Result<()> {
        let Some(weights) = self.weights else { return Ok(()) };
        let (shown, weights) = (path.display(), weights.display());
        Err(ModelError::Usage(format!("`{shown}` has its weights: `--weights {weights}` is for a model without")))
    }
}
