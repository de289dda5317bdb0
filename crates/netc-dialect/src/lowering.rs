//! Lowering of source ops to core ops, the only definition of each layer.
//!
//! A source op has the type that its lowering yields, so shape inference is written once, in [`netc_ir::infer()`].

mod dialects;

use std::ops::Range;

use netc_ir::{Attrs, Builder, CallOp, Func, InferError, Layer, LayerId, Module, Name, OpId, SourceOp, Type, ValueId};
use thiserror::Error;

pub use dialects::Dialects;

/// The result of a lowering.
pub type Result<T, E = LowerError> = std::result::Result<T, E>;

/// The lowering of one op: its results and their masks.
///
/// Some frameworks attach a mask to a tensor. No call and no type mentions it, but later layers read it. In lowered
/// code the mask is a value of its own, next to the value that it belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoweredOp {
    /// The results of the op.
    pub results: Vec<ValueId>,
    /// The mask of each result, in order. Results past the end have none.
    pub masks: Vec<Option<ValueId>>,
    /// Indices of the operands whose mask the op removes. Ops that run later find none.
    pub unmasked: Vec<usize>,
    /// Ops that represent several repetitions. Empty for [`Purpose::Run`].
    pub repeats: Vec<Repeat>,
}

/// Ops that represent several repetitions, as one step of a recurrent layer represents all steps. They cost `times` as
/// much as they would alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeat {
    /// The ops, as indices in the function under construction.
    pub ops: Range<usize>,
    /// The number of times they would run.
    pub times: u64,
}

/// The purpose of a lowering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// Execution: the core ops compute exactly what the op computes.
    #[default]
    Run,
    /// Analysis: result types, masks, costs (with [`LoweredOp::repeats`]) and errors are the same as for [`Self::Run`],
    /// but the ops may compute other values. So a layer of many steps need not become as many ops.
    Types,
}

impl From<Vec<ValueId>> for LoweredOp {
    fn from(results: Vec<ValueId>) -> Self {
        Self { results, ..Self::default() }
    }
}

/// Why an op cannot be lowered.
#[derive(Debug, Clone, Error)]
pub enum LowerError {
    /// No dialect or layer library knows the class.
    #[error("unsupported layer class `{class}`: neither a dialect nor a layer library defines it")]
    Unknown {
        /// The class, without its dialect.
        class: Name,
    },
    /// The class is known, but not this use of it.
    #[error("`{class}` with {what} is not supported")]
    Unsupported {
        /// The class.
        class: Name,
        /// The unsupported setting and its value.
        what: String,
        /// The result types, if they are known even so.
        types: Vec<Type>,
    },
    /// A setting has a value that the class does not accept.
    #[error("`{key}` is {found}, expected {expected}")]
    Config {
        /// The key in the configuration.
        key: Name,
        /// The value found.
        found: String,
        /// What the class expects.
        expected: String,
    },
    /// A weight is missing.
    #[error("the weight `{place}` is missing: {expected}")]
    Weight {
        /// The path of the weight in the layer.
        place: Name,
        /// What the weight holds.
        expected: String,
    },
    /// The call has the wrong number or the wrong kind of tensors.
    #[error("{0}")]
    Operands(String),
    /// A core op of the lowering does not fit its operands.
    #[error(transparent)]
    Infer(#[from] InferError),
}

impl LowerError {
    /// Records the result types in an [`Unsupported`](Self::Unsupported) error; other errors do not change.
    #[must_use]
    pub fn giving(self, types: Vec<Type>) -> Self {
        if let Self::Unsupported { class, what, .. } = self { Self::Unsupported { class, what, types } } else { self }
    }
}

/// A source op and everything that its lowering may read.
#[derive(Clone, Copy)]
pub struct OpContext<'a> {
    /// The op.
    pub op: &'a SourceOp,
    /// The layer declaration that it applies.
    pub layer: Option<&'a Layer>,
    /// Its operands, as values of the function under construction.
    pub operands: &'a [ValueId],
    /// The mask of each operand, in order. Operands past the end have none.
    pub masks: &'a [Option<ValueId>],
    /// The purpose of the lowering.
    pub purpose: Purpose,
    /// The dialects of the program.
    pub dialects: &'a Dialects,
}

/// A framework's layers: how to lower them, and how it declares them.
///
/// Only [`owns`](Self::owns) and [`lower`](Self::lower) are required. The defaults suit a framework without masks, layer
/// declarations and training. Several threads may call the methods at once. If a program has layers of several
/// frameworks, each dialect is called only for its own.
///
/// | method | callers, and what they need it for |
/// |---|---|
/// | [`owns`](Self::owns) | everything below: which dialect to call |
/// | [`lower`](Self::lower) | `lower`, types, costs: the core ops of a source op |
/// | `class`, `settings` | layer libraries: which function to use, and the number at `{config = "key"}` |
/// | `is_operation`, `counts_inputs` | `#128` in a cut, and the layer count: count layers as users of the framework do |
/// | `declares_inside` | the error for a cut inside a layer that is one op |
/// | `write_name` | `inline`, when a name is taken: a declaration may repeat the layer's name |
/// | `plain_arguments` | `inline`: the arguments of a nested model's call that inlining loses |
/// | `is_trainable`, `set_trainable`, `unfreeze` | `freeze` |
/// | `makes_masks`, `mask_operands`, `run_order` | `lower`, `split`: where masks begin, and which masks a call passes explicitly |
/// | `weight_ties`, `loss_layers` | `split` and the writers: layers that need each other, layers that no output needs |
///
/// ```
/// use netc_dialect::{Dialect, LowerError, LoweredOp, OpContext, Result};
/// use netc_ir::{Builder, Unary};
///
/// struct Mine;
///
/// impl Dialect for Mine {
///     fn owns(&self, class: &str) -> bool {
///         class.starts_with("mine.")
///     }
///
///     fn lower(&self, builder: &mut Builder<'_>, op: OpContext<'_>) -> Result<LoweredOp> {
///         match (&*op.op.name, op.operands) {
///             ("mine.Relu", [x]) => Ok(vec![builder.unary(Unary::Relu, *x)?].into()),
///             (name, _) => Err(LowerError::Unknown { class: name.into() }),
///         }
///     }
/// }
///
/// let mut dialects = netc_dialect::Dialects::new();
/// dialects.push(Mine);
/// ```
pub trait Dialect: Send + Sync {
    /// Whether `class`, the class of a layer or the name of a source op, belongs to the framework.
    ///
    /// The words before the first dot of a class tell frameworks apart, as in `mine.Relu`. The other methods are called
    /// only for layers, ops and calls of the framework's classes and for functions that contain some. Methods that take
    /// a module must ignore all other classes in it. A layer library owns no class: it defines those of others.
    fn owns(&self, class: &str) -> bool;

    /// Appends the core ops for `op` to `builder`, and returns its results.
    ///
    /// [`LowerError::Unknown`] means that the dialect does not support the class. To lower the layers inside a layer, use
    /// [`OpContext::dialects`], so that layer libraries can define them.
    fn lower(&self, builder: &mut Builder<'_>, op: OpContext<'_>) -> Result<LoweredOp>;

    /// The class by which a layer library defines the op `name`, if it is not the text after the last dot.
    fn class<'n>(&self, name: &'n str) -> Option<&'n str> {
        let _ = name;
        None
    }

    /// The settings in the declaration of `layer`, under the keys that its framework documents.
    fn settings<'l>(&self, layer: &'l Layer) -> Option<&'l Attrs> {
        let _ = layer;
        None
    }

    /// Whether the settings of `layer` declare another layer called `name`. Such a layer cannot be a cut.
    fn declares_inside(&self, layer: &Layer, name: &str) -> bool {
        let _ = (layer, name);
        false
    }

    /// Copies the new name of `layer` to every place in its declaration that repeats the name.
    fn write_name(&self, layer: &mut Layer) {
        let _ = layer;
    }

    /// Whether `layer` is an operation, such as `x + y`. The framework does not count operations as layers.
    fn is_operation(&self, layer: &Layer) -> bool {
        let _ = layer;
        false
    }

    /// Whether the framework counts the inputs of `func` as layers.
    fn counts_inputs(&self, func: &Func) -> bool {
        let _ = func;
        true
    }

    /// Whether training changes the weights of `layer`, if its declaration says so either way.
    fn is_trainable(&self, layer: &Layer) -> Option<bool> {
        let _ = layer;
        None
    }

    /// Sets whether training changes the weights of `layer` and of the layers inside it. Changes only declarations that
    /// already have this setting.
    fn set_trainable(&self, layer: &mut Layer, to: bool) {
        let _ = (layer, to);
    }

    /// Makes a model trainable as a whole, if `model`, the attributes of its function, say that it is not.
    fn unfreeze(&self, model: &mut Attrs) {
        let _ = model;
    }

    /// The arguments of a nested model's call that are not tensors. Inlining the call loses them.
    fn plain_arguments(&self, call: &CallOp) -> Vec<Name> {
        let _ = call;
        Vec::new()
    }

    /// Indices of the operands that `op` passes explicitly as masks.
    fn mask_operands(&self, op: &SourceOp) -> Vec<usize> {
        let _ = op;
        Vec::new()
    }

    /// Whether an op of `module` may give a result a mask although none of its operands has one.
    fn makes_masks(&self, module: &Module) -> bool {
        let _ = module;
        false
    }

    /// The order in which the framework runs the ops of `func`. It matters if some ops remove masks from their
    /// operands.
    fn run_order(&self, func: &Func) -> Option<Vec<OpId>> {
        let _ = func;
        None
    }

    /// Pairs of layers that must stay in one model: a layer, and the layer that owns some of its weights.
    fn weight_ties(&self, module: &Module) -> Vec<(LayerId, LayerId)> {
        let _ = module;
        Vec::new()
    }

    /// The layers of `module` that only add losses and metrics. No output needs them, so a rewrite may drop them.
    fn loss_layers(&self, module: &Module) -> Vec<Name> {
        let _ = module;
        Vec::new()
    }
}
