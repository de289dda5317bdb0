//! From a function to `config.json` and the tree of weights.

use std::collections::{BTreeMap, BTreeSet};

use netc_ir::{Attr, Attrs, Func, FuncId, Layer, LayerId, Module, Op, OpId, OpKind, Param, Type, ValueId};

use crate::error::Problem;
use crate::h5write::Tree;
use crate::import::input_declaration;
use crate::names::{GroupNames, dtype_name, is_layer_class};
use crate::order::{Operation, keras_order};
use crate::write::Written;

pub(crate) struct Exporter<'m> {
    module: &'m Module,
    pub(crate) weights: Tree,
}

impl<'m> Exporter<'m> {
    pub(crate) fn new(module: &'m Module) -> Self {
        Self { module, weights: Tree::default() }
    }

    /// The root object of `config.json` for the function.
    pub(crate) fn top_level(&mut self, id: FuncId) -> Result<(Attrs, Written), Problem> {
        let func = &self.module[id];
        let title = func.attrs.get("name").and_then(Attr::as_str).unwrap_or(&func.name).to_string();
        let (kind, graph, written) = self.model(func, "")?;
        self.weights.at("vars").name = Some(title.clone());
        // A function with its own signature is the whole model; a stage is a plain model of the same kind.
        let whole =
            func.attrs.get("inputs").is_some() || kind == Kind::Sequential && func.name.as_ref() == netc_ir::MAIN;
        let own = func.attrs.get("object").and_then(Attr::as_map);
        let mut object = match own.filter(|_| whole) {
            Some(object) => object.clone(),
            None => kind.object(),
        };
        let config = own.and_then(|o| o.get("config")).and_then(Attr::as_map).cloned().unwrap_or_default();
        let mut config = if whole { config } else { plain_config(&config, kind) };
        config.set("name", title.as_str());
        config.set("trainable", config.get("trainable").cloned().unwrap_or(Attr::Bool(true)));
        graph.into_iter().for_each(|(key, value)| config.set(key, value));
        object.set("config", config);
        Ok((object, written))
    }

    /// The `layers`, `input_layers` and `output_layers` of the function's configuration.
    fn model(&mut self, func: &Func, group: &str) -> Result<(Kind, Attrs, Written), Problem> {
        let names = Names::of(self.module, func)?;
        if is_chain(func) {
            return self.sequential(func, group, &names);
        }
        let mut groups = GroupNames::default();
        let mut layers = Vec::new();
        let calls = names.calls_by_layer(func);
        for operation in keras_order(func) {
            let mut object = match operation {
                Operation::Input(i) => self.input(func, &func.params[i], &names, i)?.config,
                Operation::Layer(id) => self.layer_object(func, id, calls.get(&id).map_or(&[], |c| c))?,
                Operation::Op(op) => return Err(not_a_layer(&func[op])),
            };
            let (class, name, id) = match operation {
                Operation::Input(i) => ("InputLayer".to_string(), names.inputs[i].clone(), None),
                Operation::Layer(id) => (self.module[id].class.to_string(), self.module[id].name.to_string(), Some(id)),
                Operation::Op(op) => return Err(not_a_layer(&func[op])),
            };
            object.set("name", name.as_str());
            if is_layer_class(&class) {
                self.group(id, &class, &name, group, &mut groups, &mut object, func)?;
            }
            let nodes = id.and_then(|id| calls.get(&id)).map_or(&[][..], |c| c);
            let nodes = nodes.iter().map(|op| names.node(func, &func[*op])).collect();
            object.set("inbound_nodes", Attr::List(nodes));
            layers.push(Attr::Map(object));
        }
        let inputs: Vec<Attr> = func.params.iter().map(|p| names.history(p.value, false)).collect();
        let outputs: Vec<Attr> =
            func.outputs.iter().map(|o| names.history(o.value, self.ends_in_functional(func, o.value))).collect();
        let graph = Attrs::new()
            .with("layers", Attr::List(layers))
            .with("input_layers", signature(func.attrs.get("inputs"), inputs))
            .with("output_layers", signature(func.attrs.get("outputs"), outputs));
        Ok((Kind::Functional, graph, names.written(func)))
    }

    fn sequential(&mut self, func: &Func, group: &str, names: &Names) -> Result<(Kind, Attrs, Written), Problem> {
        let mut groups = GroupNames::default();
        let mut layers = vec![Attr::Map(self.input(func, &func.params[0], names, 0)?.config)];
        for (id, op) in func.ops() {
            let layer = op.kind.layer().ok_or_else(|| not_a_layer(op))?;
            let mut object = self.layer_object(func, layer, &[id])?;
            let (class, name) = (self.module[layer].class.to_string(), self.module[layer].name.to_string());
            self.group(Some(layer), &class, &name, group, &mut groups, &mut object, func)?;
            layers.push(Attr::Map(object));
        }
        Ok((Kind::Sequential, Attrs::new().with("layers", Attr::List(layers)), names.written(func)))
    }

    /// Puts the layer's weights into its group; for a nested model, its graph into the object.
    #[expect(clippy::too_many_arguments, reason = "each is a different part of the layer's entry")]
    fn group(
        &mut self,
        id: Option<LayerId>,
        class: &str,
        name: &str,
        group: &str,
        groups: &mut GroupNames,
        object: &mut Attrs,
        func: &Func,
    ) -> Result<(), Problem> {
        let class = class.rsplit('.').next().unwrap_or(class);
        let path = format!("{group}/layers/{}", groups.next(class));
        self.weights.at(&path).at("vars").name = Some(name.into());
        let Some(id) = id else { return Ok(()) };
        for (place, weight) in &self.module[id].weights {
            let (above, leaf) = place.rsplit_once('/').unwrap_or(("", place));
            self.weights.at(&path).at(above).weights.insert(leaf.into(), *weight);
        }
        let callee = func.ops().find_map(|(_, op)| match &op.kind {
            OpKind::Call(call) if call.layer == Some(id) => Some(call.callee),
            OpKind::Call(_) | OpKind::Source(_) | OpKind::Core(_) => None,
        });
        if let Some(callee) = callee {
            let (_, graph, _) = self.model(&self.module[callee], &path)?;
            let mut config = object.get("config").and_then(Attr::as_map).cloned().unwrap_or_default();
            graph.into_iter().for_each(|(key, value)| config.set(key, value));
            object.set("config", config);
        }
        Ok(())
    }

    fn layer_object(&self, func: &Func, id: LayerId, calls: &[OpId]) -> Result<Attrs, Problem> {
        match calls.iter().find(|op| matches!(func[**op].kind, OpKind::Core(_))) {
            Some(op) => Err(not_a_layer(&func[*op])),
            None => Ok(self.module[id].config.clone()),
        }
    }

    fn input(&self, func: &Func, param: &Param, names: &Names, i: usize) -> Result<Layer, Problem> {
        if let Some(layer) = param.layer {
            return Ok(self.module[layer].clone());
        }
        let ty = &func[param.value].ty;
        let shape = shape(ty).ok_or_else(|| Problem::NotKeras {
            place: format!("input `{}`", param.name),
            note: format!("its type {ty} is not known; give the layer that makes it a meaning with --layers FILE.nir"),
        })?;
        let like = self.module.layers.iter().find(|l| &*l.class == "keras.InputLayer");
        Ok(input_declaration(&names.inputs[i], shape, dtype_name(ty.elem), like.map(|l| &l.config)))
    }

    /// In a model's outputs, the calls of a nested Functional count from 1.
    fn ends_in_functional(&self, func: &Func, value: ValueId) -> bool {
        let call = func.producer(value).map(|op| &func[op].kind);
        matches!(call, Some(OpKind::Call(c)) if !is_chain(&self.module[c.callee]))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Functional,
    Sequential,
}

impl Kind {
    /// The root object of a model of this kind, without its configuration.
    fn object(self) -> Attrs {
        let (module, class, registered) = match self {
            Self::Functional => ("keras.src.models.functional", "Functional", Attr::str("Functional")),
            Self::Sequential => ("keras", "Sequential", Attr::Null),
        };
        Attrs::new()
            .with("module", module)
            .with("class_name", class)
            .with("config", Attrs::new())
            .with("registered_name", registered)
    }
}

/// What a stage keeps of the whole's configuration: not what describes the whole's shape, nor a subclass's arguments.
fn plain_config(whole: &Attrs, kind: Kind) -> Attrs {
    let kept = match kind {
        Kind::Functional => &["trainable"][..],
        Kind::Sequential => &["trainable", "dtype"][..],
    };
    kept.iter().filter_map(|k| Some(((*k).into(), whole.get(k)?.clone()))).collect()
}

/// Whether the function was a Sequential model and is one still: each layer reads what the one before yields.
fn is_chain(func: &Func) -> bool {
    let sequential = func.attrs.get("class").and_then(Attr::as_str) == Some("Sequential");
    let ([param], [output]) = (&func.params[..], &func.outputs[..]) else { return false };
    let mut last = param.value;
    let mut layers = BTreeSet::new();
    sequential
        && func.ops().all(|(_, op)| {
            let reads_last = op.operands == [last];
            let fresh = op.kind.layer().is_some_and(|l| layers.insert(l));
            last = op.results.first().copied().unwrap_or(last);
            reads_last && fresh && op.results.len() == 1
        })
        && output.value == last
        && func.num_ops() > 0
}

/// How the values of a function are called in its file.
struct Names {
    inputs: Vec<String>,
    /// Layer, call and output of each value.
    values: BTreeMap<ValueId, (String, usize, usize)>,
}

impl Names {
    fn of(module: &Module, func: &Func) -> Result<Self, Problem> {
        let mut taken: BTreeSet<String> = func.layers().iter().map(|l| module[*l].name.to_string()).collect();
        let mut names = Self { inputs: Vec::new(), values: BTreeMap::new() };
        for param in &func.params {
            let name = match param.layer {
                Some(layer) => module[layer].name.to_string(),
                None => fresh_name(&param.name, &mut taken),
            };
            names.values.insert(param.value, (name.clone(), 0, 0));
            names.inputs.push(name);
        }
        let mut calls: BTreeMap<LayerId, usize> = BTreeMap::new();
        for (_, op) in func.ops() {
            let layer = op.kind.layer().ok_or_else(|| not_a_layer(op))?;
            let node = calls.entry(layer).or_insert(0);
            for (i, value) in op.results.iter().enumerate() {
                names.values.insert(*value, (module[layer].name.to_string(), *node, i));
            }
            *node += 1;
        }
        Ok(names)
    }

    fn calls_by_layer(&self, func: &Func) -> BTreeMap<LayerId, Vec<OpId>> {
        let mut calls: BTreeMap<LayerId, Vec<OpId>> = BTreeMap::new();
        for (id, op) in func.ops() {
            if let Some(layer) = op.kind.layer() {
                calls.entry(layer).or_default().push(id);
            }
        }
        calls
    }

    /// `[layer, call, output]`.
    fn history(&self, value: ValueId, from_one: bool) -> Attr {
        let (layer, call, output) = &self.values[&value];
        Attr::List(vec![
            layer.as_str().into(),
            Attr::Int((call + usize::from(from_one)) as i128),
            Attr::Int(*output as i128),
        ])
    }

    /// An entry of `inbound_nodes`.
    fn node(&self, func: &Func, op: &Op) -> Attr {
        let tensor = |i: u32| match op.operands.get(i as usize) {
            Some(value) => self.tensor(func, *value),
            None => Attr::Null,
        };
        let attrs = op.kind.attrs();
        let part = |key, empty| attrs.and_then(|a| a.get(key)).map_or(empty, |tree| fill(tree, &tensor));
        let args = part("args", Attr::List(Vec::new()));
        let kwargs = part("kwargs", Attr::Map(Attrs::new()));
        Attr::Map(Attrs::new().with("args", args).with("kwargs", kwargs))
    }

    fn tensor(&self, func: &Func, value: ValueId) -> Attr {
        let ty = &func[value].ty;
        // Keras reads the graph from the history; a shape must only be well-formed.
        let shape = shape(ty).unwrap_or_else(|| Attr::List(vec![Attr::Null]));
        let config = Attrs::new()
            .with("shape", shape)
            .with("dtype", dtype_name(ty.elem))
            .with("keras_history", self.history(value, false));
        Attr::Map(Attrs::new().with("class_name", "__keras_tensor__").with("config", config))
    }

    fn written(&self, func: &Func) -> Written {
        let mut outputs: Vec<String> = Vec::new();
        for output in &func.outputs {
            // A model's own output names; a stage's are those of the layers, as Keras names them.
            let own = func.attrs.get("outputs").is_some();
            let mut name = if own { output.name.to_string() } else { self.values[&output.value].0.clone() };
            while outputs.contains(&name) {
                name.push('_');
            }
            outputs.push(name);
        }
        Written { inputs: self.inputs.clone(), outputs }
    }
}

/// A name for an input layer that Keras accepts and no layer has.
fn fresh_name(wanted: &str, taken: &mut BTreeSet<String>) -> String {
    let clean: String =
        wanted.chars().map(|c| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '_' }).collect();
    let mut name = if clean.starts_with(|c: char| c.is_ascii_alphanumeric()) { clean } else { format!("input{clean}") };
    if taken.contains(&name) {
        name.push_str("_input");
    }
    while !taken.insert(name.clone()) {
        name.push('_');
    }
    name
}

/// The tree with each `$i` replaced.
fn fill(tree: &Attr, leaf: &impl Fn(u32) -> Attr) -> Attr {
    match tree {
        Attr::Operand(i) => leaf(*i),
        Attr::List(items) => Attr::List(items.iter().map(|a| fill(a, leaf)).collect()),
        Attr::Map(map) => Attr::Map(map.iter().map(|(k, v)| (k.clone(), fill(v, leaf))).collect()),
        Attr::Null | Attr::Bool(_) | Attr::Int(_) | Attr::Float(_) | Attr::Str(_) => tree.clone(),
    }
}

/// The model's own structure; without one, the tensor itself or a list.
fn signature(own: Option<&Attr>, mut leaves: Vec<Attr>) -> Attr {
    match own {
        Some(tree) => fill(tree, &|i| leaves.get(i as usize).cloned().unwrap_or(Attr::Null)),
        None if leaves.len() == 1 => leaves.remove(0),
        None => Attr::List(leaves),
    }
}

fn shape(ty: &Type) -> Option<Attr> {
    let dims = ty.dims.as_ref()?;
    Some(Attr::List(dims.iter().map(|d| d.known().map_or(Attr::Null, |n| Attr::Int(n.into()))).collect()))
}

fn not_a_layer(op: &Op) -> Problem {
    let note = match op.kind {
        OpKind::Core(_) => "core ops have no Keras layer; write the program as `.nir`",
        OpKind::Call(_) | OpKind::Source(_) => {
            "the op applies no layer; write the stages one by one, or the program as `.nir`"
        }
    };
    Problem::NotKeras { place: format!("`{}` at {}", op.kind.name(), op.loc), note: note.into() }
}
