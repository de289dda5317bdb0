//! The commands, a file each.

pub(crate) mod compile;
pub(crate) mod completions;
pub(crate) mod cuts;
pub(crate) mod diff;
pub(crate) mod inspect;
pub(crate) mod layers;
pub(crate) mod passes;
pub(crate) mod run;
pub(crate) mod zoo;
