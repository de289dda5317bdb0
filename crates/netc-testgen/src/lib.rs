//! Random well-typed modules, and oracles that check what netc does with them.
//!
//! A [`Recipe`] is plain data: a few lists of small numbers. Every recipe builds a valid module, so a shrinker or a
//! fuzzer may change any number. [`CoreRecipe`]s build programs of core ops; recipes of layers come with their format.
//! Recipes come from proptest ([`Recipe::strategy`]), a seed ([`Recipe::from_seed`]) or a fuzzer's bytes
//! ([`Recipe::from_bytes`]). [`Features`] limit what they may build, and [`Coverage`] measures what they built.
//! [`Cuts`] choose where to split a module.
//!
//! An [`oracle`] is a function that checks a module, or bytes, and returns what is wrong.
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
//! To add an op to the recipes, add a class to [`CoreClass`]. The compiler then lists the matches to extend, and the
//! test of [`Coverage`] lists what recipes still fail to build.

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
