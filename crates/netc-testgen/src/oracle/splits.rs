//! Oracles of `split`: stages compute what the whole computes.

use std::borrow::Cow;
use std::collections::BTreeSet;

use netc_dialect::Dialects;
use netc_exec::Tensor;
use netc_format::Format;
use netc_ir::{Bindings, ElemType, Func, FuncId, MAIN, Module, OpKind, Type, ValueId, callees, print};
use netc_pass::{PassError, chain};
use netc_passes::analysis::{OpNames, one_tensor_cuts};
use netc_passes::split;

use super::files::{Tools, through};
use super::runs::{differs, keeps_signature, lowered, random_inputs, run};
use super::{Wrong, print_parse, require};

/// The outcome of a split.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Split {
    /// The number of stages; they compute what the whole computes.
    Stages(usize),
    /// The cuts were rejected, for this reason.
    Refused(String),
}

/// Checks that splitting a program of core ops at `cuts` assigns each live op to one stage and that the stages compute
/// the same bits, both as calls of `@main` and when run one by one.
pub fn split_compose(module: &Module, cuts: &[String]) -> Result<Split, Wrong> {
    let after = match split(module, cuts, &Dialects::new())? {
        Ok(after) => after,
        Err(refused) => return Ok(Split::Refused(chain(&refused))),
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

/// [`split_compose`] for a model: splits at the level of layers and compares after lowering. Also writes the stages in
/// `format` and checks that they compute the same after reading them back. A cut may be inside a nested model.
pub fn split_compose_files(
    module: &Module,
    cuts: &[String],
    tools: Tools<'_>,
    format: &'static Format,
) -> Result<Split, Wrong> {
    let dialects = tools.dialects;
    let after = match split(module, cuts, dialects)? {
        Ok(after) => after,
        Err(error) => return Ok(Split::Refused(chain(&error))),
    };
    let open = |ty: &Type| ty.rank().is_none() || ty.elem == ElemType::Any;
    let takes_open = |func: &Func| func.params.iter().any(|p| open(&func[p.value].ty));
    if after.main().is_some_and(|main| callees(main).any(|id| takes_open(&after[id]))) {
        return Ok(Split::Refused("no format can declare an input of unknown type".into()));
    }
    let (before, split) = (lowered(module, dialects)?, lowered(&after, dialects)?);
    let given = random_inputs(&before)?;
    let expected = run(&before, MAIN, &given)?;
    require(run(&split, MAIN, &given)? == expected, || differs("the split model", module, &after))?;
    let chain = run_chain(&after, &given, |id, operands| {
        let stage = through(&after, id, tools, format)?;
        let (stage, _folder) = stage.ok_or_else(|| format!("the writer of {} rejects a stage", format.title))?;
        run(&lowered(&stage, dialects)?, MAIN, operands)
    })?;
    require(chain == expected, || differs("the chain of stages read from files", module, &after))?;
    Ok(Split::Stages(num_stages(&after)))
}

/// Splits the module at `cuts` and checks the stages. The inner error is the reason for rejected cuts.
fn split(module: &Module, cuts: &[String], dialects: &Dialects) -> Result<Result<Module, PassError>, Wrong> {
    let (whole, plan) = match split::prepare(module, cuts, dialects) {
        Ok(prepared) => (prepared.module, prepared.plan),
        Err(refused) => return Ok(Err(refused)),
    };
    let mut after = whole.clone().into_owned();
    split::apply(&mut after, &plan);
    print_parse(&after)?;
    parts_ops(&whole, &plan)?;
    keeps_signature(&whole, &after)?;
    Ok(Ok(after))
}

/// Checks that `netc cuts` lists exactly the places that `split` accepts. At each listed name one computed tensor
/// crosses, together with the listed shared inputs, and each place where one tensor crosses is listed. Returns the
/// number of cuts.
pub fn cuts_are_those_of_split(module: &Module, dialects: &Dialects) -> Result<usize, Wrong> {
    let listed = one_tensor_cuts(module, dialects);
    let names: BTreeSet<&str> = listed.iter().map(|cut| cut.name.as_str()).collect();
    require(names.len() == listed.len(), || format!("a name is listed twice:\n{names:#?}\n{}", print(module)))?;
    // Unless a nested model is dissolved, a place may have two names, only one of them listed.
    let mut listed_at = BTreeSet::new();
    for cut in &listed {
        let prepared = split::prepare(module, std::slice::from_ref(&cut.name), dialects);
        let is_whole = prepared.as_ref().is_ok_and(|prepared| matches!(prepared.module, Cow::Borrowed(_)));
        let plan = prepared.map_err(|e| format!("`{}` is listed but rejected: {e}\n{}", cut.name, print(module)))?.plan;
        let [boundary] = &plan.boundaries[..] else { return Err(format!("`{}` is not a single cut", cut.name)) };
        listed_at.extend(is_whole.then(|| boundary.at.clone()));
        let found: Vec<&Type> = boundary.crossing.iter().map(|crossing| &crossing.ty).collect();
        let shared: Vec<&str> = boundary.shared_inputs.iter().map(|c| c.name.trim_start_matches('%')).collect();
        let expected: Vec<&str> = cut.shared_inputs.iter().map(|name| &**name).collect();
        let agrees = found.len() == 1 && found[0].agrees_with(&cut.ty) && shared.len() == expected.len();
        require(agrees, || {
            format!("`{}` is listed with {} and {expected:?}, found {boundary}\n{}", cut.name, cut.ty, print(module))
        })?;
    }
    for place in places(module) {
        let Ok(prepared) = split::prepare(module, std::slice::from_ref(&place), dialects) else { continue };
        // At an auxiliary output, the crossing tensor is not the one computed at the cut.
        let one = prepared
            .plan
            .boundaries
            .iter()
            .all(|boundary| matches!(&boundary.crossing[..], [crossing] if boundary.at.contains(&crossing.value)));
        let whole = prepared.module.main().ok_or("there is no @main")?;
        let has_input = prepared.plan.stages[0].inputs.iter().any(|value| whole.producer(*value).is_none());
        let is_whole = matches!(prepared.module, Cow::Borrowed(_));
        let is_listed_at = is_whole && prepared.plan.boundaries.iter().all(|boundary| listed_at.contains(&boundary.at));
        require(!one || !has_input || names.contains(place.as_str()) || is_listed_at, || {
            format!("`{place}` is a one-tensor cut but not listed: {names:?}\n{}", print(module))
        })?;
    }
    Ok(listed.len())
}

/// The names of the places in `@main` and in its nested models, at any depth.
fn places(module: &Module) -> Vec<String> {
    let mut places = Vec::new();
    let mut open: Vec<(&Func, String)> = module.main().into_iter().map(|main| (main, String::new())).collect();
    while let Some((func, prefix)) = open.pop() {
        let names = OpNames::of(module, func);
        for (id, op) in func.ops().filter(|(_, op)| prefix.is_empty() || op.kind.layer().is_some()) {
            let name = format!("{prefix}{}", names.op(id));
            if let (OpKind::Call(call), Some(_)) = (&op.kind, op.kind.layer()) {
                open.push((&module[call.callee], format!("{name}/")));
            }
            places.push(name);
        }
    }
    places
}

fn num_stages(split: &Module) -> usize {
    split.main().map_or(0, |main| callees(main).count())
}

/// Checks that each op of `@main` is in exactly one stage or dropped, and that no stage is empty.
fn parts_ops(module: &Module, plan: &split::SplitPlan) -> Result<(), Wrong> {
    let main = module.main().ok_or("there is no @main")?;
    let mut parted: Vec<_> = plan.stages.iter().flat_map(|s| &s.ops).chain(&plan.dropped).copied().collect();
    parted.sort_unstable();
    let mut all: Vec<_> = main.op_ids().collect();
    all.sort_unstable();
    require(parted == all, || format!("the stages do not partition the ops:\n{plan}\n{}", print(module)))?;
    let empty = plan.stages.iter().position(|s| s.ops.is_empty());
    require(empty.is_none(), || format!("a stage is empty:\n{plan}\n{}", print(module)))
}

/// Whether the parameters bind every symbol. An extent such as `2*N` binds none.
pub(super) fn runs_alone(func: &Func) -> bool {
    let dims = |value: ValueId| func[value].ty.dims.iter().flatten();
    let known = func.params.iter().flat_map(|p| dims(p.value)).filter_map(|d| Some((d.as_symbol()?.clone(), 1)));
    let known: Bindings = known.collect();
    func.values_in_order().flat_map(dims).all(|d| d.eval(&known).is_some())
}

/// Runs an `@main` that consists only of calls; `call` executes each of them.
fn run_chain(
    module: &Module,
    given: &[Tensor],
    mut call: impl FnMut(FuncId, &[Tensor]) -> Result<Vec<Tensor>, Wrong>,
) -> Result<Vec<Tensor>, Wrong> {
    let main = module.main().ok_or("there is no @main")?;
    let mut tensors: Vec<Option<Tensor>> = vec![None; main.num_values()];
    let get = |tensors: &[Option<Tensor>], value: ValueId| {
        tensors[value.index()].clone().ok_or_else(|| format!("{value} of @main is not computed:\n{}", print(module)))
    };
    main.params.iter().zip(given).for_each(|(p, tensor)| tensors[p.value.index()] = Some(tensor.clone()));
    for (_, op) in main.ops() {
        let OpKind::Call(stage) = &op.kind else {
            return Err(format!("@main has an op that is not a call:\n{}", print(module)));
        };
        let operands = op.operands.iter().map(|v| get(&tensors, *v)).collect::<Result<Vec<_>, _>>()?;
        let results = call(stage.callee, &operands)?;
        op.results.iter().zip(results).for_each(|(value, tensor)| tensors[value.index()] = Some(tensor));
    }
    main.outputs.iter().map(|o| get(&tensors, o.value)).collect()
}
