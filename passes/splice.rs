//! Replaces a call by the body of the called function.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use netc_ir::extents::Symbols;
use netc_ir::{Builder, Func, InferError, Loc, Module, Name, Op, OpKind, Output, Type, UniqueNames, ValueId};

/// A new function, built from the bodies of others.
pub(crate) struct Splice<'m> {
    /// The new function. Its values get their names at the end.
    pub(crate) builder: Builder<'m>,
    names: BTreeMap<ValueId, Name>,
    taken: UniqueNames,
    /// The symbols in the body of [`Self::outer`], each with the first value there that has it.
    symbols: BTreeMap<Name, ValueId>,
    /// Whether the bodies are parts of one function and share its symbols.
    joins: bool,
}

/// A body that is being copied into the new function.
pub(crate) struct Body<'a> {
    func: &'a Func,
    /// Whether its values keep their names, which are reserved for it.
    keeps_names: bool,
    symbols: Symbols,
    new_of: Vec<Option<ValueId>>,
}

impl<'m> Splice<'m> {
    /// Starts the function `name`. The names in `kept` are reserved for the body of [`Self::outer`].
    pub(crate) fn new(module: &'m Module, name: Name, kept: impl IntoIterator<Item = Name>) -> Self {
        Self {
            builder: Builder::new(module, name),
            names: BTreeMap::new(),
            taken: UniqueNames::without(kept),
            symbols: BTreeMap::new(),
            joins: false,
        }
    }

    /// Like [`Self::new`], for a function that is put together from its parts.
    pub(crate) fn of_parts(module: &'m Module, name: Name, kept: impl IntoIterator<Item = Name>) -> Self {
        Self { joins: true, ..Self::new(module, name, kept) }
    }

    /// Begins the body of `outer`, the function that the others are inlined into, and adds its parameters.
    pub(crate) fn outer<'a>(&mut self, outer: &'a Func) -> Body<'a> {
        self.symbols = outer.symbols();
        self.builder.reserve_symbols(self.symbols.keys().cloned());
        let (symbols, new_of) = (Symbols::same(outer), vec![None; outer.num_values()]);
        let mut body = Body { func: outer, keeps_names: true, symbols, new_of };
        for param in &outer.params {
            let value = self.builder.param(param.name.clone(), outer[param.value].ty.clone(), param.layer);
            self.define(&mut body, param.value, value);
        }
        body
    }

    /// Begins the body of `callee`, called with `arguments` by `call`, an op of `outer`.
    pub(crate) fn body<'a>(&mut self, callee: &'a Func, arguments: &[ValueId], outer: &Func, call: &Op) -> Body<'a> {
        let given = arguments.iter().map(|v| self.builder.ty(*v));
        let mut symbols = if self.joins { Symbols::part(callee, given) } else { Symbols::called(callee, given) };
        for (symbol, outer_name) in outer_names(callee, outer, call) {
            if !symbols.is_unnamed(&symbol) {
                continue;
            }
            // A name that the outer function uses before the call, or for another symbol, stands for another extent.
            let is_own = self.symbols.get(&outer_name).is_some_and(|first| call.results.contains(first));
            let name = if is_own { outer_name.clone() } else { self.builder.take_symbol(&outer_name) };
            self.symbols.remove(&outer_name);
            symbols.rename(symbol, name);
        }
        let mut body = Body { func: callee, keeps_names: false, symbols, new_of: vec![None; callee.num_values()] };
        callee.params.iter().zip(arguments).for_each(|(p, v)| body.set(p.value, *v));
        body
    }

    /// Adds `op`, an op of the body, at `loc`. The types of core ops are inferred from their new operands.
    pub(crate) fn op(&mut self, body: &mut Body<'_>, op: &Op, loc: Loc) -> Result<(), InferError> {
        let operands = body.get_all(&op.operands);
        self.builder.at(loc);
        let results = match &op.kind {
            OpKind::Core(core) => {
                let types: Vec<&Type> = op.operands.iter().map(|v| &body.func[*v].ty).collect();
                vec![self.builder.copied(core, &types, &operands, &mut body.symbols)?]
            }
            OpKind::Source(_) | OpKind::Call(_) => {
                let old: Vec<&Type> = op.operands.iter().map(|v| &body.func[*v].ty).collect();
                let mut new_type =
                    |v: &ValueId| self.builder.copied_type(&body.func[*v].ty, &old, &operands, &mut body.symbols);
                let types: Vec<_> = op.results.iter().map(|v| (new_type(v), None)).collect();
                let new = self.builder.op(op.kind.clone(), &operands, types);
                self.builder.results(new).to_vec()
            }
        };
        op.results.iter().zip(results).for_each(|(old, new)| self.define(body, *old, new));
        Ok(())
    }

    /// Maps `old`, a value of the body, to the newly defined `new`, and names it.
    fn define(&mut self, body: &mut Body<'_>, old: ValueId, new: ValueId) {
        if body.keeps_names {
            self.names.extend(body.func[old].name.clone().map(|name| (new, name)));
        }
        self.stand_for(body, old, new);
    }

    /// Maps `old`, a value of the body, to `new`. If `new` has no name yet, it gets the old name, with a number if that
    /// is taken.
    pub(crate) fn stand_for(&mut self, body: &mut Body<'_>, old: ValueId, new: ValueId) {
        if let Some(name) = &body.func[old].name
            && let Entry::Vacant(entry) = self.names.entry(new)
        {
            entry.insert(self.taken.take(name));
        }
        body.set(old, new);
    }

    /// Finishes the function with the named values as outputs.
    pub(crate) fn finish(self, outputs: impl IntoIterator<Item = (Name, ValueId)>) -> Func {
        let Self { builder, mut names, .. } = self;
        let mut func = builder.finish(outputs);
        for value in func.values_in_order().collect::<Vec<_>>() {
            func[value].name = names.remove(&value);
        }
        func
    }
}

/// Symbols of `callee`, each with its name in `outer` according to the result types of `call`.
fn outer_names(callee: &Func, outer: &Func, call: &Op) -> Vec<(Name, Name)> {
    let mut names = Vec::new();
    for (inner, result) in callee.outputs.iter().zip(&call.results) {
        let (inner, result) = (&callee[inner.value].ty, &outer[*result].ty);
        for (inner, result) in inner.dims.iter().flatten().zip(result.dims.iter().flatten()) {
            if let (Some(symbol), Some(new)) = (inner.as_symbol(), result.as_symbol()) {
                names.push((symbol.clone(), new.clone()));
            } else if inner == result {
                names.extend(inner.symbols().into_iter().map(|symbol| (symbol.clone(), symbol)));
            }
        }
    }
    names
}

impl Body<'_> {
    /// The new values for `old`. In a verified function every operand is defined before its reader.
    pub(crate) fn get_all(&self, old: &[ValueId]) -> Vec<ValueId> {
        old.iter().filter_map(|v| self.new_of[v.index()]).collect()
    }

    /// Maps `old` to `new`.
    fn set(&mut self, old: ValueId, new: ValueId) {
        self.new_of[old.index()] = Some(new);
    }

    /// The outputs of the body, with their names.
    pub(crate) fn outputs(&self) -> Vec<(Name, ValueId)> {
        let new = |o: &Output| Some((o.name.clone(), self.new_of[o.value.index()]?));
        self.func.outputs.iter().filter_map(new).collect()
    }
}
