//! Notes to the user about a file that was read or written.

use std::fmt;

/// A note to the user, with a code for programs.
///
/// ```
/// use netc_format::Note;
///
/// let note = Note::new("names-shortened", "two layers have shorter names");
/// assert_eq!(note.to_string(), "two layers have shorter names");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Words joined by `-`, stable across versions: `training-state-left-out`.
    pub code: &'static str,
    /// The message, without a full stop.
    pub text: String,
}

impl Note {
    /// The code of [`Note::training_state_dropped`].
    pub const TRAINING_STATE: &'static str = "training-state-left-out";

    /// A note with the given code and text.
    pub fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// The note that the training state was not written.
    pub fn training_state_dropped() -> Self {
        Self::new(Self::TRAINING_STATE, "the compile configuration and the optimizer's state are left out")
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
