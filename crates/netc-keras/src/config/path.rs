//! Paths of layers and weights, and names of files.

use std::path::{Component, Path};

pub(crate) fn join(a: &str, b: &str) -> String {
    if a.is_empty() { b.into() } else { format!("{a}/{b}") }
}

/// Whether `name` names a file in a folder, and nothing outside of it.
pub(crate) fn is_file_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) && !name.contains('/')
}

/// Sorts `vars/2` before `vars/10`.
pub(crate) fn numeric_order(path: &str) -> Vec<(u64, String)> {
    path.split('/').map(|part| (part.parse().unwrap_or(u64::MAX), part.to_string())).collect()
}
