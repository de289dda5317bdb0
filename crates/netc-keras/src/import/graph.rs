//! Translates the layers and calls of one model to a function.

mod calls;

use std::collections::{BTreeSet, HashSet};
use std::mem;

use netc_data::dtype_name;
use netc_dialect::{Dialects, LowerError};
use netc_format::Note;
use netc_format::module::is_architecture;

use netc_ir::{
    Attr, Attrs, Builder, CallOp, ElemType, FileId, Func, FuncId, LayerId, Loc, Module, Name, OpId, OpKind, SourceOp,
    Type, UniqueNames, ValueId, call_types,
};

use crate::config::call::{Call, Symbols, TensorRef, records_otherwise};
use crate::config::path::join;
use crate::config::version::KerasVersion;
use crate::error::{Problem, Result};
use crate::import::graph::calls::{Calls, Links, Node, Tensor};
use crate::import::masks::without_attached;

/// One entry of a model's `layers`, already declared.
pub(crate) struct Entry {
    pub(crate) name: Name,
    pub(crate) layer: LayerId,
    pub(crate) kind: EntryKind,
    pub(crate) calls: Vec<Call>,
}

pub(crate) enum EntryKind {
    /// An input of the model.
    Input(Type),
    /// A layer or operation.
    Layer,
    /// A nested model.
    Nested(FuncId),
}

/// The layers of one model with their calls.
pub(crate) struct Graph {
    pub(crate) entries: Vec<Entry>,
    /// The path of the model in the file; empty for the outermost model.
    pub(crate) path: String,
}

/// Inputs of a translation other than the graph, and the notes that it adds.
pub(crate) struct Surroundings<'a> {
    pub(crate) module: &'a Module,
    pub(crate) dialects: &'a Dialects,
    pub(crate) file: FileId,
    /// Whether the weights come from a separate file.
    pub(crate) given: bool,
    pub(crate) symbols: &'a mut Symbols,
    pub(crate) notes: &'a mut Vec<Note>,
}

impl Graph {
    /// Builds the function `name`, which takes `inputs` and returns `outputs`.
    pub(crate) fn translate(
        mut self,
        surroundings: Surroundings<'_>,
        name: &str,
        inputs: &[TensorRef],
        outputs: &[TensorRef],
    ) -> Result<Func> {
        // In the order of the calls' numbers.
        let mut attrs = Vec::new();
        for entry in &mut self.entries {
            match entry.kind {
                EntryKind::Input(_) => attrs.push(Attrs::new()),
                EntryKind::Layer | EntryKind::Nested(_) => {
                    attrs.extend(entry.calls.iter_mut().map(|call| mem::take(&mut call.attrs)));
                }
            }
        }
        let calls = Calls::of(&self)?;
        let module = surroundings.module;
        let output = |o: &TensorRef| calls.output(module, o);
        let returned = outputs.iter().map(output).collect::<Result<Vec<_>, _>>()?;
        let recorded = outputs.iter().map(|output| output.recorded.as_ref());
        let links = Links::of(&calls, module, &returned.iter().copied().zip(recorded).collect::<Vec<_>>())?;
        let order = calls.order()?;
        let made = vec![None; calls.len()];
        let mut t = Translation { calls, links, surroundings, builder: Builder::new(module, name), attrs, made };
        t.params(inputs)?;
        order.into_iter().try_for_each(|node| t.call(node))?;
        t.finish(&returned.into_iter().zip(outputs).collect::<Vec<_>>())
    }
}

/// Whether the file numbers the layer's calls from 1 in a model's outputs. It does for a nested Functional. Before
/// Keras 3 it does for every nested model, also in arguments of calls.
pub(crate) fn counts_from_one(module: &Module, entry: &Entry) -> bool {
    match entry.kind {
        EntryKind::Nested(func) => {
            let class = module[func].attrs.get("class").and_then(|c| c.as_str());
            class == Some("Functional") || KerasVersion::of(&module.attrs) == KerasVersion::Legacy
        }
        EntryKind::Input(_) | EntryKind::Layer => false,
    }
}

/// Renumbers calls in arguments to start from 0.
pub(crate) fn count_from_zero(module: &Module, entries: &mut [Entry]) -> Result<()> {
    if KerasVersion::of(&module.attrs) == KerasVersion::Keras3 {
        return Ok(());
    }
    let nested = entries.iter().filter(|e| counts_from_one(module, e));
    let nested: BTreeSet<Name> = nested.map(|e| e.name.clone()).collect();
    for entry in entries {
        for tensor in entry.calls.iter_mut().flat_map(|call| &mut call.tensors).filter(|t| nested.contains(&t.layer)) {
            let from_zero = tensor.node.checked_sub(1);
            tensor.node = from_zero.ok_or_else(|| {
                Problem::config(
                    &*entry.name,
                    format!("refers to call 0 of the model `{}`; expected 1 or more", tensor.layer),
                )
            })?;
        }
    }
    Ok(())
}

/// A translation in progress.
struct Translation<'g, 'm> {
    calls: Calls<'g>,
    links: Links,
    surroundings: Surroundings<'m>,
    builder: Builder<'m>,
    /// The attributes of calls that are not translated yet, by node.
    attrs: Vec<Attrs>,
    /// The result of the translation so far, by node.
    made: Vec<Option<ValueSource>>,
}

#[derive(Clone, Copy)]
enum ValueSource {
    Param(ValueId),
    Op(OpId),
}

impl Translation<'_, '_> {
    /// Adds the declared inputs, then the input layers missing from the signature, because something may read them.
    fn params(&mut self, inputs: &[TensorRef]) -> Result<()> {
        let mut nodes = Vec::new();
        for input in inputs {
            nodes.push(self.calls.resolve(input)?.0);
        }
        let declared: HashSet<Node> = nodes.iter().copied().collect();
        nodes.extend(self.calls.inputs().filter(|node| !declared.contains(node)));
        for node in nodes {
            let entry = self.calls.entry(node);
            let EntryKind::Input(ty) = &entry.kind else {
                return Err(Problem::config(
                    &*self.path(entry),
                    "is listed as an input of the model, but is not an InputLayer",
                ));
            };
            let value = self.builder.param(entry.name.clone(), ty.clone(), Some(entry.layer));
            if self.made[node].replace(ValueSource::Param(value)).is_some() {
                return Err(Problem::config(&*self.path(entry), "is listed twice among the inputs"));
            }
        }
        Ok(())
    }

    fn path(&self, entry: &Entry) -> Name {
        let outer = &self.calls.graph().path;
        if outer.is_empty() { entry.name.clone() } else { join(outer, &entry.name).into() }
    }

    fn value(&self, (node, i): Tensor, tensor: &TensorRef) -> Result<ValueId> {
        let value = match self.made[node] {
            Some(ValueSource::Param(value)) => Some(value).filter(|_| i == 0),
            Some(ValueSource::Op(op)) => self.builder.results(op).get(i).copied(),
            None => None,
        };
        value.ok_or_else(|| self.calls.dangling(tensor))
    }

    fn call(&mut self, node: Node) -> Result<()> {
        let (entry, Some(call)) = (self.calls.entry(node), self.calls.call(node)) else { return Ok(()) };
        let read = self.calls.operands(node).iter().zip(&call.tensors);
        let mut operands = read.map(|(tensor, r)| self.value(*tensor, r)).collect::<Result<Vec<_>, _>>()?;
        let path = self.path(entry);
        let attrs = mem::take(&mut self.attrs[node]);
        let mut kind = self.kind(entry, attrs);
        if let OpKind::Call(model) = &mut kind {
            let (module, func) = (self.surroundings.module, self.builder.func());
            if let Some((attrs, kept)) = without_attached(module, func, &model.attrs, &operands) {
                operands.truncate(kept);
                model.attrs = attrs;
            }
        }
        let types = self.types(node, &kind, &operands, &path)?;
        let number = self.calls.number(node);
        let stem = if number == 0 { entry.name.clone() } else { format!("{}.{number}", entry.name).into() };
        let name = |i: usize| if i == 0 { stem.clone() } else { format!("{stem}.out{i}").into() };
        let results = types.into_iter().enumerate().map(|(i, ty)| (ty, Some(name(i))));
        self.builder.at(Loc::Call { file: Some(self.surroundings.file), path, call: number as u32 });
        self.made[node] = Some(ValueSource::Op(self.builder.op(kind, &operands, results)));
        Ok(())
    }

    fn kind(&self, entry: &Entry, attrs: Attrs) -> OpKind {
        let layer = Some(entry.layer);
        match entry.kind {
            EntryKind::Nested(callee) => OpKind::Call(Box::new(CallOp { callee, layer, attrs })),
            EntryKind::Input(_) | EntryKind::Layer => {
                let name = self.surroundings.module[entry.layer].class.clone();
                OpKind::Source(Box::new(SourceOp::new(name, layer, attrs)))
            }
        }
    }

    /// The types of a call's results: from the layer's lowering, else from what readers record, else unknown.
    fn types(&mut self, node: Node, kind: &OpKind, operands: &[ValueId], path: &Name) -> Result<Vec<Type>> {
        let used = self.links.arity(node).max(1);
        let mut types = self.defined_types(kind, operands, path)?;
        let (defined, version) = (types.len(), KerasVersion::of(&self.surroundings.module.attrs));
        if defined > 0 && used > defined {
            return Err(Problem::config(
                &**path,
                format!("output {} is used, but the layer has only {defined}", used - 1),
            ));
        }
        types.resize(defined.max(used), Type::unranked(ElemType::Any));
        for (i, ty) in types.iter_mut().enumerate() {
            let Some((elem, extents)) = self.links.recorded((node, i)) else { continue };
            let recorded = self.surroundings.symbols.ty(*elem, extents);
            let own = kind.name().starts_with("keras.") && ty.dims.is_some() && ty.elem == recorded.elem;
            if version == KerasVersion::Keras3 && records_otherwise(kind, operands.first().map(|x| self.builder.ty(*x)))
            {
                // Keras records a wrong shape here.
            } else if ty.agrees_with(&recorded) {
                *ty = ty.refined_by(&recorded);
            } else if *elem == ElemType::Any {
                // The shape for which the next layer was first built, perhaps in another model.
            } else if own || matches!(kind, OpKind::Call(_)) {
                let by = if own { "netc infers" } else { "its model returns" };
                let note = format!("`{path}`: {by} {ty}, the file records {recorded}; netc uses {ty}");
                self.surroundings.notes.push(Note::new("recorded-type", note));
            } else {
                let note = format!("`{path}`: netc infers {ty}, the file records {recorded}; netc uses {recorded}");
                self.surroundings.notes.push(Note::new("recorded-type", note));
                *ty = recorded;
            }
        }
        Ok(types)
    }

    /// The types that the callee returns or the lowering yields. Empty for an unsupported layer.
    fn defined_types(&self, kind: &OpKind, operands: &[ValueId], path: &Name) -> Result<Vec<Type>> {
        let module = self.surroundings.module;
        match kind {
            OpKind::Call(call) => {
                let callee = &module[call.callee];
                if operands.len() != callee.params.len() {
                    let (found, expected) = (operands.len(), callee.params.len());
                    let mask = call.attrs.get("kwargs").and_then(|k| k.get("mask"));
                    let note = if mask.is_some_and(|m| !m.is_null()) {
                        "its call passes a mask that netc cannot trace to its tensor; make the mask inside the model"
                            .into()
                    } else {
                        format!("is called with {found} tensors; expected {expected}")
                    };
                    return Err(Problem::config(&**path, note));
                }
                if KerasVersion::of(&module.attrs) == KerasVersion::Legacy && is_shuffled(&call.attrs, callee) {
                    let note =
                        "is called with a dict of its inputs, and the model does not list these in alphabetical order";
                    return Err(Problem::config(&**path, note));
                }
                for (operand, param) in operands.iter().zip(&callee.params) {
                    let (given, declared) = (self.builder.ty(*operand), &callee[param.value].ty);
                    if !given.agrees_with(declared) {
                        let mut note = format!("is called with {given}, but its input `{}` is {declared}", param.name);
                        if given.elem != declared.elem {
                            let dtype = dtype_name(given.elem);
                            note.push_str("; Keras casts it, netc does not: give that `Input` the dtype ");
                            note.push_str(dtype);
                        }
                        return Err(Problem::config(&**path, note));
                    }
                }
                Ok(call_types(callee, operands.iter().map(|v| self.builder.ty(*v))))
            }
            OpKind::Source(op) => {
                let operands: Vec<Type> = operands.iter().map(|v| self.builder.ty(*v).clone()).collect();
                match self.surroundings.dialects.result_types(module, op, op.layer.map(|l| &module[l]), &operands) {
                    Ok(types) => Ok(types),
                    Err(LowerError::Unknown { .. } | LowerError::Unsupported { .. }) => Ok(Vec::new()),
                    Err(LowerError::Weight { .. }) if is_architecture(module) => Ok(Vec::new()),
                    Err(source) => Err(self.unfit(op, path, &operands, source)),
                }
            }
            OpKind::Core(_) => Ok(Vec::new()),
        }
    }

    /// The problem of a layer that contradicts its inputs or weights. Blames the weights if they come from a separate
    /// file.
    fn unfit(&self, op: &SourceOp, path: &Name, operands: &[Type], source: LowerError) -> Problem {
        let (layer, module) = (path.clone(), self.surroundings.module);
        let weights = op.layer.map_or(&[][..], |id| &module[id].weights);
        let is_of_weights = match source {
            LowerError::Weight { .. } => true,
            LowerError::Operands(_) | LowerError::Infer(_) => !weights.is_empty(),
            LowerError::Unknown { .. } | LowerError::Unsupported { .. } | LowerError::Config { .. } => false,
        };
        if !self.surroundings.given || !is_of_weights {
            return Problem::Layer { layer, source };
        }
        let found: Vec<String> = weights.iter().map(|(place, id)| format!("`{place}` {}", module[*id].ty)).collect();
        let found = if found.is_empty() { "no weights".into() } else { found.join(", ") };
        let read: Vec<String> = operands.iter().map(Type::to_string).collect();
        Problem::Unfit { layer, read: read.join(", "), found, source: source.into() }
    }

    fn finish(self, outputs: &[(Tensor, &TensorRef)]) -> Result<Func> {
        let mut names = UniqueNames::default();
        let mut named: Vec<(Name, ValueId)> = Vec::new();
        for (tensor, reference) in outputs {
            let value = self.value(*tensor, reference)?;
            named.push((names.take(&self.calls.entry(tensor.0).name), value));
        }
        if named.is_empty() {
            return Err(Problem::config("output_layers", "the model has no outputs"));
        }
        Ok(self.builder.finish(named))
    }
}

/// Whether the call passes a dict to a model whose inputs are a list in non-alphabetical order. Operands are in
/// alphabetical order; Keras 2 uses the order of the list.
fn is_shuffled(call: &Attrs, callee: &Func) -> bool {
    let first = call.get("args").and_then(Attr::as_list).and_then(<[Attr]>::first);
    let (Some(given), None) = (first.and_then(Attr::as_map), callee.attrs.get("inputs").and_then(Attr::as_map)) else {
        return false;
    };
    let names: BTreeSet<&Name> = given.iter().map(|(name, _)| name).collect();
    let is_named = callee.params.iter().all(|param| names.contains(&param.name));
    is_named && !callee.params.is_sorted_by(|a, b| a.name < b.name)
}
