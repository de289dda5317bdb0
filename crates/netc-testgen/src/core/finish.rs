//! Turns finished drafts into functions of the IR: outputs, names, locations.

use netc_ir::{
    Attr, Attrs, Builder, CallOp, Dim, FileId, Func, FuncId, Loc, MAIN, Module, Name, NonJson, OpKind, SourceOp,
    ValueId, WeightId,
};

use super::scope::{Draft, Kind, Scope, Value, Written};
use super::types::{dims, symbols};
use crate::features::Feature;
use crate::recipe::of;

/// Names, most of which the printer must quote.
const NAMES: &[&str] = &["v", "a.b", "x/y-", "two words", "\u{fc}n\u{ef}", "q\"uo\\te", "tab\t", "%"];

/// Names of functions. The first is the prefix of the stages of a split.
const FUNCS: &[&str] = &["stage", "f", "a b", "main"];

impl Draft<'_> {
    /// A prefix for names.
    pub(super) fn word(&self, i: u8) -> &'static str {
        if self.has(Feature::Names) { of(NAMES, i) } else { NAMES[0] }
    }

    /// The symbols that extents in the function may use.
    pub(super) fn symbols(&self) -> Vec<Dim> {
        let found = symbols(self.scope().values.iter().map(|v| &v.ty));
        found.into_iter().map(Dim::symbol).collect()
    }

    /// Builds the function of `scope`, and the operands for its call.
    pub(super) fn write(&self, scope: &Scope) -> (Written, Vec<usize>) {
        let n = self.written.len();
        let name = if self.has(Feature::Names) { format!("{}{n}", of(FUNCS, n as u8)) } else { format!("f{n}") };
        let outputs = self.outputs(scope);
        let needed = self.needed(scope, &outputs);
        let kept: Vec<usize> = (0..scope.params).filter(|p| needed[*p]).collect();
        let written = Written {
            func: self.func(scope, name.into(), &outputs, &needed),
            params: kept.iter().map(|p| scope.values[*p].clone()).collect(),
            outputs: outputs.iter().map(|o| scope.values[*o].range).collect(),
            inlined: scope.inlined,
        };
        (written, kept.iter().filter_map(|p| scope.operands.get(*p).copied()).collect())
    }

    /// Builds the module. `@main` is the first or the last function.
    pub(super) fn finish(mut self) -> Module {
        let (main, first) = (self.end_all(), self.main_is_first());
        if self.has(Feature::Names) {
            self.module.attrs = attrs(self.recipe.steps.len());
        }
        let outputs = self.outputs(&main);
        let needed = self.needed(&main, &outputs);
        let mut func = self.func(&main, MAIN.into(), &outputs, &needed);
        if self.has(Feature::Names) && outputs.len() > 2 {
            func.attrs = attrs(0);
        }
        let callees = self.written.into_iter().map(|w| w.func);
        self.module.funcs = callees.collect();
        self.module.funcs.insert(if first { 0 } else { self.module.funcs.len() }, func);
        self.module
    }

    fn main_is_first(&self) -> bool {
        self.recipe.steps.len() % 2 == 1
    }

    /// The values that the function returns: the newest, other unread ones, and arbitrary ones.
    fn outputs(&self, scope: &Scope) -> Vec<usize> {
        let (all, unread): (Vec<usize>, Vec<usize>) =
            (scope.newest_first().collect(), scope.unread(usize::MAX).collect());
        if !self.has(Feature::ManyOutputs) {
            return all.first().copied().into_iter().collect();
        }
        let output = |o: &u8| match o {
            0..96 => all.first().copied(),
            96..208 => around(&unread, *o).or(all.first().copied()),
            208.. => around(&all, *o),
        };
        scope.outputs.iter().filter_map(output).collect()
    }

    /// The values to keep: all of them with the feature `dead`, otherwise live values and parameters that bind symbols.
    fn needed(&self, scope: &Scope, outputs: &[usize]) -> Vec<bool> {
        let mut needed = vec![self.has(Feature::Dead); scope.values.len()];
        outputs.iter().for_each(|o| needed[*o] = true);
        for node in scope.nodes.iter().rev() {
            if node.results.clone().any(|r| needed[r]) {
                node.operands.iter().for_each(|x| needed[*x] = true);
            }
        }
        for (needed, value) in needed.iter_mut().zip(&scope.values[..scope.params]) {
            *needed |= dims(&value.ty).iter().any(|d| d.known().is_none());
        }
        needed
    }

    fn func(&self, scope: &Scope, name: Name, outputs: &[usize], needed: &[bool]) -> Func {
        let mut b = Builder::new(&self.module, name);
        let mut ids: Vec<Option<ValueId>> = vec![None; scope.values.len()];
        for (i, Value { ty, .. }) in scope.values[..scope.params].iter().enumerate().filter(|(i, _)| needed[*i]) {
            ids[i] = Some(b.param(format!("{}.in{i}", self.word(i as u8)), ty.clone(), None));
        }
        for (i, node) in scope.nodes.iter().enumerate().filter(|(_, n)| n.results.clone().any(|r| needed[r])) {
            b.at(self.loc(i));
            let kind = match &node.kind {
                Kind::Op(op) => OpKind::Core(op.clone()),
                Kind::Call(callee) => self.call_op(*callee),
            };
            let operands: Vec<ValueId> = node.operands.iter().filter_map(|x| ids[*x]).collect();
            let results = node.results.clone().map(|r| (scope.values[r].ty.clone(), self.name(r)));
            let op = b.op(kind, &operands, results.collect::<Vec<_>>());
            node.results.clone().zip(b.results(op)).for_each(|(r, id)| ids[r] = Some(*id));
        }
        let outputs = outputs.iter().enumerate();
        let outputs = outputs.filter_map(|(i, o)| Some((format!("out{i}").into(), ids[*o]?)));
        b.finish(outputs.collect::<Vec<_>>())
    }

    /// Builds a call, or a source op that runs the function.
    fn call_op(&self, callee: usize) -> OpKind {
        let callee = FuncId::new(callee + usize::from(self.main_is_first()));
        let mut attrs = if self.has(Feature::Names) { attrs(callee.index()) } else { Attrs::new() };
        if self.has(Feature::Abstract) && callee.index().is_multiple_of(2) {
            let weight = (!self.module.weights.is_empty()).then(|| NonJson::Weight(WeightId::new(0)).into());
            let body = Attrs::new().with("body", NonJson::Func(callee)).into();
            attrs.push("graphs", Attr::List(weight.into_iter().chain([body]).collect()));
            return OpKind::Source(Box::new(SourceOp { absent: vec![0], ..SourceOp::new("custom.Run", None, attrs) }));
        }
        OpKind::Call(Box::new(CallOp { callee, layer: None, attrs }))
    }

    fn name(&self, value: usize) -> Option<Name> {
        let named = !self.has(Feature::Names) || !value.is_multiple_of(3);
        named.then(|| format!("{}{value}", self.word(value as u8)).into())
    }

    /// A location; all forms occur.
    fn loc(&self, i: usize) -> Loc {
        if !self.has(Feature::Names) {
            return Loc::Unknown;
        }
        let file = i.is_multiple_of(2).then(|| FileId::new(0));
        let call = |call| Loc::Call { file, path: format!("block/{}", i / 3).into(), call };
        match i % 4 {
            0 => Loc::Unknown,
            1 | 2 => call(i as u32 / 4),
            _ => Loc::fuse([call(0), call(1)]),
        }
    }
}

fn around(values: &[usize], place: u8) -> Option<usize> {
    values.get(usize::from(place) % values.len().max(1)).copied()
}

/// Attributes with every kind of value.
fn attrs(n: usize) -> Attrs {
    let floats = [0.1, -0.0, 1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.0];
    Attrs::new()
        .with("floats", Attr::List(floats.map(Attr::from).to_vec()))
        .with("integers", Attr::ints([i128::MIN, -1, n as i128, i128::MAX]))
        .with("null", Attr::Null)
        .with("a key", Attrs::new().with("true", true).with("empty", Attrs::new()).with("", Attr::List(Vec::new())))
        .with("bytes", NonJson::Bytes([0, n as u8, 0xff].as_slice().into()))
        .with("text", "\"\\ \u{1f4c8}\n\u{7f}\r\0;{}")
}
