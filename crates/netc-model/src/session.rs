//! Sessions: the formats, passes, layers and limits that models are used with.

use std::path::PathBuf;
use std::sync::Arc;

use netc_dialect::{Dialects, LayerLibrary};
use netc_exec::Host;
use netc_format::{Formats, ReadOptions};
use netc_pass::Registry;

use crate::limits;

/// The configuration of a [`Session`].
pub struct Config {
    /// The formats to read and write.
    pub formats: Formats,
    /// The passes that pipelines may name.
    pub registry: Registry,
    /// Layer libraries, which take precedence over the dialects of the formats.
    pub layers: Vec<LayerLibrary>,
    /// Folders, besides the model's own, that may contain files named by a model.
    pub allowed: Vec<PathBuf>,
    /// Files, besides the model's own, that an output must not replace: the files of the layer libraries.
    pub inputs: Vec<PathBuf>,
    /// The memory limit of a run in bytes. Defaults to nine tenths of the free memory.
    pub max_memory: Option<u64>,
    /// The step limit of a run: see [`Host`].
    pub max_steps: Option<u64>,
}

impl Config {
    /// The default configuration: netc's passes with these formats.
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

/// Opens, rewrites and runs models. Clones share one session.
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
    /// A session with the default configuration.
    pub fn new(formats: Formats) -> Self {
        Self::of(Config::new(formats))
    }

    /// A session with the given configuration.
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

    /// The formats to read and write.
    pub fn formats(&self) -> &Formats {
        &self.0.formats
    }

    /// The passes that pipelines may name.
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// The dialects, which define layers.
    pub fn dialects(&self) -> &Dialects {
        &self.0.dialects
    }

    /// The host that programs run on. Models of one session share its weights.
    pub fn host(&self) -> &Arc<Host> {
        &self.0.host
    }

    /// Folders, besides the model's own, that may contain files named by a model.
    pub fn allowed(&self) -> &[PathBuf] {
        &self.0.allowed
    }

    /// Files, besides the model's own, that an output must not replace.
    pub(crate) fn inputs(&self) -> &[PathBuf] {
        &self.0.inputs
    }

    /// The default options for reading a model.
    pub(crate) fn read_options(&self) -> ReadOptions<'_> {
        ReadOptions { allowed: self.allowed(), ..ReadOptions::default() }
    }
}
