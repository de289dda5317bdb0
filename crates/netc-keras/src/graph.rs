//! From the layers of one model, with their calls, to a function.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, hash_map};

use netc_ir::{
    Attr, Attrs, Builder, CallOp, Dim, ElemType, FileId, Func, FuncId, LayerId, Loc, Module, Name, OpKind, SourceOp,
    Type, UniqueNames, ValueId, call_types,
};
use netc_pass::{Dialects, LowerError};

use crate::call::{Call, Recorded, Symbols, TensorRef, extents, records_otherwise};
use crate::error::Problem;
use crate::legacy::Era;
use crate::model_masks::without_attached;
use crate::names::dtype_name;
use crate::write::is_architecture;

/// One entry of a model's `layers`, with its declaration made.
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
    /// A model inside the model.
    Nested(FuncId),
}

/// Call `.1` of entry `.0`.
type NodeKey = (usize, usize);

/// The layers of one model with their calls.
pub(crate) struct Graph {
    pub(crate) entries: Vec<Entry>,
    /// The path of the model in the file; empty for the outermost.
    pub(crate) path: String,
}

/// What a translation needs to know besides the graph, and what it leaves behind.
pub(crate) struct Surroundings<'a> {
    pub(crate) module: &'a Module,
    pub(crate) dialects: &'a Dialects,
    pub(crate) file: FileId,
    /// Whether the weights are from a file that was given apart from the model.
    pub(crate) given: bool,
    pub(crate) symbols: &'a mut Symbols,
    pub(crate) notes: &'a mut Vec<String>,
}

/// What the calls of a graph refer to.
#[derive(Default)]
struct Links {
    /// The type that some reader records for a tensor. Shapes alone are those that a reader was built for.
    recorded: HashMap<(NodeKey, usize), Recorded>,
    /// Tensors whose readers were built for different ranks.
    contradicted: BTreeSet<(NodeKey, usize)>,
    /// How many tensors of a call are referred to.
    arity: HashMap<NodeKey, usize>,
}

impl Links {
    /// Takes note of what a reader records. The type in a call is certain; a shape that a reader was built for is not, and
    /// counts where all readers say the same.
    fn record(&mut self, tensor: (NodeKey, usize), new: Recorded) {
        if new.0 == ElemType::Any && self.contradicted.contains(&tensor) {
            return;
        }
        match self.recorded.entry(tensor) {
            hash_map::Entry::Vacant(vacant) => {
                vacant.insert(new);
            }
            hash_map::Entry::Occupied(mut known) => {
                let (elem, extents) = known.get();
                if new.0 != ElemType::Any {
                    known.insert(new);
                } else if *elem == ElemType::Any && *extents != new.1 {
                    let same_rank = extents.len() == new.1.len();
                    let agreed = extents.iter().zip(&new.1).map(|(a, b)| a.filter(|_| a == b)).collect();
                    if same_rank {
                        known.insert((ElemType::Any, agreed));
                    } else {
                        known.remove();
                        self.contradicted.insert(tensor);
                    }
                }
            }
        }
    }
}

/// The shape of the tensor that a model declares as its input `i`; Keras casts what it is given.
fn declared_input(func: &Func, i: usize) -> Option<Recorded> {
    let dims = func[func.params.get(i)?.value].ty.dims.as_ref()?;
    let mut extents: Vec<Option<u64>> = dims.iter().map(Dim::known).collect();
    if let Some(batch) = extents.first_mut() {
        *batch = None;
    }
    Some((ElemType::Any, extents))
}

/// The shape that a layer was built for, with the batch left open: what was there then need not be what comes.
fn built_shape(object: &Attrs) -> Option<Vec<Option<u64>>> {
    let mut shape = extents(object.get("build_config")?.get("input_shape")?.as_list()?)?;
    if let Some(batch) = shape.first_mut() {
        *batch = None;
    }
    Some(shape)
}

impl Graph {
    /// The function `name` that takes `inputs` and returns `outputs`.
    pub(crate) fn translate(
        &self,
        surroundings: Surroundings<'_>,
        name: &str,
        inputs: &[TensorRef],
        outputs: &[TensorRef],
    ) -> Result<Func, Problem> {
        let index = self.entries.iter().enumerate().map(|(i, e)| (&*e.name, i)).collect();
        let resolver = Resolver { graph: self, index };
        let outputs = outputs.iter().map(|o| resolver.output(surroundings.module, o)).collect::<Result<Vec<_>, _>>()?;
        let links = resolver.links(surroundings.module, &outputs)?;
        let order = resolver.order()?;
        let builder = Builder::new(surroundings.module, name);
        let mut t = Translation { resolver, links, surroundings, builder, values: HashMap::new() };
        t.params(inputs)?;
        order.into_iter().try_for_each(|node| t.call(node))?;
        t.finish(&outputs)
    }
}

/// Whether the calls of the layer count from 1 in a model's outputs: those of a nested Functional do, and before Keras 3
/// those of every nested model, in arguments of calls too.
pub(crate) fn counts_from_one(module: &Module, entry: &Entry) -> bool {
    match entry.kind {
        EntryKind::Nested(func) => {
            let class = module[func].attrs.get("class").and_then(|c| c.as_str());
            class == Some("Functional") || Era::of(&module.attrs) == Era::Before3
        }
        EntryKind::Input(_) | EntryKind::Layer => false,
    }
}

/// Counts the calls in arguments from 0.
pub(crate) fn count_from_zero(module: &Module, entries: &mut [Entry]) -> Result<(), Problem> {
    if Era::of(&module.attrs) == Era::Keras3 {
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
                    format!("refers to call 0 of the model `{}`, expected 1 or more", tensor.layer),
                )
            })?;
        }
    }
    Ok(())
}

struct Resolver<'g> {
    graph: &'g Graph,
    index: HashMap<&'g str, usize>,
}

impl Resolver<'_> {
    fn resolve(&self, tensor: &TensorRef) -> Result<NodeKey, Problem> {
        let entry = self.index.get(&*tensor.layer).copied().ok_or_else(|| self.dangling(tensor))?;
        let calls = match self.graph.entries[entry].kind {
            EntryKind::Input(_) => 1,
            EntryKind::Layer | EntryKind::Nested(_) => self.graph.entries[entry].calls.len(),
        };
        if tensor.node < calls && tensor.tensor < MAX_RESULTS {
            Ok((entry, tensor.node))
        } else {
            Err(self.dangling(tensor))
        }
    }

    fn dangling(&self, tensor: &TensorRef) -> Problem {
        let place = if self.graph.path.is_empty() { "the graph" } else { &self.graph.path };
        let TensorRef { layer, node, tensor, .. } = tensor;
        Problem::config(
            place,
            format!("refers to output {tensor} of call {node} of layer `{layer}`, which does not exist"),
        )
    }

    /// An output with its call counted from 0.
    fn output(&self, module: &Module, output: &TensorRef) -> Result<TensorRef, Problem> {
        let mut output = output.clone();
        let entry = self.index.get(&*output.layer).map(|i| &self.graph.entries[*i]);
        if entry.is_some_and(|e| counts_from_one(module, e)) {
            output.node = output.node.checked_sub(1).ok_or_else(|| self.dangling(&output))?;
        }
        Ok(output)
    }

    fn links(&self, module: &Module, outputs: &[TensorRef]) -> Result<Links, Problem> {
        let mut links = Links::default();
        let mut add = |tensor: &TensorRef, recorded: Option<Recorded>| {
            let key = self.resolve(tensor)?;
            let arity = links.arity.entry(key).or_insert(0);
            *arity = (*arity).max(tensor.tensor + 1);
            if let Some(recorded) = recorded {
                links.record((key, tensor.tensor), recorded);
            }
            Ok::<_, Problem>(())
        };
        for entry in &self.graph.entries {
            for (number, call) in entry.calls.iter().enumerate() {
                for (i, tensor) in call.tensors.iter().enumerate() {
                    let recorded = tensor.recorded.clone().or_else(|| match entry.kind {
                        EntryKind::Nested(func) => declared_input(&module[func], i),
                        EntryKind::Layer if number == 0 && call.tensors.len() == 1 => {
                            built_shape(&module[entry.layer].config).map(|extents| (ElemType::Any, extents))
                        }
                        EntryKind::Layer | EntryKind::Input(_) => None,
                    });
                    add(tensor, recorded)?;
                }
            }
        }
        outputs.iter().try_for_each(|output| add(output, output.recorded.clone()))?;
        Ok(links)
    }

    /// The calls in an order in which each reads only results of earlier ones, as near to the file's as that allows.
    fn order(&self) -> Result<Vec<NodeKey>, Problem> {
        let mut waiting: BTreeMap<NodeKey, usize> = BTreeMap::new();
        let mut readers: HashMap<NodeKey, Vec<NodeKey>> = HashMap::new();
        let mut ready = BinaryHeap::new();
        for (i, entry) in self.graph.entries.iter().enumerate() {
            for (k, call) in entry.calls.iter().enumerate() {
                let mut sources = self.sources(call)?;
                // Calls of a layer are counted in the file's order, in which Keras made them.
                if let Some(last) = k.checked_sub(1).filter(|last| !sources.contains(&(i, *last))) {
                    sources.push((i, last));
                }
                for source in &sources {
                    readers.entry(*source).or_default().push((i, k));
                }
                if sources.is_empty() {
                    ready.push(Reverse((i, k)));
                }
                waiting.insert((i, k), sources.len());
            }
        }
        let mut order = Vec::new();
        while let Some(Reverse(node)) = ready.pop() {
            order.push(node);
            for reader in readers.get(&node).into_iter().flatten() {
                if let Some(n) = waiting.get_mut(reader) {
                    *n -= 1;
                    if *n == 0 {
                        ready.push(Reverse(*reader));
                    }
                }
            }
        }
        match waiting.iter().find(|(_, n)| **n > 0) {
            Some(((entry, _), _)) => {
                let path = join(&self.graph.path, &self.graph.entries[*entry].name);
                Err(Problem::config(path, "the layer depends on its own result: the graph has a cycle"))
            }
            None => Ok(order),
        }
    }

    /// The calls that a call must wait for, each once.
    fn sources(&self, call: &Call) -> Result<Vec<NodeKey>, Problem> {
        let mut sources = call.tensors.iter().map(|t| self.resolve(t)).collect::<Result<Vec<_>, _>>()?;
        sources.retain(|s| !matches!(self.graph.entries[s.0].kind, EntryKind::Input(_)));
        sources.sort_unstable();
        sources.dedup();
        Ok(sources)
    }
}

/// More results than any layer has; bounds what a hostile index makes netc allocate.
const MAX_RESULTS: usize = 1 << 10;

/// A function on its way.
struct Translation<'g, 'm> {
    resolver: Resolver<'g>,
    links: Links,
    surroundings: Surroundings<'m>,
    builder: Builder<'m>,
    values: HashMap<(NodeKey, usize), ValueId>,
}

impl Translation<'_, '_> {
    fn entry(&self, key: NodeKey) -> &Entry {
        &self.resolver.graph.entries[key.0]
    }

    /// The declared inputs, then input layers that the signature leaves out: something may read them.
    fn params(&mut self, inputs: &[TensorRef]) -> Result<(), Problem> {
        let mut keys = inputs.iter().map(|t| self.resolver.resolve(t)).collect::<Result<Vec<_>, _>>()?;
        for (i, entry) in self.resolver.graph.entries.iter().enumerate() {
            if matches!(entry.kind, EntryKind::Input(_)) && !keys.contains(&(i, 0)) {
                keys.push((i, 0));
            }
        }
        for key in keys {
            let graph = self.resolver.graph;
            let entry = &graph.entries[key.0];
            let EntryKind::Input(ty) = &entry.kind else {
                let path = join(&graph.path, &entry.name);
                return Err(Problem::config(path, "is an input of the model, expected an InputLayer"));
            };
            let value = self.builder.param(entry.name.clone(), ty.clone(), Some(entry.layer));
            if self.values.insert((key, 0), value).is_some() {
                return Err(Problem::config(join(&graph.path, &entry.name), "stands twice among the inputs"));
            }
        }
        Ok(())
    }

    fn value(&self, tensor: &TensorRef) -> Result<ValueId, Problem> {
        let key = self.resolver.resolve(tensor)?;
        self.values.get(&(key, tensor.tensor)).copied().ok_or_else(|| self.resolver.dangling(tensor))
    }

    fn call(&mut self, key: NodeKey) -> Result<(), Problem> {
        let graph = self.resolver.graph;
        let (entry, call) = (&graph.entries[key.0], &graph.entries[key.0].calls[key.1]);
        let mut operands = call.tensors.iter().map(|t| self.value(t)).collect::<Result<Vec<_>, _>>()?;
        let path: Name = join(&graph.path, &entry.name).into();
        let mut kind = self.kind(entry, call);
        if let OpKind::Call(model) = &mut kind {
            let (module, func) = (self.surroundings.module, self.builder.func());
            if let Some((attrs, kept)) = without_attached(module, func, &model.attrs, &operands) {
                operands.truncate(kept);
                model.attrs = attrs;
            }
        }
        let types = self.types(key, &kind, &operands, &path)?;
        let stem = if key.1 == 0 { entry.name.to_string() } else { format!("{}.{}", entry.name, key.1) };
        let name = |i: usize| if i == 0 { stem.as_str().into() } else { format!("{stem}.out{i}").into() };
        let results = types.into_iter().enumerate().map(|(i, ty)| (ty, Some(name(i))));
        self.builder.at(Loc::Call { file: Some(self.surroundings.file), path, call: key.1 as u32 });
        let op = self.builder.op(kind, &operands, results);
        for (i, value) in self.builder.results(op).iter().enumerate() {
            self.values.insert((key, i), *value);
        }
        Ok(())
    }

    fn kind(&self, entry: &Entry, call: &Call) -> OpKind {
        let (layer, attrs) = (Some(entry.layer), call.attrs.clone());
        match entry.kind {
            EntryKind::Nested(callee) => OpKind::Call(Box::new(CallOp { callee, layer, attrs })),
            EntryKind::Input(_) | EntryKind::Layer => {
                let name = self.surroundings.module[entry.layer].class.clone();
                OpKind::Source(Box::new(SourceOp { name, layer, attrs }))
            }
        }
    }

    /// The types of a call's results: what the layer's lowering yields, else what readers record, else unknown.
    fn types(&mut self, key: NodeKey, kind: &OpKind, operands: &[ValueId], path: &Name) -> Result<Vec<Type>, Problem> {
        let used = self.links.arity.get(&key).copied().unwrap_or(1);
        let mut types = self.defined_types(kind, operands, path)?;
        let (defined, era) = (types.len(), Era::of(&self.surroundings.module.attrs));
        if defined > 0 && used > defined {
            return Err(Problem::config(&**path, format!("output {} is read, the layer has {defined}", used - 1)));
        }
        types.resize(defined.max(used), Type::unranked(ElemType::Any));
        for (i, ty) in types.iter_mut().enumerate() {
            let Some((elem, extents)) = self.links.recorded.get(&(key, i)) else { continue };
            let recorded = self.surroundings.symbols.ty(*elem, extents);
            let own = kind.name().starts_with("keras.") && ty.dims.is_some() && ty.elem == recorded.elem;
            if era == Era::Keras3 && records_otherwise(kind, operands.first().map(|x| self.builder.ty(*x))) {
                // This says nothing about the tensor.
            } else if ty.agrees_with(&recorded) {
                *ty = ty.refined_by(&recorded);
            } else if *elem == ElemType::Any {
                // The shape that the next layer was first built for, maybe as a layer of another model.
            } else if own || matches!(kind, OpKind::Call(_)) {
                let by = if own { "netc infers" } else { "its model gives" };
                let note = format!("`{path}`: {by} {ty}, the file records {recorded}, which is left out");
                self.surroundings.notes.push(note);
            } else {
                let note = format!("`{path}`: netc infers {ty}, the file records {recorded}, which is taken");
                self.surroundings.notes.push(note);
                *ty = recorded;
            }
        }
        Ok(types)
    }

    /// The types that the callee returns or the lowering yields; none where the layer has no meaning.
    fn defined_types(&self, kind: &OpKind, operands: &[ValueId], path: &Name) -> Result<Vec<Type>, Problem> {
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
                        format!("is called with {found} tensors, expected {expected}")
                    };
                    return Err(Problem::config(&**path, note));
                }
                if Era::of(&module.attrs) == Era::Before3 && is_shuffled(&call.attrs, callee) {
                    let note = "is called with a dict that names its inputs in another order than the model has them";
                    return Err(Problem::config(&**path, note));
                }
                for (operand, param) in operands.iter().zip(&callee.params) {
                    let (given, declared) = (self.builder.ty(*operand), &callee[param.value].ty);
                    if !given.agrees_with(declared) {
                        let mut note = format!("is called with {given}, its input `{}` is {declared}", param.name);
                        if given.elem != declared.elem {
                            let dtype = dtype_name(given.elem);
                            note.push_str("; Keras casts it and netc does not, so give that `Input` the dtype ");
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

    /// The problem of a layer that does not fit. Where its weights were given apart from the model, they are to blame.
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

    fn finish(self, outputs: &[TensorRef]) -> Result<Func, Problem> {
        let mut names = UniqueNames::default();
        let mut named: Vec<(Name, ValueId)> = Vec::new();
        for tensor in outputs {
            let value = self.value(tensor)?;
            let name = names.take(&self.entry(self.resolver.resolve(tensor)?).name);
            named.push((name, value));
        }
        if named.is_empty() {
            return Err(Problem::config("output_layers", "the model has no outputs"));
        }
        Ok(self.builder.finish(named))
    }
}

/// Whether the call gives a dict by the names of inputs that are in a list, in which they are not in alphabetical order:
/// operands are. Keras 2 puts them in the order of the list.
fn is_shuffled(call: &Attrs, callee: &Func) -> bool {
    let first = call.get("args").and_then(Attr::as_list).and_then(<[Attr]>::first);
    let (Some(given), None) = (first.and_then(Attr::as_map), callee.attrs.get("inputs").and_then(Attr::as_map)) else {
        return false;
    };
    let names: BTreeSet<&Name> = given.iter().map(|(name, _)| name).collect();
    let is_named = callee.params.iter().all(|param| names.contains(&param.name));
    is_named && !callee.params.is_sorted_by(|a, b| a.name < b.name)
}

pub(crate) fn join(a: &str, b: &str) -> String {
    if a.is_empty() { b.into() } else { format!("{a}/{b}") }
}
