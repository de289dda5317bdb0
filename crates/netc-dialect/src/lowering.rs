//! Lowering of source ops to core ops, the only definition of each layer.
//!
//! A source op has the type that its lowering yields, so shape inference is written once, in [`netc_ir::infer()`].

use std::ops::Range;

use netc_ir::{Attrs, Builder, CallOp, Func, InferError, Layer, LayerId, Module, Name, OpId, SourceOp, Type, ValueId};
use thiserror::Error;

/// The result of a lowering.
pub type Result<T, E = LowerError> = std::result::Result<T, E>;

/// The lowering of one op: its results and their masks.
///
/// Some frameworks attach a mask to a tensor. No call and no type mentions it, but later layers read it. In lowered
/// code the mask is a value of its own, next to the value that it belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meaning {
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
    /// Analysis: result types, masks, costs (with [`Meaning::repeats`]) and errors are the same as for [`Self::Run`],
    /// but the ops may compute other values. So a layer of many steps need not become as many ops.
    Types,
}

impl From<Vec<ValueId>> for Meaning {
    fn from(results: Vec<ValueId>) -> Self {
        Self { results, ..Self::default() }
    }
}

/// Why an op cannot be lowered.
#[derive(Debug, Clone, Error)]
pub enum LowerError {
    /// No dialect or layer library knows the class.
    #[error(
        "unsupported layer class `{class}`: to run it, define it as an IR function in a file and pass `--layers FILE.nir`"
    )]
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
/// Only [`lower`](Self::lower) is required. The defaults suit a framework without masks, layer declarations and
/// training. Several threads may call the methods at once.
///
/// | method | callers, and what they need it for |
/// |---|---|
/// | [`lower`](Self::lower) | `lower`, types, costs: the core ops of a source op |
/// | `class`, `settings` | layer libraries: which function to use, and the number at `{config = "key"}` |
/// | `is_operation`, `counts_inputs` | `#128` in a cut, and the layer count: count layers as users of the framework do |
/// | `declares_inside` | the error for a cut inside a layer that is one op |
/// | `write_name` | `inline`, when a name is taken: a declaration may repeat the layer's name |
/// | `plain_arguments` | `inline`: the arguments of a nested model's call that inlining loses |
/// | `is_trainable`, `set_trainable`, `unfreeze` | `freeze` |
/// | `makes_masks`, `mask_operands`, `order` | `lower`, `split`: where masks begin, and which masks a call passes explicitly |
/// | `ties`, `losses` | `split` and the writers: layers that need each other, layers that no output needs |
///
/// ```
/// use netc_dialect::{Dialect, LowerError, Meaning, OpContext, Result};
/// use netc_ir::{Builder, Unary};
///
/// struct Mine;
///
/// impl Dialect for Mine {
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
    /// Appends the core ops for `op` to `builder`, and returns its results.
    ///
    /// On [`LowerError::Unknown`] the next dialect is tried.
    fn lower(&self, builder: &mut Builder<'_>, op: OpContext<'_>) -> Result<Meaning>;

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
    fn order(&self, func: &Func) -> Option<Vec<OpId>> {
        let _ = func;
        None
    }

    /// Pairs of layers that must stay in one model: a layer, and the layer that owns some of its weights.
    fn ties(&self, module: &Module) -> Vec<(LayerId, LayerId)> {
        let _ = module;
        Vec::new()
    }

    /// The layers of `module` that only add losses and metrics. No output needs them, so a rewrite may drop them.
    fn losses(&self, module: &Module) -> Vec<Name> {
        let _ = module;
        Vec::new()
    }
}

/// Dialects and layer libraries, tried in order: the first that knows a class lowers it.
#[derive(Default)]
pub struct Dialects(Vec<Box<dyn Dialect>>);

impl Dialects {
    /// No dialects: every source op is unknown.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a dialect, to be tried after those already there.
    pub fn push(&mut self, dialect: impl Dialect + 'static) {
        self.push_boxed(Box::new(dialect));
    }

    /// Like [`Dialects::push`], for a boxed dialect.
    pub fn push_boxed(&mut self, dialect: Box<dyn Dialect>) {
        self.0.push(dialect);
    }

    /// Appends the core ops for `op` to `builder`, and returns its results.
    ///
    /// Fails with [`LowerError::Unknown`] if no dialect knows the op.
    pub fn lower(&self, builder: &mut Builder<'_>, op: OpContext<'_>) -> Result<Meaning> {
        let mut unknown = None;
        for dialect in &self.0 {
            match dialect.lower(builder, op) {
                Err(error @ LowerError::Unknown { .. }) => unknown = unknown.or(Some(error)),
                answer => return answer,
            }
        }
        Err(unknown.unwrap_or_else(|| LowerError::Unknown { class: self.class(&op.op.name).into() }))
    }

    /// The class by which a layer library defines the op `name`.
    pub fn class<'n>(&self, name: &'n str) -> &'n str {
        let own = self.0.iter().find_map(|dialect| dialect.class(name));
        own.unwrap_or_else(|| name.rsplit('.').next().unwrap_or(name))
    }

    /// The settings in the declaration of `layer`, under the keys that its framework documents.
    pub fn settings<'l>(&self, layer: &'l Layer) -> Option<&'l Attrs> {
        self.0.iter().find_map(|dialect| dialect.settings(layer))
    }

    /// Whether the settings of `layer` declare another layer called `name`.
    pub fn declares_inside(&self, layer: &Layer, name: &str) -> bool {
        self.0.iter().any(|dialect| dialect.declares_inside(layer, name))
    }

    /// Renames `layer`, also where its declaration repeats the name.
    pub fn rename(&self, layer: &mut Layer, name: Name) {
        layer.name = name;
        self.0.iter().for_each(|dialect| dialect.write_name(layer));
    }

    /// Whether `layer` is an operation. Frameworks do not count operations as layers.
    pub fn is_operation(&self, layer: &Layer) -> bool {
        self.0.iter().any(|dialect| dialect.is_operation(layer))
    }

    /// Whether the framework of `func` counts its inputs as layers.
    pub fn counts_inputs(&self, func: &Func) -> bool {
        self.0.iter().all(|dialect| dialect.counts_inputs(func))
    }

    /// Whether training changes the weights of `layer`, if its declaration says so either way.
    pub fn is_trainable(&self, layer: &Layer) -> Option<bool> {
        self.0.iter().find_map(|dialect| dialect.is_trainable(layer))
    }

    /// Sets whether training changes the weights of `layer` and of the layers inside it.
    pub fn set_trainable(&self, layer: &mut Layer, to: bool) {
        self.0.iter().for_each(|dialect| dialect.set_trainable(layer, to));
    }

    /// Makes a model trainable as a whole, given the attributes of its function.
    pub fn unfreeze(&self, model: &mut Attrs) {
        self.0.iter().for_each(|dialect| dialect.unfreeze(model));
    }

    /// The arguments of a nested model's call that inlining loses.
    pub fn plain_arguments(&self, call: &CallOp) -> Vec<Name> {
        self.0.iter().flat_map(|dialect| dialect.plain_arguments(call)).collect()
    }

    /// Indices of the operands that `op` passes explicitly as masks.
    pub fn mask_operands(&self, op: &SourceOp) -> Vec<usize> {
        self.0.iter().flat_map(|dialect| dialect.mask_operands(op)).collect()
    }

    /// Whether `module` may have masks. If not, each op can be lowered on its own.
    pub fn makes_masks(&self, module: &Module) -> bool {
        self.0.iter().any(|dialect| dialect.makes_masks(module))
    }

    /// Pairs of layers that must stay in one model: a layer, and the layer that owns some of its weights.
    pub fn ties(&self, module: &Module) -> Vec<(LayerId, LayerId)> {
        self.0.iter().flat_map(|dialect| dialect.ties(module)).collect()
    }

    /// The layers of `module` that only add losses and metrics.
    pub fn losses(&self, module: &Module) -> Vec<Name> {
        self.0.iter().flat_map(|dialect| dialect.losses(module)).collect()
    }

    /// The ops of `func`, ordered so that each lowering finds the masks that the framework would find.
    pub fn order(&self, func: &Func) -> Vec<OpId> {
        let order = self.0.iter().find_map(|dialect| dialect.order(func));
        order.unwrap_or_else(|| func.op_ids().collect())
    }

    /// The result types of `op` for operands of the types `operands`: from its lowering, or from an
    /// [`Unsupported`](LowerError::Unsupported) error that records them.
    pub fn result_types(
        &self,
        module: &Module,
        op: &SourceOp,
        layer: Option<&Layer>,
        operands: &[Type],
    ) -> Result<Vec<Type>> {
        let mut b = Builder::new(module, "types");
        let values: Vec<ValueId> =
            operands.iter().enumerate().map(|(i, ty)| b.param(format!("x{i}"), ty.clone(), None)).collect();
        let context = OpContext { op, layer, operands: &values, masks: &[], purpose: Purpose::Types, dialects: self };
        match self.lower(&mut b, context) {
            Ok(meaning) => Ok(meaning.results.iter().map(|v| b.ty(*v).clone()).collect()),
            Err(LowerError::Unsupported { types, .. }) if !types.is_empty() => Ok(types),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A dialect with nothing but the required method.
    struct Silent;

    impl Dialect for Silent {
        fn lower(&self, _: &mut Builder<'_>, op: OpContext<'_>) -> Result<Meaning> {
            Err(LowerError::Unknown { class: op.op.name.clone() })
        }
    }

    /// A dialect that knows layers of the class `own`.
    struct Own;

    impl Dialect for Own {
        fn lower(&self, builder: &mut Builder<'_>, op: OpContext<'_>) -> Result<Meaning> {
            Silent.lower(builder, op)
        }

        fn class<'n>(&self, name: &'n str) -> Option<&'n str> {
            name.strip_prefix("own.")
        }

        fn settings<'l>(&self, layer: &'l Layer) -> Option<&'l Attrs> {
            (&*layer.class == "own").then_some(&layer.config)
        }

        fn is_operation(&self, layer: &Layer) -> bool {
            &*layer.class == "own"
        }

        fn counts_inputs(&self, func: &Func) -> bool {
            &*func.name != "own"
        }

        fn write_name(&self, layer: &mut Layer) {
            layer.config.set("called", &*layer.name);
        }
    }

    fn layer(class: &str) -> Layer {
        Layer { name: "a".into(), class: class.into(), config: Attrs::new(), weights: Vec::new(), assets: Vec::new() }
    }

    #[test]
    fn defaults_suit_a_dialect_that_only_lowers() {
        let mut dialects = Dialects::new();
        dialects.push(Silent);
        let mut renamed = layer("x");
        dialects.rename(&mut renamed, "b".into());
        dialects.set_trainable(&mut renamed, false);
        assert_eq!(renamed, Layer { name: "b".into(), ..layer("x") });
        assert_eq!((dialects.class("x.y.Z"), dialects.settings(&renamed)), ("Z", None));
        assert_eq!((dialects.is_operation(&renamed), dialects.is_trainable(&renamed)), (false, None));
        assert!(dialects.counts_inputs(&Func::new("own")));
    }

    #[test]
    fn each_layer_is_handled_by_the_dialect_that_knows_it() {
        let mut dialects = Dialects::new();
        dialects.push(Silent);
        dialects.push(Own);
        let mut own = layer("own");
        assert_eq!(dialects.class("own.y.Z"), "y.Z");
        assert_eq!(dialects.settings(&own), Some(&Attrs::new()));
        assert!(dialects.is_operation(&own) && !dialects.is_operation(&layer("x")));
        assert!(!dialects.counts_inputs(&Func::new("own")) && dialects.counts_inputs(&Func::new("x")));
        dialects.rename(&mut own, "b".into());
        assert_eq!((&*own.name, own.config), ("b", Attrs::new().with("called", "b")));
    }
}
