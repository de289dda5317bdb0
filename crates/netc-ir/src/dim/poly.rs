//! Polynomials with integer coefficients, in normal form and of bounded size.
//!
//! A polynomial is a sum of monomials. A monomial is a coefficient times a sorted product of atoms. An atom is a symbol
//! or `floor(P, k)`, the quotient of a polynomial and a positive integer, rounded down. An operation whose result would
//! be larger than [`MAX_SIZE`] returns `None`. Coefficients saturate at ±`i64::MAX`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Bindings, Dim, clamp};
use crate::name::Name;

/// The largest size of a polynomial: each monomial and each symbol counts 1.
const MAX_SIZE: usize = 1024;

/// The size of a `floor`, not counting the polynomial inside. Bounds the nesting, and with it the recursion.
const FLOOR_SIZE: usize = 32;

/// An exclusive bound on how deeply a polynomial nests `floor`.
pub(super) const MAX_DEPTH: usize = MAX_SIZE / FLOOR_SIZE;

/// A sum: maps each product of atoms to its nonzero coefficient. The empty product is the constant term.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct Poly(pub(super) BTreeMap<Vec<Atom>, i64>);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Atom {
    Symbol(Name),
    Floor(Arc<Poly>, i64),
}

impl Atom {
    fn size(&self) -> usize {
        match self {
            Self::Symbol(_) => 1,
            Self::Floor(p, _) => FLOOR_SIZE + p.size(),
        }
    }
}

impl Poly {
    pub(super) fn constant(n: i64) -> Self {
        let mut p = Self::default();
        p.insert(Vec::new(), n.into());
        p
    }

    pub(super) fn symbol(name: Name) -> Self {
        Self::from(Atom::Symbol(name))
    }

    fn insert(&mut self, atoms: Vec<Atom>, k: i128) {
        let before = self.0.get(&atoms).copied().unwrap_or(0);
        let max = i128::from(i64::MAX);
        match (i128::from(before) + k).clamp(-max, max) as i64 {
            0 => drop(self.0.remove(&atoms)),
            sum => drop(self.0.insert(atoms, sum)),
        }
    }

    fn size(&self) -> usize {
        self.0.keys().map(|atoms| 1 + atoms.iter().map(Atom::size).sum::<usize>()).sum()
    }

    fn bounded(self) -> Option<Self> {
        (self.size() <= MAX_SIZE).then_some(self)
    }

    pub(super) fn as_constant(&self) -> Option<i64> {
        match self.0.len() {
            0 => Some(0),
            1 => self.0.get(&Vec::new()).copied(),
            _ => None,
        }
    }

    /// `self + by * other`.
    pub(super) fn plus(mut self, by: i64, other: &Self) -> Option<Self> {
        for (atoms, k) in &other.0 {
            self.insert(atoms.clone(), i128::from(*k) * i128::from(by));
        }
        self.bounded()
    }

    pub(super) fn times(&self, other: &Self) -> Option<Self> {
        if self.0.len() * other.0.len() > MAX_SIZE {
            return None;
        }
        let mut out = Self::default();
        for (a, ka) in &self.0 {
            for (b, kb) in &other.0 {
                let mut atoms: Vec<Atom> = a.iter().chain(b).cloned().collect();
                atoms.sort();
                out.insert(atoms, i128::from(*ka) * i128::from(*kb));
            }
        }
        out.bounded()
    }

    /// `floor(self / k)` for `k >= 1`. Multiples of `k` move out of the `floor`, so the coefficients inside it are from
    /// 0 to `k - 1`.
    pub(super) fn floor_div(&self, k: i64) -> Option<Self> {
        let (mut whole, mut rest) = (Self::default(), Self::default());
        for (atoms, c) in &self.0 {
            whole.insert(atoms.clone(), c.div_euclid(k).into());
            rest.insert(atoms.clone(), c.rem_euclid(k).into());
        }
        if rest.as_constant().is_some() {
            return whole.bounded();
        }
        let quotient = match rest.nested_floor(k) {
            Some((inner, product)) => inner.floor_div(product)?,
            None => Self::from(Atom::Floor(Arc::new(rest), k)),
        };
        whole.plus(1, &quotient)
    }

    /// Merges nested floors: `floor((floor(P, a) + c) / k) = floor((P + a*c) / (a*k))`.
    ///
    /// Returns the dividend and divisor of the right side, if `self` is `floor(P, a) + c` and both fit.
    fn nested_floor(&self, k: i64) -> Option<(Self, i64)> {
        let mut symbolic = self.0.iter().filter(|(atoms, _)| !atoms.is_empty());
        let (Some((atoms, 1)), None) = (symbolic.next(), symbolic.next()) else { return None };
        let [Atom::Floor(inner, a)] = atoms.as_slice() else { return None };
        let constant = self.0.get(&Vec::new()).copied().unwrap_or(0);
        let dividend = (**inner).clone().plus(1, &Self::constant(a.checked_mul(constant)?))?;
        Some((dividend, a.checked_mul(k)?))
    }

    pub(super) fn exact_div(&self, other: &Self) -> Option<Self> {
        let (divisor, k) = other.0.iter().next().filter(|_| other.0.len() == 1)?;
        let mut out = Self::default();
        for (atoms, c) in &self.0 {
            let mut rest = atoms.clone();
            for atom in divisor {
                let at = rest.iter().position(|a| a == atom)?;
                rest.remove(at);
            }
            if c % k != 0 {
                return None;
            }
            out.insert(rest, (c / k).into());
        }
        Some(out)
    }

    pub(super) fn eval(&self, bindings: &Bindings) -> Option<i64> {
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

    pub(super) fn substitute(&self, value: &dyn Fn(&Name) -> Option<Dim>) -> Option<Self> {
        let mut out = Self::default();
        for (atoms, k) in &self.0 {
            let mut term = Self::constant(*k);
            for atom in atoms {
                let factor = match atom {
                    Atom::Symbol(name) => match value(name) {
                        Some(dim) => dim.poly()?,
                        None => Self::from(atom.clone()),
                    },
                    Atom::Floor(p, k) => p.substitute(value)?.floor_div(*k)?,
                };
                term = term.times(&factor)?;
            }
            out = out.plus(1, &term)?;
        }
        Some(out)
    }

    pub(super) fn add_symbols(&self, symbols: &mut BTreeSet<Name>) {
        for atom in self.0.keys().flatten() {
            match atom {
                Atom::Symbol(name) => drop(symbols.insert(name.clone())),
                Atom::Floor(p, _) => p.add_symbols(symbols),
            }
        }
    }

    pub(super) fn all_symbols(&self, holds: fn(&str) -> bool) -> bool {
        self.0.keys().flatten().all(|atom| match atom {
            Atom::Symbol(name) => holds(name),
            Atom::Floor(p, _) => p.all_symbols(holds),
        })
    }
}

impl From<Atom> for Poly {
    fn from(atom: Atom) -> Self {
        Self(BTreeMap::from([(vec![atom], 1)]))
    }
}
