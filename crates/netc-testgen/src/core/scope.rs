//! A program under construction: its open functions, and the values that the next op may read.

use std::collections::BTreeMap;
use std::ops;

use netc_ir::extents::uncarried;
use netc_ir::{Binary, CoreOp, Dim, ElemType, Func, Literal, Module, Name, Type, Unary, call_types, infer};

use super::range::{Range, range};
use super::types::{self, Table, declared, dims, is_small, largest, least, of_inputs};
use super::{Added, CoreRecipe};
use crate::features::Feature;
use crate::recipe::of;

/// Maximum nesting of functions.
const MAX_DEPTH: usize = 3;

/// The file of every location.
const FILE: &str = "no such folder/model \u{1f4c8}.keras";

/// Maximum ops of a function after inlining, since nested calls double quickly.
const MAX_INLINED: usize = 500;

/// A tensor: its type and the range of its elements.
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
    /// A call of the finished function with this index.
    Call(usize),
}

pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) operands: Vec<usize>,
    pub(super) results: ops::Range<usize>,
}

/// An open function. Values are numbered: parameters, then results.
pub(super) struct Scope {
    pub(super) values: Vec<Value>,
    pub(super) params: usize,
    pub(super) nodes: Vec<Node>,
    /// Parameters, weights and constants.
    sources: Vec<usize>,
    /// Results of other ops.
    made: Vec<usize>,
    /// Whether some op reads the value.
    read: Vec<bool>,
    /// The operands of the call.
    pub(super) operands: Vec<usize>,
    /// Numbers that select the outputs.
    pub(super) outputs: Vec<u8>,
    steps_left: usize,
    /// The number of ops after inlining.
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

    /// The unread values among the last `near` results, the newest first.
    pub(super) fn unread(&self, near: usize) -> impl Iterator<Item = usize> + '_ {
        self.made.iter().rev().take(near).copied().filter(|v| !self.read[*v])
    }

    /// Every value, the newest first. Weights and constants count as old as parameters, so that chains of ops become
    /// long.
    pub(super) fn newest_first(&self) -> impl Iterator<Item = usize> + '_ {
        self.made.iter().rev().chain(&self.sources).copied()
    }
}

/// A finished function, with what its callers need.
pub(super) struct Written {
    pub(super) func: Func,
    pub(super) params: Vec<Value>,
    pub(super) outputs: Vec<Range>,
    /// The number of its ops after inlining.
    pub(super) inlined: usize,
}

pub(super) struct Draft<'r> {
    pub(super) recipe: &'r CoreRecipe,
    pub(super) table: Table,
    pub(super) module: Module,
    pub(super) written: Vec<Written>,
    /// The functions around `scope`, beginning with `@main`.
    scopes: Vec<Scope>,
    scope: Scope,
    /// Whether the step may make infinities and NaN.
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

    /// The first operand of an op: the value selected by `read` among those that fit, usually the newest unread value.
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

    /// Another operand next to `x`: the value selected by `read` among those that fit, usually the newest unread value,
    /// so that branches meet again.
    pub(super) fn beside(&self, x: usize, read: u8, fits: impl Fn(&Value) -> bool) -> Added {
        let own = (!self.has(Feature::Branches)).then_some(x);
        let unread = self.scope.unread(self.near()).filter(|v| read < 176 && *v != x);
        let start = usize::from(read);
        own.into_iter().chain(unread).chain(self.candidates(start, true)).find(|v| fits(self.get(*v)))
    }

    /// The number of newest results that an op may read.
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

    /// The values that an op may read, the newest first, starting at `start` and wrapping around.
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

    /// Adds an op. If its result could be infinite, bounds its operands first.
    ///
    /// Adds nothing if the result is too large or could still be infinite.
    pub(super) fn op(&mut self, op: CoreOp, operands: &[usize]) -> Added {
        let mut operands = self.with_carriers(&op, operands)?;
        for bound in [Some(Unary::Tanh), Some(Unary::Sigmoid), None] {
            let result = self.result(&op, &operands)?;
            // A result of unbounded operands may be unbounded too.
            let wild = self.wild || operands.iter().any(|x| !self.get(*x).range.fits(self.elem(*x)));
            if (wild && result.ty.elem.is_float()) || result.range.fits(result.ty.elem) {
                return Some(self.scope.push(Kind::Op(op), operands, vec![result]));
            }
            self.bound(&mut operands, bound?)?;
        }
        None
    }

    /// Adds an op that is valid for any range of its operands.
    pub(super) fn sure(&mut self, op: CoreOp, operands: &[usize]) -> Added {
        let operands = self.with_carriers(&op, operands)?;
        let result = self.result(&op, &operands)?;
        Some(self.scope.push(Kind::Op(op), operands, vec![result]))
    }

    /// Appends to `operands` carriers of the symbols that the op names and no parameter binds.
    fn with_carriers(&self, op: &CoreOp, operands: &[usize]) -> Option<Vec<usize>> {
        let mut operands = operands.to_vec();
        if op.own_dims().iter().all(|d| d.known().is_some()) {
            return Some(operands);
        }
        let known = types::symbols(self.scope.values[..self.scope.params].iter().map(|v| &v.ty));
        // An `iota` already has a carrier as its last operand, or defines a new symbol.
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

    /// Whether the open function is `@main`.
    pub(super) fn is_main(&self) -> bool {
        self.scopes.is_empty()
    }

    fn result(&self, op: &CoreOp, operands: &[usize]) -> Option<Value> {
        let values: Vec<&Value> = operands.iter().map(|x| self.get(*x)).collect();
        let types: Vec<&Type> = values.iter().map(|v| &v.ty).collect();
        let ty = infer(&self.module, op, &types);
        debug_assert!(ty.is_ok(), "the recipe chose invalid operands: {ty:?}");
        let ty = ty.ok().filter(is_small)?;
        Some(Value { range: range(&self.module, op, &values, &ty), ty })
    }

    /// Bounds operands: applies `f` to floats, and makes the last operand at least 1 if it is an integer.
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

    /// Adds an op that accepts any value.
    pub(super) fn simple(&mut self, read: u8, knob: u8) -> Added {
        let x = self.value(read, |_| true)?;
        let f = of(&[Unary::Tanh, Unary::Abs, Unary::Not], knob);
        let fits = infer(&self.module, &CoreOp::Unary(f), &[&self.get(x).ty]).is_ok();
        self.op(if fits { CoreOp::Unary(f) } else { CoreOp::Reverse(self.axes(x, knob)) }, &[x])
    }

    /// Opens a function. The next steps form its body; it is called when it is complete.
    pub(super) fn begin(&mut self, reads: [u8; 3], [count, steps, outputs, picks]: [u8; 4]) -> Added {
        if !self.has(Feature::Nested) || self.scopes.len() >= MAX_DEPTH {
            return None;
        }
        let most = if self.has(Feature::Branches) { 3 } else { 1 };
        let count = if count >= 240 { 0 } else { 1 + usize::from(count) % most };
        let operands: Vec<usize> = reads.iter().take(count).filter_map(|r| self.value(*r, |_| true)).collect();
        let given: Vec<Type> = operands.iter().map(|x| self.get(*x).ty.clone()).collect();
        // Half of the functions keep an extent such as `2*N`, so nothing in them binds `N`.
        let params = if steps % 2 == 0 { declared(&given) } else { given };
        let params = params.into_iter().zip(&operands);
        let params = params.map(|(ty, x)| Value { range: self.get(*x).range.widened(ty.elem), ty }).collect();
        let outputs = (0..=outputs % 3).map(|i| picks.rotate_left(3 * u32::from(i))).collect();
        // This step counts as one of them.
        let steps_left = (2 + usize::from(steps) % 6).min(self.scope.steps_left);
        let inner = Scope::new(params, operands, outputs, steps_left);
        self.scopes.push(std::mem::replace(&mut self.scope, inner));
        Some(0)
    }

    /// Counts a step and ends complete functions.
    pub(super) fn end_step(&mut self) {
        for scope in self.scopes.iter_mut().skip(1).chain(std::iter::once(&mut self.scope)) {
            scope.steps_left = scope.steps_left.saturating_sub(1);
        }
        while self.scope.steps_left == 0 {
            self.end();
        }
    }

    /// Ends the innermost function and calls it. `@main` stays open.
    fn end(&mut self) -> Added {
        let caller = self.scopes.pop()?;
        let inner = std::mem::replace(&mut self.scope, caller);
        let (written, operands) = self.write(&inner);
        self.written.push(written);
        self.call(self.written.len() - 1, operands)
    }

    /// Ends every function and returns `@main`.
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
        // An op needs a result.
        let inlined = self.scope.inlined + written.inlined;
        let fits = !results.is_empty() && results.iter().all(|v| is_small(&v.ty)) && inlined < MAX_INLINED;
        fits.then(|| {
            self.scope.inlined = inlined;
            self.scope.push(Kind::Call(callee), operands, results)
        })
    }

    /// Assigns symbols to the extents of a call's results that the callee computes. `own` are the result types in the
    /// callee. Returns false if a new symbol could not have such an extent.
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

    /// Adds a call of the finished function selected by `pick` among those that fit.
    pub(super) fn call_again(&mut self, reads: [u8; 3], pick: u8) -> Added {
        if !self.has(Feature::Shared) {
            return None;
        }
        let n = self.written.len();
        let callees = (0..n).map(|i| (usize::from(pick) + i) % n);
        let (callee, operands) = callees.filter_map(|i| Some((i, self.operands(&self.written[i], reads)?))).next()?;
        self.call(callee, operands)
    }

    /// Operands for a call of `callee`.
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

/// Extends `bound` with the symbols that a parameter of type `declared` binds when it gets a value of type `given`;
/// `None` if the value does not fit.
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
        // A call leaves symbols that no parameter binds in its result types, so these must be symbols of the caller.
        for symbol in own.symbols() {
            bound.entry(symbol.clone()).or_insert_with(|| Dim::symbol(symbol));
        }
        if own.substitute(&|symbol| bound.get(symbol).cloned()) != *given {
            return None;
        }
    }
    Some(bound)
}

/// Whether a callee built for the symbol `own` also runs with `given`.
fn may_be(own: &Dim, given: &Dim) -> bool {
    least(given) >= 1 && largest(given) <= largest(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unbound_symbols_of_a_callee_match_those_of_the_caller() {
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
