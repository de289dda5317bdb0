//! Making the stages, and the `@main` that calls them.

use std::collections::BTreeSet;

use netc_ir::{Attr, Attrs, CallOp, Def, Func, FuncId, Loc, MAIN, Module, Name, OpKind, ValueId};

use super::plan::{SplitPlan, StagePlan};
use super::unique;
use crate::analysis::OpNames;
use crate::copy::{Copy, named};

/// Splits `@main` of `module` as `plan`, which was made for it, says.
pub fn apply(module: &mut Module, plan: &SplitPlan) {
    let Some(id) = module.func_named(MAIN) else { return };
    let main = &module[id];
    let names = OpNames::of(module, main);
    let stages = plan.stages.iter().enumerate();
    let stages: Vec<Func> = stages.map(|(i, stage)| Stage { module, main, names: &names, stage }.func(i)).collect();
    let calls = calls(module, main, &plan.stages);
    module[id] = calls;
    module.funcs.extend(stages);
}

/// `@main` with a call per stage in place of its ops. The stages follow the functions that are there.
fn calls(module: &Module, main: &Func, stages: &[StagePlan]) -> Func {
    let mut copy = Copy::new(module, main, MAIN);
    main.params.iter().for_each(|p| copy.param(p));
    for (i, stage) in stages.iter().enumerate() {
        let callee = FuncId::new(module.funcs.len() + i);
        let call = CallOp { callee, layer: None, attrs: Attrs::new() };
        let operands = copy.get_all(&stage.inputs);
        let types = stage.outputs.iter().map(|v| (main[*v].ty.clone(), None));
        let op = copy.builder.at(Loc::Unknown).op(OpKind::Call(Box::new(call)), &operands, types);
        let results = copy.builder.results(op).to_vec();
        copy.set_all(&stage.outputs, &results);
    }
    let mut func = copy.finish(named(&main.outputs));
    func.attrs = main.attrs.clone();
    func
}

struct Stage<'m> {
    module: &'m Module,
    main: &'m Func,
    names: &'m OpNames<'m>,
    stage: &'m StagePlan,
}

impl Stage<'_> {
    fn func(&self, i: usize) -> Func {
        let mut copy = Copy::new(self.module, self.main, self.stage.name.clone());
        let mut taken = self.reserved_param_names();
        for value in &self.stage.inputs {
            match self.main[*value].def {
                Def::Param(i) => copy.param(&self.main.params[i as usize]),
                Def::Result(..) => copy.param_for(*value, unique(self.names.tensor(*value), &mut taken)),
            }
        }
        self.stage.all_ops().for_each(|op| copy.op(&self.main[op]));
        let mut func = copy.finish(self.outputs());
        func.attrs = self.attrs(i);
        func
    }

    /// What a crossing tensor's parameter must not be called: an input layer that is made for it must differ from the
    /// stage's other layers, such as a shared layer of which the tensor is a result.
    fn reserved_param_names(&self) -> BTreeSet<Name> {
        let params = self.main.params.iter().map(|p| p.name.clone());
        let layers = self.stage.ops.iter().filter_map(|op| self.main[*op].kind.layer());
        params.chain(layers.map(|id| self.module[id].name.clone())).collect()
    }

    /// The model's outputs under their names, what crosses under the name of the tensor.
    fn outputs(&self) -> Vec<(Name, ValueId)> {
        let mut names: Vec<Option<Name>> = vec![None; self.main.num_values()];
        for output in self.main.outputs.iter().rev() {
            names[output.value.index()] = Some(output.name.clone());
        }
        let mut taken: BTreeSet<Name> = self.main.outputs.iter().map(|o| o.name.clone()).collect();
        let named = self.stage.outputs.iter().map(|v| {
            let name = names[v.index()].take().unwrap_or_else(|| unique(self.names.tensor(*v), &mut taken));
            (name, *v)
        });
        named.collect()
    }

    /// The model's facts, without those about its inputs and outputs, which the stage has others of.
    fn attrs(&self, i: usize) -> Attrs {
        let mut attrs = self.main.attrs.clone();
        attrs.remove("inputs");
        attrs.remove("outputs");
        if let Some(name) = attrs.get("name").and_then(Attr::as_str).map(|n| format!("{n}_stage{i}")) {
            attrs.set("name", Attr::str(name));
        }
        attrs
    }
}
