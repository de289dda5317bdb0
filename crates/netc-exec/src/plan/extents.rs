//! The extents that an op names itself, where operands carry them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use netc_ir::{Bindings, CoreOp, Dim, Name, Type};

use crate::error::KernelError;
use crate::error::kernel::Result;

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

    /// The op with the extents as numbers that operands of the types `found` carry. Its other symbols are in `bindings`.
    ///
    /// # Errors
    /// Two operands that carry the same extent and differ in it, and an extent that is negative.
    pub(super) fn resolve<'a>(
        &self,
        op: &'a CoreOp,
        bindings: &Bindings,
        found: impl FnOnce() -> Vec<Type>,
    ) -> Result<Cow<'a, CoreOp>> {
        let Some(free) = &self.0 else { return Ok(Cow::Borrowed(op)) };
        let carried = free.carried(&found())?;
        // A symbol of the same name that a caller binds is another one.
        let mut values = bindings.clone();
        values.retain(|symbol, _| !free.symbols.contains(symbol));
        for (dim, value) in &carried {
            values.extend(dim.as_symbol().map(|symbol| (symbol.clone(), *value)));
        }
        let mut resolved = op.clone();
        for dim in resolved.own_dims_mut().iter_mut().filter(|dim| dim.known().is_none()) {
            let value = match carried.get(dim) {
                Some(value) => Some(*value),
                None => value_of(dim, &values)?,
            };
            *dim = value.map_or_else(|| dim.clone(), Dim::Known);
        }
        Ok(Cow::Owned(resolved))
    }

    /// How many numbers an `iota` must make: its extent, unless the `iota` defines that. `op` is resolved.
    ///
    /// # Errors
    /// An extent that is negative.
    pub(super) fn expected(&self, op: &CoreOp, bindings: &Bindings) -> Result<Option<u64>> {
        let Some(extent) = op.own_dims().first() else { return Ok(None) };
        if self.0.is_some() { Ok(extent.known()) } else { value_of(extent, bindings) }
    }
}

impl Free {
    /// The extents with free symbols that operands of the types `found` have.
    fn carried(&self, found: &[Type]) -> Result<BTreeMap<&Dim, u64>> {
        let mut carried: BTreeMap<&Dim, u64> = BTreeMap::new();
        for (declared, found) in self.declared.iter().zip(found) {
            let axes = declared.dims.iter().flatten().zip(found.dims.iter().flatten());
            for (dim, value) in axes.filter_map(|(dim, found)| Some((dim, found.known()?))) {
                if dim.is_unknown() || dim.symbols().is_disjoint(&self.symbols) {
                    continue;
                }
                let first = *carried.entry(dim).or_insert(value);
                if first != value {
                    return Err(KernelError::Carriers { dim: dim.to_string(), first, second: value });
                }
            }
        }
        Ok(carried)
    }
}

/// The value of `dim`, if all of its symbols have values.
fn value_of(dim: &Dim, bindings: &Bindings) -> Result<Option<u64>> {
    let value = dim.eval(bindings);
    let is_told = !dim.is_unknown() && dim.symbols().iter().all(|symbol| bindings.contains_key(symbol));
    if value.is_none() && is_told {
        return Err(KernelError::Unbound { dim: dim.to_string() });
    }
    Ok(value)
}
