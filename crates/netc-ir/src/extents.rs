//! Computed extents: the symbols that a function defines, and the operands that carry them.
//!
//! The extents of most results follow from the operands, but `reshape`, `broadcast` and `iota` name extents of their
//! own. An extent that an `iota` defines is known only after the `iota` has run, so an op that names it takes an
//! operand that has this extent: a carrier. A pass that respects operands then keeps the order, and a stage of a split
//! model receives the extent with its inputs.

use std::collections::{BTreeMap, BTreeSet};

use crate::dim::Dim;
use crate::id::OpId;
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

    /// Rewrites the op's own extents when its operand types change from `old` to `new`.
    ///
    /// An extent with a free symbol (`is_free`) is read off the operand that carries it. Other symbols are replaced by
    /// `symbol`.
    pub fn adapt(
        &mut self,
        old: &[&Type],
        new: &[&Type],
        is_free: &impl Fn(&Name) -> bool,
        symbol: &impl Fn(&Name) -> Option<Dim>,
    ) {
        let extent = |(operand, axis): (usize, usize)| new.get(operand)?.dims.as_ref()?.get(axis).cloned();
        let carried = |dim: &Dim| carrier(dim, old).and_then(extent);
        for dim in self.own_dims_mut().iter_mut().filter(|dim| dim.known().is_none()) {
            let follows = dim.symbols().iter().any(is_free);
            let whole = if follows { carried(dim) } else { None };
            *dim = whole.unwrap_or_else(|| {
                dim.substitute(&|name| {
                    let own = if is_free(name) { carried(&Dim::symbol(name.clone())) } else { None };
                    own.or_else(|| symbol(name))
                })
            });
        }
    }
}

/// Maps the symbols of a function to extents in the function that its ops are copied into.
#[derive(Debug, Default)]
pub struct Symbols {
    /// Symbols with one meaning throughout the function. Extents with other symbols are read off the operands.
    fixed: BTreeSet<Name>,
    pub(crate) known: BTreeMap<Name, Dim>,
}

impl Symbols {
    /// For a copy of `func` with the same parameters. Symbols keep their names, except computed ones whose name is
    /// taken.
    pub fn same(func: &Func) -> Self {
        Self { fixed: func.param_symbols(), known: BTreeMap::new() }
    }

    /// For inlining `callee`: `known` has the symbols that the call binds, and new names for those that `callee`
    /// computes.
    pub fn called(callee: &Func, known: BTreeMap<Name, Dim>) -> Self {
        let mut fixed: BTreeSet<Name> = known.keys().cloned().collect();
        for (computed, _) in callee.computed_symbols() {
            fixed.remove(computed);
        }
        Self { fixed, known }
    }

    /// The extent of `name` in the other function, if known.
    pub fn get(&self, name: &Name) -> Option<Dim> {
        self.known.get(name).cloned()
    }

    /// Whether the symbol is to be read off operands.
    pub(crate) fn is_free(&self, name: &Name) -> bool {
        !self.fixed.contains(name)
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
    fn own_extents_adapt_to_new_operand_types() {
        let mut op = CoreOp::Reshape(["2*K", "N", "J+N"].map(dim).to_vec());
        let (old, new) = ([&ty("f32[2*K,J]")], [&ty("f32[M,N+1]")]);
        let is_free = |name: &Name| &**name != "N";
        op.adapt(&old, &new, &is_free, &|name| (&**name == "N").then(|| dim("B")));
        assert_eq!(op.own_dims(), ["M", "B", "N+B+1"].map(dim));
    }
}
