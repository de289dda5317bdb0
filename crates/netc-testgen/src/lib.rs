//! Random well-typed modules, and the oracles that judge what netc does to them.
//!
//! A [`Recipe`] is plain data, a few lists of small numbers, and building it is total: every recipe makes a valid
//! module, so a shrinker or a fuzzer may change any number. [`CoreRecipe`]s make programs of core ops; recipes of layers come
//! with their format. Recipes come from proptest ([`Recipe::strategy`]), from a seed ([`Recipe::from_seed`])
//! and from a fuzzer's bytes ([`Recipe::from_bytes`]); [`Features`] say what they may make, [`Coverage`] what they made.
//! [`Cuts`] say where to split what was built.
//!
//! An [`oracle`] is a function that takes a module, or bytes, and says what is wrong.
//!
//! ```
//! use netc_testgen::{CoreRecipe, Cuts, oracle};
//!
//! let module = CoreRecipe::from_seed(7, 20).build();
//! oracle::print_parse(&module)?;
//! oracle::split_compose(&module, &Cuts::from_seed(7).names(&module))?;
//! # Ok::<(), oracle::Wrong>(())
//! ```
//!
//! To let recipes make a new op, add a class to [`CoreClass`]; the compiler names the matches to extend,
//! and the test of [`Coverage`] what is still missing.

#[cfg(test)]
mod computed;
mod core;
mod coverage;
mod cuts;
mod features;
pub mod oracle;
#[cfg(feature = "proptest")]
pub mod property;
mod recipe;
pub mod reduce;
#[cfg(test)]
mod tests;

pub use core::{CoreClass, CoreRecipe};
pub use coverage::{Coverage, Fact};
pub use cuts::Cuts;
pub use features::{Feature, Features};
pub use recipe::{Build, Class, Recipe, Step, of, pick};
