//! Errors of reading and writing the bytes of weights.

use std::io;

use netc_ir::Name;
use thiserror::Error;

use crate::place::PlaceError;

/// A result with [`DataError`].
pub type Result<T, E = DataError> = std::result::Result<T, E>;

/// The bytes of a weight cannot be read or written.
#[derive(Debug, Error)]
pub enum DataError {
    /// The file cannot be opened.
    #[error("cannot open `{path}`, which holds the weights")]
    Open {
        /// The file.
        path: Name,
        /// Why.
        source: io::Error,
    },
    /// The file is not a regular file or not in an allowed folder.
    #[error("cannot read a file that the model names")]
    Place(#[from] PlaceError),
    /// The file changed or was replaced since it was first opened.
    #[error("`{path}`, which holds the weights, was changed while netc was reading it; run the command again")]
    Changed {
        /// The file.
        path: Name,
    },
    /// The bytes cannot be read from the file.
    #[error("cannot read {len} bytes at {offset} of `{path}` for weight `{weight}`")]
    Read {
        /// The weight.
        weight: Name,
        /// The file.
        path: Name,
        /// Offset of the first byte.
        offset: u64,
        /// Number of bytes.
        len: u64,
        /// Why.
        source: io::Error,
    },
    /// The type has no fixed size or is too large for memory.
    #[error("weight `{weight}` is of type {ty}, whose size is unknown or does not fit into memory")]
    Size {
        /// The weight.
        weight: Name,
        /// Its type.
        ty: String,
    },
    /// The system has too little memory.
    #[error("not enough memory to read weight `{weight}`")]
    Memory {
        /// The weight.
        weight: Name,
        /// Why.
        source: io::Error,
    },
    /// The bytes cannot be written to their destination.
    #[error("cannot write the bytes of weight `{weight}`")]
    Write {
        /// The weight.
        weight: Name,
        /// Why.
        source: io::Error,
    },
}
