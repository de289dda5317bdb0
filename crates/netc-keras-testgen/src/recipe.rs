//! Keras models with every class that has a lowering, in every shape of graph.
//!
//! A class of steps is a family of layers; the family's file knows their configurations. A step picks the tensors that
//! it reads, then a layer and its configuration. It adds nothing if no tensor fits.

mod arrays;
mod attention;
mod categories;
mod choice;
mod convolution;
mod dense;
mod draft;
mod elementwise;
mod functions;
mod images;
mod merge;
mod moves;
mod normalization;
mod recurrent;
mod reductions;
mod selection;
mod shapes;
mod structure;
mod unchanged;

use netc_dialect::{Dialects, LayerLibrary};
use netc_format::Formats;
use netc_ir::{ElemType, FuncId, Module, OpId, OpKind, Type, call_types};
use netc_passes::analysis::callees_first;

use draft::{Draft, Shape};
use netc_testgen::{Build, Feature, Recipe, classes, of};

classes! {
    /// What a step of a [`KerasRecipe`] adds: a member of a family of layers or operations.
    KerasClass {
        /// An activation by name.
        Activation,
        /// A layer that is an activation.
        Rectifier,
        /// A dense layer.
        Dense,
        /// A layer that merges tensors elementwise.
        Merge,
        /// A convolution.
        Conv,
        /// A depthwise convolution.
        Depthwise,
        /// A separable convolution.
        Separable,
        /// A transposed convolution.
        Transposed,
        /// Max or average pooling.
        Pool,
        /// Global pooling.
        GlobalPool,
        /// Adaptive pooling.
        Adaptive,
        /// A resized or cropped image.
        Resize,
        /// A normalization with weights.
        Norm,
        /// A layer that scales.
        Scaling,
        /// A concatenation.
        Concatenate,
        /// A dot product of two tensors along an axis.
        Dot,
        /// An Einstein sum with a kernel.
        EinsumDense,
        /// An embedding.
        Embedding,
        /// An encoding of categories.
        Category,
        /// Attention without projections.
        Attention,
        /// Multi-head attention.
        MultiHead,
        /// A recurrent layer.
        Recurrent,
        /// A convolutional recurrent layer.
        ConvRecurrent,
        /// A bidirectional recurrent layer.
        Bidirectional,
        /// A layer applied to every step.
        TimeDistributed,
        /// A layer that changes the shape or the order of axes.
        Reshape,
        /// Padding, cropping or upsampling.
        Border,
        /// A layer that is the identity in inference.
        Dropout,
        /// An image augmentation, which acts in training only.
        Augment,
        /// A layer that masks steps.
        Masking,
        /// A custom layer.
        Custom,
        /// An elementwise function, as an operation.
        Unary,
        /// A function of `keras.ops.nn`.
        Function,
        /// An operation of two tensors, or of a tensor and a constant.
        Binary,
        /// A comparison and ops that use its result.
        Compare,
        /// A conversion to another type and back.
        Cast,
        /// An operation that reduces axes.
        Reduce,
        /// An operation that moves elements.
        Move,
        /// An operation that joins several tensors.
        Join,
        /// An operation with several results.
        Parts,
        /// An operation that selects elements by index.
        Index,
        /// A matrix product, as an operation.
        Product,
        /// A convolution with a constant kernel, as an operation.
        Kernel,
        /// Pooling, as an operation.
        Windows,
        /// An operation that normalizes.
        Normalize,
        /// An existing layer or model, applied again.
        Again,
        /// A chain of existing layers, applied to another tensor.
        Tower,
        /// A model of the next steps, used as a layer.
        Nested,
        /// A Sequential model of the next steps, used as a layer.
        Sequential,
    }
}

/// A Keras model as plain data.
pub type KerasRecipe = Recipe<KerasClass>;

/// The lowerings of the custom layers, as a layer library.
pub const LIBRARY: &str = "netc 1
func @Scale(%x: any[*], %gamma: any[*], %beta: any[*]) -> (%y) {
  %g = lib.along(%gamma, %x) {axis = {config = \"axis\", default = -1}} : any[*]
  %b = lib.along(%beta, %x) {axis = {config = \"axis\", default = -1}} : any[*]
  %s = mul(%x, %g) : any[*]
  %y = add(%s, %b) : any[*]
}
func @Adapter(%x: any[*], %down: any[*], %bias: any[*], %up: any[*]) -> (%y) {
  %d = matmul(%x, %down) : any[*]
  %b = add(%d, %bias) : any[*]
  %t = tanh(%b) : any[*]
  %u = matmul(%t, %up) : any[*]
  %y = add(%x, %u) : any[*]
}
";

/// The lowering of an unsupported layer: only the generator knows it.
const SECRET: &str = "func @Secret(%x: any[*], %gamma: any[*], %beta: any[*]) -> (%y) {
  %s = mul(%x, %gamma) : any[*]
  %y = add(%s, %beta) : any[*]
}
";

/// The formats that the oracles use: those of Keras.
pub fn formats() -> Formats {
    Formats::new().with(&netc_keras::FRAMEWORK)
}

/// The lowerings of all supported layers in recipes: Keras layers and those of [`LIBRARY`].
pub fn dialects() -> Dialects {
    let mut dialects = Dialects::new();
    let library = LayerLibrary::parse(LIBRARY);
    debug_assert!(library.is_ok(), "{library:?}");
    library.into_iter().for_each(|library| dialects.push_library(library));
    formats().add_dialects(&mut dialects);
    dialects
}

/// Element types of inputs, and their extents after the batch.
const INPUTS: &[(ElemType, &[u64])] = &[
    (ElemType::F32, &[4]),
    (ElemType::F32, &[6, 5, 2]),
    (ElemType::F32, &[8, 8, 3]),
    (ElemType::F32, &[3, 4]),
    (ElemType::F32, &[1]),
    (ElemType::I32, &[5]),
    (ElemType::F32, &[9, 4]),
    (ElemType::F32, &[3, 4, 5, 2]),
    (ElemType::F32, &[4, 6, 6]),
    (ElemType::F32, &[2, 3, 3, 4]),
    (ElemType::F32, &[5, 4, 3]),
];

impl Build for KerasClass {
    /// Builds the model. It is valid, and executable with [`dialects`].
    fn build(recipe: &KerasRecipe) -> Module {
        let of_several = |all: &[u8], several| all[..if several { all.len() } else { all.len().min(1) }].to_vec();
        let inputs = of_several(&recipe.inputs, recipe.features.has(Feature::ManyInputs));
        let outputs = of_several(&recipe.outputs, recipe.features.has(Feature::ManyOutputs));
        let shape = match (&inputs[..], &outputs[..]) {
            ([_], [output]) if *output >= SEQUENTIAL => Shape::Chain,
            _ => Shape::Graph,
        };
        let mut draft = Draft::new("random", recipe.steps.len() as u64, shape, recipe.features);
        let allowed = |elem: ElemType| elem != ElemType::I32 || recipe.features.has(Feature::Integers);
        let table: Vec<(ElemType, &[u64])> = INPUTS.iter().copied().filter(|(elem, _)| allowed(*elem)).collect();
        for input in inputs {
            let (elem, dims) = of(&table, input);
            draft.input(elem, dims, 0.0);
        }
        draft.steps(&recipe.steps);
        let mut module = draft.finish(&outputs);
        structure::name_outputs(&mut module, recipe.outputs.first().copied().unwrap_or(0));
        if recipe.features.has(Feature::Abstract) {
            forget_types(&mut module);
        }
        module
    }
}

/// Removes the types that follow from layers that [`dialects`] does not support.
fn forget_types(module: &mut Module) {
    let dialects = dialects();
    for func in callees_first(module) {
        for op in module[func].op_ids().collect::<Vec<_>>() {
            let results = module[func][op].results.clone();
            for (value, ty) in results.into_iter().zip(known_types(module, func, op, &dialects)) {
                module[func].set_type(value, ty);
            }
        }
    }
}

fn known_types(module: &Module, func: FuncId, op: OpId, dialects: &Dialects) -> Vec<Type> {
    let (func, op) = (&module[func], &module[func][op]);
    let given: Vec<Type> = op.operands.iter().map(|x| func[*x].ty.clone()).collect();
    match &op.kind {
        OpKind::Call(call) => call_types(&module[call.callee], &given),
        OpKind::Source(source) => {
            let types = dialects.result_types(module, source, source.layer.map(|id| &module[id]), &given);
            types.unwrap_or_else(|_| vec![Type::unranked(ElemType::Any); op.results.len()])
        }
        OpKind::Core(_) => op.results.iter().map(|y| func[*y].ty.clone()).collect(),
    }
}

/// A model with one input and one output, whose number is at least this, is a chain of layers.
const SEQUENTIAL: u8 = 208;
