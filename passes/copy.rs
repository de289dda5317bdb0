//! Rebuilds a function while tracking which new value replaces which old one.

use std::collections::BTreeMap;

use netc_ir::extents::Symbols;
use netc_ir::{Builder, CoreOp, Func, InferError, Module, Name, Op, OpKind, Output, Param, Type, ValueId};

/// A new function, built from the ops of an old one.
pub(crate) struct Copy<'m> {
    old: &'m Func,
    new_of: Vec<Option<ValueId>>,
    symbols: Symbols,
    /// The new function.
    pub(crate) builder: Builder<'m>,
}

/// The state of the caller while the ops of a callee are copied.
pub(crate) struct Caller<'m> {
    old: &'m Func,
    new_of: Vec<Option<ValueId>>,
    symbols: Symbols,
}

impl<'m> Copy<'m> {
    pub(crate) fn new(module: &'m Module, old: &'m Func, name: impl Into<Name>) -> Self {
        let (symbols, mut builder) = (Symbols::same(old), Builder::new(module, name));
        builder.reserve_symbols(old.symbols().into_keys());
        Self { old, new_of: vec![None; old.num_values()], symbols, builder }
    }

    /// Switches to copying ops of `callee`, with `operands` for its parameters, until [`Copy::leave`].
    pub(crate) fn enter(&mut self, callee: &'m Func, operands: &[ValueId]) -> Caller<'m> {
        let new_of = std::mem::replace(&mut self.new_of, vec![None; callee.num_values()]);
        let symbols = Symbols::called(callee, operands.iter().map(|v| self.builder.ty(*v)));
        let symbols = std::mem::replace(&mut self.symbols, symbols);
        let caller = Caller { old: std::mem::replace(&mut self.old, callee), new_of, symbols };
        for (param, operand) in callee.params.iter().zip(operands) {
            self.set(param.value, *operand);
        }
        caller
    }

    /// Switches back to `caller` and returns the new values for the outputs of the callee.
    pub(crate) fn leave(&mut self, caller: Caller<'m>) -> Vec<ValueId> {
        let outputs: Vec<ValueId> = self.old.outputs.iter().map(|o| o.value).collect();
        let results = self.get_all(&outputs);
        (self.old, self.new_of, self.symbols) = (caller.old, caller.new_of, caller.symbols);
        results
    }

    /// Copies `param`, a parameter of the old function.
    pub(crate) fn param(&mut self, param: &Param) {
        let value = self.builder.param(param.name.clone(), self.old[param.value].ty.clone(), param.layer);
        self.set(param.value, value);
    }

    /// Copies a core op whose operands were `old` and are now `new`. Its type is inferred.
    pub(crate) fn core(&mut self, op: &CoreOp, old: &[ValueId], new: &[ValueId]) -> Result<ValueId, InferError> {
        let types: Vec<&Type> = old.iter().map(|v| &self.old[*v].ty).collect();
        self.builder.copied(op, &types, new, &mut self.symbols)
    }

    /// Copies an op of the old function.
    pub(crate) fn op(&mut self, op: &Op) {
        let operands = self.get_all(&op.operands);
        let types = self.declared(op, &operands).into_iter().map(|ty| (ty, None));
        let new = self.builder.at(op.loc.clone()).op(op.kind.clone(), &operands, types);
        let results = self.builder.results(new).to_vec();
        self.set_all(&op.results, &results);
    }

    /// The types that the old function declares for the results of `op`, in the symbols of the new function, where `op`
    /// takes `operands`. For a core op, the types are unchanged.
    pub(crate) fn declared(&mut self, op: &Op, operands: &[ValueId]) -> Vec<Type> {
        if matches!(op.kind, OpKind::Core(_)) {
            return op.results.iter().map(|v| self.old[*v].ty.clone()).collect();
        }
        let old: Vec<&Type> = op.operands.iter().map(|v| &self.old[*v].ty).collect();
        let new_type = |v: &ValueId| self.builder.copied_type(&self.old[*v].ty, &old, operands, &mut self.symbols);
        op.results.iter().map(new_type).collect()
    }

    /// The new values for `old`. In a verified function every operand is defined before its reader.
    pub(crate) fn get_all(&self, old: &[ValueId]) -> Vec<ValueId> {
        old.iter().filter_map(|v| self.new_of[v.index()]).collect()
    }

    pub(crate) fn set(&mut self, old: ValueId, new: ValueId) {
        self.new_of[old.index()] = Some(new);
    }

    pub(crate) fn set_all(&mut self, old: &[ValueId], new: &[ValueId]) {
        for (old, new) in old.iter().zip(new) {
            self.set(*old, *new);
        }
    }

    /// Finishes the function with the new values for the named old values as outputs. Values keep the names of the old
    /// function; a value that replaces several keeps the first name.
    pub(crate) fn finish(self, outputs: impl IntoIterator<Item = (Name, ValueId)>) -> Func {
        let outputs = outputs.into_iter().filter_map(|(name, old)| Some((name, self.new_of[old.index()]?)));
        let outputs: Vec<_> = outputs.collect();
        let mut func = self.builder.finish(outputs);
        for value in func.values_in_order().collect::<Vec<_>>() {
            func[value].name = None;
        }
        for old in self.old.values_in_order() {
            if let Some(new) = self.new_of[old.index()]
                && func[new].name.is_none()
            {
                func[new].name = self.old[old].name.clone();
            }
        }
        func
    }
}

/// A new function, built from some ops of an old one. Takes time proportional to the number of copied ops, because a
/// function may be divided into as many parts as it has ops.
pub(crate) struct PartCopy<'m> {
    old: &'m Func,
    new_of: BTreeMap<ValueId, ValueId>,
    builder: Builder<'m>,
}

impl<'m> PartCopy<'m> {
    pub(crate) fn new(module: &'m Module, old: &'m Func, name: impl Into<Name>) -> Self {
        Self { old, new_of: BTreeMap::new(), builder: Builder::new(module, name) }
    }

    /// Copies `param`, a parameter of the old function.
    pub(crate) fn param(&mut self, param: &Param) {
        let value = self.builder.param(param.name.clone(), self.old[param.value].ty.clone(), param.layer);
        self.new_of.insert(param.value, value);
    }

    /// Adds a parameter in place of any value of the old function.
    pub(crate) fn param_for(&mut self, old: ValueId, name: Name) {
        let value = self.builder.param(name, self.old[old].ty.clone(), None);
        self.new_of.insert(old, value);
    }

    /// Copies an op of the old function. In a verified function every operand is defined before its reader.
    pub(crate) fn op(&mut self, op: &Op) {
        let operands: Vec<ValueId> = op.operands.iter().filter_map(|v| self.new_of.get(v).copied()).collect();
        let types = op.results.iter().map(|v| (self.old[*v].ty.clone(), None));
        let new = self.builder.at(op.loc.clone()).op(op.kind.clone(), &operands, types);
        self.new_of.extend(op.results.iter().copied().zip(self.builder.results(new).iter().copied()));
    }

    /// Finishes the function with the new values for the named old values as outputs. Values keep the names of the old
    /// function.
    pub(crate) fn finish(self, outputs: impl IntoIterator<Item = (Name, ValueId)>) -> Func {
        let Self { old, new_of, builder } = self;
        let outputs = outputs.into_iter().filter_map(|(name, value)| Some((name, *new_of.get(&value)?)));
        let mut func = builder.finish(outputs);
        for (value, new) in new_of {
            func[new].name = old[value].name.clone();
        }
        func
    }
}

/// Output entries as pairs.
pub(crate) fn named(outputs: &[Output]) -> impl Iterator<Item = (Name, ValueId)> + '_ {
    outputs.iter().map(|o| (o.name.clone(), o.value))
}
