//! Symbolic dimensions: polynomials with integer coefficients, in a normal form that makes equality structural.
//!
//! Arithmetic never fails. It saturates at the range of `i64`, and an expression that grows too large becomes `?`, an
//! extent known only at run time. Real models come nowhere near the limits; they keep hostile text from overflowing or
//! blowing up.

mod poly;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::name::Name;
use poly::{Atom, Poly};

/// The extent of one axis: a number, or an expression over symbols such as `N` or `2*N+1`.
///
/// ```
/// use netc_ir::{Bindings, Dim};
///
/// let n = Dim::symbol("N");
/// let padded = n.plus(&n).offset(1);
/// assert_eq!(padded.to_string(), "2*N+1");
/// assert_eq!(Dim::parse("N+1+N"), Some(padded.clone()));
/// assert_eq!(padded.eval(&Bindings::from([("N".into(), 3)])), Some(7));
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dim {
    /// A number of elements.
    Known(u64),
    /// An expression that is not a number.
    Expr(Arc<Expr>),
}

/// A polynomial that is not a number, or `None` for `?`, the unknown extent.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Expr(Option<Poly>);

/// The values of symbols when a function runs.
pub type Bindings = BTreeMap<Name, u64>;

impl Dim {
    /// The dimension that is the symbol `name`.
    pub fn symbol(name: impl Into<Name>) -> Self {
        Self::from_poly(Some(Poly::symbol(name.into())))
    }

    /// The dimension `?`.
    pub fn unknown() -> Self {
        Self::from_poly(None)
    }

    /// The number, if it is one.
    pub fn known(&self) -> Option<u64> {
        match self {
            Self::Known(n) => Some(*n),
            Self::Expr(_) => None,
        }
    }

    /// Whether it is `?`, an extent about which nothing is known. Two `?` may be different extents.
    pub fn is_unknown(&self) -> bool {
        match self {
            Self::Known(_) => false,
            Self::Expr(e) => e.0.is_none(),
        }
    }

    /// Whether it is the number `n`.
    pub fn is(&self, n: u64) -> bool {
        self.known() == Some(n)
    }

    /// `self + k`. A known result is at least 0.
    pub fn offset(&self, k: i64) -> Self {
        self.add(1, Some(Poly::constant(k)))
    }

    /// `self + other`.
    pub fn plus(&self, other: &Self) -> Self {
        self.add(1, other.poly())
    }

    /// `self - other`. A known result is at least 0.
    pub fn minus(&self, other: &Self) -> Self {
        self.add(-1, other.poly())
    }

    /// `self * other`.
    pub fn times(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Known(a), Self::Known(b)) => Self::Known(a.saturating_mul(*b)),
            _ => Self::from_poly(self.poly().zip(other.poly()).and_then(|(a, b)| a.times(&b))),
        }
    }

    /// `floor(self / k)`. A zero `k` counts as 1.
    pub fn floor_div(&self, k: u64) -> Self {
        let k = k.max(1);
        match self {
            Self::Known(n) => Self::Known(n / k),
            Self::Expr(_) => Self::from_poly(self.poly().and_then(|p| p.floor_div(clamp(k)))),
        }
    }

    /// `ceil(self / k)`. A zero `k` counts as 1.
    pub fn ceil_div(&self, k: u64) -> Self {
        match self {
            Self::Known(n) => Self::Known(n.div_ceil(k.max(1))),
            Self::Expr(_) => self.offset(clamp(k.max(1)) - 1).floor_div(k),
        }
    }

    /// `self / other`, if `other` is a single monomial that divides every monomial of `self`.
    pub fn exact_div(&self, other: &Self) -> Option<Self> {
        self.poly()?.exact_div(&other.poly()?).map(|p| Self::from_poly(Some(p)))
    }

    /// The product of dimensions; 1 for none.
    pub fn product<'a>(dims: impl IntoIterator<Item = &'a Self>) -> Self {
        dims.into_iter().fold(Self::Known(1), |acc, d| acc.times(d))
    }

    /// The value under `bindings`, if every symbol is bound and the result is not negative.
    pub fn eval(&self, bindings: &Bindings) -> Option<u64> {
        match self {
            Self::Known(n) => Some(*n),
            Self::Expr(e) => e.0.as_ref()?.eval(bindings).and_then(|n| u64::try_from(n).ok()),
        }
    }

    /// Replaces each symbol for which `value` returns a dimension.
    pub fn substitute(&self, value: &dyn Fn(&Name) -> Option<Dim>) -> Self {
        match self {
            Self::Known(n) => Self::Known(*n),
            Self::Expr(e) => Self::from_poly(e.0.as_ref().and_then(|p| p.substitute(value))),
        }
    }

    /// The symbol, if the dimension is a single symbol.
    pub fn as_symbol(&self) -> Option<&Name> {
        let Self::Expr(e) = self else { return None };
        let mut monomials = e.0.as_ref()?.0.iter();
        let (Some((atoms, 1)), None) = (monomials.next(), monomials.next()) else { return None };
        match atoms.as_slice() {
            [Atom::Symbol(name)] => Some(name),
            _ => None,
        }
    }

    /// The symbols in it.
    pub fn symbols(&self) -> BTreeSet<Name> {
        let mut symbols = BTreeSet::new();
        if let Self::Expr(e) = self
            && let Some(poly) = &e.0
        {
            poly.add_symbols(&mut symbols);
        }
        symbols
    }

    /// Parses `?`, or sums and products of numbers, symbols and `floor(P, k)`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text == "?" {
            return Some(Self::from_poly(None));
        }
        if let Ok(n) = text.parse() {
            return Some(Self::Known(n));
        }
        let poly = text::parse(text)?;
        poly.as_constant().is_none_or(|n| n >= 0).then(|| Self::from_poly(Some(poly)))
    }

    /// Whether every symbol parses back as a symbol.
    pub(crate) fn is_printable(&self) -> bool {
        match self {
            Self::Known(_) => true,
            Self::Expr(e) => e.0.as_ref().is_none_or(|p| p.all_symbols(text::is_symbol)),
        }
    }

    fn add(&self, by: i64, other: Option<Poly>) -> Self {
        Self::from_poly(self.poly().zip(other).and_then(|(a, b)| a.plus(by, &b)))
    }

    /// The polynomial; `None` for `?`.
    fn poly(&self) -> Option<Poly> {
        match self {
            Self::Known(n) => Some(Poly::constant(clamp(*n))),
            Self::Expr(e) => e.0.clone(),
        }
    }

    fn from_poly(p: Option<Poly>) -> Self {
        match p.as_ref().and_then(Poly::as_constant) {
            Some(n) => Self::Known(u64::try_from(n).unwrap_or(0)),
            None => Self::Expr(Arc::new(Expr(p))),
        }
    }
}

fn clamp(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl From<u64> for Dim {
    fn from(n: u64) -> Self {
        Self::Known(n)
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(n) => write!(f, "{n}"),
            Self::Expr(e) => write!(f, "{e:?}"),
        }
    }
}

impl fmt::Debug for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(p) => write!(f, "{p}"),
            None => f.write_str("?"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dim(text: &str) -> Dim {
        Dim::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn equal_expressions_have_one_form() {
        assert_eq!(dim("N+N+1"), dim("2*N+1"));
        assert_eq!(dim("M*N - N*M"), Dim::Known(0));
        assert_eq!(dim("2*N*3").to_string(), "6*N");
    }

    #[test]
    fn prints_as_it_parses() {
        for text in ["N", "2*N+1", "N-3", "-N+4", "M*N", "floor(N+1, 2)-1", "2*N*floor(N, 3)", "?"] {
            assert_eq!(dim(text).to_string(), text);
        }
    }

    #[test]
    fn division_rounds_down_and_keeps_exact_quotients() {
        assert_eq!(dim("4*N+2").floor_div(2), dim("2*N+1"));
        assert_eq!(dim("2*N+1").floor_div(2), dim("N"));
        assert_eq!(dim("N").ceil_div(2).to_string(), "floor(N+1, 2)");
        assert_eq!(dim("192*N").exact_div(&dim("64*N")), Some(Dim::Known(3)));
        assert_eq!(dim("N").exact_div(&dim("2")), None);
    }

    #[test]
    fn evaluates_and_substitutes() {
        let at = Bindings::from([("N".into(), 7)]);
        assert_eq!(dim("floor(N-3, 2)+1").eval(&at), Some(3));
        assert_eq!(dim("M").eval(&at), None);
        assert_eq!(dim("2*T+N*floor(N+M, 2)").symbols(), ["M", "N", "T"].map(Name::from).into());
        assert_eq!(dim("floor(N-3, 2)+1").substitute(&|_| Some(Dim::Known(9))), Dim::Known(4));
    }

    #[test]
    fn hostile_text_does_not_parse() {
        assert_eq!(Dim::parse(&"floor(".repeat(100_000)), None);
        assert_eq!(Dim::parse("floor(N, 0)"), None);
        assert_eq!(Dim::parse("N+"), None);
        assert_eq!(Dim::parse("-3"), None);
        assert_eq!(Dim::parse("18446744073709551615"), Some(Dim::Known(u64::MAX)));
        assert!(Dim::parse("9223372036854775807*9223372036854775807*N").is_some());
    }

    #[test]
    fn floors_have_one_form() {
        for (a, b) in [
            ("floor(N+2, 2)", "floor(N, 2)+1"),
            ("floor(N-3, 2)+1", "floor(N+1, 2)-1"),
            ("floor(floor(N, 2)+1, 3)", "floor(N+2, 6)"),
            ("floor(floor(N+1, 2)-1, 2)", "floor(N-1, 4)"),
            ("floor(3*N+M, 2)", "N+floor(N+M, 2)"),
        ] {
            assert_eq!(dim(a), dim(b));
            for n in 0..40 {
                let at = Bindings::from([("N".into(), n), ("M".into(), 40 - n)]);
                assert_eq!(dim(a).eval(&at), dim(b).eval(&at), "{a} at {n}");
            }
        }
    }

    #[test]
    fn repeated_floors_stay_small_and_print_as_they_parse() {
        let mut d = dim("N");
        for step in 1..=2_000 {
            d = d.offset(step % 3).floor_div(2);
            assert_eq!(dim(&d.to_string()), d);
        }
        let mut d = dim("N");
        for _ in 0..100 {
            d = d.floor_div(2).plus(&d.floor_div(3)).floor_div(5);
            assert_eq!(dim(&d.to_string()), d);
        }
        assert_eq!(d.to_string(), "?");
    }

    #[test]
    fn an_oversized_product_is_unknown() {
        let factors: Vec<Dim> = (0..22).map(|i| dim(&format!("a{i}+b{i}"))).collect();
        let product = Dim::product(&factors);
        assert_eq!(product.to_string(), "?");
        assert_eq!(product.minus(&product), dim("?"));
        assert_eq!((product.known(), product.as_symbol(), product.eval(&Bindings::new())), (None, None, None));
        assert_eq!(Dim::parse(&vec!["N"; 100_000].join("*")), None);
    }

    #[test]
    fn arithmetic_saturates() {
        let max = dim("9223372036854775807*N");
        let low = Dim::Known(0).minus(&max).minus(&max);
        assert_eq!(low.to_string(), "-9223372036854775807*N");
        assert_eq!(dim(&low.to_string()), low);
        assert_eq!(low.exact_div(&dim("1").minus(&dim("N")).plus(&dim("N"))), Some(low.clone()));
        assert_eq!(dim("N").offset(i64::MIN).to_string(), "N-9223372036854775807");
        assert_eq!(dim("N").ceil_div(u64::MAX).to_string(), "floor(N+9223372036854775806, 9223372036854775807)");
    }

    #[test]
    fn a_symbol_that_is_not_a_word_is_not_printable() {
        assert!(dim("N_1").is_printable() && dim("?").is_printable());
        assert!(!Dim::symbol("a b").floor_div(2).is_printable() && !Dim::symbol("3").is_printable());
    }
}
