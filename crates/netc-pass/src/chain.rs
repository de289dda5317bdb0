//! Formatting an error and its causes on one line.

use std::error::Error;

/// Formats an error and its causes, separated by colons. Skips causes that the text already contains.
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
        let message = error.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
        cause = error.source();
    }
    text
}
