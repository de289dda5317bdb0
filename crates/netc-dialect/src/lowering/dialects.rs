//! The dialects of a program, and which of them is asked.

use netc_ir::{Attrs, Builder, CallOp, Func, Layer, LayerId, Module, Name, OpId, OpKind, SourceOp, Type, ValueId};

use super::{Dialect, LowerError, Meaning, OpContext, Purpose, Result};

/// The dialects of frameworks, and layer libraries.
///
/// One dialect answers for a layer: the first that [owns](Dialect::owns) its class. A function belongs to the owner of its
/// layers. Only [`lower`](Self::lower) asks the libraries too, before the owner.
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

    /// Does what [`Dialects::push`] does.
    pub fn push_boxed(&mut self, dialect: Box<dyn Dialect>) {
        self.frameworks.push(dialect);
    }

    /// Adds a layer library, which is asked after those already there.
    pub fn push_library(&mut self, library: impl Dialect + 'static) {
        self.libraries.push(Box::new(library));
    }

    /// The dialect that owns `class`.
    fn owner(&self, class: &str) -> Option<&dyn Dialect> {
        self.frameworks.iter().map(AsRef::as_ref).find(|dialect| dialect.owns(class))
    }

    /// The dialect that owns the first layer of `func`; of a function without layers, that of the module's first.
    fn owner_of(&self, module: &Module, func: &Func) -> Option<&dyn Dialect> {
        let params = func.params.iter().filter_map(|param| param.layer);
        let ops = func.ops().filter_map(|(_, op)| match &op.kind {
            OpKind::Source(source) => Some(&*source.name),
            OpKind::Call(call) => call.layer.map(|id| &*module[id].class),
            OpKind::Core(_) => None,
        });
        let classes = params.map(|id| &*module[id].class).chain(ops);
        classes.chain(module.layers.iter().map(|layer| &*layer.class)).find_map(|class| self.owner(class))
    }

    /// Adds the core ops that `op` means: in the first layer library that knows its class, or else in the dialect that owns
    /// it.
    pub fn lower(&self, builder: &mut Builder<'_>, op: OpContext<'_>) -> Result<Meaning> {
        let name = &*op.op.name;
        let asked = self.libraries.iter().map(AsRef::as_ref).chain(self.owner(name));
        let mut unknown = LowerError::Unknown { class: self.class(name).into() };
        for dialect in asked {
            match dialect.lower(builder, op) {
                Err(error @ LowerError::Unknown { .. }) => unknown = error,
                answer => return answer,
            }
        }
        Err(unknown)
    }

    /// The class of the op `name` in a layer library.
    pub fn class<'n>(&self, name: &'n str) -> &'n str {
        let own = self.owner(name).and_then(|dialect| dialect.class(name));
        own.unwrap_or_else(|| name.rsplit('.').next().unwrap_or(name))
    }

    /// The settings in the declaration of `layer`, by the keys that its framework documents.
    pub fn settings<'l>(&self, layer: &'l Layer) -> Option<&'l Attrs> {
        self.owner(&layer.class)?.settings(layer)
    }

    /// Whether the settings of `layer` declare another layer called `name`.
    pub fn declares_inside(&self, layer: &Layer, name: &str) -> bool {
        self.owner(&layer.class).is_some_and(|dialect| dialect.declares_inside(layer, name))
    }

    /// Gives `layer` another name, also where its declaration repeats it.
    pub fn rename(&self, layer: &mut Layer, name: Name) {
        layer.name = name;
        if let Some(dialect) = self.owner(&layer.class) {
            dialect.write_name(layer);
        }
    }

    /// Whether `layer` is an operation, which its framework does not count as a layer.
    pub fn is_operation(&self, layer: &Layer) -> bool {
        self.owner(&layer.class).is_some_and(|dialect| dialect.is_operation(layer))
    }

    /// Whether the framework of `func`, a function of `module`, counts its inputs as layers.
    pub fn counts_inputs(&self, module: &Module, func: &Func) -> bool {
        self.owner_of(module, func).is_none_or(|dialect| dialect.counts_inputs(func))
    }

    /// Whether training changes the weights of `layer`, if its declaration records that.
    pub fn is_trainable(&self, layer: &Layer) -> Option<bool> {
        self.owner(&layer.class)?.is_trainable(layer)
    }

    /// Records whether training changes the weights of `layer`, and those of the layers inside it.
    pub fn set_trainable(&self, layer: &mut Layer, to: bool) {
        if let Some(dialect) = self.owner(&layer.class) {
            dialect.set_trainable(layer, to);
        }
    }

    /// The attributes of `func`, a function of `module`, that record of the model as a whole that it may be trained.
    pub fn unfrozen(&self, module: &Module, func: &Func) -> Attrs {
        let mut attrs = func.attrs.clone();
        if let Some(dialect) = self.owner_of(module, func) {
            dialect.unfreeze(&mut attrs);
        }
        attrs
    }

    /// The arguments of `call`, an op of `module`, that are lost when it is inlined.
    pub fn plain_arguments(&self, module: &Module, call: &CallOp) -> Vec<Name> {
        let owner = match call.layer {
            Some(layer) => self.owner(&module[layer].class),
            None => self.owner_of(module, &module[call.callee]),
        };
        owner.map_or_else(Vec::new, |dialect| dialect.plain_arguments(call))
    }

    /// The operands, by number, that the call `op` passes as masks.
    pub fn mask_operands(&self, op: &SourceOp) -> Vec<usize> {
        self.owner(&op.name).map_or_else(Vec::new, |dialect| dialect.mask_operands(op))
    }

    /// Whether there are masks in `module`: if not, all ops can be looked at one by one.
    pub fn makes_masks(&self, module: &Module) -> bool {
        self.frameworks.iter().any(|dialect| dialect.makes_masks(module))
    }

    /// The layers that need another one in their model: such a layer, and the one that has weights of it.
    pub fn weight_ties(&self, module: &Module) -> Vec<(LayerId, LayerId)> {
        self.frameworks.iter().flat_map(|dialect| dialect.weight_ties(module)).collect()
    }

    /// The layers of `module` for losses and metrics.
    pub fn loss_layers(&self, module: &Module) -> Vec<Name> {
        self.frameworks.iter().flat_map(|dialect| dialect.loss_layers(module)).collect()
    }

    /// The ops of `func`, a function of `module`, in an order in which their lowerings find the masks that they find in the
    /// framework.
    pub fn run_order(&self, module: &Module, func: &Func) -> Vec<OpId> {
        let order = self.owner_of(module, func).and_then(|dialect| dialect.run_order(func));
        order.unwrap_or_else(|| func.op_ids().collect())
    }

    /// The types of the results of `op` on operands of the types `operands`: those of its lowering, or those that it is
    /// known to have without one.
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
