//! Shared text.

use std::sync::Arc;

/// A name or other short text, reference-counted.
pub type Name = Arc<str>;
