//! Errors of Keras files. Each level adds the place where the problem is.

use std::io;
use std::path::PathBuf;

use netc_data::{DataError, PlaceError};
use netc_dialect::LowerError;
use netc_format::OpenError;
use netc_ir::{Exceeded, Name};
use thiserror::Error;

use netc_format::stack::{MAX_LEVELS, MAX_NESTING};

/// Failure to read a Keras file, or to write a model as one.
#[derive(Debug, Error)]
pub enum KerasError {
    /// Reading failed.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Problem,
    },
    /// Writing failed.
    #[error("cannot write the model `{model}`")]
    Write {
        /// The function being written.
        model: Name,
        /// Why.
        source: Problem,
    },
}

/// A result whose error is a [`Problem`] unless stated otherwise.
pub(crate) type Result<T, E = Problem> = std::result::Result<T, E>;

/// The problem with a file or a model.
#[derive(Debug, Error)]
pub enum Problem {
    /// The operating system reported an error.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The file is in no format that netc reads.
    #[error("{0}")]
    Unknown(&'static str),
    /// The file is not a valid `.keras` archive.
    #[error("it is not a .keras archive: {0}")]
    Archive(String),
    /// A member of the archive is missing.
    #[error("the archive has no `{0}`: a .keras file holds config.json, metadata.json and model.weights.h5")]
    Missing(&'static str),
    /// The checksum of an archive member does not match its bytes.
    #[error(
        "`{member}` is damaged: its checksum is {found:08x}, the archive records {expected:08x}; download the file \
         again, or save the model again"
    )]
    Checksum {
        /// The member.
        member: String,
        /// CRC-32 that the archive's directory records.
        expected: u32,
        /// CRC-32 of the member's bytes.
        found: u32,
    },
    /// A member of the archive is not JSON.
    #[error("`{member}` is {problem}")]
    Json {
        /// The member.
        member: &'static str,
        /// Line, column and cause.
        problem: JsonError,
    },
    /// The file is text, but not valid JSON.
    #[error("it is {0}")]
    NotJson(JsonError),
    /// The file is readable, but does not contain a model.
    #[error("{0}")]
    NoModel(String),
    /// The configuration does not describe a valid model.
    #[error("{place}: {note}")]
    Config {
        /// The place in the configuration.
        place: String,
        /// What was found and what was expected.
        note: String,
    },
    /// The file has no graph: a subclassed model, or a functional one saved by its arguments.
    #[error(
        "the file records the arguments of the class `{class}`, not its graph: if the model is functional, \
         `keras.Model(m.inputs, m.outputs).save(\"x.keras\")` writes the graph; if not, its graph is the Python code of \
         `call`, so build it with the functional API"
    )]
    Subclassed {
        /// The class.
        class: Name,
    },
    /// The model is functional, but its class saves its arguments instead of the graph.
    #[error(
        "the file records the arguments of the class `{class}`, not its graph; the model is functional, so \
         `keras.Model(m.inputs, m.outputs).save(\"x.keras\")` writes the graph"
    )]
    Arguments {
        /// The class.
        class: Name,
    },
    /// The configuration is of a single layer.
    #[error("it is the configuration of a layer `{class}`, not of a model")]
    LayerAlone {
        /// The class.
        class: Name,
    },
    /// netc cannot read the HDF5 file with the weights.
    #[error("model.weights.h5: {place}: {note}")]
    Weights {
        /// The group or dataset.
        place: String,
        /// What was found and what was expected.
        note: String,
    },
    /// An HDF5 file with a whole model differs from what Keras writes.
    #[error("{place}: {note}")]
    WholeModel {
        /// The group, dataset or attribute.
        place: String,
        /// What was found and what was expected.
        note: String,
    },
    /// One shard of the weights is unreadable.
    #[error("the shard `{shard}`")]
    Shard {
        /// The file.
        shard: String,
        /// Why.
        source: Box<Problem>,
    },
    /// A layer contradicts its configuration, its weights or its inputs.
    #[error("layer `{layer}`")]
    Layer {
        /// The layer's path.
        layer: Name,
        /// Why.
        source: LowerError,
    },
    /// A separate weights file does not fit a layer.
    #[error("they do not fit layer `{layer}`: it reads {read}, the file has {found}")]
    Unfit {
        /// The layer's path.
        layer: Name,
        /// The types of the layer's inputs.
        read: String,
        /// The layer's weights in the file, with their types.
        found: String,
        /// Why.
        source: Box<LowerError>,
    },
    /// The graph breaks a rule of the IR.
    #[error("its graph is malformed")]
    Malformed(#[from] netc_ir::Violations),
    /// The bytes of a weight cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The model names a file outside the allowed folders.
    #[error("the model names a file that netc may not read")]
    Place(#[from] PlaceError),
    /// The program contains something that Keras files cannot express.
    #[error("{place}: {note}")]
    NotKeras {
        /// The op, parameter or output.
        place: String,
        /// What was found and what was expected.
        note: String,
    },
}

/// The reason why netc rejects a JSON text.
#[derive(Debug, Error)]
pub enum JsonError {
    /// The text is not valid JSON.
    #[error("not JSON: expected {expected} at line {line} column {column}")]
    Syntax {
        /// What was expected.
        expected: &'static str,
        /// The line, counted from 1.
        line: usize,
        /// The byte in the line, counted from 1.
        column: usize,
    },
    /// The text nests too deep.
    #[error("nested deeper than {MAX_LEVELS} levels; netc reads at most {MAX_NESTING} levels of nested models")]
    Depth,
    /// The values take more memory than the file's size justifies.
    #[error("JSON with too many values for the size of its file: {0}")]
    Budget(Exceeded),
    /// The values do not fit into memory.
    #[error("JSON with more values than fit into memory")]
    Memory,
}

impl From<Exceeded> for JsonError {
    fn from(error: Exceeded) -> Self {
        Self::Budget(error)
    }
}

impl Problem {
    pub(crate) fn config(place: impl Into<String>, note: impl Into<String>) -> Self {
        Self::Config { place: place.into(), note: note.into() }
    }

    /// Adds the first unclaimed weights to a problem about missing weights.
    pub(crate) fn with_unclaimed(self, unclaimed: &[&str]) -> Self {
        let Self::Config { place, note } = self else { return self };
        if unclaimed.is_empty() {
            return Self::Config { place, note };
        }
        let shown = unclaimed.iter().take(4).copied().collect::<Vec<_>>().join(", ");
        Self::Config { place, note: format!("{note}; no layer takes {shown}") }
    }

    pub(crate) fn whole(place: impl Into<String>, note: impl Into<String>) -> Self {
        Self::WholeModel { place: place.into(), note: note.into() }
    }

    /// Turns a problem of `model.weights.h5` into one of an HDF5 file that is itself the model.
    pub(crate) fn in_whole_model(self) -> Self {
        if let Self::Weights { place, note } = self { Self::WholeModel { place, note } } else { self }
    }

    /// Attributes the problem to a shard of the weights.
    pub(crate) fn in_shard(self, shard: &str) -> Self {
        Self::Shard { shard: shard.into(), source: Box::new(self.in_whole_model()) }
    }

    pub(crate) fn weights(place: impl Into<String>, note: impl Into<String>) -> Self {
        Self::Weights { place: place.into(), note: note.into() }
    }
}
