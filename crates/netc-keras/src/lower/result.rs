//! What lowerings return.

use netc_dialect::LowerError;
use netc_ir::{Attr, ValueId};

use crate::config::message::found;

/// `key` holds `attr`, and should not.
pub(crate) fn bad(key: &str, attr: Option<&Attr>, expected: &str) -> LowerError {
    LowerError::Config { key: key.into(), found: found(attr), expected: expected.into() }
}

/// The results of other lowerings.
pub(crate) type Lowered = Result<Vec<ValueId>, LowerError>;

/// The one result of most lowerings.
pub(crate) type One = Result<ValueId, LowerError>;

/// What a step of a lowering yields.
pub(crate) type Done<T = ()> = Result<T, LowerError>;
