//! A model file format: a constant with a reader and a writer.

use std::path::{Path, PathBuf};

use netc_data::{Checksum, Span, Store};
use netc_dialect::{Dialect, Dialects};
use netc_ir::{FuncId, Module, Name};

use crate::error::Result;
use crate::note::Note;
use crate::sink::Sink;
use crate::source::Source;

/// A format of model files, with everything about it that a user can name.
pub struct Format {
    /// The name, as in `--format NAME`.
    pub name: &'static str,
    /// Extensions without the dot. Files are written with the first one. The extension of an output path selects the
    /// first format of the table that has it.
    pub extensions: &'static [&'static str],
    /// Suffixes of names that match an extension but belong to other files, such as `.weights.h5`.
    pub except: &'static [&'static str],
    /// Whether a model is a file or a folder.
    pub layout: Layout,
    /// How much of a program a file holds.
    pub holds: Holds,
    /// Its noun phrase for messages, such as `a TensorFlow.js model`.
    pub title: &'static str,
    /// One line of help.
    pub help: &'static str,
    /// The reader, if netc can read the format.
    pub reader: Option<&'static dyn Reader>,
    /// The writer, if netc can write the format.
    pub writer: Option<&'static dyn Writer>,
}

/// Whether a model is a file or a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One file, perhaps with others next to it.
    File,
    /// A folder of files that all belong to the model.
    Folder {
        /// The file in it that names the others.
        main: &'static str,
    },
}

/// How much of a program a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// All functions, so a split model fits into one file.
    Program,
    /// One function with its weights: a model or a stage.
    Model,
    /// One function without weights.
    Architecture,
}

impl Format {
    /// The defaults of a format: one file per model, no extensions, no reader and no writer.
    ///
    /// For use as `Format { reader: ..., ..Format::new(...) }`.
    pub const fn new(name: &'static str, title: &'static str) -> Self {
        let (extensions, except, reader, writer): (&[&str], &[&str], _, _) = (&[], &[], None, None);
        let (layout, holds) = (Layout::File, Holds::Model);
        Self { name, extensions, except, layout, holds, title, help: title, reader, writer }
    }

    /// The name of the main file of a model in a folder of its own.
    pub fn main_file(&self) -> String {
        match self.layout {
            Layout::Folder { main } => main.into(),
            Layout::File => self.file_of("model"),
        }
    }

    /// The path of the main file of the model `name`, relative to the output folder.
    pub fn file_of(&self, name: &str) -> String {
        match (self.layout, self.extensions.first()) {
            (Layout::Folder { main }, _) => format!("{name}/{main}"),
            (Layout::File, Some(extension)) => format!("{name}.{extension}"),
            (Layout::File, None) => name.into(),
        }
    }

    /// Whether `path` has a file name of this format.
    pub fn names(&self, path: &Path) -> bool {
        let is_other = |name: &str| self.except.iter().any(|end| name.ends_with(end));
        let extension = path.extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| self.extensions.contains(&extension)) && !path.to_str().is_some_and(is_other)
    }
}

/// The formats of one framework, and the dialect that defines its layers.
pub struct Framework {
    /// Its formats. An extension that two formats share selects the first.
    pub formats: &'static [&'static Format],
    /// The dialect of its layers, if it has layers of its own.
    pub dialect: Option<fn() -> Box<dyn Dialect>>,
}

/// Reads a format.
///
/// A reader never executes code from a file, and limits memory by the size of the file: see
/// [`Budget`](netc_ir::Budget).
///
/// ```
/// use netc_dialect::Dialects;
/// use netc_format::{Cause, Format, FormatError, Imported, ReadOptions, Reader, Result, Source};
///
/// /// A text file that lists the ops to apply to a vector: `ops relu exp`.
/// struct Ops;
///
/// impl Reader for Ops {
///     fn sniff(&self, source: &Source) -> bool {
///         source.head().starts_with(b"ops ")
///     }
///
///     fn read(&self, source: &Source, _: &ReadOptions<'_>, _: &Dialects) -> Result<Imported> {
///         let read = || -> Result<_, Cause> {
///             let text = source.text()?;
///             let mut program = String::from("netc 1\nfunc @main(%0: f32[N]) -> (");
///             let ops: Vec<_> = text.split_whitespace().skip(1).collect();
///             program.push_str(&format!("%{}) {{\n", ops.len()));
///             for (i, op) in ops.iter().enumerate() {
///                 program.push_str(&format!("%{} = {op}(%{i}) : f32[N]\n", i + 1));
///             }
///             Ok(netc_ir::parse(&(program + "}"))?)
///         };
///         let module = read().map_err(|cause| FormatError::read(source.path(), cause))?;
///         Ok(Imported { module, notes: Vec::new(), is_own: false })
///     }
/// }
///
/// const OPS: Format = Format { extensions: &["ops"], reader: Some(&Ops), ..Format::new("ops", "a list of ops") };
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("model.ops");
/// std::fs::write(&path, "ops relu exp")?;
/// let reader = OPS.reader.ok_or("no reader")?;
/// let module = reader.read(&Source::open(&path)?, &ReadOptions::default(), &Dialects::new())?.module;
/// assert_eq!(module.num_ops(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Reader: Sync {
    /// Whether the file is of this format, judged by its first bytes or its name. The file may still be damaged.
    fn sniff(&self, source: &Source) -> bool;

    /// Reads the model. Weights stay in the file. `dialects` provides the types of layers.
    ///
    /// # Errors
    /// The file is damaged or holds no graph. The error names the place in the file.
    fn read(&self, source: &Source, options: &ReadOptions<'_>, dialects: &Dialects) -> Result<Imported>;

    /// Top-level keys of its JSON files. A JSON object with one of them is a model, not a manifest of stages.
    fn json_keys(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether [`ReadOptions::weights`] can replace the weights of a model.
    fn takes_weights(&self) -> bool {
        false
    }

    /// Verifies the weights against the checksums in the file.
    ///
    /// [`Reader::read`] cannot do this, because it does not read the weights. The ranges in `copied`, in file order,
    /// have already been read and come with their checksums.
    ///
    /// # Errors
    /// Weights are damaged, or the file cannot be read.
    fn check_payload(&self, source: &Source, copied: &[Span]) -> Result<()> {
        let _ = (source, copied);
        Ok(())
    }

    /// The length and checksum of the file, if they can be derived from checksums in the file without reading all of
    /// it.
    fn checksum(&self, source: &Source) -> Option<Checksum> {
        let _ = source;
        None
    }
}

/// Options for reading a model.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadOptions<'a> {
    /// A file with weights to use instead of the model's own.
    pub weights: Option<&'a Path>,
    /// Whether to read the training state: the compile configuration and the optimizer's state.
    ///
    /// It is valid only for the model exactly as in the file, so do not set this if passes will run. It is not read if
    /// `weights` is set.
    pub training_state: bool,
    /// Folders, besides the model's own, that may contain files named by the model: see
    /// [`Folders`](netc_data::Folders).
    pub allowed: &'a [PathBuf],
}

/// A model that was read from a file.
#[derive(Debug)]
pub struct Imported {
    /// The module. `@main` is the graph of the model.
    pub module: Module,
    /// Notes about content that the module leaves out, and about oddities in the file.
    pub notes: Vec<Note>,
    /// Whether netc wrote the file and no framework has saved the model since.
    pub is_own: bool,
}

/// Writes a format. Several threads may write models at once.
///
/// ```
/// use netc_data::Store;
/// use netc_format::{Formats, InPlace, ModelRef};
///
/// let module = netc_ir::parse("netc 1\nfunc @main(%x: f32[N]) -> (%y) { %y = relu(%x) : f32[N] }")?;
/// let func = module.func_named("main").ok_or("no @main")?;
/// let writer = Formats::new().named("nir").and_then(|format| format.writer).ok_or("no writer")?;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("relu.nir");
/// let model = ModelRef { module: &module, func };
/// let written = writer.write(model, &Store::open(&module)?, &mut InPlace::new(&path))?;
/// assert_eq!(written.outputs, ["y"]);
/// assert!(path.is_file());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Writer: Sync {
    /// Writes the model, streaming the bytes of weights from `store`. The same module gives the same bytes.
    ///
    /// # Errors
    /// The format does not support the model ([`Unsupported`](crate::FormatError::Unsupported)), the weights cannot be
    /// read, or a file cannot be written.
    fn write(&self, model: ModelRef<'_>, store: &Store, sink: &mut dyn Sink) -> Result<Written>;

    /// Notes about what the file changes or leaves out. `losses` are the layers for losses and metrics that the model
    /// had when it was read: see [`Dialect::loss_layers`].
    fn notes(&self, module: &Module, losses: &[Name]) -> Vec<Note> {
        let _ = (module, losses);
        Vec::new()
    }
}

/// A function to be written as a model.
#[derive(Debug, Clone, Copy)]
pub struct ModelRef<'a> {
    /// The module.
    pub module: &'a Module,
    /// The function.
    pub func: FuncId,
}

/// A model that was written: its inputs and outputs in order, and its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The names of its inputs.
    pub inputs: Vec<String>,
    /// The names of its outputs.
    pub outputs: Vec<String>,
    /// The checksums of its files, in the order in which they were created.
    pub checksums: Vec<Checksum>,
}
