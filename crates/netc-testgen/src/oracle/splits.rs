//! Stages compute what the whole computes.

use netc_exec::Tensor;
use netc_ir::{Bindings, ElemType, Func, FuncId, MAIN, Module, OpKind, Type, ValueId, callees, print};
use netc_pass::{Context, Dialects, PassError};
use netc_passes::dissolve::dissolve;
use netc_passes::split;

use super::files::through_file;
use super::runs::{differs, keeps_signature, lowered, random_inputs, run};
use super::{Wrong, print_parse, require};

/// What became of a split.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Split {
    /// The module was split into so many stages, and these compute the same.
    Stages(usize),
    /// The cuts are none, for the reason given.
    Refused(String),
}

/// Splitting a program of core ops at `cuts` parts its live ops among stages, which compute the same bit for bit: as
/// calls of `@main`, and one after the other on their own.
pub fn split_compose(module: &Module, cuts: &[String]) -> Result<Split, Wrong> {
    let after = match split(module, cuts, &Dialects::new())? {
        Ok(after) => after,
        Err(refused) => return Ok(Split::Refused(refused.to_string())),
    };
    let given = random_inputs(module)?;
    let expected = run(module, MAIN, &given)?;
    require(run(&after, MAIN, &given)? == expected, || differs("@main, which calls the stages,", module, &after))?;
    if after.funcs.iter().all(runs_alone) {
        let chain = run_chain(&after, &given, |id, operands| run(&after, &after[id].name, operands))?;
        require(chain == expected, || differs("the chain of stages", module, &after))?;
    }
    Ok(Split::Stages(num_stages(&after)))
}

/// [`split_compose`] of a Keras model: split on the level of layers, compared after lowering with `dialects`. The
/// stages are written as files and read back, and still compute the same. A cut may lie inside a nested model.
pub fn split_compose_keras(module: &Module, cuts: &[String], dialects: &Dialects) -> Result<Split, Wrong> {
    let refused = |refused: PassError| Ok(Split::Refused(refused.to_string()));
    let dissolved = match dissolve(module, cuts, split::INFO.name, &mut Context::new(dialects)) {
        Ok(dissolved) => dissolved,
        Err(error) => return refused(error),
    };
    let (whole, cuts) = dissolved.as_ref().map_or((module, cuts), |d| (&d.module, &d.cuts));
    let after = match split(whole, cuts, dialects)? {
        Ok(after) => after,
        Err(error) => return refused(error),
    };
    let open = |ty: &Type| ty.rank().is_none() || ty.elem == ElemType::Any;
    let takes_open = |func: &Func| func.params.iter().any(|p| open(&func[p.value].ty));
    if after.main().is_some_and(|main| callees(main).any(|id| takes_open(&after[id]))) {
        return Ok(Split::Refused("no file says an input whose type is not known".into()));
    }
    let (before, split) = (lowered(module, dialects)?, lowered(&after, dialects)?);
    let given = random_inputs(&before)?;
    let expected = run(&before, MAIN, &given)?;
    require(run(&split, MAIN, &given)? == expected, || differs("the split model", module, &after))?;
    let chain = run_chain(&after, &given, |id, operands| {
        let (stage, _folder) = through_file(&after, id, dialects)?;
        run(&lowered(&stage, dialects)?, MAIN, operands)
    })?;
    require(chain == expected, || differs("the chain of stages read from files", module, &after))?;
    Ok(Split::Stages(num_stages(&after)))
}

/// The module split at `cuts`, whose stages part the ops of `@main`, or why it cannot be.
fn split(module: &Module, cuts: &[String], dialects: &Dialects) -> Result<Result<Module, PassError>, Wrong> {
    let planned = split::plan(module, cuts);
    let plan = match planned.and_then(|plan| split::check_masks(module, &plan, dialects).map(|_| plan)) {
        Ok(plan) => plan,
        Err(refused) => return Ok(Err(refused)),
    };
    let mut after = module.clone();
    split::apply(&mut after, &plan);
    print_parse(&after)?;
    parts_ops(module, &plan)?;
    keeps_signature(module, &after)?;
    Ok(Ok(after))
}

fn num_stages(split: &Module) -> usize {
    split.main().map_or(0, |main| callees(main).count())
}

/// Each op of `@main` is in exactly one stage, or dropped.
fn parts_ops(module: &Module, plan: &split::SplitPlan) -> Result<(), Wrong> {
    let main = module.main().ok_or("there is no @main")?;
    let mut parted: Vec<_> = plan.stages.iter().flat_map(|s| &s.ops).chain(&plan.dropped).copied().collect();
    parted.sort_unstable();
    let mut all: Vec<_> = main.op_ids().collect();
    all.sort_unstable();
    require(parted == all, || format!("the stages do not part the ops:\n{plan}\n{}", print(module)))?;
    let empty = plan.stages.iter().position(|s| s.ops.is_empty());
    require(empty.is_none(), || format!("a stage is empty:\n{plan}\n{}", print(module)))
}

/// Whether the parameters say what every symbol is: an extent such as `2*N` alone does not.
pub(super) fn runs_alone(func: &Func) -> bool {
    let dims = |value: ValueId| func[value].ty.dims.iter().flatten();
    let known = func.params.iter().flat_map(|p| dims(p.value)).filter_map(|d| Some((d.as_symbol()?.clone(), 1)));
    let known: Bindings = known.collect();
    func.values_in_order().flat_map(dims).all(|d| d.eval(&known).is_some())
}

/// The outputs of an `@main` that only calls functions, each call made by `call`.
fn run_chain(
    module: &Module,
    given: &[Tensor],
    mut call: impl FnMut(FuncId, &[Tensor]) -> Result<Vec<Tensor>, Wrong>,
) -> Result<Vec<Tensor>, Wrong> {
    let main = module.main().ok_or("there is no @main")?;
    let mut tensors: Vec<Option<Tensor>> = vec![None; main.num_values()];
    let get = |tensors: &[Option<Tensor>], value: ValueId| {
        tensors[value.index()].clone().ok_or_else(|| format!("{value} of @main is not there:\n{}", print(module)))
    };
    main.params.iter().zip(given).for_each(|(p, tensor)| tensors[p.value.index()] = Some(tensor.clone()));
    for (_, op) in main.ops() {
        let OpKind::Call(stage) = &op.kind else {
            return Err(format!("@main does more than call:\n{}", print(module)));
        };
        let operands = op.operands.iter().map(|v| get(&tensors, *v)).collect::<Result<Vec<_>, _>>()?;
        let results = call(stage.callee, &operands)?;
        op.results.iter().zip(results).for_each(|(value, tensor)| tensors[value.index()] = Some(tensor));
    }
    main.outputs.iter().map(|o| get(&tensors, o.value)).collect()
}
