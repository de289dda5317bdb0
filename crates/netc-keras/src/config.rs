//! The parts of a Keras configuration: JSON, names, classes, calls and declarations. Reads no files.

pub(crate) mod attrs;
pub(crate) mod call;
pub(crate) mod classes;
pub(crate) mod declaration;
pub(crate) mod json;
pub(crate) mod keys;
pub(crate) mod message;
pub(crate) mod names;
pub(crate) mod operations;
pub(crate) mod order;
pub(crate) mod path;
pub(crate) mod tf;
pub(crate) mod ties;
pub(crate) mod training;
pub(crate) mod version;
