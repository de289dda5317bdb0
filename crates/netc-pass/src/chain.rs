//! Errors with their causes, on one line.

use std::error::Error;

/// The message of an error with its causes, each after a colon. A cause that its parent already tells is not repeated.
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
