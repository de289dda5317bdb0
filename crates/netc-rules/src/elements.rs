//! Random tensors to test rules on.

use netc_data::Rng;
use netc_ir::{ElemType, Literal, Number};
use netc_pass::Fidelity;

/// Largest magnitudes of random floats: some near 1, some where functions saturate.
const SCALES: [f64; 4] = [2.0, 2.0, 10.0, 1e3];

/// Special floats to test exact rules with.
const SPECIAL: [f64; 8] = [0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 3e38];

/// Makes a random tensor to test a rule of this fidelity on.
pub(crate) fn random_literal(elem: ElemType, dims: &[u64], fidelity: Fidelity, rng: &mut Rng) -> Literal {
    let numbers = Numbers::of(elem, fidelity, rng);
    let count = dims.iter().product::<u64>();
    Literal::dense(elem, dims, (0..count).map(|_| numbers.draw(rng)).collect::<Vec<_>>())
}

/// A distribution of numbers.
enum Numbers {
    /// Floats of magnitude up to `scale`. If `special`, half of them are from [`SPECIAL`].
    Floats { scale: f64, special: bool },
    /// `count` consecutive integers, starting at `from`.
    Few { from: i128, count: u64 },
    /// All integers from `least` to `most`. A quarter of the draws are one of these two.
    All { least: i128, most: i128 },
}

impl Numbers {
    /// Chooses the numbers of one tensor. Few small integers make valid indices, divisors and exponents; the full range
    /// makes arithmetic wrap around.
    fn of(elem: ElemType, fidelity: Fidelity, rng: &mut Rng) -> Self {
        let small = if elem.is_signed_int() { -4 } else { 0 };
        match rng.below(4) {
            mood if elem.is_float() => {
                Self::Floats { scale: SCALES[mood as usize], special: fidelity == Fidelity::Exact && rng.below(2) == 0 }
            }
            0 => Self::Few { from: 0, count: 2 },
            _ if elem == ElemType::Bool => Self::Few { from: 0, count: 2 },
            1 => Self::Few { from: small, count: 9 },
            _ => Self::all(elem),
        }
    }

    fn all(elem: ElemType) -> Self {
        let values = 1i128 << (8 * elem.size());
        let least = if elem.is_signed_int() { -values / 2 } else { 0 };
        Self::All { least, most: least + values - 1 }
    }

    fn draw(&self, rng: &mut Rng) -> Number {
        match *self {
            Self::Floats { special: true, .. } if rng.below(2) == 0 => {
                Number::Float(SPECIAL[rng.below(SPECIAL.len() as u64) as usize])
            }
            Self::Floats { scale, .. } => Number::Float(rng.uniform(-scale, scale)),
            Self::Few { from, count } => Number::Int(from + i128::from(rng.below(count))),
            Self::All { least, most } => Number::Int(match rng.below(8) {
                0 => least,
                1 => most,
                _ => least + i128::from(rng.next_u64()) % (most - least + 1),
            }),
        }
    }
}
