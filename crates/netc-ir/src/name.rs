//! Names.

use std::sync::Arc;

/// A name or other short text, shared between the places that hold it.
pub type Name = Arc<str>;
