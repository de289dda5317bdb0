//! Why the bytes of weights cannot be had.

use std::io;

use netc_ir::Name;
use thiserror::Error;

use crate::place::PlaceError;

/// A result with the error of weights whose bytes cannot be moved.
pub type Result<T, E = DataError> = std::result::Result<T, E>;

/// A weight whose bytes cannot be had.
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
    /// It is no file that is read.
    #[error("the model names a file that may not be read")]
    Place(#[from] PlaceError),
    /// The file is not the one that was opened first.
    #[error("`{path}`, which holds the weights, was changed while netc was reading it; run the command again")]
    Changed {
        /// The file.
        path: Name,
    },
    /// The file does not yield the bytes.
    #[error("cannot read {len} bytes at {offset} of `{path}` for weight `{weight}`")]
    Read {
        /// The weight.
        weight: Name,
        /// The file.
        path: Name,
        /// Place of the first byte.
        offset: u64,
        /// Number of bytes.
        len: u64,
        /// Why.
        source: io::Error,
    },
    /// The type has no fixed size or is too large for memory.
    #[error("weight `{weight}` has the type {ty}, which has no size in bytes that fits into memory")]
    Size {
        /// The weight.
        weight: Name,
        /// Its type.
        ty: String,
    },
    /// The system has too little memory.
    #[error("there is too little memory to read weight `{weight}`")]
    Memory {
        /// The weight.
        weight: Name,
        /// Why.
        source: io::Error,
    },
    /// The reader of the bytes failed.
    #[error("cannot write the bytes of weight `{weight}`")]
    Write {
        /// The weight.
        weight: Name,
        /// Why.
        source: io::Error,
    },
}
