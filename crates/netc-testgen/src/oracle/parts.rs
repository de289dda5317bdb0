//! Oracles of `extract`, `merge` and `inline`: parts of a model against the whole.

use netc_dialect::Dialects;
use netc_exec::inputs;
use netc_ir::{Attrs, MAIN, Module, Output, ValueId, callees, print};
use netc_pass::{Fidelity, Fuel};
use netc_passes::{extract, merge, split};

use super::passes::Subject;
use super::runs::{lowered, run, same_outputs};
use super::splits::runs_alone;
use super::{Wrong, print_parse, require};

/// The seed and batch of the inputs for models.
const INPUTS: (u64, u64) = (5, 2);

/// Checks that merging the stages of a split gives the module in canonical order.
pub fn split_merge(module: &Module, cuts: &[String]) -> Result<(), Wrong> {
    let Some(merged) = split_and(module, cuts, "merge")? else { return Ok(()) };
    print_parse(&merged)?;
    let mut expected = module.clone();
    let main = module.func_named(MAIN).ok_or("there is no @main")?;
    expected[main] = merge::canonical(module, &module[main]);
    same("the merged module", &merged, &expected)
}

/// Checks that the module is already in canonical order.
pub fn is_canonical(module: &Module) -> Result<(), Wrong> {
    let main = module.main().ok_or("there is no @main")?;
    let mut canonical = module.clone();
    let id = module.func_named(MAIN).ok_or("there is no @main")?;
    canonical[id] = merge::canonical(module, main);
    same("the canonical model", &canonical, module)
}

/// Checks that the model extracted as `part` computes the same bits as the whole, given the whole's values at its
/// inputs. Text that names no valid part passes.
pub fn extract_computes(module: &Module, part: &str, dialects: &Dialects) -> Result<(), Wrong> {
    let Ok(prepared) = extract::prepare(module, part, dialects) else { return Ok(()) };
    let (module, plan) = (&*prepared.module, prepared.plan);
    let mut after = module.clone();
    extract::apply(&mut after, &plan);
    print_parse(&after)?;
    let values: Vec<ValueId> = plan.inputs.iter().chain(&plan.outputs).copied().collect();
    let (whole, part) = (lowered(&returning(module, &values), dialects)?, lowered(&after, dialects)?);
    if !part.main().is_some_and(runs_alone) {
        return Ok(());
    }
    let main = whole.main().ok_or("there is no @main")?;
    let given = inputs::random_inputs(main, INPUTS.0, INPUTS.1).map_err(|e| e.to_string())?;
    let mut between = run(&whole, MAIN, &given)?;
    let expected = between.split_off(plan.inputs.len());
    require(run(&part, MAIN, &between)? == expected, || {
        format!("the part differs from the whole:\n{}\n---\n{}", print(module), print(&after))
    })
}

/// `module` with `values` as the outputs of `@main`.
fn returning(module: &Module, values: &[ValueId]) -> Module {
    let mut module = module.clone();
    if let Some(main) = module.func_named(MAIN) {
        let outputs =
            values.iter().enumerate().map(|(i, value)| Output { name: format!("v{i}").into(), value: *value });
        module[main].outputs = outputs.collect();
        module[main].attrs = Attrs::new();
    }
    module
}

/// All parts between two of the cuts, or between a cut and an end of the model.
pub fn parts(cuts: &[String]) -> Vec<String> {
    let ends: Vec<&str> = std::iter::once("").chain(cuts.iter().map(String::as_str)).collect();
    ends.iter().flat_map(|from| ends.iter().map(move |to| format!("{from}..{to}"))).collect()
}

/// Splits the module at `cuts` and runs `pass` on the result; `None` if the cuts are rejected.
fn split_and(module: &Module, cuts: &[String], pass: &str) -> Result<Option<Module>, Wrong> {
    let (registry, dialects) = (netc_passes::registry(), Dialects::new());
    let Ok(plan) = split::plan(module, cuts, &dialects) else { return Ok(None) };
    let mut stages = module.clone();
    split::apply(&mut stages, &plan);
    let subject = Subject { pipeline: pass, registry: &registry, dialects: &dialects };
    subject.apply(&stages, Fuel::unlimited()).map(|(after, _)| Some(after))
}

/// Checks that inlining the stages of a split leaves no calls and the same values.
pub fn split_inline(module: &Module, cuts: &[String], dialects: &Dialects) -> Result<(), Wrong> {
    let Some(inlined) = split_and(module, cuts, "inline")? else { return Ok(()) };
    let calls = inlined.main().map_or(0, |main| callees(main).count());
    require(calls == 0, || format!("calls are left:\n{}", print(&inlined)))?;
    same_outputs(module, &inlined, Fidelity::Exact, dialects)
}

fn same(what: &str, found: &Module, expected: &Module) -> Result<(), Wrong> {
    require(found == expected, || format!("{what} differs:\n{}\n---\n{}", print(found), print(expected)))
}
