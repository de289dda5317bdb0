//! The commands, a file each.

pub(crate) mod bisect;
pub(crate) mod compile;
pub(crate) mod completions;
pub(crate) mod cuts;
pub(crate) mod diff;
pub(crate) mod r#gen;
pub(crate) mod inspect;
pub(crate) mod layers;
pub(crate) mod merge;
pub(crate) mod passes;
pub(crate) mod reduce;
pub(crate) mod repro;
pub(crate) mod run;
pub(crate) mod zoo;
