//! The passes, one file each, and the analyses that they share.
//!
//! A pass plans on a borrowed module and then applies its plan. It changes programs through the public API of the IR
//! only, computes no tensors and knows no model format.

pub mod analysis;
mod copy;
pub mod dce;
pub mod lower;
pub mod split;
#[cfg(test)]
mod testing;

use netc_pass::{NamedPipeline, PassInfo, Registry};

/// Every pass, in the order in which they are listed to users.
pub const PASSES: &[&PassInfo] = &[&split::INFO, &dce::INFO, &lower::INFO];

/// Every pipeline that has a name.
pub const PIPELINES: &[&NamedPipeline] = &[];

/// The table of [`PASSES`] and [`PIPELINES`].
pub fn registry() -> Registry {
    Registry::new(PASSES, PIPELINES)
}
