//! The result type of lowerings, and their most common error.

use netc_dialect::LowerError;
use netc_ir::Attr;

use crate::config::message::found;

/// The error for a configuration that holds `attr` at `key`, with a text for what was expected.
pub(crate) fn bad(key: &str, attr: Option<&Attr>, expected: &str) -> LowerError {
    LowerError::Config { key: key.into(), found: found(attr), expected: expected.into() }
}

pub(crate) use netc_dialect::Result;
