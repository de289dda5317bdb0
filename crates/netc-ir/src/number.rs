//! Decoded elements of literals.

/// An element of a literal, decoded.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Number {
    /// From an integer or boolean type.
    Int(i128),
    /// From a floating-point type.
    Float(f64),
}

impl Number {
    /// The number as a float, rounded to the nearest.
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Int(i) => i as f64,
            Self::Float(x) => x,
        }
    }
}
