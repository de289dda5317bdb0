//! What is computed before and after a transform is the same.

use netc_data::Store;
use netc_exec::{Plan, Tensor, inputs};
use netc_ir::{MAIN, Module, print};
use netc_pass::{Context, Dialects, Manager, Pipeline, PipelineSyntaxError};
use netc_passes::lower;

use super::{Wrong, print_parse, require};

/// The seed and the batch of the inputs that modules are run on.
const INPUTS: (u64, u64) = (11, 2);

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

/// The module lowers with `dialects`, and what comes of it runs and gives the same bits each time.
pub fn lower_exec(module: &Module, dialects: &Dialects) -> Result<(), Wrong> {
    let lowered =
        lower::lower_module(module, dialects).map_err(|e| format!("does not lower: {e:?}\n{}", print(module)))?;
    print_parse(&lowered)?;
    let given = random_inputs(&lowered)?;
    let first = run(&lowered, MAIN, &given)?;
    require(run(&lowered, MAIN, &given)? == first, || differs("the second run", module, &lowered))
}

pub(super) fn differs(what: &str, before: &Module, after: &Module) -> Wrong {
    format!("{what} gives other values:\n{}\n---\n{}", print(before), print(after))
}

/// `@main` takes and returns the same, in name, order and type.
pub(super) fn keeps_signature(before: &Module, after: &Module) -> Result<(), Wrong> {
    let signature = |module: &Module| {
        let main = module.main()?;
        let params: Vec<_> = main.params.iter().map(|p| (p.name.clone(), main[p.value].ty.clone(), p.layer)).collect();
        let outputs: Vec<_> = main.outputs.iter().map(|o| o.name.clone()).collect();
        Some((params, outputs))
    };
    require(signature(before) == signature(after), || format!("@main has another signature:\n{}", print(after)))
}

pub(super) fn random_inputs(module: &Module) -> Result<Vec<Tensor>, Wrong> {
    let main = module.main().ok_or("there is no @main")?;
    inputs::random_inputs(main, INPUTS.0, INPUTS.1).map_err(|e| e.to_string())
}

pub(super) fn run(module: &Module, func: &str, given: &[Tensor]) -> Result<Vec<Tensor>, Wrong> {
    let place = |e: &dyn std::error::Error| format!("@{func} does not run: {e:?}\n{}", print(module));
    let id = module.func_named(func).ok_or_else(|| format!("there is no @{func}"))?;
    let store = Store::open(module).map_err(|e| place(&e))?;
    Plan::new(module, id, &store).and_then(|plan| plan.run(given)).map_err(|e| place(&e))
}
