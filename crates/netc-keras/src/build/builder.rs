//! The model builder: declares and applies layers.

use netc_data::dtype_name;
use netc_dialect::{Dialect, Dialects, LayerLibrary, LowerError};
use netc_ir::{Attr, Attrs, Dim, ElemType, Layer, LayerId, Literal, Module, Name, Type, Weight, WeightData};

use crate::build::assemble::{Draft, source_op};
use crate::build::declaration::{Declaration, Variable};
use crate::build::embed;
use crate::build::error::{BuildError, Reason};
use crate::build::names::Names;
use crate::build::parts::{Declared, LayerHandle, Node, Tensor, TensorSource, index};
use crate::config::path::numeric_order;
use crate::container::assets;
use crate::lower::KerasDialect;

/// Builds one model. Methods do not return errors, so that code reads like the architecture; [`finish`](Self::finish)
/// reports the first one.
pub struct ModelBuilder {
    pub(super) name: Name,
    seed: u64,
    pub(super) module: Module,
    dialects: Dialects,
    names: Names,
    next_name: Option<Name>,
    declared: Vec<Declared>,
    nodes: Vec<Node>,
    tensors: Vec<TensorSource>,
    error: Option<BuildError>,
}

impl ModelBuilder {
    /// Starts the model `name`. The values of a weight depend on `seed` and its name.
    pub fn new(name: impl Into<Name>, seed: u64) -> Self {
        let mut dialects = Dialects::new();
        dialects.push(KerasDialect);
        Self {
            name: name.into(),
            seed,
            module: Module::new(),
            dialects,
            names: Names::default(),
            next_name: None,
            declared: Vec::new(),
            nodes: Vec::new(),
            tensors: Vec::new(),
            error: None,
        }
    }

    /// Adds a dialect, which infers the result types of custom layers.
    #[must_use]
    pub fn with_dialect(mut self, dialect: impl Dialect + 'static) -> Self {
        self.dialects.push_library(dialect);
        self
    }

    /// Adds a layer library (`.nir` text), which defines custom layers.
    #[must_use]
    pub fn with_library(mut self, text: &str) -> Self {
        match LayerLibrary::parse(text) {
            Ok(library) => self.dialects.push_library(library),
            Err(error) => self.fail(self.name.clone(), Reason::Library(Box::new(error))),
        }
        self
    }

    /// Names the next layer. Without it, the layer gets Keras's automatic name.
    pub fn named(&mut self, name: impl Into<Name>) -> &mut Self {
        self.next_name = Some(name.into());
        self
    }

    /// Adds an input of type `f32`. `dims` are the extents after the batch.
    pub fn input(&mut self, dims: &[u64]) -> Tensor {
        self.input_of(ElemType::F32, dims)
    }

    /// Adds an input of element type `elem`. `dims` are the extents after the batch.
    pub fn input_of(&mut self, elem: ElemType, dims: &[u64]) -> Tensor {
        let name = self.name("InputLayer");
        let extents = dims.iter().map(|d| Attr::Int((*d).into()));
        let config = Attrs::new()
            .with("batch_shape", Attr::List(std::iter::once(Attr::Null).chain(extents).collect()))
            .with("dtype", dtype_name(elem))
            .with("sparse", false)
            .with("ragged", false)
            .with("name", &*name)
            .with("optional", false);
        let declaration = Declaration { args: Vec::new(), ..Declaration::keras("InputLayer", config).shapeless() };
        let batch = std::iter::once(Dim::symbol("N"));
        let ty = Type::new(elem, batch.chain(dims.iter().map(|d| Dim::Known(*d))));
        let layer = self.declare(name, &declaration, &[]);
        self.make(layer, None, [ty])[0]
    }

    /// Declares a layer and applies it to `inputs`. Returns its only result.
    pub fn layer(&mut self, declaration: &Declaration, inputs: &[Tensor]) -> Tensor {
        let layer = self.declared(declaration, inputs);
        self.apply(layer, inputs)
    }

    /// Declares a layer and applies it to `inputs`. Returns all its results.
    pub fn layer_all(&mut self, declaration: &Declaration, inputs: &[Tensor]) -> Vec<Tensor> {
        let layer = self.declared(declaration, inputs);
        self.apply_all(layer, inputs)
    }

    /// Applies a declared layer to `inputs`, as many as the first time. Returns its only result.
    pub fn apply(&mut self, layer: LayerHandle, inputs: &[Tensor]) -> Tensor {
        match self.apply_all(layer, inputs)[..] {
            [tensor] => tensor,
            ref all => {
                self.fail_at(layer, Reason::Results(all.len()));
                Tensor(u32::MAX)
            }
        }
    }

    /// Applies a declared layer to `inputs`, as many as the first time. Returns all its results.
    pub fn apply_all(&mut self, layer: LayerHandle, inputs: &[Tensor]) -> Vec<Tensor> {
        let types = self.result_types(layer, inputs).unwrap_or_else(|reason| {
            self.fail_at(layer, reason);
            vec![Type::unranked(ElemType::Any)]
        });
        self.make(layer, Some(inputs.to_vec()), types)
    }

    /// The layer that yields `tensor`.
    pub fn layer_of(&self, tensor: Tensor) -> LayerHandle {
        let node = self.tensors.get(tensor.index()).and_then(|made| self.nodes.get(made.node));
        node.map_or(LayerHandle(u32::MAX), |node| node.layer)
    }

    /// The type of `tensor`; `any[*]` if it belongs to another model.
    pub fn ty(&self, tensor: Tensor) -> Type {
        self.tensors.get(tensor.index()).map_or(Type::unranked(ElemType::Any), |made| made.ty.clone())
    }

    /// Finishes the model with these outputs. Drops layers that no output needs, as Keras does.
    ///
    /// # Errors
    /// The first error of the layers, or of the outputs.
    pub fn finish(mut self, outputs: &[(&str, Tensor)]) -> Result<Module, BuildError> {
        if outputs.is_empty() {
            self.fail(self.name.clone(), Reason::NoOutputs);
        }
        for (name, tensor) in outputs {
            if tensor.index() >= self.tensors.len() {
                self.fail((*name).into(), Reason::ForeignTensor);
            }
        }
        match self.error.take() {
            Some(error) => Err(error),
            None => Ok(self.draft(outputs).assemble()),
        }
    }

    fn draft<'a>(&'a self, outputs: &'a [(&'a str, Tensor)]) -> Draft<'a> {
        let Self { name, module, declared, nodes, tensors, .. } = self;
        Draft { name, module, declared, nodes, tensors, outputs }
    }

    fn declared(&mut self, declaration: &Declaration, inputs: &[Tensor]) -> LayerHandle {
        let name = self.name(&declaration.class);
        let types = self.types(&name, inputs);
        self.declare(name, declaration, &types)
    }

    pub(super) fn name(&mut self, class: &str) -> Name {
        let name = self.next_name.take().unwrap_or_else(|| self.names.automatic(class));
        if !self.names.take(&name) {
            self.fail(name.clone(), Reason::DuplicateName);
        }
        name
    }

    pub(super) fn declare(&mut self, name: Name, declaration: &Declaration, inputs: &[Type]) -> LayerHandle {
        let mut places: Vec<(String, &Variable)> = declaration.places().collect();
        places.sort_by_cached_key(|(place, _)| numeric_order(place));
        let mut weights = Vec::new();
        for (place, (dims, init)) in places {
            let data = WeightData::Random { seed: self.seed, low: init.low, high: init.high };
            let ty = Type::fixed(ElemType::F32, dims);
            let weight = Weight { name: format!("{name}/{place}").into(), ty, data };
            weights.push((place.into(), self.module.add_weight(weight)));
        }
        let mut files: Vec<&(String, Vec<u8>)> = declaration.assets.iter().collect();
        files.sort();
        let mut assets = Vec::new();
        for (path, bytes) in files {
            let dims = vec![bytes.len() as u64];
            let ty = Type::fixed(ElemType::U8, &dims);
            let data = WeightData::Inline(Literal { elem: ElemType::U8, dims, bytes: bytes[..].into() });
            let weight = Weight { name: format!("{name}/{}{path}", assets::FOLDER).into(), ty, data };
            assets.push((path.as_str().into(), self.module.add_weight(weight)));
        }
        let config = declaration.entry(&name, inputs);
        let layer = Layer { name, class: declaration.qualified().into(), config, weights, assets };
        let declared = Declared { arity: declaration.arity(), call_attrs: declaration.call_attrs(), model: None };
        self.push(layer, declared)
    }

    pub(super) fn push(&mut self, layer: Layer, declared: Declared) -> LayerHandle {
        self.module.add_layer(layer);
        self.declared.push(declared);
        LayerHandle(index(self.declared.len() - 1))
    }

    fn make(
        &mut self,
        layer: LayerHandle,
        operands: Option<Vec<Tensor>>,
        types: impl IntoIterator<Item = Type>,
    ) -> Vec<Tensor> {
        let (node, first) = (self.nodes.len(), self.tensors.len());
        self.tensors.extend(types.into_iter().map(|ty| TensorSource { ty, node }));
        let results = first..self.tensors.len();
        self.nodes.push(Node { layer, operands, results: results.clone() });
        results.map(|i| Tensor(index(i))).collect()
    }

    pub(super) fn types(&mut self, layer: &Name, tensors: &[Tensor]) -> Vec<Type> {
        if tensors.iter().any(|t| t.index() >= self.tensors.len()) {
            self.fail(layer.clone(), Reason::ForeignTensor);
        }
        tensors.iter().map(|t| self.ty(*t)).collect()
    }

    fn result_types(&self, layer: LayerHandle, inputs: &[Tensor]) -> Result<Vec<Type>, Reason> {
        let declared = self.declared.get(layer.index()).ok_or(Reason::ForeignLayer)?;
        if inputs.len() != declared.arity {
            return Err(Reason::Operands { found: inputs.len(), expected: declared.arity });
        }
        if inputs.iter().any(|t| t.index() >= self.tensors.len()) {
            return Err(Reason::ForeignTensor);
        }
        let types: Vec<Type> = inputs.iter().map(|t| self.ty(*t)).collect();
        if let Some(model) = &declared.model {
            return embed::result_types(model, &types);
        }
        let op = source_op(&self.module, LayerId::new(layer.index()), declared);
        match self.dialects.result_types(&self.module, &op, self.module.layers.get(layer.index()), &types) {
            Ok(results) => Ok(results),
            Err(LowerError::Unknown { .. } | LowerError::Unsupported { .. }) => Ok(vec![Type::unranked(ElemType::Any)]),
            Err(error) => Err(error.into()),
        }
    }

    fn fail_at(&mut self, layer: LayerHandle, reason: Reason) {
        self.fail(self.module.layers.get(layer.index()).map_or("?".into(), |l| l.name.clone()), reason);
    }

    pub(super) fn fail(&mut self, layer: Name, reason: Reason) {
        self.error.get_or_insert(BuildError { layer, reason });
    }
}
