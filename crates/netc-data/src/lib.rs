//! The bytes of tensors: from files, literals and seeded random numbers.
//!
//! Files are read at offsets, never memory-mapped: if a file shrinks during a read, that is an error, while a mapping
//! would kill the process. Only what the caller requests is held in memory.

mod ahead;
mod checksum;
mod dtype;
mod error;
mod files;
mod place;
mod random;
mod read_at;
mod store;

pub use ahead::Ahead;
pub use checksum::{Checksum, hash};
pub use dtype::dtype_name;
pub use error::{DataError, Result};
pub use place::{Folders, PlaceError, open_file};
pub use random::Rng;
pub use read_at::ReadAt;
pub use store::{Hashed, Span, Store};
