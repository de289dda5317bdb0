//! The files that a model is stored in, as bytes and tables of weights: nothing here knows what a layer computes.

pub(crate) mod assets;
pub(crate) mod compiled;
pub(crate) mod hdf5;
pub(crate) mod sharded;
pub(crate) mod tfjs;
pub(crate) mod variable;
pub(crate) mod zip;
