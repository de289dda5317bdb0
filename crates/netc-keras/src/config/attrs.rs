//! Attributes of modules and files that record where the model came from.

use netc_ir::{Attr, Attrs};

/// Archive metadata key, or HDF5 attribute, that tells files written by netc from files saved by a framework.
pub(crate) const WRITTEN_BY: &str = "written_by";

/// The value of [`WRITTEN_BY`] in files that netc writes.
pub(crate) const NETC: &str = "netc";

/// The backend that netc records in files. Its kernel layout is that of every backend except Theano.
pub(crate) const BACKEND: &str = "tensorflow";

/// Whether the module's file has one weight list per outermost layer.
pub(crate) fn has_lists(module: &Attrs) -> bool {
    matches!(module.get("format").and_then(Attr::as_str), Some("keras-h5" | "tfjs"))
}
