//! The verifier. A module that passes it satisfies these rules; each violation names its rule and its place.
//!
//! - V1  An operand is a parameter of the function or a result of an earlier op.
//! - V2  A core op's operands satisfy its constraints, and its result has the type that [`infer`] gives.
//! - V3  References to files, weights, layers and functions are entries of the module's tables.
//! - V4  A value is defined once, by the parameter or op that its definition names, and value names are unique.
//! - V5  A call passes and receives as many values as its callee takes and returns, of agreeing types.
//! - V6  No function calls itself, directly or through others.
//! - V7  A source op that applies a layer has the layer's class as its name.
//! - V8  Operand references in attributes are less than the number of operands.
//! - V9  A weight has a fixed shape and numeric elements, and its bytes are as many as its type says.
//! - V10 Function names are unique, and so are a function's parameter names and output names.
//! - V11 An output is a parameter or a result of an op of the function.
//! - V12 An op stands once in its function's order.
//! - V13 A layer's weights have different places.
//! - V14 An op has a result, a source op's name is a dialect and a class joined by a point, and a fused location holds
//!   two places or more, none of them fused or unknown.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::Hash;

use crate::Name;
use crate::id::{FuncId, OpId, ValueId};
use crate::infer::infer;
use crate::module::{Def, Func, Loc, Module, Weight, WeightData};
use crate::op::{CallOp, CoreOp, Op, OpKind, SourceOp};
use crate::types::Type;

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The number of the rule, from 1.
    pub rule: u8,
    /// The function, op or table entry.
    pub place: String,
    /// What was found and what was expected.
    pub note: String,
}

/// Every rule that a module breaks, in the order of the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violations(pub Vec<Violation>);

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, v) in self.0.iter().enumerate() {
            write!(f, "{}V{} at {}: {}", if i == 0 { "" } else { "\n" }, v.rule, v.place, v.note)?;
        }
        Ok(())
    }
}

impl std::error::Error for Violations {}

/// Checks every rule of the module, and reports all that are broken.
pub fn verify(module: &Module) -> Result<(), Violations> {
    let mut v = Verifier { module, found: Vec::new() };
    v.tables();
    for func in &module.funcs {
        v.func(func);
    }
    // What follows calls relies on references being in range.
    if v.found.iter().all(|x| x.rule != 3) {
        v.recursion();
    }
    if v.found.is_empty() { Ok(()) } else { Err(Violations(v.found)) }
}

struct Verifier<'m> {
    module: &'m Module,
    found: Vec<Violation>,
}

impl Verifier<'_> {
    fn require(&mut self, rule: u8, holds: bool, place: &dyn fmt::Display, note: impl FnOnce() -> String) {
        if !holds {
            self.found.push(Violation { rule, place: place.to_string(), note: note() });
        }
    }

    fn tables(&mut self) {
        for (i, weight) in self.module.weights.iter().enumerate() {
            self.weight(&format!("w{i} `{}`", weight.name), weight);
        }
        for (i, layer) in self.module.layers.iter().enumerate() {
            let place = format!("l{i} `{}`", layer.name);
            for (_, w) in &layer.weights {
                self.require(3, w.index() < self.module.weights.len(), &place, || format!("there is no weight {w}"));
            }
            let twice = duplicate(layer.weights.iter().map(|(place, _)| place));
            self.require(13, twice.is_none(), &place, || format!("two weights are at `{}`", twice.map_or("", |n| n)));
        }
        let twice = duplicate(self.module.funcs.iter().map(|f| &f.name));
        self.require(10, twice.is_none(), &"the module", || {
            format!("two functions are `@{}`", twice.map_or("", |n| n))
        });
    }

    fn weight(&mut self, place: &str, weight: &Weight) {
        let bytes = weight.ty.num_bytes();
        self.require(9, bytes.is_some() && weight.ty.elem.size() > 0, &place, || {
            format!("its type is {}, expected a fixed shape of numbers or booleans", weight.ty)
        });
        match &weight.data {
            WeightData::File { file, len, .. } => {
                self.require(3, file.index() < self.module.files.len(), &place, || format!("there is no {file}"));
                self.require(9, bytes.is_none_or(|b| b == *len), &place, || {
                    format!("{} is {} bytes, the file holds {len}", weight.ty, bytes.unwrap_or(0))
                });
            }
            WeightData::Inline(literal) => {
                self.require(9, literal.is_well_formed() && literal.ty() == weight.ty, &place, || {
                    format!("its type is {}, its value {} of {} bytes", weight.ty, literal.ty(), literal.bytes.len())
                });
            }
            WeightData::Random { .. } => self.require(9, weight.ty.elem.is_float(), &place, || {
                format!("its type is {}: random weights are floats", weight.ty)
            }),
        }
    }

    fn func(&mut self, func: &Func) {
        let here = format!("@{}", func.name);
        let mut scope = Scope { defined: vec![false; func.num_values()], names: BTreeSet::new() };
        for (i, param) in func.params.iter().enumerate() {
            self.define(func, &mut scope, param.value, Def::Param(i as u32), &here);
            let known = param.layer.is_none_or(|l| l.index() < self.module.layers.len());
            self.require(3, known, &here, || format!("the layer of parameter `{}` does not exist", param.name));
        }
        let mut seen = vec![false; func.num_op_slots()];
        for id in func.op_ids() {
            let in_table = id.index() < func.num_op_slots();
            self.require(12, in_table && !seen[id.index().min(seen.len().saturating_sub(1))], &here, || {
                format!("{id} stands twice, or is not in the table")
            });
            if in_table {
                seen[id.index()] = true;
                self.op(func, &mut scope, id, &func[id]);
            }
        }
        for output in &func.outputs {
            self.require(11, scope.is_defined(output.value), &here, || {
                format!("output `{}` is not defined", output.name)
            });
        }
        let twice = duplicate(func.params.iter().map(|p| &p.name)).or(duplicate(func.outputs.iter().map(|o| &o.name)));
        self.require(10, twice.is_none(), &here, || {
            format!("two parameters or two outputs are named `{}`", twice.map_or("", |n| n))
        });
    }

    fn define(&mut self, func: &Func, scope: &mut Scope, value: ValueId, def: Def, place: &dyn fmt::Display) {
        let in_table = value.index() < func.num_values();
        let fresh = in_table && !scope.defined[value.index()] && func[value].def == def;
        self.require(4, fresh, place, || format!("{value} is defined twice, or not by what its entry says"));
        if in_table {
            scope.defined[value.index()] = true;
            if let Some(name) = &func[value].name {
                let free = scope.names.insert(name.clone());
                self.require(4, free, place, || format!("two values are named `%{name}`"));
            }
        }
    }

    fn op(&mut self, func: &Func, scope: &mut Scope, id: OpId, op: &Op) {
        let here = format!("@{}, {id} `{}` ({})", func.name, op.kind.name(), op.loc);
        let undefined = op.operands.iter().find(|v| !scope.is_defined(**v));
        self.require(1, undefined.is_none(), &here, || {
            format!("operand {} is not defined before it", undefined.map_or_else(String::new, ToString::to_string))
        });
        for (i, result) in op.results.iter().enumerate() {
            self.define(func, scope, *result, Def::Result(id, i as u32), &here);
        }
        self.require(14, is_printable(op), &here, || "it has no result, no dialect, or a malformed location".into());
        let in_range = |v: &ValueId| v.index() < func.num_values();
        if !op.operands.iter().chain(&op.results).all(in_range) {
            return;
        }
        let operands: Vec<&Type> = op.operands.iter().map(|v| &func[*v].ty).collect();
        let results: Vec<&Type> = op.results.iter().map(|v| &func[*v].ty).collect();
        match &op.kind {
            OpKind::Core(core) => self.core(&here, core, &operands, &results),
            OpKind::Source(source) => self.source(&here, source, operands.len()),
            OpKind::Call(call) => self.call(&here, call, &operands, &results),
        }
    }

    fn core(&mut self, here: &str, op: &CoreOp, operands: &[&Type], results: &[&Type]) {
        match infer(self.module, op, operands) {
            Err(error) => self.require(2, false, &here, || error.to_string()),
            Ok(ty) => self.require(2, matches!(results, [r] if **r == ty), &here, || {
                format!("its result is {results:?}, expected {ty}")
            }),
        }
    }

    fn source(&mut self, here: &str, op: &SourceOp, operands: usize) {
        if let Some(id) = op.layer {
            let layer = self.module.layers.get(id.index());
            self.require(3, layer.is_some(), &here, || format!("there is no layer {id}"));
            if let Some(layer) = layer {
                self.require(7, layer.class == op.name, &here, || format!("layer {id} is a {}", layer.class));
            }
        }
        self.operand_refs(here, op.attrs.iter().map(|(_, a)| a), operands);
    }

    fn call(&mut self, here: &str, op: &CallOp, operands: &[&Type], results: &[&Type]) {
        let known = op.layer.is_none_or(|l| l.index() < self.module.layers.len());
        self.require(3, known, &here, || "its layer does not exist".into());
        self.operand_refs(here, op.attrs.iter().map(|(_, a)| a), operands.len());
        let Some(callee) = self.module.funcs.get(op.callee.index()) else {
            return self.require(3, false, &here, || format!("there is no function {}", op.callee));
        };
        let agree = |given: &[&Type], declared: Vec<ValueId>| {
            let known = declared.iter().all(|v| v.index() < callee.num_values());
            known
                && given.len() == declared.len()
                && given.iter().zip(declared).all(|(t, v)| t.agrees_with(&callee[v].ty))
        };
        let passes = agree(operands, callee.params.iter().map(|p| p.value).collect());
        let receives = agree(results, callee.outputs.iter().map(|o| o.value).collect());
        self.require(5, passes && receives, &here, || {
            format!(
                "passes {operands:?} and receives {results:?}, which is not what @{} takes and returns",
                callee.name
            )
        });
    }

    fn operand_refs<'a>(&mut self, here: &str, attrs: impl Iterator<Item = &'a crate::Attr>, operands: usize) {
        let mut worst = None;
        attrs.for_each(|a| a.for_each_operand(&mut |i| worst = worst.max(Some(i))));
        self.require(8, worst.is_none_or(|i| (i as usize) < operands), &here, || {
            format!("refers to operand ${}, it has {operands}", worst.unwrap_or(0))
        });
    }

    /// Depth-first over the call graph with an explicit stack, so that a long chain of calls cannot overflow.
    fn recursion(&mut self) {
        let mut state = BTreeMap::new();
        for root in self.module.func_ids() {
            let mut stack = vec![(root, false)];
            while let Some((id, leaving)) = stack.pop() {
                if leaving {
                    state.insert(id, Visit::Done);
                } else if let Entry::Vacant(unvisited) = state.entry(id) {
                    unvisited.insert(Visit::Open);
                    stack.push((id, true));
                    for callee in callees(&self.module[id]) {
                        let open = state.get(&callee) == Some(&Visit::Open);
                        let place = format!("@{}", self.module[id].name);
                        self.require(6, !open, &place, || {
                            format!("calls @{}, which leads back to it", self.module[callee].name)
                        });
                        if !open {
                            stack.push((callee, false));
                        }
                    }
                }
            }
        }
    }
}

#[derive(PartialEq)]
enum Visit {
    Open,
    Done,
}

struct Scope {
    defined: Vec<bool>,
    names: BTreeSet<Name>,
}

impl Scope {
    fn is_defined(&self, value: ValueId) -> bool {
        self.defined.get(value.index()).copied().unwrap_or(false)
    }
}

/// Whether the text of an op, as far as it is its own, reads back as the op.
fn is_printable(op: &Op) -> bool {
    let name = match &op.kind {
        OpKind::Source(source) => source.name.contains('.'),
        OpKind::Call(_) | OpKind::Core(_) => true,
    };
    let loc = match &op.loc {
        Loc::Fused(locs) => locs.len() > 1 && locs.iter().all(|l| matches!(l, Loc::Call { .. })),
        Loc::Unknown | Loc::Call { .. } => true,
    };
    name && loc && !op.results.is_empty()
}

/// The functions that `func` calls.
pub(crate) fn callees(func: &Func) -> impl Iterator<Item = FuncId> + '_ {
    func.ops().filter_map(|(_, op)| match &op.kind {
        OpKind::Call(call) => Some(call.callee),
        OpKind::Source(_) | OpKind::Core(_) => None,
    })
}

fn duplicate<T: Ord + Hash>(items: impl IntoIterator<Item = T>) -> Option<T> {
    let mut seen = BTreeSet::new();
    let mut twice = None;
    for item in items {
        if seen.contains(&item) {
            twice = twice.or(Some(item));
        } else {
            seen.insert(item);
        }
    }
    twice
}
