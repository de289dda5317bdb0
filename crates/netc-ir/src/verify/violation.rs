//! The verifier's report.

use std::fmt;

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The number of the rule, from 1.
    pub rule: u8,
    /// The function, op or table entry.
    pub place: String,
    /// What was found and what was expected.
    pub note: String,
}

/// All violations in a module, in module order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violations(pub Vec<Violation>);

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, v) in self.0.iter().enumerate() {
            write!(f, "{}V{} at {}: {}", if i == 0 { "" } else { "\n" }, v.rule, v.place, v.note)?;
        }
        Ok(())
    }
}

impl std::error::Error for Violations {}
