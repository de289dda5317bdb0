//! Keras models: files in, files out, and the meaning of every layer as core ops.

pub mod build;
mod config;
mod container;
mod error;
mod export;
mod import;
mod legacy;
pub mod lower;
mod stack;
mod text;

pub use config::attrs::is_architecture;
pub use config::classes::is_layer_class;
pub use config::names::dtype_name;
pub use container::compiled::{LEFT_OUT, compiled};
pub use error::{JsonError, KerasError, Problem};
pub use export::{
    TFJS_MODEL, Written, changes, changes_for_hdf5, changes_for_hdf5_of_keras_2, changes_for_tfjs, write, write_hdf5,
    write_hdf5_of_keras_2, write_json, write_tfjs,
};
pub use import::{Imported, ReadOptions, check, checksum, foreign, read, read_with};
pub use legacy::losses;
pub use stack::{STACK, on_large_stack};
