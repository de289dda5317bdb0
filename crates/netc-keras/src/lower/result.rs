//! What lowerings return.

use netc_dialect::LowerError;
use netc_ir::Attr;

use crate::config::message::found;

/// `key` holds `attr`, and should not.
pub(crate) fn bad(key: &str, attr: Option<&Attr>, expected: &str) -> LowerError {
    LowerError::Config { key: key.into(), found: found(attr), expected: expected.into() }
}

pub(crate) use netc_dialect::Result;
