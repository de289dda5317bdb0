//! A model under construction: its calls, which tensors a step may read, and the magnitude of their numbers.

use netc_ir::{Attr, Attrs, Dim, ElemType, Module, Type};
use netc_keras::build::{Declaration, LayerHandle, ModelBuilder, Tensor};

use super::choice::Choice;
use super::{
    KerasClass, LIBRARY, SECRET, attention, categories, convolution, dense, elementwise, functions, images, merge,
    moves,
};
use super::{normalization, recurrent, reductions, selection, shapes, structure, unchanged};
use netc_testgen::{Feature, Features};
use netc_testgen::{Step, pick};

/// Steps only read values with at most this many elements per example, to keep models fast.
const MAX_ELEMENTS: u64 = 500;

/// Numbers estimated above two to this power pass through a bounded function.
const MAX_SIZE: f64 = 8.0;

/// Without [`Feature::Skips`], a call reads one of this many most recent tensors.
const NEAR: usize = 6;

/// The maximum nesting depth of models.
const MAX_DEPTH: usize = 2;

/// The shape of a model's graph.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Any graph.
    Graph,
    /// Each layer reads the result of the layer before: a Sequential model.
    Chain,
}

/// The tensor that a step adds, if it fits.
pub(super) type Added = Option<Tensor>;

pub(super) struct Draft {
    pub(super) model: ModelBuilder,
    pub(super) shape: Shape,
    pub(super) features: Features,
    /// The number of models around this one.
    pub(super) depth: usize,
    pub(super) masks: Masks,
    pub(super) made: Vec<Node>,
    /// The tensors in the order in which they were made, and the magnitude of their numbers as a power of two. The
    /// estimate only has to keep deep models finite.
    sizes: Vec<(Tensor, f64)>,
}

/// An input or a call.
pub(super) struct Node {
    /// The name of its layer.
    pub(super) layer: String,
    pub(super) handle: LayerHandle,
    /// Empty for an input.
    pub(super) operands: Vec<Tensor>,
    pub(super) results: Vec<Tensor>,
}

/// Whether the model has layers that make masks, or layers that reject them. It never has both.
///
/// Convolutional recurrent layers reject masks, and a softmax rejects a mask whose extents differ from its tensor's.
#[derive(Clone, Copy, Default)]
pub(super) struct Masks {
    made: bool,
    refused: bool,
}

impl Draft {
    pub(super) fn new(name: &str, seed: u64, shape: Shape, features: Features) -> Self {
        Self {
            model: ModelBuilder::new(name, seed).with_library(&format!("{LIBRARY}{SECRET}")),
            shape,
            features,
            depth: 0,
            masks: Masks::default(),
            made: Vec::new(),
            sizes: Vec::new(),
        }
    }

    /// Adds an input. `size` is the magnitude of its numbers, as a power of two.
    pub(super) fn input(&mut self, elem: ElemType, dims: &[u64], size: f64) -> Tensor {
        let layer = format!("input {}", self.made.len());
        let tensor = self.model.named(layer.as_str()).input_of(elem, dims);
        self.record(layer, Vec::new(), vec![tensor], size);
        tensor
    }

    pub(super) fn steps(&mut self, steps: &[Step<KerasClass>]) {
        let mut rest = steps;
        while let [step, after @ ..] = rest {
            rest = after;
            let nested = matches!(step.class, KerasClass::Nested | KerasClass::Sequential);
            if nested && self.depth < MAX_DEPTH && self.features.has(Feature::Nested) {
                let inner = 1 + usize::from(step.knobs[0] % 6);
                let (inner, outer) = after.split_at(inner.min(after.len()));
                rest = outer;
                structure::nested(self, step, inner);
            } else {
                self.step(step);
            }
        }
    }

    fn step(&mut self, step: &Step<KerasClass>) -> Added {
        let k = &mut Choice::new(step.knobs);
        match step.class {
            KerasClass::Activation => functions::activation(self, step, k),
            KerasClass::Rectifier => functions::rectifier(self, step, k),
            KerasClass::Function => functions::operation(self, step, k),
            KerasClass::Dense => dense::dense(self, step, k),
            KerasClass::EinsumDense => dense::einsum_dense(self, step, k),
            KerasClass::Embedding => dense::embedding(self, step, k),
            KerasClass::Product => dense::product(self, step, k),
            KerasClass::Merge => merge::merge(self, step, k),
            KerasClass::Concatenate => merge::concatenate(self, step, k),
            KerasClass::Dot => merge::dot(self, step, k),
            KerasClass::Join => merge::join(self, step, k),
            KerasClass::Conv => convolution::conv(self, step, k),
            KerasClass::Depthwise => convolution::depthwise(self, step, k),
            KerasClass::Separable => convolution::separable(self, step, k),
            KerasClass::Transposed => images::transposed(self, step, k),
            KerasClass::Adaptive => images::adaptive(self, step, k),
            KerasClass::Resize => images::resize(self, step, k),
            KerasClass::Kernel => convolution::operation(self, step, k),
            KerasClass::Pool => convolution::pool(self, step, k),
            KerasClass::GlobalPool => convolution::global_pool(self, step, k),
            KerasClass::Windows => convolution::windows(self, step, k),
            KerasClass::Norm => normalization::norm(self, step, k),
            KerasClass::Scaling => normalization::scaling(self, step, k),
            KerasClass::Normalize => normalization::operation(self, step, k),
            KerasClass::Category => categories::category(self, step, k),
            KerasClass::Attention => attention::attention(self, step, k),
            KerasClass::MultiHead => attention::multi_head(self, step, k),
            KerasClass::Recurrent => recurrent::recurrent(self, step, k),
            KerasClass::ConvRecurrent => recurrent::conv_lstm(self, step, k),
            KerasClass::Bidirectional => recurrent::bidirectional(self, step, k),
            KerasClass::TimeDistributed => recurrent::time_distributed(self, step, k),
            KerasClass::Reshape => shapes::reshape(self, step, k),
            KerasClass::Border => shapes::border(self, step, k),
            KerasClass::Dropout => unchanged::dropout(self, step, k),
            KerasClass::Augment => unchanged::augment(self, step, k),
            KerasClass::Masking => unchanged::masking(self, step, k),
            KerasClass::Custom => unchanged::custom(self, step, k),
            KerasClass::Unary => elementwise::unary(self, step, k),
            KerasClass::Binary => elementwise::binary(self, step, k),
            KerasClass::Compare => elementwise::compare(self, step, k),
            KerasClass::Cast => elementwise::cast(self, step, k),
            KerasClass::Reduce => reductions::reduce(self, step, k),
            KerasClass::Move => moves::shape(self, step, k),
            KerasClass::Parts => moves::parts(self, step, k),
            KerasClass::Index => selection::index(self, step, k),
            KerasClass::Again if self.features.has(Feature::Shared) => structure::again(self, step),
            KerasClass::Tower if self.features.has(Feature::Shared) => structure::tower(self, step),
            // The feature is off, or the nesting too deep.
            KerasClass::Again | KerasClass::Tower | KerasClass::Nested | KerasClass::Sequential => None,
        }
    }
}

/// Making tensors.
impl Draft {
    /// Applies a layer of `keras.layers` or a custom layer to `operands`.
    pub(super) fn layer(&mut self, declaration: &Declaration, operands: &[Tensor], size: f64) -> Added {
        self.add(&declaration.class, operands, size, |m| m.layer_all(declaration, operands))
    }

    /// Applies the layer of class `class` that `make` declares to `operands`. `size` is the magnitude of the result, as
    /// a power of two.
    pub(super) fn add(
        &mut self,
        class: &str,
        operands: &[Tensor],
        size: f64,
        make: impl FnOnce(&mut ModelBuilder) -> Vec<Tensor>,
    ) -> Added {
        if !self.may_read(operands) {
            return None;
        }
        let layer = format!("{class}_{}", self.made.len());
        let results = make(self.model.named(layer.as_str()));
        let ranked = results.iter().all(|y| self.model.ty(*y).rank().is_some());
        debug_assert!(
            ranked,
            "{layer} on {:?} has no lowering",
            operands.iter().map(|x| self.ty(*x)).collect::<Vec<_>>()
        );
        self.record(layer, operands.to_vec(), results, size)
    }

    /// Whether the model is a chain of layers. A chain has no operations.
    pub(super) fn in_chain(&self) -> bool {
        self.shape == Shape::Chain
    }

    /// Whether each call reads only the result of the call before.
    pub(super) fn is_straight(&self) -> bool {
        self.in_chain() || !self.features.has(Feature::Branches)
    }

    /// Whether a call may read `operands`, given the shape of the model.
    pub(super) fn may_read(&self, operands: &[Tensor]) -> bool {
        match self.shape {
            Shape::Graph => true,
            Shape::Chain => operands.len() == 1 && self.last() == operands.first().copied(),
        }
    }

    pub(super) fn record(&mut self, layer: String, operands: Vec<Tensor>, results: Vec<Tensor>, size: f64) -> Added {
        let first = *results.first()?;
        self.sizes.extend(results.iter().map(|y| (*y, size)));
        self.made.push(Node { layer, handle: self.model.layer_of(first), operands, results });
        if size > MAX_SIZE { self.bounded(first) } else { Some(first) }
    }

    /// Calls the operation `class` of `keras.ops.<module>`, unless the model is Sequential.
    pub(super) fn op(
        &mut self,
        (module, class): (&str, &str),
        config: Attrs,
        args: Vec<Attr>,
        operands: &[Tensor],
        size: f64,
    ) -> Added {
        let declaration = Declaration::op(module, class, config, args);
        if self.in_chain() { None } else { self.layer(&declaration, operands, size) }
    }

    /// Calls an operation of one tensor.
    pub(super) fn op_of(&mut self, op: (&str, &str), config: Attrs, x: Tensor, size: f64) -> Added {
        self.op(op, config, vec![Attr::Operand(0)], &[x], size)
    }

    /// The hyperbolic tangent of `x`.
    pub(super) fn bounded(&mut self, x: Tensor) -> Added {
        self.add("Activation", &[x], 0.0, |m| vec![m.activation(x, "tanh")])
    }

    /// `x`, or its hyperbolic tangent if its numbers may exceed two to the power `size`.
    pub(super) fn at_most(&mut self, x: Tensor, size: f64) -> Added {
        if self.size(x) > size { self.bounded(x) } else { Some(x) }
    }

    /// `|x| + 0.5`.
    pub(super) fn positive(&mut self, x: Tensor) -> Added {
        let size = self.size(x) + 0.5;
        let y = self.op_of(("numpy", "Absolute"), Attrs::new(), x, size)?;
        self.op(("numpy", "Add"), Attrs::new(), vec![Attr::Operand(0), Attr::from(0.5)], &[y], size)
    }

    /// `2.5 * x + 0.1`. Rounding errors gather at the bounds of bounded functions; this moves the bounds away from
    /// integers.
    pub(super) fn apart(&mut self, x: Tensor) -> Added {
        let size = self.size(x) + 1.5;
        let args = |n: f64| vec![Attr::Operand(0), Attr::from(n)];
        let y = self.op(("numpy", "Multiply"), Attrs::new(), args(2.5), &[x], size)?;
        self.op(("numpy", "Add"), Attrs::new(), args(0.1), &[y], size)
    }

    /// Records that the next layer rejects masks; `None` if the model makes some.
    pub(super) fn refuses_masks(&mut self) -> Option<()> {
        self.masks.refused |= !self.masks.made;
        (!self.masks.made).then_some(())
    }

    /// Records that the next layer makes masks; `None` if the model has a layer that rejects them.
    pub(super) fn makes_masks(&mut self) -> Option<()> {
        self.masks.made |= !self.masks.refused;
        (!self.masks.refused).then_some(())
    }
}

/// Reading tensors.
impl Draft {
    pub(super) fn ty(&self, x: Tensor) -> Type {
        self.model.ty(x)
    }

    /// The extents after the batch.
    pub(super) fn extents(&self, x: Tensor) -> Vec<u64> {
        self.ty(x).dims.iter().flatten().skip(1).filter_map(Dim::known).collect()
    }

    /// The number of axes after the batch.
    pub(super) fn axes(&self, x: Tensor) -> u64 {
        self.extents(x).len() as u64
    }

    /// The magnitude of the numbers, as a power of two.
    pub(super) fn size(&self, x: Tensor) -> f64 {
        self.sizes.iter().find(|(y, _)| *y == x).map_or(0.0, |(_, size)| *size)
    }

    pub(super) fn tensors(&self) -> impl Iterator<Item = Tensor> {
        self.sizes.iter().map(|(tensor, _)| *tensor)
    }

    pub(super) fn last(&self) -> Option<Tensor> {
        self.sizes.last().map(|(tensor, _)| *tensor)
    }

    /// A batch of small float arrays whose extents satisfy `fits`.
    pub(super) fn find(&self, read: u8, fits: impl Fn(&[u64]) -> bool) -> Added {
        let fits = |x: &Tensor| {
            let extents = self.extents(*x);
            self.is_batch(*x) && !extents.is_empty() && fits(&extents)
        };
        self.choose(read, fits)
    }

    /// One of the tensors that a call may read and that satisfy `fits`.
    fn choose(&self, read: u8, fits: impl Fn(&Tensor) -> bool) -> Added {
        let near = match (self.is_straight(), self.features.has(Feature::Skips)) {
            (true, _) => 1,
            (false, true) => self.sizes.len(),
            (false, false) => NEAR,
        };
        let first = self.sizes.len().saturating_sub(near);
        let fitting: Vec<Tensor> = self.tensors().skip(first).filter(fits).collect();
        pick(&fitting, read)
    }

    /// Whether `x` is a batch of floats, with a small array for each example.
    pub(super) fn is_batch(&self, x: Tensor) -> bool {
        let ty = self.ty(x);
        let [batch, extents @ ..] = ty.dims.as_deref().unwrap_or_default() else { return false };
        let elements: Option<u64> = extents.iter().map(Dim::known).product();
        ty.elem == ElemType::F32
            && *batch == Dim::symbol("N")
            && elements.is_some_and(|n| (1..=MAX_ELEMENTS).contains(&n))
    }

    pub(super) fn any(&self, read: u8) -> Added {
        self.find(read, |_| true)
    }

    /// A tensor with `n` axes after the batch.
    pub(super) fn of_rank(&self, read: u8, n: usize) -> Added {
        self.find(read, |extents| extents.len() == n)
    }

    /// An integer tensor.
    pub(super) fn integers(&self, read: u8) -> Added {
        self.choose(read, |x| self.ty(*x).elem == ElemType::I32)
    }

    /// An integer input, whose numbers are below 8.
    pub(super) fn tokens(&self, read: u8) -> Added {
        let inputs = self.made.iter().filter(|made| made.operands.is_empty()).flat_map(|made| made.results.clone());
        let tokens: Vec<Tensor> = inputs.filter(|x| self.ty(*x).elem == ElemType::I32).collect();
        pick(&tokens, read)
    }

    /// A tensor of the type of `x`, which may be `x` itself.
    pub(super) fn same_type(&self, read: u8, x: Tensor) -> Added {
        let ty = self.ty(x);
        self.choose(read, |y| self.ty(*y) == ty)
    }
}

/// Finishing the model.
impl Draft {
    /// The model with these outputs.
    pub(super) fn finish(self, outputs: &[u8]) -> Module {
        match self.shape {
            Shape::Graph => {
                let all: Vec<Tensor> = self.tensors().collect();
                let outputs: Vec<Tensor> = outputs.iter().filter_map(|o| pick(&all, *o)).collect();
                self.finish_graph(&outputs)
            }
            Shape::Chain => self.finish_chain(),
        }
    }

    /// Names the outputs after their layers, as the importer does when it reads the file.
    pub(super) fn finish_graph(self, outputs: &[Tensor]) -> Module {
        let mut named: Vec<(String, &str, Tensor)> = Vec::new();
        for tensor in outputs {
            let Some(made) = self.made.iter().find(|made| made.results.contains(tensor)) else { continue };
            let again = named.iter().filter(|(_, layer, _)| *layer == made.layer).count();
            let name = if again == 0 { made.layer.clone() } else { format!("{}_{again}", made.layer) };
            named.push((name, &made.layer, *tensor));
        }
        let outputs: Vec<(&str, Tensor)> = named.iter().map(|(name, _, tensor)| (name.as_str(), *tensor)).collect();
        valid(self.model.finish(&outputs))
    }

    /// The model as Sequential, unless it has no layers.
    pub(super) fn finish_chain(self) -> Module {
        match self.last() {
            Some(last) if self.made.len() > 1 => valid(self.model.finish_sequential(last)),
            last => self.finish_graph(&Vec::from_iter(last)),
        }
    }
}

fn valid<E: std::fmt::Debug>(module: Result<Module, E>) -> Module {
    debug_assert!(module.is_ok(), "the recipe made an invalid model: {module:?}");
    module.unwrap_or_default()
}
