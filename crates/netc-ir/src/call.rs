//! The result types of calls.

use std::collections::{BTreeMap, BTreeSet};

use crate::dim::Dim;
use crate::module::Func;
use crate::name::Name;
use crate::types::{ElemType, Type};

/// The result types of a call of `callee` with operands of types `given`.
///
/// These are the types of the callee's outputs, with the symbols of its parameters replaced by the extents of the
/// operands. A symbol is replaced only if it is a whole extent of a parameter: `N` but not the `N` in `2*N`. Extents
/// that the callee computes become `?`.
///
/// ```
/// use netc_ir::{ElemType, Type, call_types};
///
/// let module = netc_ir::parse("netc 1\nfunc @double(%x: f32[N]) -> (%y) { %y = concat(%x, %x) {axis = 0} : f32[2*N] }")?;
/// let given = Type::fixed(ElemType::F32, &[3]);
/// assert_eq!(call_types(&module.funcs[0], [&given]), [Type::fixed(ElemType::F32, &[6])]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn call_types<'a>(callee: &Func, given: impl IntoIterator<Item = &'a Type>) -> Vec<Type> {
    let mut symbols = call_symbols(callee, given);
    let outputs = || callee.outputs.iter().map(|o| &callee[o.value].ty);
    let is_open = |dim: &Dim| dim.known().is_none() && dim.symbols().iter().any(|name| !symbols.contains_key(name));
    // A callee may be long, and called often.
    if outputs().flat_map(|ty| ty.dims.iter().flatten()).any(is_open) {
        for (computed, _) in callee.computed_symbols() {
            symbols.insert(computed.clone(), Dim::unknown());
        }
    }
    outputs().map(|ty| ty.substitute(&|name| symbols.get(name).cloned())).collect()
}

/// [`call_types`], but extents with symbols that the call does not bind are read off the result types `declared`.
///
/// The callee computes such symbols, or has them from calls and source ops. The caller may use the same names for other
/// extents.
pub fn named_call_types<'a>(
    callee: &Func,
    given: impl IntoIterator<Item = &'a Type, IntoIter: Clone>,
    declared: impl IntoIterator<Item = &'a Type>,
) -> Vec<Type> {
    let given = given.into_iter();
    let bound = call_symbols(callee, given.clone());
    let is_open = |dim: &Dim| dim.known().is_none() && dim.symbols().iter().any(|name| !bound.contains_key(name));
    let mut types = call_types(callee, given);
    let outputs = callee.outputs.iter().map(|o| &callee[o.value].ty);
    for ((ty, own), declared) in types.iter_mut().zip(outputs).zip(declared) {
        let dims = ty.dims.iter_mut().flatten().zip(own.dims.iter().flatten()).enumerate();
        for (axis, (dim, _)) in dims.filter(|(_, (_, own))| is_open(own)) {
            *dim = declared.dims.as_ref().and_then(|dims| dims.get(axis)).cloned().unwrap_or_else(Dim::unknown);
        }
    }
    types
}

/// Binds symbols of the callee's parameters to extents of operands of types `given`.
///
/// Binds only symbols that are a whole extent of a parameter. If an operand has the extent `2*K` of the parameter
/// itself, `K` is the caller's.
pub fn call_symbols<'a>(callee: &Func, given: impl IntoIterator<Item = &'a Type>) -> BTreeMap<Name, Dim> {
    let mut symbols = BTreeMap::new();
    let mut kept = Vec::new();
    for (param, given) in callee.params.iter().zip(given) {
        let declared = callee[param.value].ty.dims.iter().flatten();
        for (declared, given) in declared.zip(given.dims.iter().flatten()) {
            if let Some(symbol) = declared.as_symbol() {
                symbols.entry(symbol.clone()).or_insert_with(|| given.clone());
            } else if declared.known().is_none() && declared == given {
                kept.push(declared.symbols());
            }
        }
    }
    kept.retain(|own| own.iter().any(|name| !symbols.contains_key(name)));
    if kept.is_empty() {
        return symbols;
    }
    let computed: BTreeSet<&Name> = callee.computed_symbols().into_iter().map(|(symbol, _)| symbol).collect();
    for own in kept {
        let is_same = |name: &Name| symbols.get(name).is_none_or(|dim| dim.as_symbol() == Some(name));
        if own.iter().all(|name| is_same(name) && !computed.contains(name)) {
            symbols.extend(own.into_iter().map(|name| (name.clone(), Dim::symbol(name))));
        }
    }
    symbols
}

impl Type {
    /// Replaces each symbol for which `symbol` returns an extent.
    #[must_use]
    pub fn substitute(&self, symbol: &impl Fn(&Name) -> Option<Dim>) -> Self {
        let dims = self.dims.as_ref().map(|dims| dims.iter().map(|d| d.substitute(symbol)).collect());
        Self { elem: self.elem, dims }
    }

    /// Fills in what `other`, a second type of the same tensor, knows and this type does not.
    ///
    /// Takes a missing element type or rank from `other`, and replaces symbolic extents by numbers.
    #[must_use]
    pub fn refined_by(&self, other: &Self) -> Self {
        let elem = if self.elem == ElemType::Any { other.elem } else { self.elem };
        let dims = match (&self.dims, &other.dims) {
            (Some(own), Some(others)) if own.len() == others.len() => {
                let refine = |(own, other): (&Dim, &Dim)| {
                    if own.known().is_none() && other.known().is_some() { other.clone() } else { own.clone() }
                };
                Some(own.iter().zip(others).map(refine).collect())
            }
            (Some(own), _) => Some(own.clone()),
            (None, others) => others.clone(),
        };
        Self { elem, dims }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    #[test]
    fn operands_bind_parameter_symbols() {
        let module = parse("netc 1\nfunc @f(%x: f32[N,D]) -> (%y) {\n  %y = relu(%x) : f32[N,D]\n}").unwrap();
        let given = Type::fixed(ElemType::F32, &[3, 8]);
        assert_eq!(call_types(&module.funcs[0], [&given]), [given]);
    }

    #[test]
    fn call_results_keep_the_callers_symbols() {
        let text = "netc 1
        func @f(%x: f32[N], %n: i64[]) -> (%y, %i) {
          %i = iota(%n) : i64[K]
          %y = broadcast(%x, %i) : f32[2*K,N]
        }
        func @g(%y: f32[J,L], %i: i64[M]) -> () {}";
        let module = parse(text).unwrap();
        let (x, n) = (Type::fixed(ElemType::F32, &[3]), Type::fixed(ElemType::I64, &[]));
        let types = call_types(&module.funcs[0], [&x, &n]);
        assert_eq!(types.iter().map(Type::to_string).collect::<Vec<_>>(), ["f32[?,3]", "i64[?]"]);
        let declared = module.funcs[1].params.iter().map(|p| &module.funcs[1][p.value].ty);
        let types = named_call_types(&module.funcs[0], [&x, &n], declared);
        assert_eq!(types.iter().map(Type::to_string).collect::<Vec<_>>(), ["f32[J,3]", "i64[M]"]);
    }

    #[test]
    fn call_results_take_unbound_symbols_from_the_declared_types() {
        let text = "netc 1
        func @f(%x: f32[2*N], %n: i64[]) -> (%x, %p) { %p = custom.Places(%n) : i64[C] }
        func @g(%y: f32[2*J], %i: i64[M]) -> () {}";
        let module = parse(text).unwrap();
        let (x, n) = (Type::fixed(ElemType::F32, &[6]), Type::fixed(ElemType::I64, &[]));
        let declared = module.funcs[1].params.iter().map(|p| &module.funcs[1][p.value].ty);
        let types = named_call_types(&module.funcs[0], [&x, &n], declared);
        assert_eq!(types.iter().map(Type::to_string).collect::<Vec<_>>(), ["f32[2*J]", "i64[M]"]);
        let types = named_call_types(&module.funcs[0], [&x, &n], [&Type::unranked(ElemType::F32), &n]);
        assert_eq!(types.iter().map(Type::to_string).collect::<Vec<_>>(), ["f32[?]", "i64[?]"]);
    }

    #[test]
    fn an_equal_extent_keeps_its_symbols() {
        let text = "netc 1
        func @f(%x: f32[2*N], %y: f32[M+K], %z: f32[M], %d: f32[2*J], %n: i64[]) -> () { %j = iota(%n) : i64[J] }
        func @g(%x: f32[2*N], %y: f32[M+K], %z: f32[3], %d: f32[2*J], %n: i64[]) -> () {}";
        let module = parse(text).unwrap();
        let given = module.funcs[1].params.iter().map(|p| &module.funcs[1][p.value].ty);
        let symbols = call_symbols(&module.funcs[0], given);
        let found: Vec<String> = symbols.iter().map(|(name, dim)| format!("{name} = {dim}")).collect();
        assert_eq!(found, ["M = 3", "N = N"]);
    }

    #[test]
    fn refining_prefers_known_extents() {
        let module = parse("netc 1\nfunc @f(%x: any[N,D], %y: f32[M,4], %z: f32[*]) -> () {\n}").unwrap();
        let ty = |i: usize| module.funcs[0][module.funcs[0].params[i].value].ty.clone();
        assert_eq!(ty(0).refined_by(&ty(1)).to_string(), "f32[N,4]");
        assert_eq!(ty(2).refined_by(&ty(1)).to_string(), "f32[M,4]");
    }
}
