//! The verifier. It checks these rules and reports each violation with its rule and place.
//!
//! - V1  An operand is a parameter of the function or a result of an earlier op.
//! - V2  The operands of a core op satisfy its constraints, and its result has the type that [`infer`](crate::infer())
//!   returns.
//! - V3  References to files, weights, layers and functions, including those in attributes, are valid.
//! - V4  A value is defined once, by the parameter or op recorded in its entry, and value names are unique.
//! - V5  A call passes and receives as many values as its callee takes and returns, of agreeing types.
//! - V6  No function calls itself, directly or through others. A function that a source op names counts as called.
//! - V7  A source op that applies a layer has the layer's class as its name.
//! - V8  Operand references in attributes are less than the number of operands.
//! - V9  A weight has a fixed shape and elements of a fixed size, and as many bytes as its type requires.
//! - V10 Function names are unique, and so are a function's parameter names and output names.
//! - V11 An output is a parameter or a result of an op of the function.
//! - V12 An op occurs once in its function's order.
//! - V13 The weights of a layer have distinct places, and so do its assets.
//! - V14 The module can be printed: an op has a result, a source op has a name `dialect.Class`, a fused location has two
//!   or more parts, none fused or unknown, attributes nest up to 128 levels, symbols are words.
//! - V15 An asset is a weight of type `u8[n]`. Its place is a path inside the layer's folder: parts joined by `/`, none
//!   of them empty, `.` or `..`, none with a backslash or a NUL character.
//! - V16 A tensor has at most [`MAX_RANK`] axes.
//! - V17 Only the attributes of source ops name weights and functions.
//! - V18 The positions of absent operands are ascending positions of the operand list.
//! - V19 A computed symbol is defined once, by an `iota` and not by a parameter. A call or source op with the symbol in a
//!   result has an operand with it. An op that names it in its own extents has an operand that carries it.

mod attrs;
mod extents;
mod violation;

use std::collections::{BTreeMap, BTreeSet, HashMap, btree_map};
use std::fmt;

use crate::dim::Dim;
use crate::id::{FuncId, LayerId, OpId, ValueId};
use crate::infer::inferred;
use crate::loc::Loc;
use crate::module::{Def, Func, Layer, Module, Param, Weight, WeightData};
use crate::name::Name;
use crate::op::{CallOp, CoreOp, Op, OpKind, SourceOp};
use crate::types::{ElemType, MAX_RANK, Type};
use crate::verified_set::VerifiedSet;

pub use attrs::is_path;
pub use violation::{Violation, Violations};

/// Checks every rule and reports all violations.
///
/// ```
/// let module = netc_ir::parse("netc 1\nfunc @main(%x: f32[N,4]) -> (%y) { %y = relu(%x) : f32[N,5] }")?;
/// let violations = netc_ir::verify(&module).unwrap_err();
/// assert_eq!(violations.0[0].rule, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn verify(module: &Module) -> Result<(), Violations> {
    Verifier::new(module, false).run().map(drop)
}

/// Like [`verify`], but skips ops and values that passed the last call of this function and have not changed since.
///
/// ```
/// # let text = "netc 1
/// # func @main(%x: f32[N,4]) -> (%y) {
/// #   %a = relu(%x) : f32[N,4]
/// #   %y = add(%a, %a) : f32[N,4]
/// # }";
/// use netc_ir::{Type, parse, verify_changes};
///
/// let mut module = parse(text)?;
/// verify_changes(&mut module)?;
/// let main = &mut module.funcs[0];
/// let y = main.outputs[0].value;
/// main.set_type(y, Type::fixed(netc_ir::ElemType::F32, &[1]));
/// assert!(verify_changes(&mut module).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn verify_changes(module: &mut Module) -> Result<(), Violations> {
    let seen = Verifier::new(module, true).run()?;
    module.funcs.iter_mut().zip(seen).for_each(|(func, seen)| func.seen = seen);
    Ok(())
}

struct Verifier<'m> {
    module: &'m Module,
    /// Whether to skip what was verified before.
    is_incremental: bool,
    found: Vec<Violation>,
    /// A buffer for the types of one op's operands and results.
    types: Vec<&'m Type>,
    /// The last extent whose symbols were found to be words. A cache: most types share their extents.
    words: Option<&'m Dim>,
    /// The callees of each function checked so far.
    calls: Vec<Vec<FuncId>>,
    /// The ops and values checked in each function.
    seen: Vec<VerifiedSet>,
}

/// The place of a violation. Formatted only if a rule is broken.
#[derive(Clone, Copy)]
enum Place<'m> {
    Module,
    Weight(usize, &'m Weight),
    Layer(usize, &'m Layer),
    Func(&'m Func),
    Param(&'m Func, &'m Param),
    Op(&'m Func, OpId),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Module => f.write_str("the module"),
            Self::Weight(i, weight) => write!(f, "w{i} `{}`", weight.name),
            Self::Layer(i, layer) => write!(f, "l{i} `{}`", layer.name),
            Self::Func(func) => write!(f, "@{}", func.name),
            Self::Param(func, param) => write!(f, "@{}, parameter `{}`", func.name, param.name),
            Self::Op(func, id) => {
                let op = &func[*id];
                write!(f, "@{}, {id} `{}` ({})", func.name, op.kind.name(), op.loc)
            }
        }
    }
}

impl<'m> Verifier<'m> {
    fn new(module: &'m Module, is_incremental: bool) -> Self {
        Self {
            module,
            is_incremental,
            found: Vec::new(),
            types: Vec::new(),
            words: None,
            calls: Vec::new(),
            seen: Vec::new(),
        }
    }

    /// Checks all rules. Returns the ops and values checked in each function.
    fn run(mut self) -> Result<Vec<VerifiedSet>, Violations> {
        self.tables();
        for func in &self.module.funcs {
            self.func(func);
        }
        // Following calls requires that functions and ops are in their tables.
        if self.found.iter().all(|x| x.rule != 3 && x.rule != 12) {
            self.recursion();
        }
        if self.found.is_empty() { Ok(self.seen) } else { Err(Violations(self.found)) }
    }

    fn require(&mut self, rule: u8, holds: bool, place: Place<'_>, note: impl FnOnce() -> String) {
        if !holds {
            self.found.push(Violation { rule, place: place.to_string(), note: note() });
        }
    }

    fn tables(&mut self) {
        for (i, weight) in self.module.weights.iter().enumerate() {
            self.weight(Place::Weight(i, weight), weight);
        }
        for (i, layer) in self.module.layers.iter().enumerate() {
            self.layer(Place::Layer(i, layer), layer);
        }
        self.plain_attrs(Place::Module, &self.module.attrs);
        let twice = duplicate(self.module.funcs.iter().map(|f| &f.name));
        self.require(10, twice.is_none(), Place::Module, || {
            format!("two functions are named `@{}`", twice.map_or("", |n| n))
        });
    }

    fn layer(&mut self, place: Place<'_>, layer: &Layer) {
        for w in layer.data() {
            self.require(3, w.index() < self.module.weights.len(), place, || format!("there is no weight {w}"));
        }
        for (entries, title) in [(&layer.weights, "weights"), (&layer.assets, "assets")] {
            let twice = duplicate(entries.iter().map(|(place, _)| place));
            self.require(13, twice.is_none(), place, || format!("two {title} are at `{}`", twice.map_or("", |n| n)));
        }
        for (path, w) in &layer.assets {
            self.require(15, is_path(path), place, || format!("`{path}` is not a path in a folder"));
            let ty = self.module.weights.get(w.index()).map(|weight| &weight.ty);
            let is_bytes = |ty: &Type| ty.elem == ElemType::U8 && ty.rank() == Some(1);
            self.require(15, ty.is_none_or(is_bytes), place, || {
                format!(
                    "the asset `{path}` is of type {}, expected bytes: u8[n]",
                    ty.map_or(String::new(), Type::to_string)
                )
            });
        }
        self.plain_attrs(place, &layer.config);
    }

    fn layer_exists(&mut self, place: Place<'_>, layer: Option<LayerId>) {
        let missing = layer.filter(|l| l.index() >= self.module.layers.len());
        self.require(3, missing.is_none(), place, || format!("there is no layer {}", missing.map_or(0, |l| l.index())));
    }

    fn weight(&mut self, place: Place<'_>, weight: &Weight) {
        self.rank(place, &weight.ty);
        let bytes = weight.ty.num_bytes();
        self.require(9, bytes.is_some() && weight.ty.elem.bits() > 0, place, || {
            format!("its type is {}, expected known extents and elements of a fixed size", weight.ty)
        });
        match &weight.data {
            WeightData::File { file, len, .. } => {
                self.require(3, file.index() < self.module.files.len(), place, || format!("there is no {file}"));
                self.require(9, bytes.is_none_or(|b| b == *len), place, || {
                    format!("{} takes {} bytes, the file has {len}", weight.ty, bytes.unwrap_or(0))
                });
            }
            WeightData::Inline(literal) => {
                self.require(9, literal.is_well_formed() && literal.ty() == weight.ty, place, || {
                    format!("its type is {}, its value {} of {} bytes", weight.ty, literal.ty(), literal.bytes.len())
                });
            }
            WeightData::Random { .. } => self.require(9, weight.ty.elem.is_float(), place, || {
                format!("its type is {}; a random weight must be of a float type", weight.ty)
            }),
        }
    }

    fn func(&mut self, func: &'m Func) {
        let here = Place::Func(func);
        self.calls.push(Vec::new());
        let mut scope = Scope { defined: vec![false; func.num_values()], renames: false };
        for (i, param) in func.params.iter().enumerate() {
            self.define(func, &mut scope, (param.value, false), Def::Param(i as u32), here);
            self.layer_exists(Place::Param(func, param), param.layer);
        }
        let mut ordered = vec![false; func.num_op_slots()];
        for id in func.op_ids() {
            let Some(is_ordered) = ordered.get_mut(id.index()) else {
                self.require(12, false, here, || format!("{id} is not in the table of ops"));
                continue;
            };
            let twice = std::mem::replace(is_ordered, true);
            self.require(12, !twice, here, || format!("{id} occurs twice in the order"));
            self.op(func, &mut scope, id, &func[id]);
        }
        if scope.renames {
            self.names(func);
        }
        for output in &func.outputs {
            self.require(11, scope.is_defined(output.value), here, || {
                format!("output `{}` is not defined", output.name)
            });
        }
        let twice = duplicate(func.params.iter().map(|p| &p.name));
        self.require(10, twice.is_none(), here, || format!("two parameters are named `{}`", twice.map_or("", |n| n)));
        let twice = duplicate(func.outputs.iter().map(|o| &o.name));
        self.require(10, twice.is_none(), here, || format!("two outputs are named `{}`", twice.map_or("", |n| n)));
        self.plain_attrs(here, &func.attrs);
        self.computed_symbols(func);
        self.seen.push(VerifiedSet { ops: ordered, values: scope.defined, files: self.module.files.len() });
    }

    /// V4: the names of values are unique.
    fn names(&mut self, func: &'m Func) {
        let params = func.params.iter().map(|p| (Place::Func(func), p.value));
        let ops = func.op_ids().filter_map(|id| Some((Place::Op(func, id), func.ops.get(id.index())?)));
        let mut names: HashMap<&Name, ValueId> = HashMap::with_capacity(func.num_values());
        for (place, value) in params.chain(ops.flat_map(|(place, op)| op.results.iter().map(move |r| (place, *r)))) {
            let Some(name) = func.values.get(value.index()).and_then(|v| v.name.as_ref()) else { continue };
            let first = *names.entry(name).or_insert(value);
            self.require(4, first == value, place, || format!("two values are named `%{name}`"));
        }
    }

    /// Whether the op, its operands and its results have passed verification and not changed since.
    fn has_seen_op(&self, func: &Func, id: OpId, op: &Op) -> bool {
        self.is_incremental
            && func.seen.op(id, self.module.files.len())
            && op.operands.iter().chain(&op.results).all(|v| func.seen.value(*v))
    }

    /// Records the definition of a value and checks it. `seen`: the value and its definition were verified before.
    fn define(
        &mut self,
        func: &'m Func,
        scope: &mut Scope,
        (value, seen): (ValueId, bool),
        def: Def,
        place: Place<'_>,
    ) {
        let Some(defined) = scope.defined.get_mut(value.index()) else {
            return self.require(4, false, place, || format!("{value} is not in the table of values"));
        };
        let twice = std::mem::replace(defined, true);
        self.require(4, !twice, place, || format!("{value} is defined twice"));
        if seen {
            return;
        }
        let entry = &func[value];
        scope.renames |= entry.name.is_some();
        self.require(4, twice || entry.def == def, place, || {
            format!("{value} is defined as {def:?}, its entry says {:?}", entry.def)
        });
        self.rank(place, &entry.ty);
        let printable = entry.ty.dims.iter().flatten().all(|dim| self.has_words(dim));
        self.require(14, printable, place, || format!("{} has a symbol that is not a word", entry.ty));
    }

    /// V16: the tensor has at most [`MAX_RANK`] axes.
    fn rank(&mut self, place: Place<'_>, ty: &Type) {
        self.require(16, ty.has_few_axes(), place, || {
            format!("a tensor has {} axes, expected at most {MAX_RANK}", ty.rank().unwrap_or(0))
        });
    }

    /// V14: the symbols of the extent are words.
    fn has_words(&mut self, dim: &'m Dim) -> bool {
        let holds = dim.known().is_some() || self.words == Some(dim) || dim.is_printable();
        if holds && dim.known().is_none() {
            self.words = Some(dim);
        }
        holds
    }

    fn op(&mut self, func: &'m Func, scope: &mut Scope, id: OpId, op: &'m Op) {
        let here = Place::Op(func, id);
        let undefined = op.operands.iter().find(|v| !scope.is_defined(**v));
        self.require(1, undefined.is_none(), here, || {
            format!("operand {} is not defined before it", undefined.map_or_else(String::new, ToString::to_string))
        });
        let seen = self.has_seen_op(func, id, op);
        for (i, result) in op.results.iter().enumerate() {
            self.define(func, scope, (*result, seen), Def::Result(id, i as u32), here);
        }
        if !seen {
            self.require(14, !op.results.is_empty(), here, || "it has no result".into());
            self.loc(here, &op.loc);
        } else if !reads_tables(&op.kind) {
            return;
        }
        let in_range = |v: &ValueId| v.index() < func.num_values();
        if !op.operands.iter().chain(&op.results).all(in_range) {
            return;
        }
        let mut types = std::mem::take(&mut self.types);
        types.extend(op.operands.iter().chain(&op.results).map(|v| &func[*v].ty));
        let (operands, results) = types.split_at(op.operands.len());
        match &op.kind {
            OpKind::Core(core) => self.core(here, core, operands, results),
            OpKind::Source(source) => self.source(here, source, operands.len()),
            OpKind::Call(call) => self.call(here, call, operands, results),
        }
        types.clear();
        self.types = types;
        if let Some(attrs) = op.kind.attrs()
            && (seen || self.attrs(here, attrs))
        {
            self.references(here, op, attrs);
        }
    }

    fn loc(&mut self, here: Place<'_>, loc: &Loc) {
        let places = if let Loc::Fused(places) = loc { places.as_slice() } else { std::slice::from_ref(loc) };
        if let Loc::Fused(places) = loc {
            let n = places.len();
            self.require(14, n > 1, here, || format!("its location has {n} parts, expected two or more"));
            let nested = places.iter().any(|p| !matches!(p, Loc::Call { .. }));
            self.require(14, !nested, here, || "a part of its fused location is fused or unknown".into());
        }
        for place in places {
            if let Loc::Call { file: Some(file), .. } = place {
                let known = file.index() < self.module.files.len();
                self.require(3, known, here, || format!("its location refers to {file}, which does not exist"));
            }
        }
    }

    fn core(&mut self, here: Place<'_>, op: &CoreOp, operands: &[&Type], results: &[&Type]) {
        // A violation of V16 is reported at the definition of the tensor.
        if !operands.iter().all(|ty| ty.has_few_axes()) {
            return;
        }
        match inferred(self.module, op, operands) {
            Err(error) => self.require(2, false, here, || error.to_string()),
            Ok(ty) => self.require(2, matches!(results, [r] if **r == *ty), here, || {
                format!("its result is {results:?}, expected {ty}")
            }),
        }
    }

    fn source(&mut self, here: Place<'_>, op: &SourceOp, operands: usize) {
        let places = operands + op.absent.len();
        let holds = op.absent.is_sorted_by(|a, b| a < b) && op.absent.iter().all(|place| (*place as usize) < places);
        self.require(18, holds, here, || {
            format!("absent operands at {:?}, expected ascending positions below {places}", op.absent)
        });
        self.require(14, op.name.contains('.'), here, || {
            format!("its name `{}` is not a dialect and a class joined by a dot", op.name)
        });
        self.layer_exists(here, op.layer);
        if let Some((id, layer)) = op.layer.and_then(|id| Some((id, self.module.layers.get(id.index())?))) {
            self.require(7, layer.class == op.name, here, || format!("layer {id} is a {}", layer.class));
        }
    }

    fn call(&mut self, here: Place<'_>, op: &CallOp, operands: &[&Type], results: &[&Type]) {
        self.layer_exists(here, op.layer);
        self.calls.last_mut().into_iter().for_each(|calls| calls.push(op.callee));
        let Some(callee) = self.module.funcs.get(op.callee.index()) else {
            return self.require(3, false, here, || format!("there is no function {}", op.callee));
        };
        let agree = |given: &[&Type], declared: Vec<ValueId>| {
            let known = declared.iter().all(|v| v.index() < callee.num_values());
            known
                && given.len() == declared.len()
                && given.iter().zip(declared).all(|(t, v)| t.agrees_with(&callee[v].ty))
        };
        let passes = agree(operands, callee.params.iter().map(|p| p.value).collect());
        let receives = agree(results, callee.outputs.iter().map(|o| o.value).collect());
        self.require(5, passes && receives, here, || {
            format!(
                "passes {operands:?} and receives {results:?}, which disagrees with the signature of @{}",
                callee.name
            )
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
                } else if let btree_map::Entry::Vacant(unvisited) = state.entry(id) {
                    unvisited.insert(Visit::Open);
                    stack.push((id, true));
                    for callee in self.calls.get(id.index()).cloned().unwrap_or_default() {
                        let open = state.get(&callee) == Some(&Visit::Open);
                        let place = Place::Func(&self.module[id]);
                        self.require(6, !open, place, || format!("calls @{} recursively", self.module[callee].name));
                        if !open {
                            stack.push((callee, false));
                        }
                    }
                }
            }
        }
    }
}

/// Whether rules about the op also depend on the module's tables.
fn reads_tables(kind: &OpKind) -> bool {
    match kind {
        OpKind::Core(core) => matches!(core, CoreOp::Weight(_)),
        OpKind::Source(_) | OpKind::Call(_) => true,
    }
}

#[derive(PartialEq)]
enum Visit {
    Open,
    Done,
}

struct Scope {
    defined: Vec<bool>,
    /// Whether a value may have a new name since names were last checked to be unique.
    renames: bool,
}

impl Scope {
    fn is_defined(&self, value: ValueId) -> bool {
        self.defined.get(value.index()).copied().unwrap_or(false)
    }
}

/// The first repeated item.
fn duplicate<T: Ord + Copy>(items: impl IntoIterator<Item = T>) -> Option<T> {
    let mut seen = BTreeSet::new();
    items.into_iter().find(|item| !seen.insert(*item))
}

#[cfg(test)]
mod changes;

#[cfg(test)]
mod tests;
