//! Replaces calls by the ops of the called functions.

use std::collections::{BTreeMap, BTreeSet};

use netc_dialect::Dialects;
use netc_ir::{CallOp, Func, FuncId, InferError, LayerId, Loc, MAIN, Module, Name, Op, OpId, OpKind, UniqueNames};
use netc_pass::{Context, Fidelity, Fuel, OptionInfo, OptionKind, Pass, PassError, PassInfo, Result, nearest};

use crate::analysis::calls::callees_first;
use crate::prune::{reachable, replace_funcs};
use crate::splice::Splice;

/// `inline` as users see it.
pub const INFO: PassInfo = PassInfo {
    name: "inline",
    summary: "Replace calls of functions, including nested models, by their ops.",
    help: "Inlines calls in `@main` and in the functions that it calls. Functions that nothing calls any more are \
           removed.\n\n\
           - `inline` inlines every call.\n\
           - `inline=encoder` inlines only the calls of `@encoder`; separate several names by commas.\n\n\
           The layers of a nested model become layers of the model around it, with their weights. The layer for the \
           nested model itself and its input layers are removed. Locations keep the path, as in `encoder/dense`. If the \
           name of a layer or value is taken, a number is appended. Arguments of the call that are not tensors, such as \
           `training=False`, do not reach the layers inside, and a remark says so. A nested model with weights of its own \
           is not inlined.",
    fidelity: Fidelity::Exact,
    options: &[OptionInfo {
        name: "func",
        kind: OptionKind::OptionalList { value: "FUNC" },
        help: "The functions to inline, without `@`. By default all.",
    }],
    build: |options| Ok(Box::new(Inline { only: options.list("func").to_vec() })),
};

/// The maximum number of ops in a function, far more than any network has. Nested calls could grow exponentially.
pub(crate) const MAX_OPS: usize = 1 << 21;

struct Inline {
    only: Vec<String>,
}

impl Pass for Inline {
    fn run(&self, module: &mut Module, context: &mut Context<'_>) -> Result<()> {
        let wanted = self.wanted(module)?;
        let Inlined { funcs, keep } = inline(module, &wanted, context)?;
        replace_funcs(module, funcs, &keep);
        Ok(())
    }
}

/// The functions of a module after inlining, by id.
pub(crate) struct Inlined {
    pub(crate) funcs: Vec<Func>,
    /// Which of them are still called.
    pub(crate) keep: Vec<bool>,
}

/// Inlines the calls of the functions marked in `wanted`, by id, in `@main` and the functions that it calls. In the
/// module itself only names of layers change; the caller must pass the result to [`replace_funcs`].
pub(crate) fn inline(module: &mut Module, wanted: &[bool], context: &mut Context<'_>) -> Result<Inlined> {
    let main = module.func_named(MAIN).ok_or_else(PassError::no_main)?;
    let in_reach = reachable(&module.funcs, [main]);
    let order: Vec<FuncId> = callees_first(module).into_iter().filter(|id| in_reach[id.index()]).collect();
    check_size(module, &order, wanted)?;

    let mut inliner = Inliner { module, dialects: context.dialects, funcs: module.funcs.clone(), remarks: Vec::new() };
    for id in order {
        inliner.func(id, wanted, &mut context.fuel)?;
    }
    let Inliner { funcs, remarks, .. } = inliner;
    remarks.into_iter().for_each(|(loc, text)| context.remark(INFO.name, loc, text));
    let roots = module.func_ids().filter(|id| *id == main || !in_reach[id.index()]);
    let keep = reachable(&funcs, roots);
    for (layer, name) in new_layer_names(module, &funcs) {
        let text = format!("renamed the layer `{}` to `{name}`, because its name is taken", module[layer].name);
        context.remark(INFO.name, Loc::Unknown, text);
        context.dialects.rename(&mut module[layer], name);
    }
    Ok(Inlined { funcs, keep })
}

impl Inline {
    /// Whether to inline the calls of each function, by id.
    fn wanted(&self, module: &Module) -> Result<Vec<bool>> {
        let mut wanted = vec![self.only.is_empty(); module.funcs.len()];
        for name in &self.only {
            let id = module.func_named(name.strip_prefix('@').unwrap_or(name)).ok_or_else(|| {
                let names: Vec<&str> = module.funcs.iter().map(|f| &*f.name).collect();
                PassError::new(format!("no such function: `@{name}`{}", nearest(name, &names)))
            })?;
            wanted[id.index()] = true;
        }
        Ok(wanted)
    }
}

/// Fails if a function would become too large: nested calls can grow exponentially.
fn check_size(module: &Module, order: &[FuncId], wanted: &[bool]) -> Result<()> {
    let mut sizes = vec![0usize; module.funcs.len()];
    for id in order {
        let size = |op: &Op| called(op).filter(|c| wanted[c.callee.index()]).map_or(1, |c| sizes[c.callee.index()]);
        let total = module[*id].ops().fold(0usize, |n, (_, op)| n.saturating_add(size(op)));
        if total > MAX_OPS {
            return Err(PassError::new(format!("inlining gives `@{}` more than {MAX_OPS} ops", module[*id].name)));
        }
        sizes[id.index()] = total;
    }
    Ok(())
}

fn called(op: &Op) -> Option<&CallOp> {
    match &op.kind {
        OpKind::Call(call) => Some(call),
        OpKind::Source(_) | OpKind::Core(_) => None,
    }
}

struct Inliner<'m> {
    module: &'m Module,
    dialects: &'m Dialects,
    /// The functions, inlined as far as they are done.
    funcs: Vec<Func>,
    remarks: Vec<(Loc, String)>,
}

impl Inliner<'_> {
    /// Inlines the calls of `wanted` functions in the function `id`, while there is fuel. Its callees must be done.
    fn func(&mut self, id: FuncId, wanted: &[bool], fuel: &mut Fuel) -> Result<()> {
        let module = self.module;
        let old = &module[id];
        let calls = old.ops().filter_map(|(op, it)| Some((op, called(it)?))).filter(|(_, c)| wanted[c.callee.index()]);
        let calls: BTreeSet<OpId> = calls.filter(|(_, call)| self.is_free(call)).map(|(op, _)| op).collect();
        let calls: BTreeSet<OpId> = calls.into_iter().filter(|_| fuel.burn()).collect();
        if calls.is_empty() {
            return Ok(());
        }
        let kept = old.values_in_order().filter(|v| old.producer(*v).is_none_or(|op| !calls.contains(&op)));
        let kept = kept.filter_map(|v| old[v].name.clone());
        let mut splice = Splice::new(module, old.name.clone(), kept);
        let mut outer = splice.outer(old);
        for (op, it) in old.ops() {
            match called(it).filter(|_| calls.contains(&op)) {
                None => splice.op(&mut outer, it, it.loc.clone()).map_err(|e| misfit(it, e))?,
                Some(call) => {
                    self.remark_arguments(it, call);
                    let callee = &self.funcs[call.callee.index()];
                    let mut body = splice.body(callee, &outer.get_all(&it.operands), old, it);
                    let place = Place::of(callee, &it.loc);
                    for (_, inner) in callee.ops() {
                        splice.op(&mut body, inner, place.within(&inner.loc)).map_err(|e| misfit(inner, e))?;
                    }
                    for (old, (_, new)) in it.results.iter().zip(body.outputs()) {
                        splice.stand_for(&mut outer, *old, new);
                    }
                }
            }
        }
        let mut func = splice.finish(outer.outputs());
        func.attrs = old.attrs.clone();
        self.funcs[id.index()] = func;
        Ok(())
    }

    /// Whether the call can be inlined: its layer has no weights or assets of its own. If not, adds a remark.
    fn is_free(&mut self, call: &CallOp) -> bool {
        let Some(layer) = call.layer.map(|id| &self.module[id]).filter(|l| l.data().next().is_some()) else {
            return true;
        };
        let what = if layer.weights.is_empty() { "assets" } else { "weights" };
        let text = format!("the nested model `{}` has {what} of its own, so it is not inlined", layer.name);
        self.remarks.push((Loc::Unknown, text));
        false
    }

    fn remark_arguments(&mut self, op: &Op, call: &CallOp) {
        let lost = self.dialects.plain_arguments(self.module, call);
        let names: Vec<String> = lost.iter().map(|name| format!("`{name}`")).collect();
        if !names.is_empty() {
            let text = format!("the call's arguments {} do not reach the layers inside", names.join(", "));
            self.remarks.push((op.loc.clone(), text));
        }
    }
}

/// Maps locations in a callee to locations in its caller.
struct Place<'a> {
    call: &'a Loc,
    /// Whether the callee's locations already contain the whole path.
    whole: bool,
    /// The number of times the callee calls the layer at each path.
    calls: BTreeMap<&'a Name, u32>,
}

impl<'a> Place<'a> {
    fn of(callee: &'a Func, call: &'a Loc) -> Self {
        let mut calls: BTreeMap<&Name, u32> = BTreeMap::new();
        for (_, op) in callee.ops() {
            if let Loc::Call { path, call, .. } = &op.loc {
                let count = calls.entry(path).or_default();
                *count = (*count).max(call.saturating_add(1));
            }
        }
        Self { call, whole: callee.is_fused(), calls }
    }

    /// The location in the caller for an op at `inner` in the callee. Prefixes the path of the call, unless it is there
    /// already, and counts the layer's calls by earlier calls of the callee first.
    fn within(&self, inner: &Loc) -> Loc {
        if self.whole {
            return inner.clone();
        }
        let Loc::Call { path: outer, call: nth, file: outer_file } = self.call else {
            return if *inner == Loc::Unknown { self.call.clone() } else { inner.clone() };
        };
        match inner {
            Loc::Unknown => Loc::Call { file: *outer_file, path: outer.clone(), call: *nth },
            Loc::Call { file, path, call } => {
                let below = path.strip_prefix(&**outer).is_some_and(|rest| rest.starts_with('/'));
                let count = self.calls.get(path).copied().unwrap_or(1);
                let path = if below { path.clone() } else { format!("{outer}/{path}").into() };
                Loc::Call { file: *file, path, call: nth.saturating_mul(count).saturating_add(*call) }
            }
            Loc::Fused(locs) => Loc::fuse(locs.iter().map(|loc| self.within(loc))),
        }
    }
}

fn misfit(op: &Op, error: InferError) -> PassError {
    PassError::because(format!("the op at {} does not fit the operands of the call", op.loc), error)
}

/// New names for layers that are inlined into a function with another layer of the same name.
fn new_layer_names(module: &Module, funcs: &[Func]) -> Vec<(LayerId, Name)> {
    let mut names = UniqueNames::without(module.layers.iter().map(|l| l.name.clone()));
    let mut renamed: BTreeMap<LayerId, Name> = BTreeMap::new();
    for (old, new) in module.funcs.iter().zip(funcs) {
        let (own, all) = (old.layers(), new.layers());
        let name = |id: &LayerId| renamed.get(id).unwrap_or(&module[*id].name).clone();
        let mut seen: BTreeSet<Name> = all.intersection(&own).map(name).collect();
        let double: Vec<LayerId> = all.difference(&own).copied().filter(|id| !seen.insert(name(id))).collect();
        renamed.extend(double.into_iter().map(|id| (id, names.take(&module[id].name))));
    }
    renamed.into_iter().collect()
}

#[cfg(test)]
mod tests;
