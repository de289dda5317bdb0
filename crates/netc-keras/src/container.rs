//! Model files as bytes and weight tables. Nothing here knows what a layer computes.

pub(crate) mod assets;
pub(crate) mod hdf5;
pub(crate) mod sharded;
pub(crate) mod tfjs;
pub(crate) mod training_state;
pub(crate) mod variable;
pub(crate) mod zip;
