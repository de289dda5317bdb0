//! Keras models: files in, files out, and the meaning of every layer as core ops.

mod archive;
mod assets;
pub mod build;
mod call;
mod compiled;
mod error;
mod export;
mod graph;
mod h5read;
mod h5source;
mod h5types;
mod h5whole;
mod h5write;
mod import;
mod json;
mod legacy;
pub mod lower;
mod names;
mod order;
mod read;
mod sharded;
mod tfjs;
mod weights;
mod write;

pub use compiled::{LEFT_OUT, compiled};
pub use error::{KerasError, Problem};
pub use legacy::{changes, changes_for_hdf5, changes_for_tfjs};
pub use names::{dtype_name, is_layer_class};
pub use read::{Imported, ReadOptions, check, checksum, read, read_with};
pub use tfjs::MODEL as TFJS_MODEL;
pub use write::{Written, is_architecture, write, write_hdf5, write_json, write_tfjs};
