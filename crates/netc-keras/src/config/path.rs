//! Layer and weight paths, and file names.

use std::path::{Component, Path};

pub(crate) fn join(a: &str, b: &str) -> String {
    if a.is_empty() { b.into() } else { format!("{a}/{b}") }
}

/// Whether `name` is a plain file name, which cannot lead out of a folder.
pub(crate) fn is_file_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) && !name.contains('/')
}

/// A sort key that puts `vars/2` before `vars/10`.
pub(crate) fn numeric_order(path: &str) -> Vec<(u64, String)> {
    path.split('/').map(|part| (part.parse().unwrap_or(u64::MAX), part.to_string())).collect()
}
