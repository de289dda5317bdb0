//! Replaces layers by the core ops that they mean.

use std::collections::BTreeSet;

use netc_ir::{CallOp, Func, Loc, Module, Name, Op, OpId, OpKind, SourceOp, ValueId, call_types};
use netc_pass::{Context, Dialects, Fidelity, Fuel, LowerError, OpContext, Pass, PassError, PassInfo};

use crate::analysis::calls::callees_first;
use crate::copy::{Copy, named};

/// `lower` as users see it.
pub const INFO: PassInfo = PassInfo {
    name: "lower",
    summary: "Replace layers by the core ops that they mean.",
    help: "Replaces every source op by the core ops that its dialect or a layer library gives for it, in every function.\n\
           Value names and locations stay; types are inferred anew, so those that were not known get known.\n\n\
           A layer that has no meaning stays as it is, and a remark says so: give it one with `--layers FILE.nir`.",
    fidelity: Fidelity::Exact,
    options: &[],
    build: |_| Ok(Box::new(Lower)),
};

struct Lower;

impl Pass for Lower {
    fn run(&self, module: &mut Module, context: &mut Context<'_>) -> Result<(), PassError> {
        let dialects = context.dialects;
        let lowered = lower_funcs(module, dialects, OnError::Fail, &mut context.fuel)?;
        module.funcs = lowered.into_iter().map(|l| l.func).collect();
        let mut told = BTreeSet::new();
        for layer in unknown_layers(module) {
            if told.insert(layer.class.clone()) {
                let text = format!("{layer} has no meaning and stays as it is; give it one with `--layers FILE.nir`");
                context.remark("lower", layer.loc, text);
            }
        }
        Ok(())
    }
}

/// The module with every source op replaced by what it means in `dialects`.
///
/// An op that is in none of them stays. An op whose class is known and whose configuration is not is an error.
pub fn lower_module(module: &Module, dialects: &Dialects) -> Result<Module, PassError> {
    let lowered = lower_funcs(module, dialects, OnError::Fail, &mut Fuel::unlimited())?;
    Ok(Module {
        files: module.files.clone(),
        weights: module.weights.clone(),
        layers: module.layers.clone(),
        funcs: lowered.into_iter().map(|l| l.func).collect(),
        attrs: module.attrs.clone(),
    })
}

/// A layer that has no meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownLayer {
    /// Dialect and class.
    pub class: Name,
    /// The name of the declaration that is applied, where there is one.
    pub name: Option<Name>,
    /// Where it is applied.
    pub loc: Loc,
}

impl std::fmt::Display for UnknownLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.name {
            Some(name) => write!(f, "`{name}` ({})", self.class),
            None => write!(f, "`{}`", self.class),
        }
    }
}

/// The source ops of `module`, in order: in a lowered module, the layers that have no meaning.
pub fn unknown_layers(module: &Module) -> Vec<UnknownLayer> {
    let ops = module.funcs.iter().flat_map(Func::ops);
    let unknown = ops.filter_map(|(_, op)| match &op.kind {
        OpKind::Source(source) => Some(UnknownLayer {
            class: source.name.clone(),
            name: source.layer.map(|id| module[id].name.clone()),
            loc: op.loc.clone(),
        }),
        OpKind::Call(_) | OpKind::Core(_) => None,
    });
    unknown.collect()
}

/// What becomes of an op that cannot be lowered although its class is known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnError {
    /// It is an error.
    Fail,
    /// It stays as it is.
    Keep,
}

/// A lowered function.
pub(crate) struct LoweredFunc {
    pub(crate) func: Func,
    /// The old op that each new op comes from, by op id.
    pub(crate) origin: Vec<OpId>,
}

/// Every function lowered, in the order of the module, while there is fuel.
pub(crate) fn lower_funcs(
    module: &Module,
    dialects: &Dialects,
    on_error: OnError,
    fuel: &mut Fuel,
) -> Result<Vec<LoweredFunc>, PassError> {
    let mut lowering = Lowering { module, dialects, on_error, fuel, done: Vec::new() };
    lowering.done.resize_with(module.funcs.len(), || None);
    for id in callees_first(module) {
        let lowered = lowering.func(&module[id])?;
        lowering.done[id.index()] = Some(lowered);
    }
    Ok(lowering.done.into_iter().flatten().collect())
}

struct Lowering<'m> {
    module: &'m Module,
    dialects: &'m Dialects,
    on_error: OnError,
    fuel: &'m mut Fuel,
    done: Vec<Option<LoweredFunc>>,
}

impl<'m> Lowering<'m> {
    fn func(&mut self, old: &'m Func) -> Result<LoweredFunc, PassError> {
        let mut copy = Copy::new(self.module, old, old.name.clone());
        old.params.iter().for_each(|p| copy.param(p));
        let mut origin = Vec::new();
        for (id, op) in old.ops() {
            if let Err(error) = self.op(&mut copy, op) {
                if self.on_error == OnError::Fail && !matches!(error, LowerError::Unknown { .. }) {
                    return Err(at(self.module, op, &error));
                }
                copy.op(op);
            }
            origin.resize(copy.builder.func().num_op_slots(), id);
        }
        let mut func = copy.finish(named(&old.outputs));
        func.attrs = old.attrs.clone();
        Ok(LoweredFunc { func, origin })
    }

    fn op(&mut self, copy: &mut Copy<'m>, op: &Op) -> Result<(), LowerError> {
        copy.builder.at(op.loc.clone());
        let operands = copy.get_all(&op.operands);
        let results = match &op.kind {
            OpKind::Core(core) => vec![copy.builder.core(core.clone(), &operands)?],
            OpKind::Call(call) => self.call(copy, call, op, &operands),
            OpKind::Source(source) if self.fuel.is_left() => self.source(copy, source, op, &operands)?,
            OpKind::Source(_) => {
                copy.op(op);
                return Ok(());
            }
        };
        copy.set_all(&op.results, &results);
        Ok(())
    }

    fn source(
        &mut self,
        copy: &mut Copy<'m>,
        source: &SourceOp,
        op: &Op,
        operands: &[ValueId],
    ) -> Result<Vec<ValueId>, LowerError> {
        let layer = source.layer.map(|id| &self.module[id]);
        let results = self.dialects.lower(&mut copy.builder, OpContext { op: source, layer, operands })?;
        if results.len() == op.results.len() {
            self.fuel.burn();
            return Ok(results);
        }
        let (found, expected) = (results.len(), op.results.len());
        Err(LowerError::Operands(format!("its meaning yields {found} tensors, the call has {expected}")))
    }

    /// The results of a call have the types of the lowered callee's outputs, as far as those say more.
    fn call(&self, copy: &mut Copy<'m>, call: &CallOp, op: &Op, operands: &[ValueId]) -> Vec<ValueId> {
        let callee = self.done[call.callee.index()].as_ref().map_or(&self.module[call.callee], |l| &l.func);
        let inferred = call_types(callee, operands.iter().map(|v| copy.builder.ty(*v)));
        let declared = op.results.iter().map(|v| copy.old_type(*v));
        let types: Vec<_> = inferred.iter().zip(declared).map(|(new, old)| (new.refined_by(old), None)).collect();
        let call = copy.builder.op(op.kind.clone(), operands, types);
        copy.builder.results(call).to_vec()
    }
}

fn at(module: &Module, op: &Op, error: &LowerError) -> PassError {
    // A core op's error names the op already.
    let class = if matches!(op.kind, OpKind::Core(_)) { String::new() } else { format!(" ({})", op.kind.name()) };
    match (op.loc.path(), op.kind.layer()) {
        (Some(_), _) => PassError(format!("layer `{}`{class}: {error}", op.loc)),
        (None, Some(layer)) => PassError(format!("layer `{}`{class}: {error}", module[layer].name)),
        (None, None) => PassError(format!("`{}`: {error}", op.kind.name())),
    }
}

#[cfg(test)]
mod tests;
