//! The dialects of a program, and the choice of the right one for each layer.

use netc_ir::{Attrs, Builder, CallOp, Func, Layer, LayerId, Module, Name, OpId, OpKind, SourceOp, Type, ValueId};

use super::{Dialect, LowerError, LoweredOp, OpContext, Purpose, Result};

/// The dialects of frameworks, and layer libraries.
///
/// Exactly one dialect handles a layer: the first that [owns](Dialect::owns) its class. A function belongs to the owner
/// of its layers. Only [`lower`](Self::lower) uses the libraries too: it tries them before the owner.
#[derive(Default)]
pub struct Dialects {
    libraries: Vec<Box<dyn Dialect>>,
    frameworks: Vec<Box<dyn Dialect>>,
}

impl Dialects {
    /// No dialects: every source op is unknown.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the dialect of a framework.
    pub fn push(&mut self, dialect: impl Dialect + 'static) {
        self.push_boxed(Box::new(dialect));
    }

    /// Like [`Dialects::push`], for a boxed dialect.
    pub fn push_boxed(&mut self, dialect: Box<dyn Dialect>) {
        self.frameworks.push(dialect);
    }

    /// Adds a layer library, to be tried after those already there.
    pub fn push_library(&mut self, library: impl Dialect + 'static) {
        self.libraries.push(Box::new(library));
    }

    /// The dialect that owns `class`.
    fn owner(&self, class: &str) -> Option<&dyn Dialect> {
        self.frameworks.iter().map(AsRef::as_ref).find(|dialect| dialect.owns(class))
    }

    /// The dialect that owns the first layer of `func` that has an owner. If `func` has no layers, those of the module
    /// decide.
    fn owner_of(&self, module: &Module, func: &Func) -> Option<&dyn Dialect> {
        let params = func.params.iter().filter_map(|param| param.layer);
        let ops = func.ops().filter_map(|(_, op)| match &op.kind {
            OpKind::Source(source) => Some(&*source.name),
            OpKind::Call(call) => call.layer.map(|id| &*module[id].class),
            OpKind::Core(_) => None,
        });
        let mut classes = params.map(|id| &*module[id].class).chain(ops).peekable();
        if classes.peek().is_some() {
            return classes.find_map(|class| self.owner(class));
        }
        module.layers.iter().find_map(|layer| self.owner(&layer.class))
    }

    /// Appends the core ops for `op` to `builder`, and returns its results. The first layer library that defines the class
    /// lowers the op, or else the dialect that owns it.
    ///
    /// Fails with [`LowerError::Unknown`] if none of them knows the class.
    pub fn lower(&self, builder: &mut Builder<'_>, op: OpContext<'_>) -> Result<LoweredOp> {
        let name = &*op.op.name;
        let candidates = self.libraries.iter().map(AsRef::as_ref).chain(self.owner(name));
        let mut unknown = LowerError::Unknown { class: self.class(name).into() };
        for dialect in candidates {
            match dialect.lower(builder, op) {
                Err(error @ LowerError::Unknown { .. }) => unknown = error,
                answer => return answer,
            }
        }
        Err(unknown)
    }

    /// The class by which a layer library defines the op `name`.
    pub fn class<'n>(&self, name: &'n str) -> &'n str {
        let own = self.owner(name).and_then(|dialect| dialect.class(name));
        own.unwrap_or_else(|| name.rsplit('.').next().unwrap_or(name))
    }

    /// The settings in the declaration of `layer`, under the keys that its framework documents.
    pub fn settings<'l>(&self, layer: &'l Layer) -> Option<&'l Attrs> {
        self.owner(&layer.class)?.settings(layer)
    }

    /// Whether the settings of `layer` declare another layer called `name`.
    pub fn declares_inside(&self, layer: &Layer, name: &str) -> bool {
        self.owner(&layer.class).is_some_and(|dialect| dialect.declares_inside(layer, name))
    }

    /// Renames `layer`, also where its declaration repeats the name.
    pub fn rename(&self, layer: &mut Layer, name: Name) {
        layer.name = name;
        if let Some(dialect) = self.owner(&layer.class) {
            dialect.write_name(layer);
        }
    }

    /// Whether `layer` is an operation. Frameworks do not count operations as layers.
    pub fn is_operation(&self, layer: &Layer) -> bool {
        self.owner(&layer.class).is_some_and(|dialect| dialect.is_operation(layer))
    }

    /// Whether the framework of `func`, a function of `module`, counts its inputs as layers.
    pub fn counts_inputs(&self, module: &Module, func: &Func) -> bool {
        self.owner_of(module, func).is_none_or(|dialect| dialect.counts_inputs(func))
    }

    /// Whether training changes the weights of `layer`, if its declaration says so either way.
    pub fn is_trainable(&self, layer: &Layer) -> Option<bool> {
        self.owner(&layer.class)?.is_trainable(layer)
    }

    /// Sets whether training changes the weights of `layer` and of the layers inside it.
    pub fn set_trainable(&self, layer: &mut Layer, to: bool) {
        if let Some(dialect) = self.owner(&layer.class) {
            dialect.set_trainable(layer, to);
        }
    }

    /// The attributes of `func`, a function of `module`, changed so that the model is trainable as a whole.
    pub fn unfrozen(&self, module: &Module, func: &Func) -> Attrs {
        let mut attrs = func.attrs.clone();
        if let Some(dialect) = self.owner_of(module, func) {
            dialect.unfreeze(&mut attrs);
        }
        attrs
    }

    /// The arguments of `call`, an op of `module`, that inlining loses.
    pub fn plain_arguments(&self, module: &Module, call: &CallOp) -> Vec<Name> {
        let owner = match call.layer {
            Some(layer) => self.owner(&module[layer].class),
            None => self.owner_of(module, &module[call.callee]),
        };
        owner.map_or_else(Vec::new, |dialect| dialect.plain_arguments(call))
    }

    /// Indices of the operands that `op` passes explicitly as masks.
    pub fn mask_operands(&self, op: &SourceOp) -> Vec<usize> {
        self.owner(&op.name).map_or_else(Vec::new, |dialect| dialect.mask_operands(op))
    }

    /// Whether `module` may have masks. If not, each op can be lowered on its own.
    pub fn makes_masks(&self, module: &Module) -> bool {
        self.frameworks.iter().any(|dialect| dialect.makes_masks(module))
    }

    /// Pairs of layers that must stay in one model: a layer, and the layer that owns some of its weights.
    pub fn weight_ties(&self, module: &Module) -> Vec<(LayerId, LayerId)> {
        self.frameworks.iter().flat_map(|dialect| dialect.weight_ties(module)).collect()
    }

    /// The layers of `module` that only add losses and metrics.
    pub fn loss_layers(&self, module: &Module) -> Vec<Name> {
        self.frameworks.iter().flat_map(|dialect| dialect.loss_layers(module)).collect()
    }

    /// The ops of `func`, a function of `module`, ordered so that each lowering finds the masks that the framework would
    /// find.
    pub fn run_order(&self, module: &Module, func: &Func) -> Vec<OpId> {
        let order = self.owner_of(module, func).and_then(|dialect| dialect.run_order(func));
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
mod tests;
