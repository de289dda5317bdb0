//! Symbolic dimensions: polynomials with integer coefficients, kept in a normal form so that equality is structural.
//!
//! A polynomial is a sum of monomials; a monomial is a coefficient times a sorted product of atoms; an atom is a
//! symbol or `floor(P, k)`, the quotient of a polynomial by a positive integer, rounded down. Arithmetic saturates
//! at the range of `i64`, so hostile sizes cannot overflow.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::Name;

/// The extent of one axis: a number, or an expression over symbols such as `N` or `2*N+1`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dim {
    /// A number of elements.
    Known(u64),
    /// An expression that is not a number.
    Expr(Arc<Poly>),
}

/// A polynomial in normal form: no zero coefficients, monomials in order.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Poly(BTreeMap<Vec<Atom>, i64>);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Atom {
    Symbol(Name),
    Floor(Poly, i64),
}

/// The values of symbols when a function runs.
pub type Bindings = BTreeMap<Name, u64>;

impl Dim {
    /// The dimension that is the symbol `name`.
    pub fn symbol(name: impl Into<Name>) -> Self {
        Self::from_poly(Poly(BTreeMap::from([(vec![Atom::Symbol(name.into())], 1)])))
    }

    /// The number, if it is one.
    pub fn known(&self) -> Option<u64> {
        match self {
            Self::Known(n) => Some(*n),
            Self::Expr(_) => None,
        }
    }

    /// Whether it is exactly the number `n`.
    pub fn is(&self, n: u64) -> bool {
        self.known() == Some(n)
    }

    /// `self + k`; a known dimension does not fall below 0.
    pub fn offset(&self, k: i64) -> Self {
        self.add_poly(&Poly::constant(k))
    }

    /// `self + other`.
    pub fn plus(&self, other: &Self) -> Self {
        self.add_poly(&other.poly())
    }

    /// `self - other`; a known difference does not fall below 0.
    pub fn minus(&self, other: &Self) -> Self {
        self.add_poly(&other.poly().scale(-1))
    }

    /// `self * other`.
    pub fn times(&self, other: &Self) -> Self {
        if let (Self::Known(a), Self::Known(b)) = (self, other) {
            return Self::Known(a.saturating_mul(*b));
        }
        Self::from_poly(self.poly().mul(&other.poly()))
    }

    /// `floor(self / k)`. A zero `k` counts as 1.
    pub fn floor_div(&self, k: u64) -> Self {
        let k = k.max(1);
        match self {
            Self::Known(n) => Self::Known(n / k),
            Self::Expr(p) => Self::from_poly(p.floor_div(clamp(k))),
        }
    }

    /// `ceil(self / k)`. A zero `k` counts as 1.
    pub fn ceil_div(&self, k: u64) -> Self {
        match self {
            Self::Known(n) => Self::Known(n.div_ceil(k.max(1))),
            Self::Expr(_) => self.offset(clamp(k.max(1)) - 1).floor_div(k),
        }
    }

    /// `self / other` where `other` is a single monomial that divides every monomial of `self`.
    pub fn exact_div(&self, other: &Self) -> Option<Self> {
        self.poly().exact_div(&other.poly()).map(Self::from_poly)
    }

    /// The product of dimensions; 1 for none.
    pub fn product<'a>(dims: impl IntoIterator<Item = &'a Self>) -> Self {
        dims.into_iter().fold(Self::Known(1), |acc, d| acc.times(d))
    }

    /// The value under `bindings`, if every symbol is bound and the result is not negative.
    pub fn eval(&self, bindings: &Bindings) -> Option<u64> {
        match self {
            Self::Known(n) => Some(*n),
            Self::Expr(p) => p.eval(bindings).and_then(|n| u64::try_from(n).ok()),
        }
    }

    /// The same dimension with symbols replaced by what `value` gives for them.
    pub fn substitute(&self, value: &dyn Fn(&Name) -> Option<Dim>) -> Self {
        match self {
            Self::Known(n) => Self::Known(*n),
            Self::Expr(p) => Self::from_poly(p.substitute(value)),
        }
    }

    /// The symbol, if the dimension is nothing but one symbol.
    pub fn as_symbol(&self) -> Option<&Name> {
        let Self::Expr(p) = self else { return None };
        match p.0.iter().next() {
            Some((atoms, 1)) if p.0.len() == 1 => match atoms.as_slice() {
                [Atom::Symbol(name)] => Some(name),
                _ => None,
            },
            _ => None,
        }
    }

    /// Reads an expression: sums and products of numbers, symbols and `floor(P, k)`.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(n) = text.trim().parse() {
            return Some(Self::Known(n));
        }
        let mut p = DimParser { rest: text, depth: 0 };
        let poly = p.sum()?;
        p.skip();
        let extent = p.rest.is_empty() && poly.as_constant().is_none_or(|n| n >= 0);
        extent.then(|| Self::from_poly(poly))
    }

    fn add_poly(&self, other: &Poly) -> Self {
        Self::from_poly(self.poly().add(other))
    }

    fn poly(&self) -> Poly {
        match self {
            Self::Known(n) => Poly::constant(clamp(*n)),
            Self::Expr(p) => (**p).clone(),
        }
    }

    fn from_poly(p: Poly) -> Self {
        match p.as_constant() {
            Some(n) => Self::Known(u64::try_from(n).unwrap_or(0)),
            None => Self::Expr(Arc::new(p)),
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

impl Poly {
    fn constant(n: i64) -> Self {
        let mut p = Self::default();
        p.insert(Vec::new(), n);
        p
    }

    fn insert(&mut self, atoms: Vec<Atom>, k: i64) {
        let sum = self.0.get(&atoms).copied().unwrap_or(0).saturating_add(k);
        if sum == 0 {
            self.0.remove(&atoms);
        } else {
            self.0.insert(atoms, sum);
        }
    }

    fn as_constant(&self) -> Option<i64> {
        match self.0.len() {
            0 => Some(0),
            1 => self.0.get(&Vec::new()).copied(),
            _ => None,
        }
    }

    fn add(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        for (atoms, k) in &other.0 {
            sum.insert(atoms.clone(), *k);
        }
        sum
    }

    fn scale(&self, by: i64) -> Self {
        let mut out = Self::default();
        for (atoms, k) in &self.0 {
            out.insert(atoms.clone(), k.saturating_mul(by));
        }
        out
    }

    fn mul(&self, other: &Self) -> Self {
        let mut out = Self::default();
        for (a, ka) in &self.0 {
            for (b, kb) in &other.0 {
                let mut atoms: Vec<Atom> = a.iter().chain(b).cloned().collect();
                atoms.sort();
                out.insert(atoms, ka.saturating_mul(*kb));
            }
        }
        out
    }

    fn floor_div(&self, k: i64) -> Self {
        if let Some(n) = self.as_constant() {
            return Self::constant(n.div_euclid(k));
        }
        if k == 1 || self.0.values().all(|c| c % k == 0) {
            return Self(self.0.iter().map(|(a, c)| (a.clone(), c / k)).collect());
        }
        Self(BTreeMap::from([(vec![Atom::Floor(self.clone(), k)], 1)]))
    }

    fn exact_div(&self, other: &Self) -> Option<Self> {
        let (divisor, k) = other.0.iter().next().filter(|_| other.0.len() == 1)?;
        let mut out = Self::default();
        for (atoms, c) in &self.0 {
            let mut rest = atoms.clone();
            for atom in divisor {
                let at = rest.iter().position(|a| a == atom)?;
                rest.remove(at);
            }
            if c.checked_rem(*k)? != 0 {
                return None;
            }
            out.insert(rest, c / k);
        }
        Some(out)
    }

    fn eval(&self, bindings: &Bindings) -> Option<i64> {
        let mut sum = 0i64;
        for (atoms, k) in &self.0 {
            let mut term = *k;
            for atom in atoms {
                let value = match atom {
                    Atom::Symbol(name) => clamp(*bindings.get(name)?),
                    Atom::Floor(p, k) => p.eval(bindings)?.div_euclid(*k),
                };
                term = term.saturating_mul(value);
            }
            sum = sum.saturating_add(term);
        }
        Some(sum)
    }

    fn substitute(&self, value: &dyn Fn(&Name) -> Option<Dim>) -> Self {
        let mut out = Self::default();
        for (atoms, k) in &self.0 {
            let mut term = Self::constant(*k);
            for atom in atoms {
                let factor = match atom {
                    Atom::Symbol(name) => match value(name) {
                        Some(dim) => dim.poly(),
                        None => Self(BTreeMap::from([(vec![atom.clone()], 1)])),
                    },
                    Atom::Floor(p, k) => p.substitute(value).floor_div(*k),
                };
                term = term.mul(&factor);
            }
            out = out.add(&term);
        }
        out
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(n) => write!(f, "{n}"),
            Self::Expr(p) => write!(f, "{p}"),
        }
    }
}

impl fmt::Debug for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Poly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Poly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Monomials with symbols first, the constant last: `2*N+1`.
        let constant = self.0.get(&Vec::new());
        let symbolic = self.0.iter().filter(|(atoms, _)| !atoms.is_empty());
        let mut first = true;
        for (atoms, k) in symbolic {
            if *k < 0 {
                f.write_str("-")?;
            } else if !first {
                f.write_str("+")?;
            }
            first = false;
            if k.unsigned_abs() != 1 {
                write!(f, "{}*", k.unsigned_abs())?;
            }
            for (i, atom) in atoms.iter().enumerate() {
                if i > 0 {
                    f.write_str("*")?;
                }
                match atom {
                    Atom::Symbol(name) => f.write_str(name)?,
                    Atom::Floor(p, k) => write!(f, "floor({p}, {k})")?,
                }
            }
        }
        match constant {
            Some(k) if first => write!(f, "{k}"),
            Some(k) => write!(f, "{k:+}"),
            None if first => f.write_str("0"),
            None => Ok(()),
        }
    }
}

/// Deeper nesting of `floor` than any model has; bounds the recursion on hostile text.
const MAX_DEPTH: usize = 32;

struct DimParser<'a> {
    rest: &'a str,
    depth: usize,
}

impl DimParser<'_> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, c: char) -> bool {
        self.skip();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn sum(&mut self) -> Option<Poly> {
        let mut total = Poly::default();
        let mut sign = if self.eat('-') { -1 } else { 1 };
        loop {
            total = total.add(&self.product()?.scale(sign));
            sign = if self.eat('+') {
                1
            } else if self.eat('-') {
                -1
            } else {
                return Some(total);
            };
        }
    }

    fn product(&mut self) -> Option<Poly> {
        let mut total = self.atom()?;
        while self.eat('*') {
            total = total.mul(&self.atom()?);
        }
        Some(total)
    }

    fn atom(&mut self) -> Option<Poly> {
        self.skip();
        let end = self.rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            return word.parse().ok().map(Poly::constant);
        }
        if word == "floor" && self.eat('(') {
            self.depth += 1;
            let inner = (self.depth < MAX_DEPTH).then(|| self.sum())??;
            self.depth -= 1;
            let k = self.eat(',').then(|| self.atom())??.as_constant().filter(|k| *k > 0)?;
            return self.eat(')').then(|| inner.floor_div(k));
        }
        (!word.is_empty()).then(|| Poly(BTreeMap::from([(vec![Atom::Symbol(word.into())], 1)])))
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
        for text in ["N", "2*N+1", "N-3", "-N+4", "M*N", "floor(N-3, 2)+1", "2*N*floor(N, 3)"] {
            assert_eq!(dim(text).to_string(), text);
        }
    }

    #[test]
    fn division_rounds_down_and_keeps_exact_quotients() {
        assert_eq!(dim("4*N+2").floor_div(2), dim("2*N+1"));
        assert_eq!(dim("N").ceil_div(2).to_string(), "floor(N+1, 2)");
        assert_eq!(dim("192*N").exact_div(&dim("64*N")), Some(Dim::Known(3)));
        assert_eq!(dim("N").exact_div(&dim("2")), None);
    }

    #[test]
    fn evaluates_and_substitutes() {
        let at = Bindings::from([("N".into(), 7)]);
        assert_eq!(dim("floor(N-3, 2)+1").eval(&at), Some(3));
        assert_eq!(dim("M").eval(&at), None);
        assert_eq!(dim("floor(N-3, 2)+1").substitute(&|_| Some(Dim::Known(9))), Dim::Known(4));
    }

    #[test]
    fn hostile_text_is_refused() {
        assert_eq!(Dim::parse(&"floor(".repeat(100_000)), None);
        assert_eq!(Dim::parse("floor(N, 0)"), None);
        assert_eq!(Dim::parse("N+"), None);
        assert_eq!(Dim::parse("-3"), None);
        assert_eq!(Dim::parse("18446744073709551615"), Some(Dim::Known(u64::MAX)));
        assert!(Dim::parse("9223372036854775807*9223372036854775807*N").is_some());
    }
}
