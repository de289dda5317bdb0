//! Random Keras models, and oracles for what netc does to them and to their files.
//!
//! A [`KerasRecipe`] is a `netc-testgen` recipe whose steps are layers. An [`oracle`] takes a model, or the bytes of a
//! file, and returns what is wrong with it.
//!
//! ```
//! use netc_keras_testgen::{KerasRecipe, dialects, oracle};
//! use netc_testgen::Cuts;
//!
//! let model = KerasRecipe::from_seed(7, 10).build();
//! oracle::round_trip_keras(&model, &dialects())?;
//! oracle::split_compose_keras(&model, &Cuts::from_seed(7).names(&model), &dialects())?;
//! # Ok::<(), netc_testgen::oracle::Wrong>(())
//! ```
//!
//! To generate a new layer, add it to the family of its class in `recipe/`; a test lists the layers that are missing.

pub mod oracle;
mod recipe;
#[cfg(test)]
mod tests;

pub use recipe::{KerasClass, KerasRecipe, LIBRARY, dialects, formats};
