//! A program on its way: the functions that are being written, and which values the next op may read.

use std::collections::BTreeMap;
use std::ops;

use netc_ir::extents::uncarried;
use netc_ir::{Binary, CoreOp, Dim, ElemType, Func, Literal, Module, Name, Type, Unary, call_types, infer};

use super::range::{Range, range};
use super::types::{self, Table, declared, dims, is_small, largest, least, of_inputs};
use super::{Added, CoreRecipe};
use crate::features::Feature;
use crate::recipe::of;

/// Functions in functions.
const MAX_DEPTH: usize = 3;

/// The file of every location.
const FILE: &str = "no such folder/model \u{1f4c8}.keras";

/// Ops of a function with those of the functions that it calls: calls of calls double quickly.
const MAX_INLINED: usize = 500;

/// A tensor: its type, and what its elements are.
#[derive(Clone)]
pub(super) struct Value {
    pub(super) ty: Type,
    pub(super) range: Range,
}

impl Value {
    /// Whether its elements can be compared.
    pub(super) fn is_ordered(&self) -> bool {
        !matches!(self.ty.elem, ElemType::Narrow(_))
    }

    pub(super) fn is_number(&self) -> bool {
        types::is_number(self.ty.elem)
    }

    fn param(ty: Type) -> Self {
        Self { range: Range::of_input(ty.elem), ty }
    }
}

pub(super) enum Kind {
    Op(CoreOp),
    /// A call of the function with this place among those that are written.
    Call(usize),
}

pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) operands: Vec<usize>,
    pub(super) results: ops::Range<usize>,
}

/// A function that is being written. Values are numbered: parameters, then results.
pub(super) struct Scope {
    pub(super) values: Vec<Value>,
    pub(super) params: usize,
    pub(super) nodes: Vec<Node>,
    /// Parameters, weights and constants.
    sources: Vec<usize>,
    /// What ops compute.
    made: Vec<usize>,
    /// Whether an op reads each value.
    read: Vec<bool>,
    /// What the caller passes.
    pub(super) operands: Vec<usize>,
    /// The choice of the outputs.
    pub(super) outputs: Vec<u8>,
    steps_left: usize,
    /// Ops, with those of the functions that are called.
    pub(super) inlined: usize,
}

impl Scope {
    fn new(params: Vec<Value>, operands: Vec<usize>, outputs: Vec<u8>, steps_left: usize) -> Self {
        let (params, values) = (params.len(), params);
        let (sources, read) = ((0..params).collect(), vec![false; params]);
        let (nodes, made, inlined) = (Vec::new(), Vec::new(), 0);
        Self { values, params, nodes, sources, made, read, operands, outputs, steps_left, inlined }
    }

    fn push(&mut self, kind: Kind, operands: Vec<usize>, results: Vec<Value>) -> usize {
        let first = self.values.len();
        self.values.extend(results);
        let results = first..self.values.len();
        self.inlined += 1;
        self.read.resize(self.values.len(), false);
        operands.iter().for_each(|x| self.read[*x] = true);
        let is_source = matches!(kind, Kind::Op(CoreOp::Weight(_) | CoreOp::Constant(_)));
        (if is_source { &mut self.sources } else { &mut self.made }).extend(results.clone());
        self.nodes.push(Node { kind, operands, results });
        first
    }

    /// What no op reads of the `near` values that were computed last, the last first.
    pub(super) fn unread(&self, near: usize) -> impl Iterator<Item = usize> + '_ {
        self.made.iter().rev().take(near).copied().filter(|v| !self.read[*v])
    }

    /// Every value; what is computed last comes first. Weights and constants count as old as parameters, so that chains
    /// of ops become long.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = usize> + '_ {
        self.made.iter().rev().chain(&self.sources).copied()
    }
}

/// A function that is written, with what its callers need to know of it.
pub(super) struct Written {
    pub(super) func: Func,
    pub(super) params: Vec<Value>,
    pub(super) outputs: Vec<Range>,
    /// Its ops, with those of the functions that it calls.
    pub(super) inlined: usize,
}

pub(super) struct Draft<'r> {
    pub(super) recipe: &'r CoreRecipe,
    pub(super) table: Table,
    pub(super) module: Module,
    pub(super) written: Vec<Written>,
    /// `@main`, and the functions that are being written in it.
    scopes: Vec<Scope>,
    scope: Scope,
    /// Whether the step may make numbers that are not finite.
    wild: bool,
}

impl<'r> Draft<'r> {
    pub(super) fn new(recipe: &'r CoreRecipe) -> Self {
        let table = Table::new(recipe.features);
        let many = recipe.features.has(Feature::ManyInputs);
        let inputs = recipe.inputs.iter().take(if many { usize::MAX } else { 1 });
        let apart = recipe.outputs.first().is_some_and(|choice| choice % 2 == 1);
        let params = of_inputs(&inputs.map(|i| table.ty(*i)).collect::<Vec<_>>(), apart);
        let params = params.into_iter().map(Value::param).collect();
        let scope = Scope::new(params, Vec::new(), recipe.outputs.clone(), usize::MAX);
        let mut module = Module::new();
        if recipe.features.has(Feature::Names) {
            module.intern_file(FILE);
        }
        Self { recipe, table, module, written: Vec::new(), scopes: Vec::new(), scope, wild: false }
    }

    pub(super) fn has(&self, feature: Feature) -> bool {
        self.recipe.features.has(feature)
    }

    pub(super) fn be_wild(&mut self, knob: u8) {
        self.wild = knob >= 224 && self.has(Feature::NonFinite);
    }

    pub(super) fn scope(&self) -> &Scope {
        &self.scope
    }

    pub(super) fn get(&self, x: usize) -> &Value {
        &self.scope.values[x]
    }

    pub(super) fn elem(&self, x: usize) -> ElemType {
        self.get(x).ty.elem
    }

    pub(super) fn dims(&self, x: usize) -> &[Dim] {
        dims(&self.get(x).ty)
    }

    /// The axes of `x` whose bits are set.
    pub(super) fn axes(&self, x: usize, bits: u8) -> Vec<u64> {
        (0..self.dims(x).len() as u64).filter(|i| bits >> i & 1 == 1).collect()
    }

    /// The value that `read` stands for among those that fit: the op's first operand. Mostly the last that nothing reads.
    pub(super) fn value(&self, read: u8, fits: impl Fn(&Value) -> bool) -> Added {
        let start = match read {
            0..176 => 0,
            176..216 => usize::from(read) % 3,
            216.. => usize::from(read),
        };
        let unread = self.scope.unread(self.near()).filter(|_| read < 176);
        let constants = read > 248 && self.has(Feature::Branches);
        unread.chain(self.candidates(start, constants)).find(|v| fits(self.get(*v)))
    }

    /// The value that `read` stands for among those that fit: an operand beside `x`. Mostly the last that nothing else
    /// reads, so that branches meet again.
    pub(super) fn beside(&self, x: usize, read: u8, fits: impl Fn(&Value) -> bool) -> Added {
        let own = (!self.has(Feature::Branches)).then_some(x);
        let unread = self.scope.unread(self.near()).filter(|v| read < 176 && *v != x);
        let start = usize::from(read);
        own.into_iter().chain(unread).chain(self.candidates(start, true)).find(|v| fits(self.get(*v)))
    }

    /// How many of the values that were computed last may be read.
    fn near(&self) -> usize {
        match (self.has(Feature::Branches), self.has(Feature::Skips)) {
            (false, _) => 1,
            (true, false) => 4,
            (true, true) => usize::MAX,
        }
    }

    /// A value and one of its axes.
    pub(super) fn axis(&self, read: u8, axis: u8, fits: impl Fn(&Value) -> bool) -> Option<(usize, u64)> {
        let x = self.value(read, |v| !dims(&v.ty).is_empty() && fits(v))?;
        Some((x, u64::from(axis) % self.dims(x).len() as u64))
    }

    /// The values that an op may read, the last first, from place `start` on, around.
    fn candidates(&self, start: usize, constants: bool) -> impl Iterator<Item = usize> + '_ {
        let Scope { made, sources, params, .. } = &self.scope;
        let near = self.near();
        let window = made.len().min(near);
        let total = window + sources.len();
        let all = (0..total).map(move |i| (start + i) % total);
        all.filter_map(move |place| {
            if place < window {
                return Some(made[made.len() - 1 - place]);
            }
            let source = sources[place - window];
            let is_param = source < *params && window < near;
            (is_param || constants || window == 0).then_some(source)
        })
    }

    /// Adds an op. Where its numbers could be infinite, its operands are bounded first.
    ///
    /// Nothing is added if the result is too large, or could still be infinite.
    pub(super) fn op(&mut self, op: CoreOp, operands: &[usize]) -> Added {
        let mut operands = self.with_carriers(&op, operands)?;
        for bound in [Some(Unary::Tanh), Some(Unary::Sigmoid), None] {
            let result = self.result(&op, &operands)?;
            // What comes of numbers that are not finite need not be either.
            let wild = self.wild || operands.iter().any(|x| !self.get(*x).range.fits(self.elem(*x)));
            if (wild && result.ty.elem.is_float()) || result.range.fits(result.ty.elem) {
                return Some(self.scope.push(Kind::Op(op), operands, vec![result]));
            }
            self.bound(&mut operands, bound?)?;
        }
        None
    }

    /// Adds an op that fits whatever its operands are.
    pub(super) fn sure(&mut self, op: CoreOp, operands: &[usize]) -> Added {
        let operands = self.with_carriers(&op, operands)?;
        let result = self.result(&op, &operands)?;
        Some(self.scope.push(Kind::Op(op), operands, vec![result]))
    }

    /// `operands`, and values that tell the symbols in extents that the op names, where no parameter does.
    fn with_carriers(&self, op: &CoreOp, operands: &[usize]) -> Option<Vec<usize>> {
        let mut operands = operands.to_vec();
        if op.own_dims().iter().all(|d| d.known().is_some()) {
            return Some(operands);
        }
        let known = types::symbols(self.scope.values[..self.scope.params].iter().map(|v| &v.ty));
        // The last operand of an `iota` carries its extent, or the extent is a new symbol.
        if matches!(op, CoreOp::Iota(_)) {
            return Some(operands);
        }
        for dim in op.own_dims() {
            let types: Vec<&Type> = operands.iter().map(|x| &self.get(*x).ty).collect();
            for symbol in uncarried(dim, &types).difference(&known) {
                let symbol = Dim::symbol(symbol.clone());
                operands.push((0..self.scope.values.len()).find(|x| self.dims(*x).contains(&symbol))?);
            }
        }
        Some(operands)
    }

    /// Whether the function that is being written is `@main`.
    pub(super) fn is_main(&self) -> bool {
        self.scopes.is_empty()
    }

    fn result(&self, op: &CoreOp, operands: &[usize]) -> Option<Value> {
        let values: Vec<&Value> = operands.iter().map(|x| self.get(*x)).collect();
        let types: Vec<&Type> = values.iter().map(|v| &v.ty).collect();
        let ty = infer(&self.module, op, &types);
        debug_assert!(ty.is_ok(), "the recipe chose operands that do not fit: {ty:?}");
        let ty = ty.ok().filter(is_small)?;
        Some(Value { range: range(&self.module, op, &values, &ty), ty })
    }

    /// Replaces operands by bounded ones: floats by `f` of them, and the last integer by one that is 1 or more.
    fn bound(&mut self, operands: &mut [usize], f: Unary) -> Option<()> {
        for x in operands.iter_mut() {
            if self.elem(*x).is_float() {
                *x = self.sure(CoreOp::Unary(f), &[*x])?;
            }
        }
        let last = operands.last_mut()?;
        if f == Unary::Tanh && self.elem(*last).is_int() {
            let one = self.sure(CoreOp::Constant(Literal::splat(self.elem(*last), &[], 1.0)), &[])?;
            *last = self.sure(CoreOp::Binary(Binary::Max), &[*last, one])?;
        }
        Some(())
    }

    /// An op that fits every value.
    pub(super) fn simple(&mut self, read: u8, knob: u8) -> Added {
        let x = self.value(read, |_| true)?;
        let f = of(&[Unary::Tanh, Unary::Abs, Unary::Not], knob);
        let fits = infer(&self.module, &CoreOp::Unary(f), &[&self.get(x).ty]).is_ok();
        self.op(if fits { CoreOp::Unary(f) } else { CoreOp::Reverse(self.axes(x, knob)) }, &[x])
    }

    /// Begins a function whose body is the steps that follow, and which is called when it is written.
    pub(super) fn begin(&mut self, reads: [u8; 3], [count, steps, outputs, picks]: [u8; 4]) -> Added {
        if !self.has(Feature::Nested) || self.scopes.len() >= MAX_DEPTH {
            return None;
        }
        let most = if self.has(Feature::Branches) { 3 } else { 1 };
        let count = if count >= 240 { 0 } else { 1 + usize::from(count) % most };
        let operands: Vec<usize> = reads.iter().take(count).filter_map(|r| self.value(*r, |_| true)).collect();
        let given: Vec<Type> = operands.iter().map(|x| self.get(*x).ty.clone()).collect();
        // An extent such as `2*N` stays in half of the functions, where the caller's `N` is nothing but a part of it.
        let params = if steps % 2 == 0 { declared(&given) } else { given };
        let params = params.into_iter().zip(&operands);
        let params = params.map(|(ty, x)| Value { range: self.get(*x).range.widened(ty.elem), ty }).collect();
        let outputs = (0..=outputs % 3).map(|i| picks.rotate_left(3 * u32::from(i))).collect();
        // This step counts as one.
        let steps_left = (2 + usize::from(steps) % 6).min(self.scope.steps_left);
        let inner = Scope::new(params, operands, outputs, steps_left);
        self.scopes.push(std::mem::replace(&mut self.scope, inner));
        Some(0)
    }

    /// Counts a step, and ends the functions that are complete.
    pub(super) fn end_step(&mut self) {
        for scope in self.scopes.iter_mut().skip(1).chain(std::iter::once(&mut self.scope)) {
            scope.steps_left = scope.steps_left.saturating_sub(1);
        }
        while self.scope.steps_left == 0 {
            self.end();
        }
    }

    /// Ends the innermost function and calls it; `@main`, which nothing calls, stays.
    fn end(&mut self) -> Added {
        let caller = self.scopes.pop()?;
        let inner = std::mem::replace(&mut self.scope, caller);
        let (written, operands) = self.write(&inner);
        self.written.push(written);
        self.call(self.written.len() - 1, operands)
    }

    /// Ends every function and gives `@main`.
    pub(super) fn end_all(&mut self) -> Scope {
        while !self.scopes.is_empty() {
            self.end();
        }
        std::mem::replace(&mut self.scope, Scope::new(Vec::new(), Vec::new(), Vec::new(), usize::MAX))
    }

    fn call(&mut self, callee: usize, operands: Vec<usize>) -> Added {
        let written = &self.written[callee];
        let mut types = call_types(&written.func, operands.iter().map(|x| &self.get(*x).ty));
        let own = written.func.outputs.iter().map(|o| &written.func[o.value].ty);
        if !self.name_computed(&mut types, own) {
            return None;
        }
        let results = types.into_iter().zip(&written.outputs).map(|(ty, range)| Value { ty, range: *range });
        let results: Vec<Value> = results.collect();
        // An op has a result.
        let inlined = self.scope.inlined + written.inlined;
        let fits = !results.is_empty() && results.iter().all(|v| is_small(&v.ty)) && inlined < MAX_INLINED;
        fits.then(|| {
            self.scope.inlined = inlined;
            self.scope.push(Kind::Call(callee), operands, results)
        })
    }

    /// Gives symbols to the extents of a call's results that the callee, where the results have the types `own`, computes.
    /// False if symbols cannot stand for them.
    fn name_computed<'t>(&self, types: &mut [Type], own: impl Iterator<Item = &'t Type>) -> bool {
        let mut names: BTreeMap<&Dim, Dim> = BTreeMap::new();
        let first = self.free_symbol();
        for (ty, own) in types.iter_mut().zip(own) {
            for (dim, own) in ty.dims.iter_mut().flatten().zip(dims(own)).filter(|(dim, _)| dim.is_unknown()) {
                if !may_be(&Dim::symbol(first.clone()), own) {
                    return false;
                }
                let n = names.len();
                *dim = names.entry(own).or_insert_with(|| Dim::symbol(format!("{first}r{n}"))).clone();
            }
        }
        true
    }

    /// A call of a function that is written, of those that fit the one that `pick` stands for.
    pub(super) fn call_again(&mut self, reads: [u8; 3], pick: u8) -> Added {
        if !self.has(Feature::Shared) {
            return None;
        }
        let n = self.written.len();
        let callees = (0..n).map(|i| (usize::from(pick) + i) % n);
        let (callee, operands) = callees.filter_map(|i| Some((i, self.operands(&self.written[i], reads)?))).next()?;
        self.call(callee, operands)
    }

    /// Values that `callee` takes.
    fn operands(&self, callee: &Written, reads: [u8; 3]) -> Option<Vec<usize>> {
        let mut bound = BTreeMap::new();
        let mut operands = Vec::new();
        for (param, read) in callee.params.iter().zip(reads) {
            let fits = |v: &Value| v.range.is_within(param.range) && binds(&bound, &param.ty, &v.ty).is_some();
            let x = match operands.first() {
                None => self.value(read, fits)?,
                Some(first) => self.beside(*first, read, fits)?,
            };
            bound = binds(&bound, &param.ty, &self.get(x).ty)?;
            operands.push(x);
        }
        Some(operands)
    }
}

/// What the symbols of parameters are where `given` stands for `declared`, `bound` being what they are already.
fn binds(bound: &BTreeMap<Name, Dim>, declared: &Type, given: &Type) -> Option<BTreeMap<Name, Dim>> {
    if declared.elem != given.elem || dims(declared).len() != dims(given).len() {
        return None;
    }
    let mut bound = bound.clone();
    for (own, given) in dims(declared).iter().zip(dims(given)) {
        let new = own.as_symbol().filter(|symbol| !bound.contains_key(*symbol));
        if let Some(symbol) = new {
            if !may_be(own, given) {
                return None;
            }
            bound.insert(symbol.clone(), given.clone());
            continue;
        }
        // The types of results have the symbols that no parameter binds, so these must be the caller's.
        for symbol in own.symbols() {
            bound.entry(symbol.clone()).or_insert_with(|| Dim::symbol(symbol));
        }
        if own.substitute(&|symbol| bound.get(symbol).cloned()) != *given {
            return None;
        }
    }
    Some(bound)
}

/// Whether a callee that is written for the symbol `own` runs with `given`.
fn may_be(own: &Dim, given: &Dim) -> bool {
    least(given) >= 1 && largest(given) <= largest(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_of_a_callee_are_those_of_its_caller_where_nothing_binds_them() {
        let ty = |dim: Dim| Type::new(ElemType::F32, [dim]);
        let (own, next) = (ty(Dim::symbol("N")), ty(Dim::symbol("N").offset(1)));
        let same = binds(&BTreeMap::new(), &next, &next).unwrap();
        assert_eq!(binds(&same, &own, &own), Some(same.clone()));
        assert_eq!(binds(&same, &own, &ty(Dim::Known(3))), None);
        assert_eq!(binds(&BTreeMap::new(), &next, &ty(Dim::Known(4))), None);
        let bound = binds(&BTreeMap::new(), &own, &ty(Dim::Known(3))).unwrap();
        assert_eq!(binds(&bound, &next, &next), None);
        assert_eq!(binds(&bound, &next, &ty(Dim::Known(4))), Some(bound.clone()));
    }
}
