//! Builds the configuration and the weights of a model from a function.

mod hdf5;
mod upgraded;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use netc_data::dtype_name;
use netc_format::Written;
use netc_ir::{Attr, Attrs, Func, FuncId, Layer, LayerId, MAIN, Module, Name, Op, OpId, OpKind, ValueId, WeightId};

use crate::config::call::{fill, trains};
use crate::config::classes::is_layer_class;
use crate::config::declaration::{input_declaration, shape};
use crate::config::names::GroupNames;
use crate::config::order::{Operation, keras_order, needed_calls};
use crate::config::ties::ties;
use crate::config::version::{self, KerasVersion};
use crate::container::assets::FOLDER;
use crate::container::hdf5::write::Tree;
use crate::error::{Problem, Result};
use crate::export::lists::WeightList;
use crate::export::names::Names;
use crate::export::{masks, tfjs, unknown};
use crate::legacy;
use netc_format::stack::MAX_NESTING;

pub(crate) struct Exporter<'m> {
    module: &'m Module,
    version: KerasVersion,
    container: Container,
    /// The weight groups of an archive.
    pub(crate) weights: Tree,
    /// The assets of an archive, by member name.
    pub(crate) assets: BTreeMap<String, WeightId>,
    /// The weights by outermost layer, for HDF5 and TensorFlow.js.
    pub(crate) lists: Vec<WeightList>,
    /// The functions written as nested models so far; each belongs to one layer.
    nested: BTreeSet<FuncId>,
    /// The weight names used so far, in a format that finds weights by name.
    taken: BTreeSet<String>,
    /// The layers whose configurations contain another layer of the model.
    holders: BTreeSet<Name>,
}

/// The container to write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Container {
    /// A `.keras` archive: layers as Keras 3 declares them, weights in groups.
    Archive,
    /// An HDF5 file: layers declared as read, weights in lists.
    Hdf5,
    /// A TensorFlow.js layers model: layers as Keras 2 declares them, weights in lists.
    Tfjs,
}

/// The place of a model in the file.
struct Place {
    /// The model's weight group; in an HDF5 file, the path with which the names of its weights begin.
    group: String,
    /// The nesting depth.
    depth: usize,
}

/// A model that is being written: its place, and the names and numbers of its layers.
struct Scope<'m> {
    func: &'m Func,
    place: Place,
    names: Names,
    calls: BTreeMap<LayerId, Vec<OpId>>,
    groups: GroupNames,
}

impl<'m> Exporter<'m> {
    pub(crate) fn new(module: &'m Module, container: Container) -> Self {
        let (weights, assets, lists, nested) = (Tree::default(), BTreeMap::new(), Vec::new(), BTreeSet::new());
        let (version, taken) = (KerasVersion::of(&module.attrs), BTreeSet::new());
        // Only lists repeat the weights of a shared layer for each layer that contains it.
        let ties = if container == Container::Archive { Vec::new() } else { ties(module) };
        let holders = ties.into_iter().map(|(holder, _)| module[holder].name.clone()).collect();
        Self { module, version, container, weights, assets, lists, nested, taken, holders }
    }

    /// Whether to write the form used before Keras 3.
    fn is_old(&self) -> bool {
        match self.container {
            Container::Archive => false,
            Container::Hdf5 => self.version == KerasVersion::Legacy,
            Container::Tfjs => true,
        }
    }

    /// The declaration of a layer, converted for the container.
    fn declaration(&self, id: LayerId) -> Cow<'m, Layer> {
        match self.container {
            Container::Archive => legacy::upgrade(&self.module[id], self.version),
            Container::Hdf5 if self.is_old() => legacy::with_named_functions(&self.module[id]),
            Container::Hdf5 => Cow::Borrowed(&self.module[id]),
            Container::Tfjs => tfjs::declared(&self.module[id]),
        }
    }

    /// The root object of `config.json` for the function.
    pub(crate) fn top_level(&mut self, id: FuncId) -> Result<(Attrs, Written)> {
        if self.container == Container::Archive && self.version == KerasVersion::Legacy {
            masks::same_in_both(self.module, id)?;
        }
        let func = &self.module[id];
        let title = func.attrs.get("name").and_then(Attr::as_str).unwrap_or(&func.name).to_string();
        let (kind, graph, written) = self.model(func, Place { group: String::new(), depth: 0 })?;
        self.weights.at("vars").set_name(&title);
        let own = func.attrs.get("object").and_then(Attr::as_map);
        let own = own.map(|own| match self.container {
            Container::Archive => legacy::upgrade_object(own, self.version),
            Container::Hdf5 | Container::Tfjs => {
                own.iter().filter(|(key, _)| matches!(&**key, "class_name" | "config")).cloned().collect()
            }
        });
        let own = own.as_ref();
        // A function with the model's name and signature is the whole model. A part becomes a plain model of the same
        // kind.
        let whole_name = own.and_then(|o| o.get("config")?.get("name")?.as_str()).unwrap_or(MAIN);
        let has_signature = func.attrs.get("inputs").is_some() || kind == Kind::Sequential && *func.name == *MAIN;
        let whole = has_signature && whole_name == title;
        let mut object = match own.filter(|_| whole) {
            Some(object) => object.clone(),
            None if self.container != Container::Archive => kind.hdf5_object(own),
            None => kind.object(),
        };
        let config = own.and_then(|o| o.get("config")).and_then(Attr::as_map).cloned().unwrap_or_default();
        let mut config = if whole { config } else { plain_config(&config, kind) };
        config.set("name", title.as_str());
        if !self.is_old() {
            config.set("trainable", config.get("trainable").cloned().unwrap_or(Attr::Bool(true)));
        }
        graph.into_iter().for_each(|(key, value)| config.set(key, value));
        object.set("config", config);
        Ok((object, written))
    }

    /// The `layers`, `input_layers` and `output_layers` of the function's configuration.
    fn model(&mut self, func: &'m Func, place: Place) -> Result<(Kind, Attrs, Written)> {
        let extra = self.extra_calls(func);
        let calls = calls_by_layer(self.module, func, &extra)?;
        let names = Names::of(self.module, func, &calls);
        let mut scope = Scope { func, place, names, calls, groups: GroupNames::default() };
        if self.is_chain(func) {
            return self.sequential(&mut scope);
        }
        let mut layers = Vec::new();
        let mut order = keras_order(func);
        let mut seen: BTreeSet<Operation> = order.iter().copied().collect();
        let extra = extra.iter().filter_map(|op| func[*op].kind.layer()).map(Operation::Layer);
        order.extend(extra.filter(|layer| seen.insert(*layer)));
        for operation in order {
            layers.push(Attr::Map(match operation {
                Operation::Input(i) => self.input_entry(&mut scope, i)?,
                Operation::Layer(id) => self.layer_entry(&mut scope, id)?,
                Operation::Op(op) => return Err(not_a_layer(&func[op])),
            }));
        }
        let names = &scope.names;
        let inputs: Vec<Attr> = func.params.iter().map(|p| names.history(p.value, false)).collect();
        let output = |value| names.history(value, self.counts_from_one(func, value));
        let returned: BTreeSet<ValueId> = func.outputs.iter().map(|o| o.value).collect();
        if self.container == Container::Tfjs && returned.len() < func.outputs.len() {
            let note = "TensorFlow.js cannot return the same tensor twice".into();
            return Err(Problem::NotKeras { place: format!("`@{}`", func.name), note });
        }
        let outputs: Vec<Attr> = func.outputs.iter().map(|o| output(o.value)).collect();
        let graph = Attrs::new()
            .with("layers", Attr::List(layers))
            .with("input_layers", self.signature(func.attrs.get("inputs"), inputs))
            .with("output_layers", self.signature(func.attrs.get("outputs"), outputs));
        Ok((Kind::Functional, graph, names.written(func)))
    }

    fn sequential(&mut self, scope: &mut Scope<'m>) -> Result<(Kind, Attrs, Written)> {
        let mut layers = vec![Attr::Map(self.input(scope, 0)?.config)];
        for (_, op) in scope.func.ops() {
            let id = op.kind.layer().ok_or_else(|| not_a_layer(op))?;
            layers.push(Attr::Map(self.layer_object(scope, id)?));
        }
        Ok((Kind::Sequential, Attrs::new().with("layers", Attr::List(layers)), scope.names.written(scope.func)))
    }

    fn input_entry(&mut self, scope: &mut Scope<'m>, i: usize) -> Result<Attrs> {
        let name = scope.names.inputs[i].clone();
        let layer = self.input(scope, i)?;
        self.place_weights(scope, &layer)?;
        let object = layer.config;
        Ok(object.with("name", name.as_str()).with("inbound_nodes", Attr::List(Vec::new())))
    }

    fn layer_entry(&mut self, scope: &mut Scope<'m>, id: LayerId) -> Result<Attrs> {
        let object = self.layer_object(scope, id)?;
        let calls = scope.calls.get(&id).map_or(&[][..], |c| c);
        let node = |op: &OpId| match (self.is_old(), self.container) {
            (true, _) => self.old_node(scope, *op),
            (false, Container::Archive) => {
                let upgraded = self.upgrade_call(scope, id, *op)?;
                Ok(scope.names.node(scope.func, &scope.func[*op], &upgraded.call))
            }
            (false, Container::Hdf5 | Container::Tfjs) => {
                let op = &scope.func[*op];
                Ok(scope.names.node(scope.func, op, op.kind.attrs().unwrap_or(&Attrs::new())))
            }
        };
        let nodes = Attr::List(calls.iter().map(node).collect::<Result<_, _>>()?);
        if self.container == Container::Hdf5 && self.version == KerasVersion::Keras3 && hdf5::is_misread(&nodes) {
            let note = "Keras 3 cannot read `...` and tuples in the calls of an HDF5 file; write the model as .keras";
            return Err(Problem::NotKeras { place: format!("layer `{}`", self.module[id].name), note: note.into() });
        }
        Ok(object.with("name", &*self.module[id].name).with("inbound_nodes", nodes))
    }

    /// Adds the weights of a layer at their place in the container. Returns the place of its inner layers.
    fn place_weights(&mut self, scope: &mut Scope<'m>, layer: &Layer) -> Result<String> {
        if self.container != Container::Archive {
            return self.list_weights(scope, layer);
        }
        if layer.weights.iter().any(|(place, _)| place.starts_with(legacy::LISTED)) {
            let note = "its weights belong to inner layers, and the HDF5 file does not record their places in a .keras \
                        file; save the model as .keras with Keras";
            return Err(Problem::NotKeras { place: format!("layer `{}`", layer.name), note: note.into() });
        }
        let path = scope.next_group(&layer.class);
        let group = self.weights.at(&path);
        group.at("vars").set_name(&layer.name);
        let config = layer.config.get("config").and_then(Attr::as_map).cloned().unwrap_or_default();
        // Modules of Keras 1 and 2 use the newest group names; a Keras 3.0 module keeps its own.
        let is_older = self.version == KerasVersion::Keras3 && legacy::has_old_groups(&self.module.attrs);
        if is_older {
            let places = layer.weights.iter().map(|(place, _)| place);
            let downgraded = legacy::places_in_old_groups(&layer.class, &config, self.version, places);
            downgraded.iter().zip(&layer.weights).for_each(|(place, (_, weight))| group.add_weight(place, *weight));
        } else {
            layer.weights.iter().for_each(|(place, weight)| group.add_weight(place, *weight));
        }
        for (place, asset) in &layer.assets {
            let name = format!("{FOLDER}{}/{place}", path.trim_start_matches('/'));
            if self.assets.insert(name.clone(), *asset).is_some() {
                let note = format!("another layer has an asset at `{name}` too");
                return Err(Problem::NotKeras { place: format!("layer `{}`", layer.name), note });
            }
        }
        Ok(path)
    }

    /// Makes the layer's object, with its graph if it is a model, and adds its weights.
    fn layer_object(&mut self, scope: &mut Scope<'m>, id: LayerId) -> Result<Attrs> {
        let layer = match self.container {
            Container::Archive => self.upgraded_layer(scope, id)?,
            Container::Hdf5 | Container::Tfjs => self.declaration(id),
        };
        let layer = &*layer;
        let of_tfjs = self.module.attrs.get("format").and_then(Attr::as_str) == Some("tfjs");
        let calls = scope.calls.get(&id).map_or(&[][..], |calls| calls);
        let calls = calls.iter().filter_map(|op| scope.func[*op].kind.attrs());
        let differs = || tfjs::differs_in_keras(&self.module[id], scope.rank(id), calls).filter(|_| of_tfjs);
        let refused = match self.container {
            Container::Archive => self.not_in_keras_3(scope, id, layer).or_else(differs),
            Container::Hdf5 => differs(),
            Container::Tfjs => tfjs::refused(layer, scope.rank(id)),
        };
        if let Some(note) = refused {
            return Err(Problem::NotKeras { place: format!("layer `{}`", layer.name), note });
        }
        let mut object = layer.config.clone();
        if !is_layer_class(&layer.class) {
            return Ok(object);
        }
        let path = self.place_weights(scope, layer)?;
        let first = scope.calls.get(&id).and_then(|calls| calls.first());
        if let Some(OpKind::Call(call)) = first.map(|op| &scope.func[*op].kind) {
            let mut config = object.get("config").and_then(Attr::as_map).cloned().unwrap_or_default();
            let graph = self.nested(call.callee, Place { group: path, depth: scope.place.depth + 1 })?;
            if scope.place.depth == 0 {
                self.finish_list(&config, graph.get("input_layers").is_some());
            }
            graph.into_iter().for_each(|(key, value)| config.set(key, value));
            object.set("config", config);
        }
        Ok(object)
    }

    /// The reason why a Keras 3 `.keras` file cannot express a declaration from another file, if there is one.
    fn not_in_keras_3(&self, scope: &Scope<'_>, id: LayerId, upgraded: &Layer) -> Option<String> {
        if self.version == KerasVersion::Keras3 {
            let is_unknown = !is_layer_class(&upgraded.class) && version::is_legacy(&self.module[id].config);
            return is_unknown
                .then(|| "the file does not record which operation it is; save the model as .keras with Keras".into());
        }
        let calls = scope.calls.get(&id).map_or(&[][..], |calls| calls);
        if calls.iter().any(|op| scope.func[*op].kind.attrs().is_some_and(trains)) {
            return Some("it is called with training = true, which `predict` of Keras 3 overrides".into());
        }
        let of_integers = |op: &OpId| legacy::check_floats(scope.func, &scope.func[*op], &upgraded.class).err();
        legacy::not_in_keras_3(&upgraded.config).or_else(|| calls.iter().find_map(of_integers))
    }

    fn nested(&mut self, callee: FuncId, place: Place) -> Result<Attrs> {
        let func = &self.module[callee];
        let refuse = |note: String| Err(Problem::NotKeras { place: format!("`@{}`", func.name), note });
        if place.depth > MAX_NESTING {
            return refuse(format!("models nest deeper than {MAX_NESTING} levels"));
        }
        if !self.nested.insert(callee) {
            return refuse("two layers share this nested model; in a Keras file each layer has its own".into());
        }
        Ok(self.model(func, place)?.1)
    }

    /// The declaration of input `i`, created if the function has none.
    fn input(&self, scope: &Scope<'_>, i: usize) -> Result<Layer> {
        let (func, param) = (scope.func, &scope.func.params[i]);
        if let Some(layer) = param.layer {
            return Ok(self.declaration(layer).into_owned());
        }
        let ty = &func[param.value].ty;
        let shape = shape(ty).ok_or_else(|| Problem::NotKeras {
            place: format!("input `{}`", param.name),
            note: match unknown::maker(self.module, &param.name) {
                Some((layer, class)) => format!(
                    "its type {ty} is unknown because netc has no lowering for the layer `{layer}` ({class}); define \
                     one with --layers FILE.nir"
                ),
                None => {
                    format!("its type {ty} is unknown; define the layer that computes it with --layers FILE.nir")
                }
            },
        })?;
        let like = self.module.layers.iter().position(|l| &*l.class == "keras.InputLayer");
        let like = like.map(|at| self.declaration(LayerId::new(at)));
        let like = like.as_ref().map(|l| &l.config);
        let version = if self.is_old() { KerasVersion::Legacy } else { KerasVersion::Keras3 };
        Ok(input_declaration(&scope.names.inputs[i], shape, dtype_name(ty.elem), like, version))
    }

    /// The structure of the model's inputs or outputs: its own if it has one, else a single tensor or a list.
    fn signature(&self, own: Option<&Attr>, mut leaves: Vec<Attr>) -> Attr {
        match own {
            // TensorFlow.js supports only lists.
            Some(_) if self.container == Container::Tfjs => Attr::List(leaves),
            // Before Keras 3, a single tensor is in a list, too.
            Some(Attr::Operand(_)) if self.is_old() => Attr::List(leaves),
            Some(tree) => fill(tree, &|i| leaves.get(i as usize).cloned().unwrap_or(Attr::Null)),
            None if leaves.len() == 1 && !self.is_old() && !only_reads_lists(self.module) => leaves.remove(0),
            None => Attr::List(leaves),
        }
    }

    /// Whether a model's outputs number the calls of the layer that yields `value` from 1: for a nested Functional, and
    /// before Keras 3 for every nested model.
    fn counts_from_one(&self, func: &Func, value: ValueId) -> bool {
        let call = func.producer(value).map(|op| &func[op].kind);
        matches!(call, Some(OpKind::Call(c)) if self.is_old() || !self.is_chain(&self.module[c.callee]))
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

    /// The root object in an HDF5 file. A graph keeps the class name of `whole`, because Keras 2 renamed `Model` to
    /// `Functional`.
    fn hdf5_object(self, whole: Option<&Attrs>) -> Attrs {
        let class = match (self, whole.and_then(|o| o.get("class_name")).and_then(Attr::as_str)) {
            (Self::Functional, Some("Model")) => "Model",
            (Self::Functional, _) => "Functional",
            (Self::Sequential, _) => "Sequential",
        };
        Attrs::new().with("class_name", class).with("config", Attrs::new())
    }
}

/// The part of the model's configuration that a stage keeps: neither the model's shape nor the arguments of a subclass.
fn plain_config(whole: &Attrs, kind: Kind) -> Attrs {
    let kept = match kind {
        Kind::Functional => &["trainable"][..],
        Kind::Sequential => &["trainable", "dtype"][..],
    };
    kept.iter().filter_map(|k| Some(((*k).into(), whole.get(k)?.clone()))).collect()
}

/// Whether the function comes from a Sequential model and still is one: each layer reads only the result of the one
/// before.
fn is_chain(module: &Module, func: &Func) -> bool {
    let sequential = func.attrs.get("class").and_then(Attr::as_str) == Some("Sequential");
    let ([param], [output]) = (&func.params[..], &func.outputs[..]) else { return false };
    let mut last = param.value;
    let mut layers = BTreeSet::new();
    let takes_one = |op: &Op| {
        let part = |key| op.kind.attrs().and_then(|attrs| attrs.get(key));
        part("args").and_then(Attr::as_list) == Some(&[Attr::Operand(0)])
            && part("kwargs").and_then(Attr::as_map).is_none_or(Attrs::is_empty)
    };
    sequential
        && func.ops().all(|(_, op)| {
            let reads_last = op.operands == [last];
            let is_layer = |l: LayerId| is_layer_class(&module[l].class) && layers.insert(l);
            let fresh = op.kind.layer().is_some_and(is_layer) && takes_one(op);
            last = op.results.first().copied().unwrap_or(last);
            reads_last && fresh && op.results.len() == 1
        })
        && output.value == last
        && func.num_ops() > 0
}

impl Scope<'_> {
    /// The rank of the layer's first input.
    fn rank(&self, id: LayerId) -> Option<usize> {
        let call = self.calls.get(&id)?.first()?;
        let read = self.func[*call].operands.first()?;
        Some(self.func[*read].ty.dims.as_ref()?.len())
    }

    /// The group of the next layer of the class `class`.
    fn next_group(&mut self, class: &str) -> String {
        let class = class.rsplit('.').next().unwrap_or(class);
        format!("{}/layers/{}", self.place.group, self.groups.next(class))
    }
}

/// The calls of each layer in the file, in order: those that the outputs need, and the additional ones in `extra`.
fn calls_by_layer(module: &Module, func: &Func, extra: &[OpId]) -> Result<BTreeMap<LayerId, Vec<OpId>>> {
    let mut needed = needed_calls(func);
    needed.extend(extra);
    let mut calls: BTreeMap<LayerId, Vec<OpId>> = BTreeMap::new();
    for (id, op) in func.ops().filter(|(id, _)| needed.contains(id)) {
        let layer = op.kind.layer().ok_or_else(|| not_a_layer(op))?;
        let absent = matches!(&op.kind, OpKind::Source(source) if !source.absent.is_empty());
        if absent || !(op.kind.attrs().is_none_or(Attrs::is_json) && module[layer].config.is_json()) {
            let note = "Keras supports neither absent operands nor bytes, weights or functions in attributes".into();
            return Err(Problem::NotKeras { place: format!("`{}` at {}", op.kind.name(), op.loc), note });
        }
        calls.entry(layer).or_default().push(id);
    }
    Ok(calls)
}

/// Whether the model is from Keras 3.0 to 3.4, which reads a single input or output only as a list.
fn only_reads_lists(module: &Module) -> bool {
    let version = module.attrs.get("keras_version").and_then(Attr::as_str).unwrap_or_default();
    let mut numbers = version.split('.').map(str::parse::<u32>);
    matches!((numbers.next(), numbers.next()), (Some(Ok(3)), Some(Ok(0..=4))))
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
