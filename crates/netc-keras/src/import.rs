//! From a file to a module.

mod claim;
mod foreign;
mod graph;
mod importer;
mod masks;
mod owners;
mod read;

pub use foreign::foreign;
pub use importer::Imported;
pub use read::{ReadOptions, check, checksum, read, read_with};
