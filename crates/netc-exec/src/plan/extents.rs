//! The extents that an op names itself, where operands carry them.

use std::borrow::Cow;
use std::collections::BTreeSet;

use netc_ir::{Bindings, CoreOp, Name, Type};

/// How an op finds the symbols that the parameters of its function do not bind. Most ops have none to find.
#[derive(Debug, Default)]
pub(super) struct Extents(Option<Box<Free>>);

#[derive(Debug)]
struct Free {
    symbols: BTreeSet<Name>,
    /// What the program knows of the operands.
    declared: Vec<Type>,
}

impl Extents {
    /// Those of `op` on operands of the types `types`, in a function whose parameters bind the symbols `bound`.
    pub(super) fn of(op: &CoreOp, types: &[&Type], bound: &BTreeSet<Name>) -> Self {
        let symbols = op.own_dims().iter().filter(|dim| dim.known().is_none()).flat_map(|dim| dim.symbols());
        let symbols: BTreeSet<Name> = symbols.filter(|name| !bound.contains(name)).collect();
        if symbols.is_empty() {
            return Self(None);
        }
        Self(Some(Box::new(Free { symbols, declared: types.iter().map(|ty| (*ty).clone()).collect() })))
    }

    /// The op with the extents as numbers that operands of the types `found` carry.
    pub(super) fn resolve<'a>(&self, op: &'a CoreOp, found: impl FnOnce() -> Vec<Type>) -> Cow<'a, CoreOp> {
        let Some(free) = &self.0 else { return Cow::Borrowed(op) };
        let (mut op, found) = (op.clone(), found());
        let (declared, found): (Vec<&Type>, Vec<&Type>) = (free.declared.iter().collect(), found.iter().collect());
        op.adapt(&declared, &found, &|name| free.symbols.contains(name), &|_| None);
        Cow::Owned(op)
    }

    /// How many numbers an `iota` must make: its extent, unless that is for the `iota` to say. `op` is resolved.
    pub(super) fn expected(&self, op: &CoreOp, bindings: &Bindings) -> Option<u64> {
        let extent = op.own_dims().first()?;
        if self.0.is_none() { extent.eval(bindings) } else { extent.known() }
    }
}
