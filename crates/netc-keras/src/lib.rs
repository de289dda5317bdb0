//! Keras models: files in, files out, and the meaning of every layer as core ops.

mod archive;
mod assets;
pub mod build;
mod call;
mod compiled;
mod declaration;
mod error;
mod export;
mod foreign;
mod format;
mod graph;
mod h5links;
mod h5read;
mod h5source;
mod h5types;
mod h5whole;
mod h5write;
mod import;
mod json;
mod legacy;
pub mod lower;
mod model_masks;
mod names;
mod order;
mod read;
mod sharded;
mod text;
mod tfjs;
mod ties;
mod weights;
mod write;

pub use error::{KerasError, Problem};
pub use format::{FRAMEWORK, H5, H5_KERAS2, JSON, KERAS, TFJS};
pub use json::JsonError;
pub use read::{read, read_with};
pub use write::{write, write_hdf5, write_hdf5_of_keras_2, write_json, write_tfjs};
