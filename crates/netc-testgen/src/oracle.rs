//! What must hold of every module, and of every input: functions that say what is wrong.

use std::fs;
use std::io::Write;

use netc_data::Store;
use netc_exec::{Plan, Tensor, inputs};
use netc_ir::{
    Attr, Attrs, Bindings, Func, FuncId, Literal, Loc, MAIN, Module, OpKind, ValueId, WeightData, parse, print, verify,
};
use netc_pass::{Context, Dialects, Manager, Pipeline, PipelineSyntaxError};
use netc_passes::{lower, split};

/// What an oracle found wrong, in words.
pub type Wrong = String;

/// The seed and the batch of the inputs that modules are run on.
const INPUTS: (u64, u64) = (11, 2);

/// The module verifies, and its text parses back equal.
pub fn print_parse(module: &Module) -> Result<(), Wrong> {
    verify(module).map_err(|e| format!("does not verify:\n{e}"))?;
    let text = print(module);
    let back = parse(&text).map_err(|e| format!("does not parse as printed: {e}\n{text}"))?;
    require(back == *module, || format!("parses differently as printed:\n{text}\n---\n{}", print(&back)))
}

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
    let plan = match split::plan(module, cuts) {
        Ok(plan) => plan,
        Err(refused) => return Ok(Split::Refused(refused.to_string())),
    };
    let mut after = module.clone();
    split::apply(&mut after, &plan);
    print_parse(&after)?;
    parts_ops(module, &plan)?;
    keeps_signature(module, &after)?;
    let given = random_inputs(module)?;
    let expected = run(module, MAIN, &given)?;
    require(run(&after, MAIN, &given)? == expected, || differs("@main, which calls the stages,", module, &after))?;
    if after.funcs.iter().all(runs_alone) {
        let chain = run_chain(&after, &given, |id, operands| run(&after, &after[id].name, operands))?;
        require(chain == expected, || differs("the chain of stages", module, &after))?;
    }
    Ok(Split::Stages(plan.stages.len()))
}

/// [`split_compose`] of a Keras model: split on the level of layers, compared after lowering with `dialects`. The
/// stages are written as files and read back, and still compute the same.
pub fn split_compose_keras(module: &Module, cuts: &[String], dialects: &Dialects) -> Result<Split, Wrong> {
    let plan = match split::plan(module, cuts) {
        Ok(plan) => plan,
        Err(refused) => return Ok(Split::Refused(refused.to_string())),
    };
    let mut after = module.clone();
    split::apply(&mut after, &plan);
    print_parse(&after)?;
    parts_ops(module, &plan)?;
    keeps_signature(module, &after)?;
    let lowered = |m: &Module| lower::lower_module(m, dialects).map_err(|e| e.to_string());
    let (before, split) = (lowered(module)?, lowered(&after)?);
    let given = random_inputs(&before)?;
    let expected = run(&before, MAIN, &given)?;
    require(run(&split, MAIN, &given)? == expected, || differs("the split model", module, &after))?;
    let chain = run_chain(&after, &given, |id, operands| {
        let (stage, _folder) = through_file(&after, id, dialects)?;
        run(&lowered(&stage)?, MAIN, operands)
    })?;
    require(chain == expected, || differs("the chain of stages read from files", module, &after))?;
    Ok(Split::Stages(plan.stages.len()))
}

/// The Keras model that is written and read back is the same but for the place of its weights' bytes, which are equal;
/// writing it again gives the same file.
pub fn round_trip_keras(module: &Module, dialects: &Dialects) -> Result<(), Wrong> {
    let main = module.func_named(MAIN).ok_or("there is no @main")?;
    let (back, folder) = through_file(module, main, dialects)?;
    print_parse(&back)?;
    let (expected, found) = (print(&without_places(module)), print(&without_places(&back)));
    require(expected == found, || format!("is read back differently:\n{expected}\n---\n{found}"))?;
    let (ours, theirs) = (weight_bytes(module)?, weight_bytes(&back)?);
    require(ours == theirs, || "the bytes of the weights differ".into())?;
    let again = file_bytes(&back, back.func_named(MAIN).ok_or("there is no @main")?)?;
    let first = fs::read(folder.path().join(FILE)).map_err(|e| e.to_string())?;
    require(again == first, || format!("is written differently the second time:\n{found}"))
}

/// The pass `call` leaves a valid module with the same outputs, bit for bit.
pub fn keeps_values(module: &Module, call: &str, dialects: &Dialects) -> Result<Module, Wrong> {
    let pipeline: Pipeline = call.parse().map_err(|e: PipelineSyntaxError| e.to_string())?;
    let mut after = module.clone();
    let mut context = Context::new(dialects);
    Manager::new(&netc_passes::registry()).run(&mut after, &pipeline, &mut context).map_err(|e| e.to_string())?;
    print_parse(&after)?;
    keeps_signature(module, &after)?;
    let lowered = |m: &Module| lower::lower_module(m, dialects).map_err(|e| e.to_string());
    let (before, ran) = (lowered(module)?, lowered(&after)?);
    let given = random_inputs(&before)?;
    require(run(&before, MAIN, &given)? == run(&ran, MAIN, &given)?, || differs(call, module, &after))?;
    Ok(after)
}

/// No bytes make the parser panic, and what it takes for a program prints as text that it takes for the same.
pub fn parse_ir(bytes: &[u8]) -> Result<(), Wrong> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(()) };
    match parse(text) {
        Ok(module) if verify(&module).is_ok() => print_parse(&module),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// No bytes make the reader of Keras files panic, and what it takes for a model verifies.
pub fn keras_file(bytes: &[u8]) -> Result<(), Wrong> {
    let mut file = tempfile::NamedTempFile::new().map_err(|e| e.to_string())?;
    file.write_all(bytes).and_then(|()| file.flush()).map_err(|e| e.to_string())?;
    let dialects = crate::dialects();
    match netc_keras::read(file.path(), &dialects) {
        Ok(imported) => verify(&imported.module).map_err(|e| format!("the model read does not verify:\n{e}")),
        Err(_) => Ok(()),
    }
}

/// The bytes of the `.keras` file of the function `id`.
pub fn file_bytes(module: &Module, id: FuncId) -> Result<Vec<u8>, Wrong> {
    let store = Store::open(module).map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    netc_keras::write(module, id, &store, &mut bytes).map_err(|e| format!("{e:?}\n{}", print(module)))?;
    Ok(bytes)
}

fn require(holds: bool, wrong: impl FnOnce() -> Wrong) -> Result<(), Wrong> {
    if holds { Ok(()) } else { Err(wrong()) }
}

fn differs(what: &str, before: &Module, after: &Module) -> Wrong {
    format!("{what} gives other values:\n{}\n---\n{}", print(before), print(after))
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

/// `@main` takes and returns the same, in name, order and type.
fn keeps_signature(before: &Module, after: &Module) -> Result<(), Wrong> {
    let signature = |module: &Module| {
        let main = module.main()?;
        let params: Vec<_> = main.params.iter().map(|p| (p.name.clone(), main[p.value].ty.clone(), p.layer)).collect();
        let outputs: Vec<_> = main.outputs.iter().map(|o| o.name.clone()).collect();
        Some((params, outputs))
    };
    require(signature(before) == signature(after), || format!("@main has another signature:\n{}", print(after)))
}

fn random_inputs(module: &Module) -> Result<Vec<Tensor>, Wrong> {
    let main = module.main().ok_or("there is no @main")?;
    inputs::random_inputs(main, INPUTS.0, INPUTS.1).map_err(|e| e.to_string())
}

fn run(module: &Module, func: &str, given: &[Tensor]) -> Result<Vec<Tensor>, Wrong> {
    let place = |e: &dyn std::error::Error| format!("@{func} does not run: {e:?}\n{}", print(module));
    let id = module.func_named(func).ok_or_else(|| format!("there is no @{func}"))?;
    let store = Store::open(module).map_err(|e| place(&e))?;
    Plan::new(module, id, &store).and_then(|plan| plan.run(given)).map_err(|e| place(&e))
}

/// Whether the parameters say what every symbol is: an extent such as `2*N` alone does not.
fn runs_alone(func: &Func) -> bool {
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

/// The name of the file that [`through_file`] leaves.
const FILE: &str = "model.keras";

/// The function written as a file and read back, with the folder that holds the file and its weights.
pub fn through_file(module: &Module, id: FuncId, dialects: &Dialects) -> Result<(Module, tempfile::TempDir), Wrong> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let path = folder.path().join(FILE);
    fs::write(&path, file_bytes(module, id)?).map_err(|e| e.to_string())?;
    let imported = netc_keras::read(&path, dialects);
    let imported = imported.map_err(|e| format!("cannot be read back: {e:?}\n{}", print(module)))?;
    Ok((imported.module, folder))
}

/// The module without what only a model from a file has: places of bytes, and the parts of the file that are no graph.
fn without_places(module: &Module) -> Module {
    let mut module = module.clone();
    module.files.clear();
    module.attrs = Attrs::new();
    for weight in &mut module.weights {
        let dims = weight.ty.fixed_dims().unwrap_or_default();
        weight.data = WeightData::Inline(Literal::splat(weight.ty.elem, &dims, 0.0));
    }
    for func in &mut module.funcs {
        let kept = ["class", "name"].into_iter().filter_map(|k| Some((k.into(), func.attrs.get(k)?.clone())));
        func.attrs = kept.collect::<Attrs>();
        let ops: Vec<_> = func.op_ids().collect();
        for op in ops {
            if let Loc::Call { file, .. } = &mut func[op].loc {
                *file = None;
            }
        }
    }
    module
}

/// The bytes of every weight, by its name.
fn weight_bytes(module: &Module) -> Result<Vec<(Attr, Vec<u8>)>, Wrong> {
    let store = Store::open(module).map_err(|e| e.to_string())?;
    let bytes = |w: &netc_ir::Weight| Ok((Attr::str(&*w.name), store.read(w).map_err(|e| e.to_string())?));
    module.weights.iter().map(bytes).collect()
}
