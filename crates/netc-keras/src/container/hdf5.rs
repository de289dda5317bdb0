//! Reads and writes HDF5 files.

pub(crate) mod links;
pub(crate) mod model;
pub(crate) mod read;
pub(crate) mod source;
pub(crate) mod types;
pub(crate) mod write;
