//! Computed extents: the symbols that a function defines, and the operands that carry them.
//!
//! The extents of most results follow from the operands, but `reshape`, `broadcast` and `iota` name extents of their
//! own. An extent that an `iota` defines is known only after the `iota` has run, so an op that names it takes an
//! operand that has this extent: a carrier. A pass that respects operands then keeps the order, and a stage of a split
//! model receives the extent with its inputs.

use std::collections::{BTreeMap, BTreeSet};

use crate::call::call_symbols;
use crate::dim::Dim;
use crate::id::{OpId, ValueId};
use crate::module::Func;
use crate::name::Name;
use crate::op::{CoreOp, OpKind};
use crate::types::Type;

impl CoreOp {
    /// The extents that the op itself names; empty for ops whose extents follow from their operands.
    pub fn own_dims(&self) -> &[Dim] {
        if let Self::Reshape(dims) | Self::Broadcast(dims) = self {
            dims
        } else if let Self::Iota(dim) = self {
            std::slice::from_ref(dim)
        } else {
            &[]
        }
    }

    /// The extents that the op itself names, mutable.
    pub fn own_dims_mut(&mut self) -> &mut [Dim] {
        if let Self::Reshape(dims) | Self::Broadcast(dims) = self {
            dims
        } else if let Self::Iota(dim) = self {
            std::slice::from_mut(dim)
        } else {
            &mut []
        }
    }
}

/// Maps the symbols of a function to extents in the function that its ops are copied into.
#[derive(Debug)]
pub struct Symbols {
    /// Symbols with one meaning throughout the function. Extents with other symbols are read off the operands.
    fixed: BTreeSet<Name>,
    known: BTreeMap<Name, Dim>,
    /// The symbols of the other function itself. Each gets a name here when it is first met.
    own: BTreeSet<Name>,
    /// New names for symbols of this function that an op brings where they already stand for another extent.
    lost: BTreeMap<Name, Name>,
}

impl Symbols {
    /// For a copy of `func` with the same parameters. Symbols keep their names.
    pub fn same(func: &Func) -> Self {
        Self { fixed: func.param_symbols(), known: BTreeMap::new(), own: BTreeSet::new(), lost: BTreeMap::new() }
    }

    /// For inlining `callee` where it is called with operands of types `given`. Symbols that it computes, or that come
    /// from its calls and source ops, get new names. Symbols without a value in it are the caller's.
    pub fn called<'a>(callee: &Func, given: impl IntoIterator<Item = &'a Type>) -> Self {
        let mut symbols = Self::part(callee, given);
        for (_, op) in callee.ops().filter(|(_, op)| !matches!(op.kind, OpKind::Core(_))) {
            let types: Vec<&Type> = op.operands.iter().map(|v| &callee[*v].ty).collect();
            let results = op.results.iter().flat_map(|v| callee[*v].ty.dims.iter().flatten());
            let brought = results.filter(|dim| dim.known().is_none()).flat_map(|dim| uncarried(dim, &types));
            symbols.own.extend(brought.filter(|name| !symbols.fixed.contains(name)));
        }
        symbols
    }

    /// Like [`Self::called`], for a `callee` that is a part of the caller: its calls and source ops use the caller's
    /// symbols.
    pub fn part<'a>(callee: &Func, given: impl IntoIterator<Item = &'a Type>) -> Self {
        let known = call_symbols(callee, given);
        let own = callee.computed_symbols().into_iter().map(|(symbol, _)| symbol.clone()).collect();
        Self { fixed: known.keys().cloned().collect(), known, own, lost: BTreeMap::new() }
    }

    /// Whether the symbol needs a name in the other function and has none yet.
    pub fn is_unnamed(&self, symbol: &Name) -> bool {
        self.own.contains(symbol) && !self.known.contains_key(symbol)
    }

    /// Gives `symbol` the name `new` in the other function.
    pub fn rename(&mut self, symbol: Name, new: Name) {
        self.known.insert(symbol, Dim::symbol(new));
    }

    /// The name set by [`Self::set_lost`].
    pub(crate) fn lost(&self, symbol: &Name) -> Option<&Name> {
        self.lost.get(symbol)
    }

    /// Names `symbol`, which an op brings but which already stands for another extent in the other function, `new`.
    ///
    /// The same symbol of this function gets that name as well, unless it has its own or the call binds it.
    pub(crate) fn set_lost(&mut self, symbol: Name, new: Name) {
        if !self.own.contains(&symbol) {
            self.known.entry(symbol.clone()).or_insert_with(|| Dim::symbol(new.clone()));
        }
        self.lost.insert(symbol, new);
    }

    /// Rewrites `dim` when the operand types change from `old` to `new`.
    ///
    /// An extent with a symbol that no parameter binds is read off the operand that carries it. Other symbols are
    /// replaced by their extents in the other function.
    pub(crate) fn adapted(&self, dim: &Dim, old: &[&Type], new: &[&Type]) -> Dim {
        let extent = |(operand, axis): (usize, usize)| new.get(operand)?.dims.as_ref()?.get(axis).cloned();
        let carried = |dim: &Dim| carrier(dim, old).and_then(extent);
        let is_free = |name: &Name| !self.fixed.contains(name);
        let whole = if dim.symbols().iter().any(is_free) { carried(dim) } else { None };
        whole.unwrap_or_else(|| {
            dim.substitute(&|name| {
                let own = if is_free(name) { carried(&Dim::symbol(name.clone())) } else { None };
                own.or_else(|| self.known.get(name).cloned())
            })
        })
    }
}

/// The first operand and axis whose extent is `dim`, among operands of types `operands`.
pub fn carrier(dim: &Dim, operands: &[&Type]) -> Option<(usize, usize)> {
    if dim.is_unknown() {
        return None;
    }
    operands.iter().enumerate().find_map(|(operand, ty)| {
        let axis = ty.dims.as_ref()?.iter().position(|own| own == dim)?;
        Some((operand, axis))
    })
}

/// The symbols of `dim` that no operand carries, given operands of types `operands`.
///
/// Empty if `dim` itself is an extent of an operand.
pub fn uncarried(dim: &Dim, operands: &[&Type]) -> BTreeSet<Name> {
    if carrier(dim, operands).is_some() {
        return BTreeSet::new();
    }
    let mut symbols = dim.symbols();
    symbols.retain(|name| carrier(&Dim::symbol(name.clone()), operands).is_none());
    symbols
}

impl Func {
    /// The symbols in the types of the parameters.
    pub fn param_symbols(&self) -> BTreeSet<Name> {
        let dims = self.params.iter().filter_map(|p| self.values.get(p.value.index())).flat_map(|v| v.ty.dims.iter());
        dims.flatten().flat_map(Dim::symbols).collect()
    }

    /// The symbols in the types of the values, each with its first value.
    pub fn symbols(&self) -> BTreeMap<Name, ValueId> {
        let mut symbols = BTreeMap::new();
        let mut last: Option<&Dim> = None;
        for value in self.values_in_order() {
            for dim in self[value].ty.dims.iter().flatten().filter(|dim| dim.known().is_none()) {
                // Most values have the extents of the previous value.
                if last.replace(dim) != Some(dim) {
                    for symbol in dim.symbols() {
                        symbols.entry(symbol).or_insert(value);
                    }
                }
            }
        }
        symbols
    }

    /// The symbols that `iota` ops define, each with its op.
    pub fn computed_symbols(&self) -> Vec<(&Name, OpId)> {
        let symbol = |id: OpId| {
            let op = self.ops.get(id.index())?;
            let OpKind::Core(core @ CoreOp::Iota(_)) = &op.kind else { return None };
            let types: Vec<&Type> =
                op.operands.iter().filter_map(|v| self.values.get(v.index())).map(|v| &v.ty).collect();
            defined_symbol(core, &types).map(|name| (name, id))
        };
        self.op_ids().filter_map(symbol).collect()
    }
}

/// The symbol that the op defines: the extent of an `iota` if no operand carries it.
pub(crate) fn defined_symbol<'o>(op: &'o CoreOp, operands: &[&Type]) -> Option<&'o Name> {
    let CoreOp::Iota(dim) = op else { return None };
    if carrier(dim, operands).is_some() { None } else { dim.as_symbol() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn ty(text: &str) -> Type {
        let module = parse(&format!("netc 1\nfunc @main(%x: {text}) -> (%x) {{}}")).unwrap();
        module.funcs[0].values[0].ty.clone()
    }

    fn dim(text: &str) -> Dim {
        Dim::parse(text).unwrap()
    }

    #[test]
    fn operands_carry_whole_extents_or_their_symbols() {
        let (scaled, plain) = (ty("f32[2*K,?]"), ty("i64[J]"));
        let operands = [&scaled, &plain];
        assert_eq!(carrier(&dim("2*K"), &operands), Some((0, 0)));
        assert_eq!(carrier(&dim("?"), &operands), None);
        assert!(uncarried(&dim("2*K"), &operands).is_empty());
        assert!(uncarried(&dim("3*J+1"), &operands).is_empty());
        assert_eq!(uncarried(&dim("K+J"), &operands), ["K"].map(Name::from).into());
    }

    #[test]
    fn extents_adapt_to_new_operand_types() {
        let callee = parse("netc 1\nfunc @f(%x: f32[N]) -> () {}").unwrap();
        let mut symbols = Symbols::called(&callee.funcs[0], [&ty("f32[B]")]);
        let (old, new) = ([&ty("f32[2*K,J]")], [&ty("f32[M,N+1]")]);
        let adapted = |symbols: &Symbols, text| symbols.adapted(&dim(text), &old, &new);
        assert_eq!(["2*K", "N", "J+N", "7"].map(|text| adapted(&symbols, text)), ["M", "B", "N+B+1", "7"].map(dim));
        symbols.rename("K".into(), "K_1".into());
        assert_eq!(["3*K", "J+K"].map(|text| adapted(&symbols, text)), ["3*K_1", "K_1+N+1"].map(dim));
    }

    #[test]
    fn a_callee_has_symbols_of_its_own() {
        let text = "netc 1
        func @f(%x: f32[N], %y: f32[2*L], %n: i64[]) -> () {
          %i = iota(%n) : i64[K]
          %p = custom.Places(%x, %i) : i64[N+K+P]
          %q = custom.Places(%p) : i64[Q]
          %r = broadcast(%n) : i64[R,L]
        }";
        let callee = &parse(text).unwrap().funcs[0];
        let given = [&ty("f32[3]"), &ty("f32[2*L]")];
        let own = |symbols: Symbols| {
            let all = ["N", "L", "K", "P", "Q", "R"].map(Name::from);
            all.into_iter().filter(|name| symbols.is_unnamed(name)).collect::<Vec<_>>()
        };
        assert_eq!(own(Symbols::called(callee, given)), ["K", "P", "Q"].map(Name::from));
        assert_eq!(own(Symbols::part(callee, given)), ["K"].map(Name::from));
        assert_eq!(own(Symbols::same(callee)), []);
    }

    #[test]
    fn symbols_keep_their_names_in_a_copy() {
        let func = parse("netc 1\nfunc @f(%x: f32[N]) -> () {}").unwrap();
        let symbols = Symbols::same(&func.funcs[0]);
        let (old, new) = ([&ty("f32[K,N]")], [&ty("f32[3,N]")]);
        assert_eq!(["K", "N", "J+N"].map(|text| symbols.adapted(&dim(text), &old, &new)), ["3", "N", "J+N"].map(dim));
    }
}
