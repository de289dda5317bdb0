//! Attributes of a module and of a file that say where the model came from.

use netc_ir::{Attr, Attrs};

/// Metadata of an archive, or attribute of an HDF5 file, that tells what netc wrote from what a framework saved.
pub(crate) const WRITTEN_BY: &str = "written_by";

/// Its value.
pub(crate) const NETC: &str = "netc";

/// The backend whose layout of kernels netc has, as all that are alive.
pub(crate) const BACKEND: &str = "tensorflow";

/// Whether the file of a module with these attributes has a list of weights for each outermost layer.
pub(crate) fn has_lists(module: &Attrs) -> bool {
    matches!(module.get("format").and_then(Attr::as_str), Some("keras-h5" | "tfjs"))
}
