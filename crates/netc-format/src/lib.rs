//! Formats of model files, as entries of a table.
//!
//! A [`Format`] is a constant with a name, the extensions that it goes by, a [`Reader`] and a [`Writer`]. A [`Framework`]
//! is the formats of one tool with the dialect of its layers, and [`Formats`] is the table that commands and libraries
//! are given. Outside of its crate nobody knows a format's name.
//!
//! [`nir`] is the first of them: netc's own text.

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
