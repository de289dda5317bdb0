//! What a user should know of a file that was read or written.

use std::fmt;

/// Something to tell the user, with a code by which programs know it.
///
/// ```
/// use netc_format::Note;
///
/// let note = Note::new("names-shortened", "two layers have shorter names");
/// assert_eq!(note.to_string(), "two layers have shorter names");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Words joined by `-`, the same in every version: `training-state-left-out`.
    pub code: &'static str,
    /// The sentence for people, without a full stop.
    pub text: String,
}

impl Note {
    /// The code of [`Note::training_state_left_out`].
    pub const TRAINING_STATE: &'static str = "training-state-left-out";

    /// A note with a code of its own.
    pub fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// The compile configuration and the optimizer's state are not carried.
    pub fn training_state_left_out() -> Self {
        Self::new(Self::TRAINING_STATE, "the compile configuration and the optimizer's state are left out")
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
