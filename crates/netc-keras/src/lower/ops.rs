//! Operations of `keras.ops`, by kind.

pub(crate) mod einsum;
pub(crate) mod elementwise;
pub(crate) mod index;
pub(crate) mod places;
pub(crate) mod reduce;
pub(crate) mod shape;
