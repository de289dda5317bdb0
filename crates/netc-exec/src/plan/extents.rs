//! Extents in the attributes of an op that its operands carry.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use netc_ir::{Bindings, CoreOp, Dim, Name, Type};

use crate::error::KernelError;
use crate::error::kernel::Result;

/// The symbols of an op that its function's parameters do not bind. Most ops have none.
#[derive(Debug, Default)]
pub(super) struct Extents(Option<Box<Free>>);

#[derive(Debug)]
struct Free {
    symbols: BTreeSet<Name>,
    /// The types of the operands in the program.
    declared: Vec<Type>,
}

impl Extents {
    /// Finds the free symbols of `op` on operands of the types `types`, in a function whose parameters bind `bound`.
    pub(super) fn of(op: &CoreOp, types: &[&Type], bound: &BTreeSet<Name>) -> Self {
        let symbols = op.own_dims().iter().filter(|dim| dim.known().is_none()).flat_map(|dim| dim.symbols());
        let symbols: BTreeSet<Name> = symbols.filter(|name| !bound.contains(name)).collect();
        if symbols.is_empty() {
            return Self(None);
        }
        Self(Some(Box::new(Free { symbols, declared: types.iter().map(|ty| (*ty).clone()).collect() })))
    }

    /// Replaces the extents that operands of the types `found` carry by numbers. `bindings` has the other symbols.
    ///
    /// # Errors
    /// Two operands carry the same extent with different values, or an extent is negative.
    pub(super) fn resolve<'a>(
        &self,
        op: &'a CoreOp,
        bindings: &Bindings,
        found: impl FnOnce() -> Vec<Type>,
    ) -> Result<Cow<'a, CoreOp>> {
        let Some(free) = &self.0 else { return Ok(Cow::Borrowed(op)) };
        let carried = free.carried(&found())?;
        // A caller's symbol of the same name is a different symbol.
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

    /// The extent that an `iota` must have; `None` if the `iota` defines its extent. `op` is resolved.
    ///
    /// # Errors
    /// The extent is negative.
    pub(super) fn expected(&self, op: &CoreOp, bindings: &Bindings) -> Result<Option<u64>> {
        let Some(extent) = op.own_dims().first() else { return Ok(None) };
        if self.0.is_some() { Ok(extent.known()) } else { value_of(extent, bindings) }
    }
}

impl Free {
    /// The values of the extents with free symbols, read from operands of the types `found`.
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

/// The value of `dim`, if all of its symbols are bound. An error if it is negative.
fn value_of(dim: &Dim, bindings: &Bindings) -> Result<Option<u64>> {
    let value = dim.eval(bindings);
    let is_told = !dim.is_unknown() && dim.symbols().iter().all(|symbol| bindings.contains_key(symbol));
    if value.is_none() && is_told {
        return Err(KernelError::Unbound { dim: dim.to_string() });
    }
    Ok(value)
}
