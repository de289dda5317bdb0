//! Lowers layers to core ops.

mod masks;

use std::collections::{BTreeMap, BTreeSet};

use netc_dialect::{Dialects, LowerError, LoweredOp, OpContext, Purpose, Repeat};
use netc_ir::{
    Budget, CallOp, ElemType, Func, Loc, Module, Name, Op, OpId, OpKind, Resource, SourceOp, ValueId, named_call_types,
};
use netc_pass::{Context, Fidelity, Fuel, Pass, PassError, PassInfo, Result, thousands};

use crate::analysis::calls::callees_first;
use crate::copy::{Copy, named};
pub(crate) use masks::MaskRead;
use masks::Masks;

/// `lower` as users see it.
pub const INFO: PassInfo = PassInfo {
    name: "lower",
    summary: "Lower layers to core ops.",
    help: "Replaces every source op by core ops, as its dialect or a layer library defines them, in every function. Value \
           names and locations stay. Types are inferred again, so unknown types may become known.\n\n\
           An unsupported layer stays as it is, and a remark says so. To run it, define it in a file and pass `--layers \
           FILE.nir`.\n\n\
           With `--fuel`, each layer is one rewrite. If the model has masks, all layers together are one rewrite, because a \
           layer cannot find the mask of a layer that is already lowered.",
    fidelity: Fidelity::Exact,
    options: &[],
    build: |_| Ok(Box::new(Lower)),
};

struct Lower;

impl Pass for Lower {
    fn run(&self, module: &mut Module, context: &mut Context<'_>) -> Result<()> {
        let dialects = context.dialects;
        let ops = Budget::unlimited().with(Resource::Steps, context.max_ops());
        let lowered = if dialects.makes_masks(module) {
            // A layer cannot find the mask of a layer that is already lowered, so all layers are one rewrite.
            let mut each = Fuel::unlimited();
            let lowered = Lowering::new(module, dialects, Goal::RUN, &mut each, &ops).run()?;
            if each.burnt() > 0 && !context.fuel.burn() {
                return Ok(());
            }
            lowered
        } else {
            Lowering::new(module, dialects, Goal::RUN, &mut context.fuel, &ops).run()?
        };
        module.funcs = lowered.into_iter().map(|l| l.func).collect();
        if !context.fuel.is_left() {
            // Layers that stay may be supported.
            return Ok(());
        }
        let mut told = BTreeSet::new();
        for layer in unknown_layers(module) {
            if told.insert(layer.class.clone()) {
                let text = format!(
                    "{layer} is unsupported and stays as it is; to run it, define it in a file and pass `--layers FILE.nir`"
                );
                context.remark("lower", layer.loc, text);
            }
        }
        Ok(())
    }
}

/// Lowers every source op of the module with `dialects`.
///
/// An op that no dialect knows stays as it is. Fails if a dialect knows an op's class but cannot lower it.
pub fn lower_module(module: &Module, dialects: &Dialects) -> Result<Module> {
    lower_module_within(module, dialects, u64::MAX)
}

/// Like [`lower_module`], but fails if the result would have more than `max_ops` ops. Recurrent layers turn a few ops
/// into many.
pub fn lower_module_within(module: &Module, dialects: &Dialects, max_ops: u64) -> Result<Module> {
    let ops = Budget::unlimited().with(Resource::Steps, max_ops);
    let lowered = Lowering::new(module, dialects, Goal::RUN, &mut Fuel::unlimited(), &ops).run()?;
    Ok(Module {
        files: module.files.clone(),
        weights: module.weights.clone(),
        layers: module.layers.clone(),
        funcs: lowered.into_iter().map(|l| l.func).collect(),
        attrs: module.attrs.clone(),
    })
}

/// An unsupported layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownLayer {
    /// Dialect and class.
    pub class: Name,
    /// The name of its declaration, if it has one.
    pub name: Option<Name>,
    /// The location of its application.
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

/// The source ops of `module`, in order. In a lowered module these are the unsupported layers.
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

/// What to do with an op whose class is known but that cannot be lowered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnError {
    /// Fail.
    Fail,
    /// Keep it as it is.
    Keep,
}

/// The goal of lowering functions.
#[derive(Clone, Copy)]
struct Goal {
    on_error: OnError,
    purpose: Purpose,
}

impl Goal {
    /// To run them.
    const RUN: Self = Self { on_error: OnError::Fail, purpose: Purpose::Run };
    /// To analyze types, masks and costs. Never fails.
    const LOOK: Self = Self { on_error: OnError::Keep, purpose: Purpose::Types };
}

/// A lowered function.
pub(crate) struct LoweredFunc {
    pub(crate) func: Func,
    /// The old op that each new op comes from, by op id.
    pub(crate) origin: Vec<OpId>,
    /// Which ops read masks.
    pub(crate) reads: Vec<MaskRead>,
    /// New ops that represent several repetitions.
    pub(crate) repeats: Vec<Repeat>,
    /// Whether an output has a mask.
    carries: bool,
}

/// Lowers every function to analyze types, masks and costs, in the order of the module. Never fails.
pub(crate) fn lower_funcs(module: &Module, dialects: &Dialects) -> Vec<LoweredFunc> {
    let (mut fuel, ops) = (Fuel::unlimited(), Budget::unlimited());
    Lowering::new(module, dialects, Goal::LOOK, &mut fuel, &ops).run().unwrap_or_default()
}

struct Lowering<'m> {
    module: &'m Module,
    dialects: &'m Dialects,
    goal: Goal,
    fuel: &'m mut Fuel,
    /// The budget of new ops.
    ops: &'m Budget,
    /// Whether the module may have masks.
    masked: bool,
    done: Vec<Option<LoweredFunc>>,
}

/// A function that is being lowered.
struct Body<'m> {
    copy: Copy<'m>,
    masks: Masks<'m>,
    repeats: Vec<Repeat>,
    /// The current op of the old function; inside an inlined callee, the call.
    at: OpId,
    /// The unsupported ops of the new function, with the reasons.
    unknown: BTreeMap<OpId, PassError>,
}

impl Body<'_> {
    /// Why a tensor that `op` reads has no known type: it depends on an unsupported op.
    fn unknown_before(&self, op: &Op) -> Option<&PassError> {
        let func = self.copy.builder.func();
        let is_open = |x: &ValueId| func[*x].ty.dims.is_none() || func[*x].ty.elem == ElemType::Any;
        let mut waiting: Vec<ValueId> = self.copy.get_all(&op.operands).into_iter().filter(is_open).collect();
        let mut seen = BTreeSet::new();
        while let Some(x) = waiting.pop() {
            let Some(producer) = func.producer(x).filter(|producer| seen.insert(*producer)) else { continue };
            if let Some(error) = self.unknown.get(&producer) {
                return Some(error);
            }
            waiting.extend(func[producer].operands.iter().copied().filter(is_open));
        }
        None
    }
}

impl<'m> Lowering<'m> {
    fn new(module: &'m Module, dialects: &'m Dialects, goal: Goal, fuel: &'m mut Fuel, ops: &'m Budget) -> Self {
        let (masked, done) = (dialects.makes_masks(module), module.funcs.iter().map(|_| None).collect());
        Self { module, dialects, goal, fuel, ops, masked, done }
    }

    fn run(mut self) -> Result<Vec<LoweredFunc>> {
        for id in callees_first(self.module) {
            let lowered = self.func(&self.module[id])?;
            self.done[id.index()] = Some(lowered);
        }
        Ok(self.done.into_iter().flatten().collect())
    }

    fn func(&mut self, old: &'m Func) -> Result<LoweredFunc> {
        let copy = Copy::new(self.module, old, old.name.clone());
        let mut body = Body {
            copy,
            masks: Masks::new(self.dialects),
            repeats: Vec::new(),
            at: OpId::new(0),
            unknown: BTreeMap::new(),
        };
        old.params.iter().for_each(|p| body.copy.param(p));
        let mut origin = Vec::new();
        for id in self.order(old) {
            body.at = id;
            self.op(&mut body, &old[id])?;
            origin.resize(body.copy.builder.func().num_op_slots(), id);
        }
        let carries = old.outputs.iter().any(|o| body.masks.of(o.value).is_some());
        let mut func = body.copy.finish(named(&old.outputs));
        func.attrs = old.attrs.clone();
        Ok(LoweredFunc { func, origin, reads: body.masks.reads, repeats: body.repeats, carries })
    }

    fn order(&self, func: &Func) -> Vec<OpId> {
        if self.masked { self.dialects.run_order(self.module, func) } else { func.op_ids().collect() }
    }

    /// Lowers `op`. Charges the new ops afterwards, which is safe because one layer adds a limited number.
    fn op(&mut self, body: &mut Body<'m>, op: &'m Op) -> Result<()> {
        let start = body.copy.builder.func().num_op_slots();
        self.lower_op(body, op)?;
        let made = body.copy.builder.func().num_op_slots() - start;
        // The ops of a nested model are counted one by one.
        let made = if matches!(op.kind, OpKind::Call(_)) { 1 } else { made as u64 };
        self.ops.charge(Resource::Steps, made).map_err(|exceeded| {
            let limit = thousands(exceeded.limit);
            let place = op.loc.path().map_or_else(|| format!("`{}`", op.kind.name()), |path| format!("layer `{path}`"));
            PassError::new(format!(
                "{place} would make the program larger than {limit} ops, because recurrent layers add ops for every step; \
                 allow more with --max-steps"
            ))
        })
    }

    /// Appends what `op` lowers to: core ops, a call, or the op itself if it stays.
    fn lower_op(&mut self, body: &mut Body<'m>, op: &'m Op) -> Result<()> {
        body.copy.builder.at(op.loc.clone());
        let operands = body.copy.get_all(&op.operands);
        let lowered = match &op.kind {
            OpKind::Core(core) => body.copy.core(core, &op.operands, &operands).map(|y| vec![y].into()),
            OpKind::Call(call) => return self.call(body, call, op, &operands),
            OpKind::Source(source) if self.fuel.is_left() => {
                let start = body.copy.builder.func().num_op_slots();
                match self.source(body, source, op, &operands) {
                    Ok(meaning) => {
                        body.repeats.extend(meaning.repeats.iter().cloned());
                        body.masks.lowered(body.copy.builder.func(), start, body.at, op, &operands, &meaning);
                        Ok(meaning)
                    }
                    Err(error) => return self.keep_or_fail(body, op, &error),
                }
            }
            OpKind::Source(_) => {
                body.copy.op(op);
                return Ok(());
            }
        };
        match lowered {
            Ok(meaning) => body.copy.set_all(&op.results, &meaning.results),
            Err(error) => return self.keep_or_fail(body, op, &error.into()),
        }
        Ok(())
    }

    /// Handles an op that cannot be lowered: keeps it or fails.
    fn keep_or_fail(&self, body: &mut Body<'m>, op: &Op, error: &LowerError) -> Result<()> {
        let known = !matches!(error, LowerError::Unknown { .. });
        if self.goal.on_error == OnError::Fail && known {
            return Err(body.unknown_before(op).cloned().unwrap_or_else(|| at(self.module, op, error)));
        }
        body.masks.kept(body.at, op, known);
        body.copy.op(op);
        if !known && let Some(new) = body.copy.builder.func().op_ids().last() {
            body.unknown.insert(new, at(self.module, op, error));
        }
        Ok(())
    }

    fn source(
        &mut self,
        body: &mut Body<'m>,
        source: &SourceOp,
        op: &Op,
        operands: &[ValueId],
    ) -> Result<LoweredOp, LowerError> {
        let layer = source.layer.map(|id| &self.module[id]);
        let masks = body.masks.beside(&op.operands);
        let context = OpContext {
            op: source,
            layer,
            operands,
            masks: &masks,
            purpose: self.goal.purpose,
            dialects: self.dialects,
        };
        let meaning = self.dialects.lower(&mut body.copy.builder, context)?;
        if meaning.results.len() == op.results.len() {
            self.fuel.burn();
            return Ok(meaning);
        }
        let (found, expected) = (meaning.results.len(), op.results.len());
        Err(LowerError::Operands(format!("its lowering yields {found} tensors, but the call has {expected}")))
    }

    /// Lowers a call. Inlines a nested model if masks cross its boundary. Stages are separate models, so no masks pass
    /// between them.
    fn call(&mut self, body: &mut Body<'m>, call: &CallOp, op: &'m Op, operands: &[ValueId]) -> Result<()> {
        let carries = self.done[call.callee.index()].as_ref().is_some_and(|l| l.carries);
        let masked = carries || op.operands.iter().any(|v| body.masks.of(*v).is_some());
        if call.layer.is_some() && masked {
            return self.inlined(body, &self.module[call.callee], op, operands);
        }
        let results = self.called(&mut body.copy, call, op, operands);
        body.copy.set_all(&op.results, &results);
        Ok(())
    }

    fn inlined(&mut self, body: &mut Body<'m>, callee: &'m Func, op: &'m Op, operands: &[ValueId]) -> Result<()> {
        let caller = body.copy.enter(callee, operands);
        let outside = body.masks.enter(callee, &op.operands);
        for id in self.order(callee) {
            self.op(body, &callee[id])?;
        }
        body.masks.leave(outside, callee, &op.results);
        let results = body.copy.leave(caller);
        body.copy.set_all(&op.results, &results);
        Ok(())
    }

    /// Copies a call. Its results get the output types of the lowered callee, as far as these are more precise.
    fn called(&self, copy: &mut Copy<'m>, call: &CallOp, op: &Op, operands: &[ValueId]) -> Vec<ValueId> {
        let callee = self.done[call.callee.index()].as_ref().map_or(&self.module[call.callee], |l| &l.func);
        let declared = copy.declared(op, operands);
        let inferred = named_call_types(callee, operands.iter().map(|v| copy.builder.ty(*v)), &declared);
        let types: Vec<_> = inferred.iter().zip(&declared).map(|(new, old)| (new.refined_by(old), None)).collect();
        let call = copy.builder.op(op.kind.clone(), operands, types);
        copy.builder.results(call).to_vec()
    }
}

fn at(module: &Module, op: &Op, error: &LowerError) -> PassError {
    // The error of a core op already names the op.
    let class = if matches!(op.kind, OpKind::Core(_)) { String::new() } else { format!(" ({})", op.kind.name()) };
    let place = match (op.loc.path(), op.kind.layer()) {
        (Some(_), _) => format!("layer `{}`{class}", op.loc),
        (None, Some(layer)) => format!("layer `{}`{class}", module[layer].name),
        (None, None) => format!("`{}`", op.kind.name()),
    };
    PassError::because(place, error.clone())
}

#[cfg(test)]
mod tests;
