//! The passes, one file each, and the analyses that they share.
//!
//! A pass plans on a borrowed module and then applies its plan. Passes change programs only through the public API of
//! the IR, compute no tensors and know no model format.

pub mod analysis;
mod bind;
pub mod canonicalize;
mod copy;
pub mod cse;
pub mod dce;
pub mod extract;
mod flatten_submodels;
pub mod fold_bn;
pub mod fold_const;
pub mod freeze;
pub mod fuse;
pub mod inline;
pub mod layout;
pub mod lower;
pub mod merge;
mod part;
mod prune;
pub mod rewrite;
#[cfg(feature = "saturate")]
pub mod saturate;
mod splice;
pub mod split;
#[cfg(test)]
mod testing;

use netc_pass::{NamedPipeline, PassInfo, Registry};

pub use bind::bind;
pub use prune::{Entry, remove_unused, sweep, unused};

/// All passes, in the order in which users see them.
pub const PASSES: &[&PassInfo] = &[
    &split::INFO,
    &merge::INFO,
    &extract::INFO,
    &inline::INFO,
    &freeze::INFO,
    &lower::INFO,
    &canonicalize::INFO,
    &cse::INFO,
    &fold_bn::INFO,
    &fold_const::INFO,
    &rewrite::INFO,
    #[cfg(feature = "saturate")]
    &saturate::INFO,
    &layout::INFO,
    &fuse::INFO,
    &dce::INFO,
];

/// All named pipelines.
pub const PIPELINES: &[&NamedPipeline] = &[&SIMPLIFY];

/// The pipeline that makes a network smaller and faster.
pub const SIMPLIFY: NamedPipeline = NamedPipeline {
    name: "simplify",
    summary: "Lower layers, fold batch normalization and constants, and remove redundant and dead ops.",
    text: "lower,fix{max=4}(canonicalize,cse,fold-bn,fold-const,dce)",
};

/// The registry of [`PASSES`] and [`PIPELINES`].
pub fn registry() -> Registry {
    Registry::new(PASSES, PIPELINES)
}
