//! Formatting an error and its causes on one line.

use std::error::Error;

/// Formats an error and its causes, separated by colons.
///
/// An error whose message already includes its cause must not return the cause as its [`source`](Error::source), or the
/// message appears twice.
///
/// ```
/// use netc_pass::{PassError, chain};
///
/// let cause = std::io::Error::other("disk full");
/// assert_eq!(chain(&PassError::because("cannot read `a.rules`", cause)), "cannot read `a.rules`: disk full");
/// ```
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use thiserror::Error;

    use super::*;
    use crate::{ConstError, PassError};

    #[derive(Debug, Error)]
    #[error("no rules")]
    struct NoRules(#[source] io::Error);

    #[test]
    fn formats_each_cause_once() {
        let cause = || NoRules(io::Error::other("disk full"));
        let failed = PassError::because("cannot read `a.rules`", cause());
        assert_eq!(chain(&failed), "cannot read `a.rules`: no rules: disk full");
        for error in [&PassError::from_error(cause()) as &dyn Error, &ConstError::from_error(cause())] {
            assert_eq!((error.to_string().as_str(), chain(error).as_str()), ("no rules", "no rules: disk full"));
        }
        // A cause with the same message as an unrelated parent is not skipped.
        assert_eq!(chain(&PassError::because("disk full", cause())), "disk full: no rules: disk full");
    }
}
