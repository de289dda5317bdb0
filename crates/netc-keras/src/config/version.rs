//! Keras versions of files.

use netc_ir::{Attr, Attrs};

/// The Keras generation of a file's declarations.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum KerasVersion {
    /// Keras 1 and 2.
    Legacy,
    /// Keras 3, or no recorded version.
    Keras3,
}

impl KerasVersion {
    /// The Keras version of a module with these attributes.
    pub(crate) fn of(module: &Attrs) -> Self {
        let version = module.get("keras_version").and_then(Attr::as_str);
        match version.and_then(|v| v.split('.').next()?.parse::<u32>().ok()) {
            Some(0..=2) => Self::Legacy,
            Some(_) | None => Self::Keras3,
        }
    }
}

/// Whether an object names its class without a package, as in Keras 1 and 2 and in HDF5 files of Keras 3.
pub(crate) fn is_legacy(object: &Attrs) -> bool {
    object.get("class_name").is_some() && object.get("module").is_none()
}

/// The Keras 2 version that netc writes declarations for.
pub(crate) const KERAS_2: &str = "2.15.0";
