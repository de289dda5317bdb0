//! Reads a Keras file into a module.

mod claim;
mod foreign;
mod graph;
mod importer;
mod masks;
mod owners;
pub(crate) mod read;

pub use read::{read, read_with};
