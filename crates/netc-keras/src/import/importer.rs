//! Builds a module from `config.json` and the weight table.

mod weights;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::rc::Rc;

use netc_dialect::Dialects;
use netc_format::module::is_architecture;
use netc_format::stack::MAX_NESTING;
use netc_format::{Imported, Note};
use netc_ir::{Attr, Attrs, ElemType, FileId, Func, FuncId, Layer, MAIN, Module, Name, Type, UniqueNames, WeightId};

use crate::config::call::{Call, Symbols, TensorRef, extents, flat_dict, structure, trains};
use crate::config::classes::{dialect_class, is_layer_class};
use crate::config::declaration::{input_declaration, layer_name, require_printable, strip_graph};
use crate::config::names::{GroupNames, elem_type, is_of_name};
use crate::config::path::join;
use crate::config::tf;
use crate::config::version::{KerasVersion, is_legacy};
use crate::container::assets::Assets;
use crate::container::training_state::{self, COMPILE_CONFIG, TrainingState};
use crate::container::variable::{WeightTable, Weights};
use crate::error::{Problem, Result};
use crate::import::claim::{Assignment, Claim};
use crate::import::graph::{Entry, EntryKind, Graph, Surroundings, count_from_zero, counts_from_one};
use crate::legacy::{is_model, read_call};

pub(crate) struct Importer<'a> {
    module: Module,
    notes: Vec<Note>,
    file: FileId,
    /// The files with the weights. The weight table refers to them by index.
    weights_files: Rc<[FileId]>,
    weights: WeightTable,
    /// Whether the weights come from a separate file (`--weights`).
    given: bool,
    assets: Assets,
    dialects: &'a Dialects,
    symbols: Symbols,
    /// The names of the functions so far.
    funcs: BTreeSet<Name>,
    /// The nesting depth of the model that is being read.
    depth: usize,
    /// The weights of layers that are in several models, by the file's number for the layer and its class.
    shared: BTreeMap<(i64, Name), Vec<(Name, WeightId)>>,
    /// The number of weights that layers share with others.
    num_shared: usize,
    /// A problem for each layer that lacks weights.
    lacking: Vec<Problem>,
}

/// The place of a model in the file.
#[derive(Clone, Default)]
struct Place {
    /// The model's weight group; for weights in lists, the outermost layer that contains the model.
    group: String,
    /// The model's assets folder, named like the group.
    folder: String,
    /// The prefix of the paths of its layers.
    path: String,
    /// The list that holds the weights of all layers of the model, if there is one.
    listed: Rc<Assignment>,
}

/// The input and output tensors of a model.
type Signature<'s> = (&'s [TensorRef], &'s [TensorRef]);

impl<'a> Importer<'a> {
    /// An importer for the model in the file at `path`. `attrs` become the module's attributes; `given` means that the
    /// weights come from a separate file.
    pub(crate) fn new(
        path: &Path,
        weights: Weights,
        given: bool,
        assets: Assets,
        dialects: &'a Dialects,
        attrs: Attrs,
    ) -> Self {
        let mut module = Module { attrs, ..Module::new() };
        let file = module.intern_file(&path.to_string_lossy());
        let weights_files = weights.files.iter().map(|path| module.intern_file(&path.to_string_lossy())).collect();
        let (weights, symbols) = (weights.table, Symbols::new());
        let notes = Vec::new();
        Self {
            module,
            notes,
            file,
            weights_files,
            weights,
            given,
            assets,
            dialects,
            symbols,
            funcs: BTreeSet::new(),
            depth: 0,
            shared: BTreeMap::new(),
            num_shared: 0,
            lacking: Vec::new(),
        }
    }

    /// Imports the model `object`. Moves its parts into the module instead of copying them.
    pub(crate) fn top_level(&mut self, object: Attr) -> Result<()> {
        let expected = || Problem::config("config.json", "expected a model: an object with `class_name` and `config`");
        let Attr::Map(mut object) = object else { return Err(expected()) };
        let class = object.get("class_name").and_then(Attr::as_str);
        let (Some(class), Some(config)) = (class, object.get("config").and_then(Attr::as_map)) else {
            return Err(expected());
        };
        if config.get("layers").and_then(Attr::as_list).is_none() {
            return Err(self.without_graph(&object, class));
        }
        if !matches!(class, "Functional" | "Sequential" | "Model") {
            let note =
                format!("`{class}` is a user-defined class: the file does not record what its `call` does in addition");
            self.notes.push(Note::new("own-class", note));
        }
        if matches!(class, "Functional" | "Model") && config.get("input_layers").is_none() {
            let note = format!("the model of the class {class} has no `input_layers`; expected a list of its inputs");
            return Err(Problem::config("config.json", note));
        }
        let mut root_config = strip_graph(&object);
        root_config.remove(COMPILE_CONFIG);
        require_printable(&Attrs::new().with("object", root_config.clone()), "the model")?;
        let config = map_at(&mut object, "config").unwrap_or_default();
        self.model(config, &Place::default(), MAIN, Some(root_config))?;
        Ok(())
    }

    /// The problem of an object without a graph: a layer, or a model saved by its arguments.
    fn without_graph(&self, object: &Attrs, class: &str) -> Problem {
        let is_layer = *dialect_class(object, self.version()) == *format!("keras.{class}");
        if is_layer && !matches!(class, "Functional" | "Sequential" | "Model") {
            Problem::LayerAlone { class: class.into() }
        } else if self.weights.is_functional("") {
            Problem::Arguments { class: class.into() }
        } else {
            Problem::Subclassed { class: class.into() }
        }
    }

    /// Declares the training state.
    pub(crate) fn training_state(&mut self, training_state: TrainingState) -> Result<()> {
        let files = self.weights_files.clone();
        let declared =
            training_state.declaration(|variables| self.declare_weights(variables, training_state::GROUP, &files))?;
        require_printable(&declared.config, "the compile configuration")?;
        self.module.add_layer(declared);
        Ok(())
    }

    fn version(&self) -> KerasVersion {
        KerasVersion::of(&self.module.attrs)
    }

    pub(crate) fn finish(mut self) -> Result<Imported> {
        let unclaimed = self.weights.unclaimed();
        if let Some(problem) = self.lacking.into_iter().next().filter(|_| !is_architecture(&self.module)) {
            return Err(problem.with_unclaimed(&unclaimed));
        }
        if !unclaimed.is_empty() {
            let shown: Vec<&str> = unclaimed.iter().take(4).copied().collect();
            let (number, shown) = (unclaimed.len(), shown.join(", "));
            let note = format!("{number} weights belong to no layer and are dropped: {shown}");
            self.notes.push(Note::new("weights-left-out", note));
        }
        let unclaimed = self.assets.unclaimed();
        if unclaimed.len() > 0 {
            let (number, shown) = (unclaimed.len(), unclaimed.take(4).collect::<Vec<_>>().join(", "));
            let note = format!("{number} assets belong to no layer and are dropped: {shown}");
            self.notes.push(Note::new("assets-left-out", note));
        }
        Ok(Imported { module: self.module, notes: self.notes, is_own: false })
    }

    /// Adds the function `name`, made from the configuration of a Functional or Sequential model.
    fn model(&mut self, config: Attrs, place: &Place, name: &str, root_config: Option<Attrs>) -> Result<FuncId> {
        let functional = config.get("input_layers").is_some();
        if self.depth > MAX_NESTING {
            return Err(Problem::config(&*place.path, format!("models nest deeper than {MAX_NESTING} levels")));
        }
        let title = config.get("name").and_then(Attr::as_str).unwrap_or(name).to_string();
        let class = if functional { "Functional" } else { "Sequential" };
        let attrs = Attrs::new().with("class", class).with("name", &*title);
        self.depth += 1;
        let func = if functional {
            self.functional(config, place, name, attrs)?
        } else {
            self.sequential(config, place, name, attrs)?
        };
        self.depth -= 1;
        require_printable(&func.attrs, &format!("{title}, inputs or outputs"))?;
        self.funcs.insert(func.name.clone());
        let id = self.module.add_func(func);
        if let Some(root_config) = root_config {
            self.module[id].attrs.set("object", root_config);
        }
        Ok(id)
    }

    fn functional(&mut self, mut config: Attrs, place: &Place, name: &str, mut attrs: Attrs) -> Result<Func> {
        let mut entries = self.entries(layers_of(&mut config), place, true)?;
        count_from_zero(&self.module, &mut entries)?;
        let (input_tree, inputs) = self.signature(&config, "input_layers", place)?;
        let (output_tree, outputs) = self.signature(&config, "output_layers", place)?;
        attrs.set("inputs", input_tree);
        attrs.set("outputs", output_tree.clone());
        let mut func = self.translate(entries, place, name, attrs, (&inputs, &outputs))?;
        // If the outputs are a dict, callers use its keys, not the names of the layers that compute the values.
        for (name, i) in flat_dict(&output_tree).into_iter().flatten() {
            func.outputs[i].name = name;
        }
        Ok(func)
    }

    fn translate(
        &mut self,
        entries: Vec<Entry>,
        place: &Place,
        name: &str,
        attrs: Attrs,
        signature: Signature<'_>,
    ) -> Result<Func> {
        let graph = Graph { entries, path: place.path.clone() };
        let surroundings = Surroundings {
            module: &self.module,
            dialects: self.dialects,
            file: self.file,
            given: self.given,
            symbols: &mut self.symbols,
            notes: &mut self.notes,
        };
        let mut func = graph.translate(surroundings, name, signature.0, signature.1)?;
        func.attrs = attrs;
        Ok(func)
    }

    fn signature(&self, config: &Attrs, key: &str, place: &Place) -> Result<(Attr, Vec<TensorRef>)> {
        let at = if place.path.is_empty() { key.to_string() } else { format!("{}, {key}", place.path) };
        let tree = config.get(key).unwrap_or(&Attr::Null);
        match tree.as_list() {
            // Before Keras 3, a list of one tensor means the tensor itself.
            Some([one @ Attr::List(_)]) if self.version() == KerasVersion::Legacy => structure(one, &at),
            Some(_) | None => structure(tree, &at),
        }
    }

    /// Translates a Sequential model: each layer reads the result of the one before.
    fn sequential(&mut self, mut config: Attrs, place: &Place, name: &str, attrs: Attrs) -> Result<Func> {
        let mut entries: Vec<Entry> = self.sequential_input(&config, place)?.into_iter().collect();
        entries.extend(self.entries(layers_of(&mut config), place, false)?);
        let input = entries.first().map(|entry| entry.name.clone()).unwrap_or_default();
        let mut previous = TensorRef { layer: input.clone(), node: 0, tensor: 0, recorded: None };
        for entry in entries.iter_mut().filter(|e| e.name != input) {
            let next = TensorRef { layer: entry.name.clone(), node: 0, tensor: 0, recorded: None };
            entry.calls = vec![Call::of_one(std::mem::replace(&mut previous, next))];
        }
        let inputs = [TensorRef { layer: input, node: 0, tensor: 0, recorded: None }];
        // The last layer may be a nested Functional, whose calls are numbered from 1 in an output's history.
        let nested = entries.iter().any(|e| e.name == previous.layer && counts_from_one(&self.module, e));
        previous.node = usize::from(nested);
        self.translate(entries, place, name, attrs, (&inputs, &[previous]))
    }

    /// Makes an input layer from the recorded shape, if the Sequential model has no input layer.
    fn sequential_input(&mut self, config: &Attrs, place: &Place) -> Result<Option<Entry>> {
        let layers = config.get("layers").and_then(Attr::as_list).unwrap_or_default();
        let objects: Vec<&Attrs> = layers.iter().filter_map(Attr::as_map).collect();
        match objects.iter().rposition(|object| &*dialect_class(object, self.version()) == "keras.InputLayer") {
            None => {}
            Some(0) => return Ok(None),
            Some(at) => {
                let note = "is an input layer, but not the first layer of its Sequential model";
                let name = layer_name(objects[at]).map_or("", |name| name);
                return Err(Problem::config(join(&place.path, name), note));
            }
        }
        let of_layer = objects.first().and_then(|object| {
            let config = object.get("config");
            let own = |key| config.and_then(|c| c.get(key));
            own("batch_shape")
                .or_else(|| own("batch_input_shape"))
                .or_else(|| object.get("build_config")?.get("input_shape"))
        });
        let shape = config.get("build_input_shape").filter(|s| !s.is_null()).or(of_layer);
        let Some(shape) = shape.and_then(Attr::as_list).and_then(extents) else {
            let at = if place.path.is_empty() { "the Sequential model" } else { &place.path };
            return Err(Problem::config(at, "it has no input shape; build it, or add an `Input`, before saving"));
        };
        let taken = objects.iter().filter_map(|object| layer_name(object).cloned());
        let name = UniqueNames::without(taken).take("input");
        let batch_shape = Attr::List(shape.iter().map(|d| d.map_or(Attr::Null, |n| Attr::Int(n.into()))).collect());
        let input = input_declaration(&name, batch_shape, "float32", None, self.version());
        let kind = EntryKind::Input(self.symbols.ty(ElemType::F32, &shape));
        let layer = self.module.add_layer(input);
        Ok(Some(Entry { name, layer, kind, calls: Vec::new() }))
    }

    fn entries(&mut self, layers: Vec<Attr>, place: &Place, functional: bool) -> Result<Vec<Entry>> {
        let mut groups = GroupNames::default();
        let mut names = HashSet::new();
        let mut entries = Vec::with_capacity(layers.len());
        for (i, object) in layers.into_iter().enumerate() {
            let at = || {
                format!(
                    "{}layers[{i}]",
                    if place.path.is_empty() { String::new() } else { format!("{}, ", place.path) }
                )
            };
            let Attr::Map(object) = object else { return Err(Problem::config(at(), "expected an object")) };
            let name = layer_name(&object).ok_or_else(|| Problem::config(at(), "the layer has no name"))?.clone();
            let class = object.get("class_name").and_then(Attr::as_str).unwrap_or_default();
            if !class.contains(is_of_name) {
                return Err(Problem::config(at(), format!("the layer `{name}` has no `class_name`")));
            }
            if !names.insert(name.clone()) {
                return Err(Problem::config(at(), format!("two layers are named `{name}`")));
            }
            entries.push(self.entry(object, name, place, &mut groups, functional)?);
        }
        Ok(entries)
    }

    fn entry(
        &mut self,
        mut object: Attrs,
        name: Name,
        place: &Place,
        groups: &mut GroupNames,
        functional: bool,
    ) -> Result<Entry> {
        let class = dialect_class(&object, self.version());
        let path = join(&place.path, &name);
        let is_of_archive = self.module.attrs.get("format").and_then(Attr::as_str) == Some("keras");
        if is_of_archive && !is_layer_class(&class) && is_legacy(&object) {
            return Err(Problem::config(path, "the operation has no `module`; expected its Python module"));
        }
        let is_input = &*class == "keras.InputLayer";
        let counted = is_layer_class(&class) && (functional || !is_input);
        let folder = counted.then(|| {
            let class = match object.get("class_name").and_then(Attr::as_str) {
                Some(own) if tf::is_operation(&class) => own,
                Some(_) | None => class.rsplit('.').next().unwrap_or(&class),
            };
            join(&join(&place.folder, "layers"), &groups.next(class))
        });
        let group = folder.as_ref().map(|folder| self.group(folder, place, &name)).transpose()?;
        let nodes = object.remove("inbound_nodes");
        let is_nested = match object.get("config") {
            Some(Attr::Map(config)) => is_model(&class, config),
            _ => return Err(Problem::config(path, "the layer has no `config`; expected an object")),
        };
        if &*class == "keras.Functional" && !is_nested {
            let note = "the model has no graph; expected `layers`, `input_layers` and `output_layers`";
            return Err(Problem::config(path, note));
        }
        let (mut declared, nested) = match is_nested {
            true => (strip_graph(&object), map_at(&mut object, "config")),
            false => (object, None),
        };
        if is_nested && training_state::config_of(&declared).is_some() {
            declared.remove(COMPILE_CONFIG);
            let note = Note::training_state_dropped();
            self.notes.push(Note { text: format!("of the model `{path}` {note}"), ..note });
        }
        if functional {
            // Written files have this key, but some older files have the name only in the configuration.
            declared.set("name", name.clone());
        }
        require_printable(&declared, &path)?;
        if nested.is_none() {
            self.notes.extend(group.as_ref().and_then(|group| self.opaque_model(&declared, group, &path, &name)));
        }
        let config = nested.as_ref().or_else(|| declared.get("config").and_then(Attr::as_map));
        let weights = match &group {
            Some(group) => {
                let nested = is_nested;
                let listed = &*place.listed;
                let version = self.version();
                let claim = Claim { group, name: &name, class: &class, config, nested, path: &path, listed, version };
                let claimed = self.weights.claim(&claim);
                let weights = self.declare_weights(claimed, &path, &Rc::clone(&self.weights_files))?;
                let weights = self.shared_weights(&declared, &class, weights, &path)?;
                self.lacking.extend(self.weights.lack(&claim, &declared, weights.len()));
                weights
            }
            None => Vec::new(),
        };
        let assets = folder.as_ref().map(|folder| self.assets.claim(folder, is_nested)).unwrap_or_default();
        let assets = self.declare_weights(assets, &join(&path, "assets"), &[self.file])?;
        let calls = if let Some(Attr::List(calls)) = nodes { calls } else { Vec::new() };
        let read = |call| read_call(call, &class, self.version(), &path);
        let mut calls =
            if is_input { Vec::new() } else { calls.into_iter().map(read).collect::<Result<Vec<_>, _>>()? };
        calls.shrink_to_fit();
        calls.iter().try_for_each(|call| require_printable(&call.attrs, &path))?;
        if is_nested && self.version() == KerasVersion::Legacy && calls.iter().any(|call| trains(&call.attrs)) {
            let note = format!("`{path}` is called with training = true, which netc does not pass on to its layers");
            self.notes.push(Note::new("training-call", note));
        }
        let is_outermost = is_nested && place.group.is_empty();
        let listed = match (&nested, &group) {
            (Some(inner), Some(group)) if is_outermost => {
                Rc::new(self.weights.listed(inner, &class, self.version(), group, &path)?)
            }
            _ => place.listed.clone(),
        };
        let input = is_input.then(|| self.input_type(config, &path)).transpose()?;
        let layer = self.module.add_layer(Layer { name: name.clone(), class, config: declared, weights, assets });
        let kind = match (input, nested, &group) {
            (Some(ty), ..) => EntryKind::Input(ty),
            (None, Some(inner), Some(group)) => {
                let folder = folder.unwrap_or_default();
                let inner_place = Place { group: group.clone(), folder, path: path.clone(), listed };
                let func = self.unique_func_name(&path);
                let func = self.model(inner, &inner_place, &func, None)?;
                if is_outermost {
                    self.weights.give_back(group, &inner_place.listed);
                }
                EntryKind::Nested(func)
            }
            _ => EntryKind::Layer,
        };
        Ok(Entry { name, layer, kind, calls })
    }

    fn unique_func_name(&self, path: &str) -> String {
        let mut name = path.to_string();
        while name == MAIN || self.funcs.contains(&*name) {
            name.push('_');
        }
        name
    }

    /// Notes that a layer is a model of a user-defined class, which netc treats as a single layer.
    fn opaque_model(&self, object: &Attrs, group: &str, path: &str, name: &str) -> Option<Note> {
        let class = object.get("class_name").and_then(Attr::as_str)?;
        let is_functional = self.weights.is_functional(group);
        // Keras writes this key only for models.
        if object.get(COMPILE_CONFIG).is_none() && !is_functional {
            return None;
        }
        let condition = if is_functional { "the model is functional, so" } else { "if it is functional," };
        let note = format!(
            "for the model `{path}` the file records the arguments of the class `{class}`, not its graph, so netc \
             treats it as one layer; {condition} `keras.models.clone_model(m, clone_function=lambda l: \
             keras.Model(l.inputs, l.outputs, name=l.name) if l.name == \"{name}\" else l)` returns a model with the graph"
        );
        Some(Note::new("opaque-model", note))
    }

    fn input_type(&mut self, config: Option<&Attrs>, path: &str) -> Result<Type> {
        let get = |key| config.and_then(|c| c.get(key));
        let shape = get("batch_shape").or_else(|| get("batch_input_shape")).and_then(Attr::as_list).and_then(extents);
        let shape = shape.ok_or_else(|| Problem::config(path, "the input layer has no `batch_shape`"))?;
        let dtype = get("dtype").and_then(Attr::as_str).unwrap_or("float32");
        let elem =
            elem_type(dtype).ok_or_else(|| Problem::config(path, format!("the dtype `{dtype}` is not supported")))?;
        Ok(self.symbols.ty(elem, &shape))
    }
}

/// Takes the map at `key` out of `attrs`.
fn map_at(attrs: &mut Attrs, key: &str) -> Option<Attrs> {
    if let Some(Attr::Map(map)) = attrs.remove(key) { Some(map) } else { None }
}

/// Takes the layers out of the configuration of a model.
fn layers_of(config: &mut Attrs) -> Vec<Attr> {
    if let Some(Attr::List(layers)) = config.remove("layers") { layers } else { Vec::new() }
}
