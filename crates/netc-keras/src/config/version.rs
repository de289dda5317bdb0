//! Which Keras a file is of.

use netc_ir::{Attr, Attrs};

/// Which Keras the declarations of a file are of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    /// Keras 1 and 2.
    Before3,
    /// Keras 3, or none.
    Keras3,
}

impl Era {
    /// That of a module with these attributes.
    pub(crate) fn of(module: &Attrs) -> Self {
        let version = module.get("keras_version").and_then(Attr::as_str);
        match version.and_then(|v| v.split('.').next()?.parse::<u32>().ok()) {
            Some(0..=2) => Self::Before3,
            Some(_) | None => Self::Keras3,
        }
    }
}

/// Whether an object names its class without saying which package it is of, as all of Keras 3 do but in HDF5 files.
pub(crate) fn is_legacy(object: &Attrs) -> bool {
    object.get("class_name").is_some() && object.get("module").is_none()
}

/// The version of Keras 2 whose declarations these are.
pub(crate) const KERAS_2: &str = "2.15.0";
