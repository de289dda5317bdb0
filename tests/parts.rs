//! Parts of models against the whole: what `extract` and `merge` leave.

use netc_exec::inputs;
use netc_ir::{Attrs, MAIN, Module, Output, ValueId, print};
use netc_pass::{Context, Dialects, Manager, Pipeline};
use netc_passes::{extract, lower, merge};
use netc_testgen::oracle::{self, Wrong};

/// The seed and the batch of the inputs that models are run on.
const INPUTS: (u64, u64) = (5, 2);

/// Merging the stages of a split gives the module in the canonical order.
pub(crate) fn merge_undoes_split(module: &Module, cuts: &[String]) -> Result<(), Wrong> {
    let merged = match cuts {
        [] => return Ok(()),
        cuts => after(module, &format!("split=[{}],merge", quoted(cuts))),
    };
    let Ok(merged) = merged else { return Ok(()) };
    oracle::print_parse(&merged)?;
    let mut expected = module.clone();
    let main = module.func_named(MAIN).ok_or("there is no @main")?;
    expected[main] = merge::canonical(module, &module[main]);
    same("the merged module", &merged, &expected)
}

/// A model of layers is canonical as it was built.
pub(crate) fn is_canonical(module: &Module) -> Result<(), Wrong> {
    let main = module.main().ok_or("there is no @main")?;
    let mut canonical = module.clone();
    let id = module.func_named(MAIN).ok_or("there is no @main")?;
    canonical[id] = merge::canonical(module, main);
    same("the canonical model", &canonical, module)
}

/// Extracting `part` gives a model that computes, from what the whole has at its inputs, what the whole has at its
/// outputs, bit for bit. Text that says no part is no matter.
pub(crate) fn extract_computes(module: &Module, part: &str, dialects: &Dialects) -> Result<(), Wrong> {
    let Ok(plan) = extract::plan(module, part) else { return Ok(()) };
    let mut after = module.clone();
    extract::apply(&mut after, &plan);
    oracle::print_parse(&after)?;
    let lowered = |m: &Module| lower::lower_module(m, dialects).map_err(|e| e.to_string());
    let values: Vec<ValueId> = plan.inputs.iter().chain(&plan.outputs).copied().collect();
    let (whole, part) = (lowered(&returning(module, &values))?, lowered(&after)?);
    if !part.main().is_some_and(oracle::runs_alone) {
        return Ok(());
    }
    let main = whole.main().ok_or("there is no @main")?;
    let given = inputs::random_inputs(main, INPUTS.0, INPUTS.1).map_err(|e| e.to_string())?;
    let mut between = oracle::run(&whole, MAIN, &given)?;
    let expected = between.split_off(plan.inputs.len());
    if oracle::run(&part, MAIN, &between)? == expected {
        Ok(())
    } else {
        Err(format!("the part differs from the whole:\n{}\n---\n{}", print(module), print(&after)))
    }
}

/// `module` with an `@main` that returns `values`.
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

/// The parts between the places of cuts, and between these and the ends of the model.
pub(crate) fn parts(cuts: &[String]) -> Vec<String> {
    let ends: Vec<&str> = std::iter::once("").chain(cuts.iter().map(String::as_str)).collect();
    ends.iter().flat_map(|from| ends.iter().map(move |to| format!("{from}..{to}"))).collect()
}

/// The module after a pipeline.
pub(crate) fn after(module: &Module, pipeline: &str) -> Result<Module, Wrong> {
    let pipeline: Pipeline = pipeline.parse().map_err(|e| format!("{pipeline}: {e}"))?;
    let (mut after, dialects) = (module.clone(), Dialects::new());
    let mut context = Context::new(&dialects);
    Manager::new(&netc_passes::registry()).run(&mut after, &pipeline, &mut context).map_err(|e| e.to_string())?;
    Ok(after)
}

/// Names as the values of a list in a pipeline.
pub(crate) fn quoted(names: &[String]) -> String {
    let quote = |name: &String| format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
    names.iter().map(quote).collect::<Vec<_>>().join(",")
}

fn same(what: &str, found: &Module, expected: &Module) -> Result<(), Wrong> {
    if found == expected { Ok(()) } else { Err(format!("{what} differs:\n{}\n---\n{}", print(found), print(expected))) }
}
