//! Freezes layers for transfer learning: marks the part of the model below a cut as not trainable.

use std::collections::BTreeSet;

use netc_dialect::Dialects;
use netc_ir::{Func, FuncId, LayerId, Loc, MAIN, Module, OpKind, WeightId};
use netc_pass::{Context, Fidelity, OptionInfo, OptionKind, Pass, PassError, PassInfo, Result, counted};

use crate::analysis::layers_below;
use crate::prune::reachable;

/// `freeze` as users see it.
pub const INFO: PassInfo = PassInfo {
    name: "freeze",
    summary: "Mark the layers below a cut as not trainable.",
    help: "Marks every layer that the cut depends on as not trainable. `netc layers --below` lists these layers.\n\n\
           - `freeze=mixed9` freezes the layer `mixed9` and all layers below it.\n\
           - `freeze=before:mixed9` leaves `mixed9` itself trainable.\n\
           - `freeze{at=mixed9,unfreeze}` makes every other layer trainable.\n\
           - `freeze=backbone/conv4` freezes the layer `conv4` of the nested model `backbone` and all layers below it, \
           inside and before `backbone`.\n\n\
           Cuts are named as for `split`, except that the name of a shared layer means all of its applications. A nested \
           model that does not contain the cut counts as one layer: if the cut needs any of its outputs, all layers in it \
           are frozen.",
    fidelity: Fidelity::Exact,
    options: &[
        OptionInfo {
            name: "at",
            kind: OptionKind::List { value: "CUT" },
            help: "The cut, as for `split`: a layer or a value, `before:NAME`, `#N`, `layer@N`, `model/layer`, or several \
                   joined by `+`.",
        },
        OptionInfo { name: "unfreeze", kind: OptionKind::Flag, help: "Make every other layer trainable." },
    ],
    build: |options| Ok(Box::new(Freeze { at: options.list("at").to_vec(), unfreeze: options.flag("unfreeze") })),
};

struct Freeze {
    at: Vec<String>,
    unfreeze: bool,
}

impl Pass for Freeze {
    fn run(&self, module: &mut Module, context: &mut Context<'_>) -> Result<()> {
        let main = module.func_named(MAIN).ok_or_else(PassError::no_main)?;
        let plan = plan(module, main, &self.at, context.dialects)?;
        for id in &plan.frozen {
            set_trainable(module, *id, false, context);
        }
        if self.unfreeze {
            plan.others.iter().for_each(|id| set_trainable(module, *id, true, context));
            unfreeze_model(module, main, context);
        }
        for text in remarks(module, &plan, context.dialects) {
            context.remark(INFO.name, Loc::Unknown, text);
        }
        Ok(())
    }
}

/// The layers of the model, including nested models and their layers, without input layers.
struct Plan {
    frozen: BTreeSet<LayerId>,
    others: BTreeSet<LayerId>,
}

fn plan(module: &Module, main: FuncId, at: &[String], dialects: &Dialects) -> Result<Plan> {
    let mut below = BTreeSet::new();
    for spec in at {
        let layers = layers_below(module, spec, dialects).map_err(PassError::from_error)?;
        below.extend(layers.into_iter().map(|path| path.layer));
    }
    let frozen_models = module.funcs.iter().flat_map(Func::ops).filter_map(|(_, op)| match &op.kind {
        OpKind::Call(call) if call.layer.is_some_and(|id| below.contains(&id)) => Some(call.callee),
        OpKind::Call(_) | OpKind::Source(_) | OpKind::Core(_) => None,
    });
    let inside = applied(module, &reachable(&module.funcs, frozen_models));
    let all = applied(module, &reachable(&module.funcs, [main]));
    let frozen: BTreeSet<LayerId> =
        all.iter().filter(|id| below.contains(id) || inside.contains(id)).copied().collect();
    Ok(Plan { others: all.difference(&frozen).copied().collect(), frozen })
}

/// The layers that the marked functions apply.
fn applied(module: &Module, funcs: &[bool]) -> BTreeSet<LayerId> {
    let funcs = module.funcs.iter().zip(funcs).filter_map(|(func, among)| among.then_some(func));
    funcs.flat_map(Func::ops).filter_map(|(_, op)| op.kind.layer()).collect()
}

/// Sets whether the layer is trainable, if its declaration has that setting.
fn set_trainable(module: &mut Module, id: LayerId, to: bool, context: &mut Context<'_>) {
    let mut layer = module[id].clone();
    context.dialects.set_trainable(&mut layer, to);
    if layer != module[id] && context.rewrite() {
        module[id] = layer;
    }
}

/// Makes the model trainable as a whole, if it says that it is not.
fn unfreeze_model(module: &mut Module, main: FuncId, context: &mut Context<'_>) {
    let attrs = context.dialects.unfrozen(module, &module[main]);
    if attrs != module[main].attrs && context.rewrite() {
        module[main].attrs = attrs;
    }
}

fn remarks(module: &Module, plan: &Plan, dialects: &Dialects) -> Vec<String> {
    let says = |id: &&LayerId, to: bool| dialects.is_trainable(&module[**id]) == Some(to);
    let frozen: Vec<LayerId> = plan.frozen.iter().filter(|id| says(id, false)).copied().collect();
    let trainable: Vec<LayerId> = plan.others.iter().filter(|id| says(id, true)).copied().collect();
    let mut remarks = vec![format!("{} frozen; {} trainable", amount(module, &frozen), amount(module, &trainable))];
    let silent = |id: &&LayerId| !says(id, false) && !module[**id].weights.is_empty();
    remarks.extend(plan.frozen.iter().filter(silent).map(|id| {
        format!("cannot freeze the layer `{}`: its declaration does not say whether it is trainable", module[*id].name)
    }));
    remarks
}

/// Formats `3 layers with 120 parameters are`.
fn amount(module: &Module, layers: &[LayerId]) -> String {
    let weights: BTreeSet<WeightId> =
        layers.iter().flat_map(|id| &module[*id].weights).map(|(_, weight)| *weight).collect();
    let parameters = weights.iter().filter_map(|id| module[*id].ty.num_elements()).fold(0, u64::saturating_add);
    let verb = if layers.len() == 1 { "is" } else { "are" };
    format!("{} with {} {verb}", counted(layers.len() as u64, "layer"), counted(parameters, "parameter"))
}

#[cfg(test)]
mod tests;
