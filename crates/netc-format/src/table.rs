//! The table of formats.

use std::path::{Path, PathBuf};

use netc_data::{Checksum, Span};
use netc_dialect::Dialects;

use crate::error::{FormatError, OpenError, Result};
use crate::format::{Format, Framework, Holds, Imported, Layout, ReadOptions, Reader};
use crate::source::Source;
use crate::{foreign, nir};

/// The formats that netc can read and write. The first reader that recognises a file reads it.
///
/// `.nir` is always included. Its reader is tried first, because it goes by the extension, but the format is listed
/// last.
///
/// ```
/// use std::path::Path;
///
/// use netc_format::Formats;
///
/// // `.nir` is always included. Frameworks add their formats: `.with(&netc_keras::FRAMEWORK)`.
/// let formats = Formats::new();
/// assert_eq!(formats.of_path(Path::new("out/model.nir")).map(|format| format.name), Some("nir"));
/// assert!(formats.named("keras").is_none());
/// ```
#[derive(Clone, Default)]
pub struct Formats(Vec<&'static Framework>);

impl Formats {
    /// A table with only `.nir`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the formats of a framework.
    #[must_use]
    pub fn with(mut self, framework: &'static Framework) -> Self {
        self.0.push(framework);
        self
    }

    /// All formats, in table order.
    pub fn all(&self) -> impl Iterator<Item = &'static Format> {
        self.0.iter().copied().chain([&nir::NETC]).flat_map(|framework| framework.formats.iter().copied())
    }

    /// The formats that can write whole models and the stages of a split.
    pub fn of_models(&self) -> impl Iterator<Item = &'static Format> {
        self.all().filter(|format| format.holds == Holds::Model && format.writer.is_some())
    }

    /// The format with this name.
    pub fn named(&self, name: &str) -> Option<&'static Format> {
        self.all().find(|format| format.name == name)
    }

    /// The output format selected by the extension of `path`.
    pub fn of_path(&self, path: &Path) -> Option<&'static Format> {
        self.all().find(|format| format.writer.is_some() && format.layout == Layout::File && format.names(path))
    }

    /// Adds the dialects of all frameworks to `dialects`, after those already there.
    pub fn add_dialects(&self, dialects: &mut Dialects) {
        for dialect in self.0.iter().filter_map(|framework| framework.dialect) {
            dialects.push_boxed(dialect());
        }
    }

    /// The keys that identify a JSON object as a model: see [`Reader::json_keys`].
    pub fn json_keys(&self) -> impl Iterator<Item = &'static str> {
        self.all().filter_map(|format| format.reader).flat_map(|reader| reader.json_keys().iter().copied())
    }

    /// The main file of the model in `folder`, if a format with folders has a main file of that name there.
    pub fn main_file(&self, folder: &Path) -> Option<PathBuf> {
        let main = |format: &Format| match format.layout {
            Layout::Folder { main } => Some(folder.join(main)),
            Layout::File => None,
        };
        self.all().filter_map(main).find(|file| file.is_file())
    }

    /// Finds the reader for `source`.
    ///
    /// # Errors
    /// No reader recognises the file. The message says what it is, if known.
    pub fn sniff(&self, source: &Source) -> Result<&'static dyn Reader> {
        // A program is recognised by its extension alone, so no other reader may claim its text first.
        let formats = nir::NETC.formats.iter().copied().chain(self.all());
        let mut readers = formats.filter_map(|format| format.reader);
        readers.find(|reader| reader.sniff(source)).ok_or_else(|| {
            let read = || {
                let read = self.all().filter(|format| format.reader.is_some());
                read.map(|format| format.name).collect::<Vec<_>>().join(", ")
            };
            let note = match foreign::named(source) {
                _ if source.len() == 0 => "it is empty".into(),
                Some(note) if note.contains(';') => note.into(),
                Some(note) => format!("{note}; save the model in a format that netc reads: {}", read()),
                None => format!("the format is unknown; netc reads {}", read()),
            };
            FormatError::read(source.path(), OpenError::NoModel(note))
        })
    }

    /// Reads the model at `path`.
    ///
    /// ```
    /// use netc_dialect::Dialects;
    /// use netc_format::{Formats, ReadOptions};
    ///
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("relu.nir");
    /// std::fs::write(&path, "netc 1\nfunc @main(%x: f32[N]) -> (%y) { %y = relu(%x) : f32[N] }")?;
    /// let imported = Formats::new().read(&path, &ReadOptions::default(), &Dialects::new())?;
    /// assert_eq!(imported.module.num_ops(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`Formats::sniff`] and [`Reader::read`].
    pub fn read(&self, path: &Path, options: &ReadOptions<'_>, dialects: &Dialects) -> Result<Imported> {
        let source = foreign::open(path).map_err(|error| FormatError::read(path, error))?;
        let reader = self.sniff(&source)?;
        match options.weights.filter(|_| !reader.takes_weights()) {
            Some(weights) => Err(FormatError::TakesNoWeights { path: path.into(), weights: weights.into() }),
            None => reader.read(&source, options, dialects),
        }
    }

    /// Verifies the weights in the file at `path` against the checksums in the file: see [`Reader::check_payload`].
    ///
    /// A file of unknown format passes.
    ///
    /// # Errors
    /// Weights are damaged, or the file cannot be read.
    pub fn check_payload(&self, path: &Path, copied: &[Span]) -> Result<()> {
        let source = foreign::open(path).map_err(|error| FormatError::read(path, error))?;
        self.sniff(&source).map_or(Ok(()), |reader| reader.check_payload(&source, copied))
    }

    /// The length and checksum of the file at `path`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn checksum(&self, path: &Path) -> Result<Checksum> {
        let source = foreign::open(path).map_err(|error| FormatError::read(path, error))?;
        let known = self.sniff(&source).ok().and_then(|reader| reader.checksum(&source));
        known.map_or_else(|| Checksum::of(path).map_err(|error| FormatError::read(path, error)), Ok)
    }
}
