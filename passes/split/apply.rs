//! Builds the stages, and the `@main` that calls them.

use netc_ir::{Attrs, CallOp, Func, FuncId, Loc, MAIN, Module, OpKind};

use super::plan::{SplitPlan, StagePlan};
use crate::analysis::OpNames;
use crate::copy::{Copy, named};
use crate::part::Part;

/// Splits `@main` of `module` according to `plan`, which must have been made for this module.
pub fn apply(module: &mut Module, plan: &SplitPlan) {
    let Some(id) = module.func_named(MAIN) else { return };
    let main = &module[id];
    let names = OpNames::of(module, main);
    let stages = plan.stages.iter().enumerate().map(|(i, stage)| {
        let ops = stage.all_ops().collect();
        let (inputs, outputs, ends) = (&stage.inputs[..], &stage.outputs[..], stage.ends);
        let part = Part { module, whole: main, names: &names, ops, inputs, outputs, ends };
        part.func(stage.name.clone(), &format!("_stage{i}"))
    });
    let stages: Vec<Func> = stages.collect();
    let calls = calls(module, main, &plan.stages);
    module[id] = calls;
    module.funcs.extend(stages);
}

/// Builds `@main` with a call per stage in place of its ops. The stages will be added after the existing functions.
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
