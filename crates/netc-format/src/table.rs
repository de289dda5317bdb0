//! The table of formats.

use std::path::{Path, PathBuf};

use netc_data::{Checksum, Span};
use netc_dialect::Dialects;

use crate::error::{FormatError, OpenError, Result};
use crate::format::{Format, Framework, Holds, Imported, Layout, ReadOptions, Reader};
use crate::source::Source;
use crate::{foreign, nir};

/// The formats that are read and written. The first that takes a file for its own reads it. `.nir` is always there: it is
/// asked first, as its files go by their names, and listed last.
///
/// ```
/// use std::path::Path;
///
/// use netc_format::Formats;
///
/// // `.nir` is always there; a framework adds its own: `.with(&netc_keras::FRAMEWORK)`.
/// let formats = Formats::new();
/// assert_eq!(formats.of_path(Path::new("out/model.nir")).map(|format| format.name), Some("nir"));
/// assert!(formats.named("keras").is_none());
/// ```
#[derive(Clone, Default)]
pub struct Formats(Vec<&'static Framework>);

impl Formats {
    /// The table that has `.nir` alone.
    pub fn new() -> Self {
        Self::default()
    }

    /// The table with one framework more.
    #[must_use]
    pub fn with(mut self, framework: &'static Framework) -> Self {
        self.0.push(framework);
        self
    }

    /// All formats, in the order of the table.
    pub fn all(&self) -> impl Iterator<Item = &'static Format> {
        self.0.iter().copied().chain([&nir::NETC]).flat_map(|framework| framework.formats.iter().copied())
    }

    /// The formats that stages of a split can be written in, and whole models.
    pub fn of_models(&self) -> impl Iterator<Item = &'static Format> {
        self.all().filter(|format| format.holds == Holds::Model && format.writer.is_some())
    }

    /// The format with this name.
    pub fn named(&self, name: &str) -> Option<&'static Format> {
        self.all().find(|format| format.name == name)
    }

    /// The format that a path asks for by its extension when it is written to.
    pub fn of_path(&self, path: &Path) -> Option<&'static Format> {
        self.all().find(|format| format.writer.is_some() && format.layout == Layout::File && format.names(path))
    }

    /// Adds the dialects of all frameworks to `dialects`, after those already there.
    pub fn add_dialects(&self, dialects: &mut Dialects) {
        for dialect in self.0.iter().filter_map(|framework| framework.dialect) {
            dialects.push_boxed(dialect());
        }
    }

    /// The keys by which a JSON object is known to be a model: see [`Reader::json_keys`].
    pub fn json_keys(&self) -> impl Iterator<Item = &'static str> {
        self.all().filter_map(|format| format.reader).flat_map(|reader| reader.json_keys().iter().copied())
    }

    /// The main file of the model in a folder, if the folder has one that a format gives this name.
    pub fn main_file(&self, folder: &Path) -> Option<PathBuf> {
        let main = |format: &Format| match format.layout {
            Layout::Folder { main } => Some(folder.join(main)),
            Layout::File => None,
        };
        self.all().filter_map(main).find(|file| file.is_file())
    }

    /// The reader of the file `source`.
    ///
    /// # Errors
    /// A file of no format that is read, with what it is if that is known.
    pub fn sniff(&self, source: &Source) -> Result<&'static dyn Reader> {
        // A program goes by its name alone, so its text must not be taken for another.
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
                Some(note) => format!("{note}; save the model in a format that netc reads, which are {}", read()),
                None => format!("it is of no format that netc reads, which are {}", read()),
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
    /// As for [`Formats::sniff`] and [`Reader::read`].
    pub fn read(&self, path: &Path, options: &ReadOptions<'_>, dialects: &Dialects) -> Result<Imported> {
        let source = foreign::open(path).map_err(|error| FormatError::read(path, error))?;
        let reader = self.sniff(&source)?;
        match options.weights.filter(|_| !reader.takes_weights()) {
            Some(weights) => Err(FormatError::TakesNoWeights { path: path.into(), weights: weights.into() }),
            None => reader.read(&source, options, dialects),
        }
    }

    /// Compares weights in the file at `path` with the checksums that it has of them: see
    /// [`Reader::check_payload`]. A file of no format has none, and passes.
    ///
    /// # Errors
    /// Weights that are damaged, and a file that cannot be read.
    pub fn check_payload(&self, path: &Path, copied: &[Span]) -> Result<()> {
        let source = foreign::open(path).map_err(|error| FormatError::read(path, error))?;
        self.sniff(&source).map_or(Ok(()), |reader| reader.check_payload(&source, copied))
    }

    /// The length and the checksum of the file at `path`.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn checksum(&self, path: &Path) -> Result<Checksum> {
        let source = foreign::open(path).map_err(|error| FormatError::read(path, error))?;
        let known = self.sniff(&source).ok().and_then(|reader| reader.checksum(&source));
        known.map_or_else(|| Checksum::of(path).map_err(|error| FormatError::read(path, error)), Ok)
    }
}
