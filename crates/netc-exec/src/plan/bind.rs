//! Checks tensors against parameter types and binds symbols to their extents.

use std::collections::BTreeMap;

use netc_ir::{Bindings, Dim, ElemType, Name, Type};

use crate::error::{ExecError, Result};
use crate::kernels::has_free_symbols;

/// Binds the symbols that are extents of parameters. Each parameter is given as its name, declared type and actual
/// fixed type.
///
/// An extent that is a larger expression binds nothing; it is checked if all of its symbols are bound.
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
        // No value: the extent is negative, or one of its symbols is unbound.
        None => !has_free_symbols(dim, &bindings),
    };
    match expressions.into_iter().find(|(dim, extent, _)| differs(dim, *extent)) {
        Some((_, _, mismatch)) => Err(mismatch),
        None => Ok(bindings),
    }
}
