//! Arithmetic of `f32`, `f64` and `i64`, the types that ops are computed in. Others are [widened](super::run) to these.

use crate::error::KernelError;
use crate::value::Element;

/// A type with arithmetic. Integers wrap; no method panics.
pub(super) trait Arith: Element {
    /// The accumulator of sums and products: `f64` for floats, `i128` for integers.
    type Acc: Copy;
    /// The empty sum.
    const ZERO: Self::Acc;
    /// The empty product.
    const ONE: Self::Acc;
    /// The lowest element: negative infinity for floats.
    const LOWEST: Self;
    /// The highest element: infinity for floats.
    const HIGHEST: Self;

    /// `sum + x`.
    fn sum(sum: Self::Acc, x: Self) -> Self::Acc;
    /// `product * x`.
    fn product(product: Self::Acc, x: Self) -> Self::Acc;
    /// Converts an accumulator to an element.
    fn from_acc(acc: Self::Acc) -> Self;
    /// `sum / n`; integers round toward zero.
    fn mean(sum: Self::Acc, n: usize) -> Result<Self, KernelError>;
    /// `a + b`.
    fn plus(self, b: Self) -> Self;
    /// `a - b`.
    fn minus(self, b: Self) -> Self;
    /// `a * b`.
    fn times(self, b: Self) -> Self;
    /// `a / b`; integers round toward zero, and an integer `b` must not be 0.
    fn over(self, b: Self) -> Self;
    /// `a^b`; an integer `b` must not be negative.
    fn power(self, b: Self) -> Self;
    /// Whether this is NaN.
    fn is_nan(self) -> bool;
    /// Whether this is neither NaN nor infinite.
    fn is_finite(self) -> bool;
    /// Checks that `over` is defined for every divisor.
    fn check_divisors(divisors: &[Self]) -> Result<(), KernelError>;
    /// Checks that `power` is defined for every exponent.
    fn check_exponents(exponents: &[Self]) -> Result<(), KernelError>;

    /// The larger of the two; NaN if either is NaN.
    fn larger(self, b: Self) -> Self {
        if self > b || self.is_nan() { self } else { b }
    }

    /// The smaller of the two; NaN if either is NaN.
    fn smaller(self, b: Self) -> Self {
        if self < b || self.is_nan() { self } else { b }
    }
}

macro_rules! float_arith {
    ($($t:ty)*) => {$(
        impl Arith for $t {
            type Acc = f64;
            const ZERO: f64 = 0.0;
            const ONE: f64 = 1.0;
            const LOWEST: Self = Self::NEG_INFINITY;
            const HIGHEST: Self = Self::INFINITY;

            fn sum(sum: f64, x: Self) -> f64 {
                sum + f64::from(x)
            }
            fn product(product: f64, x: Self) -> f64 {
                product * f64::from(x)
            }
            fn from_acc(acc: f64) -> Self {
                acc as Self
            }
            fn mean(sum: f64, n: usize) -> Result<Self, KernelError> {
                Ok((sum / n as f64) as Self)
            }
            fn plus(self, b: Self) -> Self {
                self + b
            }
            fn minus(self, b: Self) -> Self {
                self - b
            }
            fn times(self, b: Self) -> Self {
                self * b
            }
            fn over(self, b: Self) -> Self {
                self / b
            }
            fn power(self, b: Self) -> Self {
                self.powf(b)
            }
            fn is_nan(self) -> bool {
                self.is_nan()
            }
            fn is_finite(self) -> bool {
                self.is_finite()
            }
            fn check_divisors(_: &[Self]) -> Result<(), KernelError> {
                Ok(())
            }
            fn check_exponents(_: &[Self]) -> Result<(), KernelError> {
                Ok(())
            }
        }
    )*};
}

float_arith!(f32 f64);

impl Arith for i64 {
    type Acc = i128;
    const ZERO: i128 = 0;
    const ONE: i128 = 1;
    const LOWEST: Self = Self::MIN;
    const HIGHEST: Self = Self::MAX;

    fn sum(sum: i128, x: Self) -> i128 {
        sum.wrapping_add(i128::from(x))
    }
    // Modulo 2^128, hence also modulo the range of the element type.
    fn product(product: i128, x: Self) -> i128 {
        product.wrapping_mul(i128::from(x))
    }
    fn from_acc(acc: i128) -> Self {
        acc as Self
    }
    fn mean(sum: i128, n: usize) -> Result<Self, KernelError> {
        sum.checked_div(n as i128).map(|mean| mean as Self).ok_or(KernelError::DivideByZero)
    }
    fn plus(self, b: Self) -> Self {
        self.wrapping_add(b)
    }
    fn minus(self, b: Self) -> Self {
        self.wrapping_sub(b)
    }
    fn times(self, b: Self) -> Self {
        self.wrapping_mul(b)
    }
    fn over(self, b: Self) -> Self {
        self.checked_div(b).unwrap_or(self)
    }
    fn power(self, b: Self) -> Self {
        u32::try_from(b).map_or_else(|_| power_mod(self, b), |b| self.wrapping_pow(b))
    }
    fn is_nan(self) -> bool {
        false
    }
    fn is_finite(self) -> bool {
        true
    }
    fn check_divisors(divisors: &[Self]) -> Result<(), KernelError> {
        if divisors.contains(&0) { Err(KernelError::DivideByZero) } else { Ok(()) }
    }
    fn check_exponents(exponents: &[Self]) -> Result<(), KernelError> {
        exponents.iter().find(|b| **b < 0).map_or(Ok(()), |b| Err(KernelError::NegativePower(*b)))
    }
}

/// `base^exponent` modulo 2^64 by repeated squaring, for exponents that do not fit into 32 bits.
fn power_mod(base: i64, exponent: i64) -> i64 {
    let (mut square, mut result, mut left) = (base, 1i64, exponent);
    while left > 0 {
        if left & 1 == 1 {
            result = result.wrapping_mul(square);
        }
        square = square.wrapping_mul(square);
        left >>= 1;
    }
    result
}

/// Evaluates the expression with `$T` as the arithmetic type; an error for element types without arithmetic of their
/// own.
macro_rules! for_arith {
    ($elem:expr, $T:ident => $body:expr) => {
        match $elem {
            netc_ir::ElemType::F32 => {
                type $T = f32;
                $body
            }
            netc_ir::ElemType::F64 => {
                type $T = f64;
                $body
            }
            netc_ir::ElemType::I64 => {
                type $T = i64;
                $body
            }
            elem @ (netc_ir::ElemType::Bool
            | netc_ir::ElemType::F16
            | netc_ir::ElemType::BF16
            | netc_ir::ElemType::I8
            | netc_ir::ElemType::I16
            | netc_ir::ElemType::I32
            | netc_ir::ElemType::U8
            | netc_ir::ElemType::U16
            | netc_ir::ElemType::U32
            | netc_ir::ElemType::U64
            | netc_ir::ElemType::Str
            | netc_ir::ElemType::Any
            | netc_ir::ElemType::Narrow(_)) => Err($crate::error::KernelError::Element { elem }),
        }
    };
}
pub(super) use for_arith;
