//! Writes a module to Keras files.

mod changes;
mod exporter;
mod lists;
mod masks;
mod names;
mod shards;
mod tfjs;
mod training_state;
mod unknown;
mod write;

pub(crate) use changes::{changes, changes_for_hdf5, changes_for_hdf5_of_keras_2, changes_for_tfjs};
pub(crate) use shards::MODEL as TFJS_MODEL;
pub use write::{write, write_hdf5, write_hdf5_of_keras_2, write_json, write_tfjs};

#[cfg(test)]
mod tests;
