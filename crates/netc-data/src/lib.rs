//! Where tensor bytes come from: files read in place, literals, seeded random numbers.
//!
//! Files are read at an offset, never mapped: a file that shrinks while it is read gives an error, where a mapping
//! would end the process. Nothing is held in memory but what the caller asked for.

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
