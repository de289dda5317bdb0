//! Narrow element types, which models store but do not compute with.

use crate::named::named;
use crate::number::Number;

named! {
    /// A storage-only number type of 8 bits or less. `ir-spec/types.md` defines each.
    Narrow {
        /// Float with 4 exponent and 3 fraction bits, without infinities.
        F8E4M3FN = "f8e4m3fn",
        /// `f8e4m3fn` with bias 8 and no negative zero.
        F8E4M3FNUZ = "f8e4m3fnuz",
        /// Float with 5 exponent and 2 fraction bits.
        F8E5M2 = "f8e5m2",
        /// `f8e5m2` with bias 16, without infinities and negative zero.
        F8E5M2FNUZ = "f8e5m2fnuz",
        /// A power of two.
        F8E8M0 = "f8e8m0",
        /// Float with 2 exponent bits and 1 fraction bit.
        F4E2M1 = "f4e2m1",
        /// Signed integer of 4 bits.
        I4 = "i4",
        /// Unsigned integer of 4 bits.
        U4 = "u4",
        /// Signed integer of 2 bits.
        I2 = "i2",
        /// Unsigned integer of 2 bits.
        U2 = "u2",
    }
}

/// The layout of a signed float.
struct Format {
    /// Number of fraction bits.
    fraction: u32,
    bias: i32,
    /// The magnitudes below this bit pattern are finite numbers.
    numbers: u8,
}

impl Narrow {
    /// Bits per element.
    pub fn bits(self) -> u64 {
        match self {
            Self::F8E4M3FN | Self::F8E4M3FNUZ | Self::F8E5M2 | Self::F8E5M2FNUZ | Self::F8E8M0 => 8,
            Self::F4E2M1 | Self::I4 | Self::U4 => 4,
            Self::I2 | Self::U2 => 2,
        }
    }

    /// Whether it is a floating-point type.
    pub(crate) fn is_float(self) -> bool {
        self.format().is_some() || self == Self::F8E8M0
    }

    fn format(self) -> Option<Format> {
        let (fraction, bias, numbers) = match self {
            Self::F8E4M3FN => (3, 7, 0x7f),
            Self::F8E4M3FNUZ => (3, 8, 0x80),
            Self::F8E5M2 => (2, 15, 0x7c),
            Self::F8E5M2FNUZ => (2, 16, 0x80),
            Self::F4E2M1 => (1, 1, 0x08),
            Self::F8E8M0 | Self::I4 | Self::U4 | Self::I2 | Self::U2 => return None,
        };
        Some(Format { fraction, bias, numbers })
    }

    /// The canonical bit pattern of NaN, if the type has one.
    fn nan(self) -> Option<u8> {
        match self {
            Self::F8E4M3FN => Some(0x7f),
            Self::F8E4M3FNUZ | Self::F8E5M2FNUZ => Some(0x80),
            Self::F8E5M2 => Some(0x7e),
            Self::F8E8M0 => Some(0xff),
            Self::F4E2M1 | Self::I4 | Self::U4 | Self::I2 | Self::U2 => None,
        }
    }

    /// Decodes the low bits of `pattern`.
    pub(crate) fn number(self, pattern: u8) -> Number {
        let bits = self.bits() as u32;
        let pattern = pattern & (0xff >> (8 - bits));
        match self {
            Self::U4 | Self::U2 => Number::Int(pattern.into()),
            Self::I4 | Self::I2 => Number::Int(((pattern << (8 - bits)) as i8 >> (8 - bits)).into()),
            Self::F8E8M0 if pattern == 0xff => Number::Float(f64::NAN),
            Self::F8E8M0 => Number::Float(2f64.powi(i32::from(pattern) - 127)),
            Self::F8E4M3FN | Self::F8E4M3FNUZ | Self::F8E5M2 | Self::F8E5M2FNUZ | Self::F4E2M1 => {
                Number::Float(self.signed_float(pattern))
            }
        }
    }

    fn signed_float(self, pattern: u8) -> f64 {
        let Some(format) = self.format() else { return f64::NAN };
        let sign = 1u8 << (self.bits() - 1);
        let magnitude = pattern & (sign - 1);
        let x = if self == Self::F8E5M2 && magnitude == format.numbers {
            f64::INFINITY
        } else if magnitude >= format.numbers || Some(pattern) == self.nan() {
            f64::NAN
        } else {
            format.magnitude(magnitude)
        };
        if pattern & sign == 0 { x } else { -x }
    }

    /// The bit pattern of the number nearest to `number`. An integer type keeps the lowest bits of an integer. A type
    /// without NaN encodes NaN as 0.
    pub(crate) fn nearest(self, number: Number) -> u8 {
        let mask = 0xff >> (8 - self.bits());
        match self {
            Self::I4 | Self::U4 | Self::I2 | Self::U2 => match number {
                Number::Int(i) => i as u8 & mask,
                Number::Float(x) => self.clamped(x) as u8 & mask,
            },
            Self::F8E8M0 => self.nearest_of(0xff, number.as_f64()),
            Self::F8E4M3FN | Self::F8E4M3FNUZ | Self::F8E5M2 | Self::F8E5M2FNUZ | Self::F4E2M1 => {
                self.nearest_signed(number.as_f64())
            }
        }
    }

    /// Rounds `x` toward zero and clamps it to the range of this integer type.
    fn clamped(self, x: f64) -> i8 {
        let (low, high) = match self {
            Self::I4 => (-8, 7),
            Self::I2 => (-2, 1),
            Self::U4 => (0, 15),
            Self::U2 => (0, 3),
            Self::F8E4M3FN | Self::F8E4M3FNUZ | Self::F8E5M2 | Self::F8E5M2FNUZ | Self::F8E8M0 | Self::F4E2M1 => (0, 0),
        };
        (x as i8).clamp(low, high)
    }

    fn nearest_signed(self, x: f64) -> u8 {
        let Some(format) = self.format() else { return 0 };
        if x.is_nan() {
            return self.nan().unwrap_or(0);
        }
        // In a type with infinity, its pattern follows the largest number, and rounding treats it as the next number.
        let candidates = format.numbers + u8::from(self == Self::F8E5M2);
        let magnitude = self.nearest_of(candidates, x.abs());
        let has_sign = x.is_sign_negative() && !(magnitude == 0 && self.nan() == Some(0x80));
        if has_sign { magnitude | 1 << (self.bits() - 1) } else { magnitude }
    }

    /// Of the first `count` patterns, the one nearest to `x`; ties go to the even pattern. Patterns ascend with their
    /// numbers.
    fn nearest_of(self, count: u8, x: f64) -> u8 {
        if x.is_nan() {
            return self.nan().unwrap_or(0);
        }
        let value = |pattern: u8| match self.format() {
            Some(format) => format.magnitude(pattern),
            None => 2f64.powi(i32::from(pattern) - 127),
        };
        let (mut above, mut high) = (0, count - 1);
        while above < high {
            let middle = above + (high - above) / 2;
            if value(middle) >= x { high = middle } else { above = middle + 1 }
        }
        let below = above.saturating_sub(1);
        let (down, up) = (x - value(below), value(above) - x);
        if down < up || down <= up && below.is_multiple_of(2) { below } else { above }
    }
}

impl Format {
    /// Decodes a pattern without its sign bit, as if every pattern were a number.
    fn magnitude(&self, pattern: u8) -> f64 {
        let fraction = f64::from(pattern & ((1 << self.fraction) - 1));
        let exponent = i32::from(pattern >> self.fraction);
        let one = f64::from(1u32 << self.fraction);
        let significand = if exponent == 0 { fraction } else { one + fraction };
        significand * 2f64.powi(exponent.max(1) - self.bias - self.fraction as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float(narrow: Narrow, pattern: u8) -> f64 {
        narrow.number(pattern).as_f64()
    }

    #[test]
    fn every_number_encodes_to_its_own_pattern() {
        for narrow in Narrow::ALL {
            for pattern in 0..=0xffu8 >> (8 - narrow.bits()) {
                let number = narrow.number(pattern);
                if !number.as_f64().is_nan() {
                    assert_eq!(narrow.nearest(number), pattern, "{} {number:?}", narrow.name());
                }
            }
        }
    }

    #[test]
    fn largest_numbers_and_nans_match_the_specification() {
        let nans = |narrow: Narrow| (0..=0xff).filter(|p| float(narrow, *p).is_nan()).collect::<Vec<u8>>();
        let largest = |narrow: Narrow| {
            let numbers = (0..=0xff).map(|p| float(narrow, p)).filter(|x| x.is_finite());
            numbers.fold(0.0, f64::max)
        };
        for (narrow, max, nan_patterns) in [
            (Narrow::F8E4M3FN, 448.0, vec![0x7f, 0xff]),
            (Narrow::F8E4M3FNUZ, 240.0, vec![0x80]),
            (Narrow::F8E5M2, 57344.0, vec![0x7d, 0x7e, 0x7f, 0xfd, 0xfe, 0xff]),
            (Narrow::F8E5M2FNUZ, 57344.0, vec![0x80]),
            (Narrow::F8E8M0, 2f64.powi(127), vec![0xff]),
            (Narrow::F4E2M1, 6.0, vec![]),
        ] {
            assert_eq!((largest(narrow), nans(narrow)), (max, nan_patterns), "{}", narrow.name());
        }
        assert_eq!(
            [0, 1, 2, 3, 4, 5, 6, 7].map(|p| Narrow::F4E2M1.number(p)),
            [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0].map(Number::Float)
        );
        assert_eq!(Narrow::F8E4M3FN.number(1), Number::Float(2f64.powi(-9)));
        assert_eq!(Narrow::F8E5M2.number(1), Number::Float(2f64.powi(-16)));
    }

    #[test]
    fn rounds_to_nearest_with_ties_to_even() {
        #[track_caller]
        fn check<const N: usize>(narrow: Narrow, given: [f64; N], expect: [f64; N]) {
            let nearest = given.map(|x| narrow.number(narrow.nearest(Number::Float(x))));
            assert_eq!(nearest, expect.map(Number::Float), "{}", narrow.name());
        }
        check(Narrow::F8E4M3FN, [1.0625, 1.1875, 17.0, -1e9], [1.0, 1.25, 16.0, -448.0]);
        check(Narrow::F8E5M2, [61439.0, 61440.0, 1e9], [57344.0, f64::INFINITY, f64::INFINITY]);
        check(Narrow::F4E2M1, [0.25, 0.75, 5.0, f64::NAN], [0.0, 1.0, 4.0, 0.0]);
        check(Narrow::F8E8M0, [0.0, -3.0, 3.1], [2f64.powi(-127), 2f64.powi(-127), 4.0]);
        assert_eq!(Narrow::F8E4M3FNUZ.nearest(Number::Float(-0.0)), 0);
        assert_eq!(
            [-9, 8, 5].map(|i| Narrow::I4.number(Narrow::I4.nearest(Number::Int(i)))),
            [7, -8, 5].map(Number::Int)
        );
        assert_eq!(
            [-9.0, 8.0].map(|x| Narrow::I4.number(Narrow::I4.nearest(Number::Float(x)))),
            [-8, 7].map(Number::Int)
        );
    }
}
