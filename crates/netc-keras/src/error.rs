//! What can be wrong with a Keras file, with the place at each level.

use std::io;
use std::path::PathBuf;

use netc_data::{DataError, PlaceError};
use netc_dialect::LowerError;
use netc_format::OpenError;
use netc_ir::{Exceeded, Name};
use thiserror::Error;

use netc_format::stack::{MAX_LEVELS, MAX_NESTING};

/// A file that cannot be read as a Keras model, or a model that cannot be written as one.
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
        /// The function that was to be written.
        model: Name,
        /// Why.
        source: Problem,
    },
}

/// A result with the problem of a file.
pub(crate) type Result<T, E = Problem> = std::result::Result<T, E>;

/// What is wrong.
#[derive(Debug, Error)]
pub enum Problem {
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It is of no format that is read.
    #[error("{0}")]
    Unknown(&'static str),
    /// It is not a `.keras` archive.
    #[error("it is not a .keras archive: {0}")]
    Archive(String),
    /// A member of the archive is missing.
    #[error("the archive has no `{0}`: a .keras file holds config.json, metadata.json and model.weights.h5")]
    Missing(&'static str),
    /// A member of the archive is not what was once written.
    #[error(
        "`{member}` is damaged: its checksum is {found:08x}, and the archive says {expected:08x}; get the file anew, or \
         save the model anew"
    )]
    Checksum {
        /// The member.
        member: String,
        /// CRC-32 by the archive's directory.
        expected: u32,
        /// CRC-32 of its bytes.
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
    /// The file is text and not JSON.
    #[error("it is {0}")]
    NotJson(JsonError),
    /// The file is JSON and no model.
    #[error("{0}")]
    NoModel(String),
    /// The configuration is not that of a model.
    #[error("{place}: {note}")]
    Config {
        /// The place in the configuration.
        place: String,
        /// What was found and what was expected.
        note: String,
    },
    /// The model has no graph.
    #[error(
        "the file records the arguments of the class `{class}`, not its graph: if the model is functional, \
         `keras.Model(m.inputs, m.outputs).save(\"x.keras\")` writes the graph; if not, its graph is the Python code of \
         `call`, so build it with the functional API"
    )]
    Subclassed {
        /// The class.
        class: Name,
    },
    /// The model is a functional one of a class that records its arguments.
    #[error(
        "the file records the arguments of the class `{class}`, not its graph; the model is functional, so \
         `keras.Model(m.inputs, m.outputs).save(\"x.keras\")` writes the graph"
    )]
    Arguments {
        /// The class.
        class: Name,
    },
    /// It is a layer.
    #[error("it is the configuration of a layer `{class}`, not of a model")]
    LayerAlone {
        /// The class.
        class: Name,
    },
    /// The weights are not readable HDF5.
    #[error("model.weights.h5: {place}: {note}")]
    Weights {
        /// The group or dataset.
        place: String,
        /// What was found and what was expected.
        note: String,
    },
    /// A whole model in an HDF5 file is not what Keras writes.
    #[error("{place}: {note}")]
    WholeModel {
        /// The group, dataset or attribute.
        place: String,
        /// What was found and what was expected.
        note: String,
    },
    /// One of the files that the weights are spread over is not readable.
    #[error("the shard `{shard}`")]
    Shard {
        /// The file.
        shard: String,
        /// Why.
        source: Box<Problem>,
    },
    /// A layer does not fit its configuration, its weights or its inputs.
    #[error("layer `{layer}`")]
    Layer {
        /// The layer's path.
        layer: Name,
        /// Why.
        source: LowerError,
    },
    /// Weights that were given apart from the model do not fit a layer.
    #[error("they do not fit layer `{layer}`, which reads {read} and for which the file has {found}")]
    Unfit {
        /// The layer's path.
        layer: Name,
        /// The types of the tensors that it reads.
        read: String,
        /// The weights of the layer in the file, with their types.
        found: String,
        /// Why.
        source: Box<LowerError>,
    },
    /// The graph breaks a rule of the IR.
    #[error("its graph is malformed")]
    Malformed(#[from] netc_ir::Violations),
    /// Bytes of a weight cannot be had.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file that the model names may not be read.
    #[error("the model names a file that may not be read")]
    Place(#[from] PlaceError),
    /// The program holds something that Keras files cannot say.
    #[error("{place}: {note}")]
    NotKeras {
        /// The op, parameter or output.
        place: String,
        /// What was found and what was expected.
        note: String,
    },
}

/// Why a text is no JSON that is read.
#[derive(Debug, Error)]
pub enum JsonError {
    /// It is no JSON.
    #[error("not JSON: expected {expected} at line {line} column {column}")]
    Syntax {
        /// What would have been right.
        expected: &'static str,
        /// The line, from 1.
        line: usize,
        /// The byte in the line, from 1.
        column: usize,
    },
    /// It nests too deep.
    #[error("nested deeper than {MAX_LEVELS} levels; netc reads at most {MAX_NESTING} levels of nested models")]
    Depth,
    /// Its values take more memory than the file justifies.
    #[error("JSON of too many values for its file: {0}")]
    Budget(Exceeded),
    /// Its values take more memory than there is.
    #[error("JSON of more values than fit into memory")]
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

    /// Missing weights, in a file that has weights of no layer.
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

    /// A problem of an HDF5 file that is the model, and not a member of an archive.
    pub(crate) fn in_whole_model(self) -> Self {
        if let Self::Weights { place, note } = self { Self::WholeModel { place, note } } else { self }
    }

    /// A problem of a shard of the weights.
    pub(crate) fn in_shard(self, shard: &str) -> Self {
        Self::Shard { shard: shard.into(), source: Box::new(self.in_whole_model()) }
    }

    pub(crate) fn weights(place: impl Into<String>, note: impl Into<String>) -> Self {
        Self::Weights { place: place.into(), note: note.into() }
    }
}
