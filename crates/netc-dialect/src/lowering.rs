//! What source ops mean: one definition per layer, its lowering to core ops.
//!
//! The type of a source op is what its lowering yields, so shape inference is written once, in
//! [`netc_ir::infer()`].

mod dialects;

use std::ops::Range;

use netc_ir::{Attrs, Builder, CallOp, Func, InferError, Layer, LayerId, Module, Name, OpId, SourceOp, Type, ValueId};
use thiserror::Error;

pub use dialects::Dialects;

/// A result with the reason why an op has no core ops.
pub type Result<T, E = LowerError> = std::result::Result<T, E>;

/// What a lowered op leaves.
///
/// Some frameworks attach a mask to a tensor, which no call and no type mentions, and which later layers read. What
/// is lowered has it as a value of its own, beside the value that it belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meaning {
    /// The results of the op.
    pub results: Vec<ValueId>,
    /// The masks beside the results, in their order; those behind the last have none.
    pub masks: Vec<Option<ValueId>>,
    /// The operands, by number, that the op takes the mask from: what runs later finds none.
    pub unmasked: Vec<usize>,
    /// Ops that stand for themselves several times. Empty if the op is lowered to be run.
    pub repeats: Vec<Repeat>,
}

/// Ops that stand for themselves several times, as one step of a recurrent layer does for all: the whole costs what they
/// cost, `times` times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeat {
    /// The ops, by their index in the function that is built.
    pub ops: Range<usize>,
    /// How often they would run.
    pub times: u64,
}

/// What an op is lowered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// To be run: the core ops compute what the op computes.
    #[default]
    Run,
    /// For the types of its results, the masks that it reads, and its costs with [`Meaning::repeats`]. All of these are
    /// those of the ops that would run, and so is whether the op has a meaning. The ops may compute something else, so a
    /// layer of many steps need not be as many ops.
    Types,
}

impl From<Vec<ValueId>> for Meaning {
    fn from(results: Vec<ValueId>) -> Self {
        Self { results, ..Self::default() }
    }
}

/// Why an op has no core ops.
#[derive(Debug, Clone, Error)]
pub enum LowerError {
    /// No dialect or layer library knows the class.
    #[error("layer class `{class}` has no meaning, and no layer library gives it one")]
    Unknown {
        /// The class, without its dialect.
        class: Name,
    },
    /// The class is known, this use of it is not.
    #[error("`{class}` with {what} is not supported")]
    Unsupported {
        /// The class.
        class: Name,
        /// The part of the configuration, and its value.
        what: String,
        /// The types of its results, if they are known nevertheless.
        types: Vec<Type>,
    },
    /// The configuration is not what the class expects.
    #[error("`{key}` is {found}, expected {expected}")]
    Config {
        /// The key in the configuration.
        key: Name,
        /// What it holds.
        found: String,
        /// What the class expects.
        expected: String,
    },
    /// A weight is missing.
    #[error("the weight `{place}` is missing: {expected}")]
    Weight {
        /// The place of the weight in the layer.
        place: Name,
        /// What it holds.
        expected: String,
    },
    /// The call has the wrong number of tensors, or one of the wrong kind.
    #[error("{0}")]
    Operands(String),
    /// A core op of the lowering does not fit its operands.
    #[error(transparent)]
    Infer(#[from] InferError),
}

impl LowerError {
    /// The same, of a use whose results have the types `types`.
    #[must_use]
    pub fn giving(self, types: Vec<Type>) -> Self {
        if let Self::Unsupported { class, what, .. } = self { Self::Unsupported { class, what, types } } else { self }
    }
}

/// A source op with what its lowering may look at.
#[derive(Clone, Copy)]
pub struct OpContext<'a> {
    /// The op.
    pub op: &'a SourceOp,
    /// The declaration it applies.
    pub layer: Option<&'a Layer>,
    /// Its operands, as values of the function that is being built.
    pub operands: &'a [ValueId],
    /// The masks beside the operands, in their order; those behind the last have none.
    pub masks: &'a [Option<ValueId>],
    /// What the meaning is for.
    pub purpose: Purpose,
    /// The dialects of the program.
    pub dialects: &'a Dialects,
}

/// What a framework's layers mean, and how it writes them down. Threads may ask at once.
///
/// Only [`owns`](Self::owns) and [`lower`](Self::lower) are required. The defaults suit a framework without masks, layer
/// declarations and training. A program may have layers of several frameworks: each is asked about its own alone.
///
/// | method | who asks, and why |
/// |---|---|
/// | [`owns`](Self::owns) | everything below: whom to ask |
/// | [`lower`](Self::lower) | `lower`, types, costs: the core ops of a source op |
/// | `class`, `settings` | layer libraries: which of their functions is meant, and the number at `{config = "key"}` |
/// | `is_operation`, `counts_inputs` | `#128` in a cut, and the number of layers: as the framework's users count |
/// | `declares_inside` | the error for a cut inside a layer that is one op |
/// | `write_name` | `inline`, when a name is taken: a declaration may repeat the layer's name |
/// | `plain_arguments` | `inline`: the arguments of a nested model's call that get lost |
/// | `is_trainable`, `set_trainable`, `unfreeze` | `freeze` |
/// | `makes_masks`, `mask_operands`, `run_order` | `lower`, `split`: where masks begin, and which of them a call passes itself |
/// | `weight_ties`, `loss_layers` | `split` and the writers: layers that need each other, layers that no output needs |
///
/// ```
/// use netc_dialect::{Dialect, LowerError, Meaning, OpContext, Result};
/// use netc_ir::{Builder, Unary};
///
/// struct Mine;
///
/// impl Dialect for Mine {
///     fn owns(&self, class: &str) -> bool {
///         class.starts_with("mine.")
///     }
///
///     fn lower(&self, builder: &mut Builder<'_>, op: OpContext<'_>) -> Result<Meaning> {
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
    /// Whether `class` is one of the framework's: the class of a layer, and the name of the source ops that apply it.
    ///
    /// Frameworks tell their classes apart by the words before the first dot, as in `mine.Relu`. The other methods are
    /// asked about layers, ops and calls of these classes, and about functions that have any. Of a module they answer for
    /// these classes alone. A layer library owns no class: it gives a meaning to those of others.
    fn owns(&self, class: &str) -> bool;

    /// Adds the core ops that `op` means, and returns its results.
    ///
    /// [`LowerError::Unknown`] says that the class has no meaning here. The layers inside a layer are lowered with
    /// [`OpContext::dialects`], since a layer library may know them.
    fn lower(&self, builder: &mut Builder<'_>, op: OpContext<'_>) -> Result<Meaning>;

    /// The class of the op `name` in a layer library, if it is not the text after the last dot.
    fn class<'n>(&self, name: &'n str) -> Option<&'n str> {
        let _ = name;
        None
    }

    /// The settings in the declaration of `layer`, by the keys that its framework documents.
    fn settings<'l>(&self, layer: &'l Layer) -> Option<&'l Attrs> {
        let _ = layer;
        None
    }

    /// Whether the settings of `layer` declare another layer called `name`. Users cannot cut there.
    fn declares_inside(&self, layer: &Layer, name: &str) -> bool {
        let _ = (layer, name);
        false
    }

    /// Writes the name of `layer`, which is new, wherever its declaration repeats it.
    fn write_name(&self, layer: &mut Layer) {
        let _ = layer;
    }

    /// Whether `layer` is an operation, such as `x + y`, which the framework does not count as a layer.
    fn is_operation(&self, layer: &Layer) -> bool {
        let _ = layer;
        false
    }

    /// Whether the framework counts the inputs of `func` as layers.
    fn counts_inputs(&self, func: &Func) -> bool {
        let _ = func;
        true
    }

    /// Whether training changes the weights of `layer`, if its declaration records that.
    fn is_trainable(&self, layer: &Layer) -> Option<bool> {
        let _ = layer;
        None
    }

    /// Records in the declaration of `layer` whether training changes its weights, and those of the layers inside it.
    /// Changes nothing that does not record it already.
    fn set_trainable(&self, layer: &mut Layer, to: bool) {
        let _ = (layer, to);
    }

    /// Records that a model as a whole may be trained, if `model`, the attributes of its function, record that it may not.
    fn unfreeze(&self, model: &mut Attrs) {
        let _ = model;
    }

    /// The arguments of a call of a nested model that are no tensors. They are lost when the call is inlined.
    fn plain_arguments(&self, call: &CallOp) -> Vec<Name> {
        let _ = call;
        Vec::new()
    }

    /// The operands, by number, that the call `op` passes as masks.
    fn mask_operands(&self, op: &SourceOp) -> Vec<usize> {
        let _ = op;
        Vec::new()
    }

    /// Whether an op of `module` may leave a mask beside a result although there is none beside its operands.
    fn makes_masks(&self, module: &Module) -> bool {
        let _ = module;
        false
    }

    /// The order in which the framework runs the ops of `func`, which counts where some take masks from their operands.
    fn run_order(&self, func: &Func) -> Option<Vec<OpId>> {
        let _ = func;
        None
    }

    /// The layers that need another one in their model: such a layer, and the one that has weights of it.
    fn weight_ties(&self, module: &Module) -> Vec<(LayerId, LayerId)> {
        let _ = module;
        Vec::new()
    }

    /// The layers of `module` for losses and metrics, which no output needs: a rewrite may leave them out.
    fn loss_layers(&self, module: &Module) -> Vec<Name> {
        let _ = module;
        Vec::new()
    }
}
