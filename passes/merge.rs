//! Merges the stages of a split into one model.
//!
//! `merge(split(m)) = canonical(m)` for every module `m` and every cut. [`canonical`] removes the ops that no output
//! needs and puts the others in [the order that the graph determines](crate::analysis::canonical_order). A model of
//! layers that was imported or built is canonical already, so it is restored exactly. In other programs the order of
//! ops may change, and identical weights and constants are merged.
//!
//! Stages read from files each have their own declarations. The declarations of one layer are joined again.

mod join;

use std::collections::{BTreeMap, BTreeSet};

use netc_ir::{
    Attr, Attrs, Func, FuncId, Loc, MAIN, MODEL_CLASS, MODEL_NAME, Module, Name, Op, OpId, OpKind, Type, UniqueNames,
    Uses, ValueId,
};
use netc_pass::{Context, Fidelity, Pass, PassError, PassInfo, Result, counted};

use crate::analysis::calls::stages;
use crate::analysis::{canonical_order, is_constant};
use crate::copy::{Copy, named};
use crate::prune::{reachable, replace_funcs};
use crate::splice::{Body, Splice};
use join::Joined;

/// `merge` as users see it.
pub const INFO: PassInfo = PassInfo {
    name: "merge",
    summary: "Merge the stages of a split into one model.",
    help: "The inverse of `split`: replaces the calls in `@main` by the ops of the stages, in the original order of the \
           model.\n\n\
           Weights, constants and layers that several stages have become one again. `merge` fails if two stages have a \
           layer of the same name with different configurations or weights. The input layers that `split` made for \
           crossing tensors are removed. Ops that no output needs are dropped.\n\n\
           `netc merge out/manifest.json -o FILE` does this with files.",
    fidelity: Fidelity::Exact,
    options: &[],
    build: |_| Ok(Box::new(Merge)),
};

struct Merge;

impl Pass for Merge {
    fn run(&self, module: &mut Module, context: &mut Context<'_>) -> Result<()> {
        let main = module.func_named(MAIN).ok_or_else(PassError::no_main)?;
        let stages = stages(module, &module[main]);
        if stages.is_empty() {
            return Err(PassError::new("the module is not split: `@main` does more than call functions"));
        }
        let joined = Joined::of(module, main)?;
        let merged = Merger { module, joined: &joined }.func(&module[main])?;
        if context.rewrite() {
            context.remark(INFO.name, Loc::Unknown, summary(module, &stages, &joined));
            apply(module, main, merged, &stages, &joined);
        }
        Ok(())
    }
}

fn summary(module: &Module, stages: &[FuncId], joined: &Joined) -> String {
    let layers: BTreeSet<&str> = joined.layers.values().map(|id| &*module[*id].name).collect();
    let again = match layers.len() {
        0 => String::new(),
        1 => "; joined 1 shared layer".into(),
        n => format!("; joined {n} shared layers"),
    };
    format!("merged {}{again}", counted(stages.len() as u64, "stage"))
}

/// Replaces `@main` by `merged` and removes what is no longer needed.
fn apply(module: &mut Module, main: FuncId, merged: Func, stages: &[FuncId], joined: &Joined) {
    let prefixes: BTreeSet<String> = stages.iter().map(|id| format!("{}/", module[*id].name)).collect();
    let mut funcs = module.funcs.clone();
    funcs[main.index()] = merged;
    let stages: BTreeSet<FuncId> = stages.iter().copied().collect();
    let gone = |id: &FuncId| stages.contains(id) || joined.funcs.contains_key(id);
    let is_inside = |id: &FuncId| own_name(&module[*id].name, &prefixes).is_some();
    let keep = reachable(&funcs, module.func_ids().filter(|id| !gone(id) && !is_inside(id)));
    replace_funcs(module, funcs, &keep);
    // The name of a function from a stage's file begins with the stage's name.
    let mut names = UniqueNames::without(module.funcs.iter().map(|f| f.name.clone()));
    for func in &mut module.funcs {
        if let Some(own) = own_name(&func.name, &prefixes) {
            func.name = names.take(own);
        }
    }
}

/// The name of a function in the file of its stage, if it came from one.
fn own_name<'n>(name: &'n str, prefixes: &BTreeSet<String>) -> Option<&'n str> {
    let mut ends = name.match_indices('/').map(|(at, _)| at + 1);
    ends.find(|end| prefixes.contains(&name[..*end])).map(|end| &name[end..])
}

/// Copies `func` without the ops that no output needs, in the order that the graph determines. Merges weights and
/// constants with the same kind, location and name.
pub fn canonical(module: &Module, func: &Func) -> Func {
    let mut copy = Copy::new(module, func, func.name.clone());
    func.params.iter().for_each(|p| copy.param(p));
    let mut constants = Constants::default();
    for op in canonical_order(func).into_iter().map(|id| &func[id]) {
        match constants.known(func, op) {
            Some(value) => copy.set_all(&op.results, &[value]),
            None => {
                copy.op(op);
                constants.add(func, op, copy.get_all(&op.results));
            }
        }
    }
    let mut canonical = copy.finish(named(&func.outputs));
    canonical.attrs = func.attrs.clone();
    canonical
}

/// The weights and constants of a new function, by kind, location and name.
#[derive(Default)]
struct Constants<'a>(BTreeMap<ConstantKey<'a>, ValueId>);

type ConstantKey<'a> = (&'a OpKind, &'a Loc, Option<&'a Name>);

impl<'a> Constants<'a> {
    fn key(func: &'a Func, op: &'a Op) -> ConstantKey<'a> {
        (&op.kind, &op.loc, op.results.first().and_then(|v| func[*v].name.as_ref()))
    }

    fn known(&self, func: &'a Func, op: &'a Op) -> Option<ValueId> {
        self.0.get(&Self::key(func, op)).copied()
    }

    /// Records that `op` defines the value `new`, if it is a weight or a constant.
    fn add(&mut self, func: &'a Func, op: &'a Op, new: Vec<ValueId>) {
        if is_constant(&op.kind) {
            self.0.extend(new.into_iter().map(|value| (Self::key(func, op), value)));
        }
    }
}

/// Builds the merged function.
struct Merger<'m> {
    module: &'m Module,
    joined: &'m Joined,
}

impl<'m> Merger<'m> {
    /// Merges the stages that `main` calls.
    fn func(&self, main: &'m Func) -> Result<Func> {
        let kept = main.params.iter().filter_map(|p| main[p.value].name.clone());
        let mut splice = Splice::of_parts(self.module, main.name.clone(), kept);
        let mut outer = splice.outer(main);
        let mut constants = Constants::default();
        let mut known_types = Vec::new();
        for (_, call) in main.ops() {
            let OpKind::Call(target) = &call.kind else { continue };
            let stage = &self.module[target.callee];
            let arguments = outer.get_all(&call.operands);
            known_types.extend(arguments.iter().copied().zip(stage.params.iter().map(|p| &stage[p.value].ty)));
            let mut body = splice.body(stage, &arguments, main, call);
            self.stage(&mut splice, &mut body, &mut constants, stage)?;
            for (old, (_, new)) in call.results.iter().zip(body.outputs()) {
                splice.stand_for(&mut outer, *old, new);
            }
        }
        let mut func = splice.finish(outer.outputs());
        func.attrs = self.attrs(main);
        for (param, old) in func.params.iter_mut().zip(&main.params) {
            param.layer = self.joined.input(main, old);
        }
        refine(&mut func, &known_types);
        Ok(canonical(self.module, &func))
    }

    fn stage(
        &self,
        splice: &mut Splice<'m>,
        body: &mut Body<'m>,
        constants: &mut Constants<'m>,
        stage: &'m Func,
    ) -> Result<()> {
        for (_, op) in stage.ops() {
            if let Some(value) = constants.known(stage, op) {
                op.results.iter().for_each(|old| splice.stand_for(body, *old, value));
                continue;
            }
            let renewed = Op { kind: self.joined.kind(&op.kind), ..op.clone() };
            let misfit = |e| PassError::because(format!("`@{}` does not fit the operands of its call", stage.name), e);
            splice.op(body, &renewed, op.loc.clone()).map_err(misfit)?;
            constants.add(stage, op, body.get_all(&op.results));
        }
        Ok(())
    }

    /// The attributes of the model, taken from `@main` or else from the first stage.
    fn attrs(&self, main: &Func) -> Attrs {
        if !main.attrs.is_empty() {
            return main.attrs.clone();
        }
        let first = stages(self.module, main).first().map(|id| &self.module[*id].attrs);
        let text = |key: &str| first.and_then(|attrs| attrs.get(key)).and_then(Attr::as_str);
        let name = text(MODEL_NAME).map(|name| name.strip_suffix("_stage0").unwrap_or(name));
        let facts = [(MODEL_CLASS, text(MODEL_CLASS)), (MODEL_NAME, name)];
        facts.into_iter().filter_map(|(key, text)| Some((key.into(), Attr::str(text?)))).collect()
    }
}

/// Refines the types of results of layers and calls by the types that later stages have for them. Skips values that a
/// core op makes or reads: its own type would have to change too.
fn refine(func: &mut Func, known: &[(ValueId, &Type)]) {
    let uses = Uses::of(func);
    let is_core = |func: &Func, op: OpId| matches!(func[op].kind, OpKind::Core(_));
    for (value, ty) in known {
        let makers = func.producer(*value).into_iter().chain(uses.readers(*value).iter().copied());
        if func.producer(*value).is_some() && makers.into_iter().all(|op| !is_core(func, op)) {
            func.set_type(*value, func[*value].ty.refined_by(ty));
        }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
