//! What models are opened, rewritten and run with.

use std::path::PathBuf;
use std::sync::Arc;

use netc_dialect::{Dialects, LayerLibrary};
use netc_exec::Host;
use netc_format::{Formats, ReadOptions};
use netc_pass::Registry;

use crate::limits;

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
    /// Files that no model is written over, besides the model's own: those that the layer libraries are read from.
    pub inputs: Vec<PathBuf>,
    /// The most bytes that a run may take; nine tenths of the memory that is free unless given.
    pub max_memory: Option<u64>,
    /// The most steps that a run may take: see [`Host`].
    pub max_steps: Option<u64>,
}

impl Config {
    /// The passes of netc, on these formats.
    pub fn new(formats: Formats) -> Self {
        Self {
            formats,
            registry: netc_passes::registry(),
            layers: Vec::new(),
            allowed: Vec::new(),
            inputs: Vec::new(),
            max_memory: None,
            max_steps: None,
        }
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
    inputs: Vec<PathBuf>,
    host: Arc<Host>,
}

impl Session {
    /// A session with the passes of netc.
    pub fn new(formats: Formats) -> Self {
        Self::of(Config::new(formats))
    }

    /// A session of these parts.
    ///
    /// ```
    /// use netc_format::Formats;
    /// use netc_model::{Config, Session};
    ///
    /// let formats = Formats::new().with(&netc_keras::FRAMEWORK);
    /// let netc = Session::of(Config { max_memory: Some(1 << 30), ..Config::new(formats) });
    /// assert!(netc.formats().named("keras").is_some());
    /// ```
    pub fn of(config: Config) -> Self {
        let Config { formats, registry, layers, allowed, inputs, max_memory, max_steps } = config;
        let mut dialects = Dialects::new();
        layers.into_iter().for_each(|library| dialects.push_library(library));
        formats.add_dialects(&mut dialects);
        let host = Arc::new(Host::new(max_memory.unwrap_or_else(limits::memory), max_steps));
        Self(Arc::new(Inner { formats, registry, dialects, allowed, inputs, host }))
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

    /// Files that no model is written over, besides the model's own.
    pub(crate) fn inputs(&self) -> &[PathBuf] {
        &self.0.inputs
    }

    /// How a model's own files are read.
    pub(crate) fn read_options(&self) -> ReadOptions<'_> {
        ReadOptions { allowed: self.allowed(), ..ReadOptions::default() }
    }
}
