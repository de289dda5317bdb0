//! Checking tensors against the types of parameters, and reading the values of symbols off them.

use std::collections::BTreeMap;

use netc_ir::{Bindings, Dim, ElemType, Name, Type};

use crate::error::{ExecError, Result};
use crate::kernels::has_free_symbols;

/// The values of the symbols that are extents of parameters, given as name, declared type and fixed type found.
///
/// Extents that are other expressions are checked where all of their symbols have values.
pub(crate) fn bind<'a>(params: impl Iterator<Item = (&'a Name, &'a Type, &'a Type)>) -> Result<Bindings> {
    let mut bound: BTreeMap<Name, (u64, &Name)> = BTreeMap::new();
    let mut expressions = Vec::new();
    for (name, ty, found) in params {
        let mismatch = || ExecError::Input { name: name.clone(), found: found.to_string(), expected: ty.to_string() };
        if !ty.agrees_with(found) || found.elem == ElemType::Any {
            return Err(mismatch());
        }
        let (declared, extents) = (ty.dims.iter().flatten(), found.dims.iter().flatten().filter_map(Dim::known));
        for (dim, extent) in declared.zip(extents) {
            let Some(symbol) = dim.as_symbol() else {
                expressions.push((dim, extent, mismatch()));
                continue;
            };
            match bound.get(symbol) {
                Some((expected, first)) if *expected != extent => {
                    return Err(ExecError::Symbol {
                        symbol: symbol.clone(),
                        input: name.clone(),
                        found: extent,
                        first: (*first).clone(),
                        expected: *expected,
                    });
                }
                Some(_) => {}
                None => drop(bound.insert(symbol.clone(), (extent, name))),
            }
        }
    }
    let bindings: Bindings = bound.into_iter().map(|(symbol, (value, _))| (symbol, value)).collect();
    let differs = |dim: &Dim, extent: u64| match dim.eval(&bindings) {
        Some(value) => value != extent,
        // Negative, unless a symbol is left without a value.
        None => !has_free_symbols(dim, &bindings),
    };
    match expressions.into_iter().find(|(dim, extent, _)| differs(dim, *extent)) {
        Some((_, _, mismatch)) => Err(mismatch),
        None => Ok(bindings),
    }
}
