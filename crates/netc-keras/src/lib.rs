//! Keras models: files in, files out, and the meaning of every layer as core ops.

pub mod build;
mod config;
mod container;
mod error;
mod export;
mod format;
mod import;
mod legacy;
pub mod lower;
mod text;

pub use error::{JsonError, KerasError, Problem};
pub use export::{write, write_hdf5, write_hdf5_of_keras_2, write_json, write_tfjs};
pub use format::{FRAMEWORK, H5, H5_KERAS2, JSON, KERAS, TFJS};
pub use import::{read, read_with};
