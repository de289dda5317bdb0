//! The choices of a step, drawn from its knobs.

/// The knobs of a step as one number; each choice takes a digit of it. Knobs of 0 always make the first choice.
pub(super) struct Choice(u32);

impl Choice {
    pub(super) fn new(knobs: [u8; 4]) -> Self {
        Self(u32::from_le_bytes(knobs))
    }

    /// A number below `n`; 0 counts as 1.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        let n = u32::try_from(n).unwrap_or(u32::MAX).max(1);
        let digit = self.0 % n;
        self.0 /= n;
        digit.into()
    }

    /// A number from `low` to `high`.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    pub(super) fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// Whether to take the second of two options.
    pub(super) fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    /// An entry of a table that is not empty.
    pub(super) fn of<T: Copy>(&mut self, table: &[T]) -> T {
        table[self.index(table.len())]
    }

    /// A seed for numbers that are not choices.
    pub(super) fn seed(&self) -> u64 {
        self.0.into()
    }
}
