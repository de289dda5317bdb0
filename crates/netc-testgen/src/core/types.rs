//! The types of random programs, and bounds of their extents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use netc_ir::{Dim, ElemType, Name, Narrow, Type};

use crate::features::{Feature, Features};

/// Maximum elements of a value at the largest extents. Keeps programs fast.
const MAX_ELEMENTS: u64 = 2000;

const MAX_RANK: usize = 5;

/// The batch, the first extent of most inputs.
const BATCH: &str = "N";

/// Upper bounds of the batch and of other symbols in the runs of the oracles.
const LARGEST: (u64, u64) = (3, 64);

/// Element types and the features that they need. `f32` is frequent, as in real networks.
const ELEMS: &[(ElemType, Option<Feature>)] = &[
    (ElemType::F32, None),
    (ElemType::I64, Some(Feature::Integers)),
    (ElemType::F32, None),
    (ElemType::Bool, Some(Feature::Booleans)),
    (ElemType::F16, Some(Feature::Halves)),
    (ElemType::F32, None),
    (ElemType::I32, Some(Feature::Integers)),
    (ElemType::BF16, Some(Feature::Halves)),
    (ElemType::F64, Some(Feature::Doubles)),
    (ElemType::U8, Some(Feature::Integers)),
    (ElemType::I16, Some(Feature::Integers)),
    (ElemType::U32, Some(Feature::Integers)),
    (ElemType::I8, Some(Feature::Abstract)),
    (ElemType::U16, Some(Feature::Abstract)),
    (ElemType::U64, Some(Feature::Abstract)),
    (ElemType::Narrow(Narrow::I4), Some(Feature::Abstract)),
    (ElemType::Narrow(Narrow::F8E4M3FN), Some(Feature::Abstract)),
    (ElemType::Narrow(Narrow::U2), Some(Feature::Abstract)),
    (ElemType::Narrow(Narrow::F8E5M2), Some(Feature::Abstract)),
    (ElemType::Narrow(Narrow::F4E2M1), Some(Feature::Abstract)),
    (ElemType::Narrow(Narrow::F8E8M0), Some(Feature::Abstract)),
];

/// Shapes and the features that they need.
const SHAPES: &[(&str, Option<Feature>)] = &[
    ("N 4", None),
    ("N 6 5 2", None),
    ("N 2 5 6", None),
    ("N 7 2", None),
    ("", Some(Feature::Scalars)),
    ("N 4 5 3 2", None),
    ("3 4", None),
    ("2*N 4", Some(Feature::Symbols)),
    ("N T", Some(Feature::Symbols)),
    ("N 8 8 4", None),
    ("0 4", Some(Feature::ZeroDims)),
    ("T 3", Some(Feature::Symbols)),
    ("N 1", None),
    ("N 2 3 4 3", None),
    ("N+3 4", Some(Feature::Symbols)),
    ("N 4 4", None),
    ("N T 2", Some(Feature::Symbols)),
    ("N 5 0 2", Some(Feature::ZeroDims)),
    ("5", None),
    ("1 1 3 1", None),
];

static PARSED: LazyLock<Vec<(Vec<Dim>, Option<Feature>)>> = LazyLock::new(|| {
    let dims = |text: &str| text.split_whitespace().filter_map(Dim::parse).collect();
    SHAPES.iter().map(|(text, feature)| (dims(text), *feature)).collect()
});

/// The element types and shapes that features allow.
pub(super) struct Table {
    pub(super) elems: Vec<ElemType>,
    shapes: Vec<&'static [Dim]>,
}

impl Table {
    pub(super) fn new(features: Features) -> Self {
        let allowed = |feature: &Option<Feature>| feature.is_none_or(|f| features.has(f));
        Self {
            elems: ELEMS.iter().filter(|(_, f)| allowed(f)).map(|(elem, _)| *elem).collect(),
            shapes: PARSED.iter().filter(|(_, f)| allowed(f)).map(|(dims, _)| dims.as_slice()).collect(),
        }
    }

    /// Entry `i`, wrapping around. Element types vary faster than shapes.
    pub(super) fn ty(&self, i: u8) -> Type {
        let i = usize::from(i);
        let (elem, shape) = (i % self.elems.len(), i / self.elems.len());
        Type::new(self.elems[elem], self.shapes[shape % self.shapes.len()].iter().cloned())
    }
}

/// The extent with every symbol 1. This is its minimum, since extents grow with their symbols.
pub(super) fn least(dim: &Dim) -> u64 {
    with_symbols(dim, &|_| 1)
}

/// The maximum of the extent in the runs of the oracles.
pub(super) fn largest(dim: &Dim) -> u64 {
    with_symbols(dim, &|symbol| if &**symbol == BATCH { LARGEST.0 } else { LARGEST.1 })
}

fn with_symbols(dim: &Dim, value: &dyn Fn(&Name) -> u64) -> u64 {
    let known = || dim.substitute(&|symbol| Some(Dim::Known(value(symbol)))).known();
    dim.known().or_else(known).unwrap_or(0)
}

/// The extents of a constant that broadcasts to the shape `dims`: 1 for symbols.
pub(super) fn fixed(dims: &[Dim]) -> Vec<u64> {
    dims.iter().map(|d| d.known().unwrap_or(1)).collect()
}

pub(super) fn dims(ty: &Type) -> &[Dim] {
    ty.dims.as_deref().unwrap_or_default()
}

pub(super) fn is_number(elem: ElemType) -> bool {
    elem.is_int() || elem.is_float()
}

pub(super) fn is_small(ty: &Type) -> bool {
    let elements = dims(ty).iter().try_fold(1u64, |n, d| n.checked_mul(largest(d)));
    dims(ty).len() <= MAX_RANK && elements.is_some_and(|n| n <= MAX_ELEMENTS)
}

/// Whether shapes broadcast for all values of their symbols.
pub(super) fn broadcasts(a: &[Dim], b: &[Dim]) -> bool {
    a.iter().rev().zip(b.iter().rev()).all(|(p, q)| p == q || p.is(1) || q.is(1))
}

/// The symbols that parameters bind: those that are an extent on their own.
pub(super) fn symbols<'a>(params: impl IntoIterator<Item = &'a Type>) -> BTreeSet<Name> {
    params.into_iter().flat_map(dims).filter_map(Dim::as_symbol).cloned().collect()
}

/// Parameter types for a function that gets values of the types `given`. An extent such as `2*N` is kept if a parameter
/// binds `N`; otherwise it becomes a new symbol.
pub(super) fn declared(given: &[Type]) -> Vec<Type> {
    let known = symbols(given);
    let mut fresh: BTreeMap<Dim, Dim> = BTreeMap::new();
    let mut declare = |dim: &Dim| {
        let value = |symbol: &Name| known.contains(symbol).then_some(Dim::Known(1));
        if dim.substitute(&value).known().is_some() {
            return dim.clone();
        }
        let n = fresh.len();
        fresh.entry(dim.clone()).or_insert_with(|| free_symbol(&known, n)).clone()
    };
    given.iter().map(|ty| Type::new(ty.elem, dims(ty).iter().map(&mut declare).collect::<Vec<_>>())).collect()
}

/// Types for the parameters of `@main`. In an extent such as `2*N`, an `N` that no parameter binds is replaced by a fresh
/// symbol, which stays unbound. With `apart`, so is a bound one.
pub(super) fn of_inputs(given: &[Type], apart: bool) -> Vec<Type> {
    let taken = symbols(given);
    let known = if apart { BTreeSet::new() } else { taken.clone() };
    let expressions = given.iter().flat_map(dims).filter(|dim| dim.as_symbol().is_none());
    let unknown: BTreeSet<Name> = expressions.flat_map(Dim::symbols).filter(|symbol| !known.contains(symbol)).collect();
    let fresh: BTreeMap<Name, Dim> =
        unknown.into_iter().enumerate().map(|(n, symbol)| (symbol, free_symbol(&taken, n))).collect();
    let renamed = |dim: &Dim| match dim.as_symbol() {
        Some(_) => dim.clone(),
        None => dim.substitute(&|symbol| fresh.get(symbol).cloned()),
    };
    given.iter().map(|ty| Type::new(ty.elem, dims(ty).iter().map(renamed).collect::<Vec<_>>())).collect()
}

/// Free symbol number `n`.
fn free_symbol(taken: &BTreeSet<Name>, n: usize) -> Dim {
    let mut free = (0..).map(|i| Name::from(format!("S{i}"))).filter(|name| !taken.contains(name));
    free.nth(n).map_or(Dim::Known(1), Dim::symbol)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_declared(given: &[&str], expect: &[&str]) {
        let ty = |text: &&str| Type::new(ElemType::F32, text.split(',').filter_map(Dim::parse));
        let given: Vec<Type> = given.iter().map(ty).collect();
        assert_eq!(declared(&given), expect.iter().map(ty).collect::<Vec<_>>());
    }

    #[test]
    fn extents_with_bound_symbols_are_kept() {
        check_declared(&["N,4", "2*N+T,T"], &["N,4", "2*N+T,T"]);
        check_declared(&["2*N,4", "2*N,N+1"], &["S0,4", "S0,S1"]);
        check_declared(&["S0,2*N", "N+1"], &["S0,S1", "S2"]);
    }

    #[test]
    fn inputs_have_extents_of_unbound_symbols() {
        let ty = |text: &str| Type::new(ElemType::F32, text.split(',').filter_map(Dim::parse));
        let check = |apart, given: [&str; 2], expect: [&str; 2]| {
            assert_eq!(of_inputs(&given.map(ty), apart), expect.map(ty));
        };
        check(false, ["N,4", "2*N"], ["N,4", "2*N"]);
        check(true, ["N,4", "2*N"], ["N,4", "2*S0"]);
        check(false, ["2*N,4", "N+3,T"], ["2*S0,4", "S0+3,T"]);
    }

    #[test]
    fn extents_are_bounded() {
        let dim = |text| Dim::parse(text).unwrap();
        assert_eq!((least(&dim("2*N+T")), largest(&dim("2*N+T"))), (3, 70));
        assert_eq!((least(&dim("floor(N, 2)")), largest(&dim("7"))), (0, 7));
    }
}
