//! Model file formats and the table that lists them.
//!
//! A [`Format`] is a constant with a name, extensions, a [`Reader`] and a [`Writer`]. A [`Framework`] groups the
//! formats of one framework with the dialect of its layers. [`Formats`] is the table that commands and libraries
//! receive. Outside the crate that defines it, no code names a format.
//!
//! [`nir`] is netc's own text format.

mod error;
pub mod foreign;
mod format;
pub mod module;
pub mod nir;
mod note;
mod sink;
pub mod source;
pub mod stack;
mod table;

pub use error::{Cause, FormatError, OpenError, Result};
pub use format::{Format, Framework, Holds, Imported, Layout, ModelRef, ReadOptions, Reader, Writer, Written};
pub use note::Note;
pub use sink::{InPlace, Sink};
pub use source::Source;
pub use table::Formats;
