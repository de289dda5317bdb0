//! What a format is: a constant that names its reader and its writer.

use std::path::{Path, PathBuf};

use netc_data::{Checksum, Span, Store};
use netc_dialect::{Dialect, Dialects};
use netc_ir::{FuncId, Module, Name};

use crate::error::Result;
use crate::note::Note;
use crate::sink::Sink;
use crate::source::Source;

/// A format of model files: everything a user can name.
pub struct Format {
    /// The name, as in `--format NAME`.
    pub name: &'static str,
    /// Extensions without the dot. Files are written with the first, and are named by any: a path asks for the first
    /// format of the table that has its extension.
    pub extensions: &'static [&'static str],
    /// Ends of names that look like one of the extensions and belong to other files, such as `.weights.h5`.
    pub except: &'static [&'static str],
    /// Whether a model is a file or a folder.
    pub layout: Layout,
    /// How much of a program a file holds.
    pub holds: Holds,
    /// What it is called in a sentence: `a model of TensorFlow.js`.
    pub title: &'static str,
    /// One line of help.
    pub help: &'static str,
    /// How it is read, if it is.
    pub reader: Option<&'static dyn Reader>,
    /// How it is written, if it is.
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
    /// All functions, so a model that was split is one file.
    Program,
    /// One function with its weights: a model, or a stage of one.
    Model,
    /// One function without weights.
    Architecture,
}

impl Format {
    /// A format of models that are one file each, without extensions, reader and writer so far: `Format { reader: ...,
    /// ..Format::new(...) }`.
    pub const fn new(name: &'static str, title: &'static str) -> Self {
        let (extensions, except, reader, writer): (&[&str], &[&str], _, _) = (&[], &[], None, None);
        let (layout, holds) = (Layout::File, Holds::Model);
        Self { name, extensions, except, layout, holds, title, help: title, reader, writer }
    }

    /// The name of the main file of a model that has a folder for itself.
    pub fn main_file(&self) -> String {
        match self.layout {
            Layout::Folder { main } => main.into(),
            Layout::File => self.file_of("model"),
        }
    }

    /// The path of the main file of the model `name`, in the folder where models are written.
    pub fn file_of(&self, name: &str) -> String {
        match (self.layout, self.extensions.first()) {
            (Layout::Folder { main }, _) => format!("{name}/{main}"),
            (Layout::File, Some(extension)) => format!("{name}.{extension}"),
            (Layout::File, None) => name.into(),
        }
    }

    /// Whether the name of `path` is one that files of this format have.
    pub fn names(&self, path: &Path) -> bool {
        let is_other = |name: &str| self.except.iter().any(|end| name.ends_with(end));
        let extension = path.extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|extension| self.extensions.contains(&extension)) && !path.to_str().is_some_and(is_other)
    }
}

/// The formats of one tool, and the meaning of its layers.
pub struct Framework {
    /// Its formats; of two that have an extension in common, the first is meant by it.
    pub formats: &'static [&'static Format],
    /// The dialect of its layers, if it has layers of its own.
    pub dialect: Option<fn() -> Box<dyn Dialect>>,
}

/// How a format is read.
///
/// Nothing of a file is executed, and a file takes no more memory than its size justifies: see
/// [`Budget`](netc_ir::Budget).
///
/// ```
/// use netc_dialect::Dialects;
/// use netc_format::{Cause, Format, FormatError, Imported, ReadOptions, Reader, Result, Source};
///
/// /// A text that lists the names of ops on one vector: `ops relu exp`.
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
    /// Whether the file is of this format, by its first bytes or its name. It may be damaged.
    fn sniff(&self, source: &Source) -> bool;

    /// Reads the model. Weights stay in the file; `dialects` gives the types of layers.
    ///
    /// # Errors
    /// A file that is damaged or holds no graph, with the place in the file.
    fn read(&self, source: &Source, options: &ReadOptions<'_>, dialects: &Dialects) -> Result<Imported>;

    /// Keys of the outermost object of its JSON files. An object with one of them is a model, and no manifest of stages.
    fn json_keys(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether [`ReadOptions::weights`] can replace the weights of a model.
    fn takes_weights(&self) -> bool {
        false
    }

    /// Compares the bytes of weights with the checksums that the file has of them, which reading does not, as it reads
    /// none of them. The spans in `copied`, in the order of the file, were read already.
    ///
    /// # Errors
    /// Weights that are damaged, and a file that cannot be read.
    fn check_payload(&self, source: &Source, copied: &[Span]) -> Result<()> {
        let _ = (source, copied);
        Ok(())
    }

    /// The length and the checksum of the file, if its own checksums give that without reading all of it.
    fn checksum(&self, source: &Source) -> Option<Checksum> {
        let _ = source;
        None
    }
}

/// What of a model is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadOptions<'a> {
    /// A file with weights in place of the model's own.
    pub weights: Option<&'a Path>,
    /// Whether the compile configuration and the optimizer's state are read too. They belong to the model exactly as it is
    /// in the file: do not ask for them where passes follow. With other weights there are none.
    pub training_state: bool,
    /// Folders in which files that the model names may be, besides its own: see [`Folders`](netc_data::Folders).
    pub allowed: &'a [PathBuf],
}

/// A model as it was read.
#[derive(Debug)]
pub struct Imported {
    /// The model: `@main` is its graph.
    pub module: Module,
    /// What the file holds and the module does not, and what looks odd.
    pub notes: Vec<Note>,
    /// Whether netc wrote the file, and no framework has saved the model since.
    pub is_own: bool,
}

/// How a format is written. Threads may write several models at once.
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
    /// Writes the model. The bytes of weights are streamed from `store`. The same module gives the same bytes.
    ///
    /// # Errors
    /// [`Unsupported`](crate::FormatError::Unsupported) for a model that the format does not have; weights whose bytes cannot
    /// be read; a file that cannot be written.
    fn write(&self, model: ModelRef<'_>, store: &Store, sink: &mut dyn Sink) -> Result<Written>;

    /// What a file has otherwise than the module, or leaves out. `losses` are the layers for losses and metrics that the
    /// model had when it was read: see [`Dialect::loss_layers`].
    fn notes(&self, module: &Module, losses: &[Name]) -> Vec<Note> {
        let _ = (module, losses);
        Vec::new()
    }
}

/// A function of a module that is written as a model.
#[derive(Debug, Clone, Copy)]
pub struct ModelRef<'a> {
    /// The module.
    pub module: &'a Module,
    /// The function.
    pub func: FuncId,
}

/// What a written file's model takes and returns, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The names of its inputs.
    pub inputs: Vec<String>,
    /// The names of its outputs.
    pub outputs: Vec<String>,
    /// The checksums of the files, in the order in which they were begun.
    pub checksums: Vec<Checksum>,
}
