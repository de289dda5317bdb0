//! Oracle of types and costs: lowering for types alone must agree with the unrolled program.

use netc_dialect::{Dialects, LowerError, LoweredOp, OpContext, Purpose};
use netc_ir::{Builder, Func, MAIN, Module, Op, OpKind, SourceOp, Type, ValueId};
use netc_passes::analysis::Costs;
use netc_passes::lower;

use super::{Wrong, require};

/// Checks that the result types of every layer and the MACs of `@main` equal those of the program that runs. Returns
/// how many layers needed fewer ops to infer their types than to run.
pub fn types_and_costs_match_the_unrolled_program(module: &Module, dialects: &Dialects) -> Result<usize, Wrong> {
    let mut shorter = 0;
    for func in &module.funcs {
        for (_, op) in func.ops() {
            if let OpKind::Source(source) = &op.kind {
                shorter += usize::from(layer_looks_right(module, func, op, source, dialects)?);
            }
        }
    }
    let lowered = lower::lower_module(module, dialects).map_err(|e| netc_pass::chain(&e))?;
    let macs = |module: &Module| {
        let main = module.func_named(MAIN).ok_or("there is no @main")?;
        Ok::<_, Wrong>(Costs::of(module, dialects).func(main).macs)
    };
    let (looked, run) = (macs(module)?, macs(&lowered)?);
    require(looked == run, || format!("the estimate is {looked:?} MACs, the lowered program has {run:?}"))?;
    Ok(shorter)
}

/// Checks one layer. Returns whether lowering for types leaves out repeated steps.
fn layer_looks_right(
    module: &Module,
    func: &Func,
    op: &Op,
    source: &SourceOp,
    dialects: &Dialects,
) -> Result<bool, Wrong> {
    let lowered = |purpose: Purpose| {
        let mut b = Builder::new(module, "layer");
        let given = op.operands.iter().enumerate().map(|(i, x)| b.param(format!("x{i}"), func[*x].ty.clone(), None));
        let operands: Vec<ValueId> = given.collect();
        let layer = source.layer.map(|id| &module[id]);
        let meaning =
            dialects.lower(&mut b, OpContext { op: source, layer, operands: &operands, masks: &[], purpose, dialects });
        meaning.map(|LoweredOp { results, repeats, .. }| {
            let types: Vec<Type> = results.iter().map(|y| b.ty(*y).clone()).collect();
            (types, repeats.len())
        })
    };
    let text = |types: Result<&Vec<Type>, &LowerError>| format!("{types:?}");
    let (looked, run) = (lowered(Purpose::Types), lowered(Purpose::Run));
    let [a, b] = [&looked, &run].map(|lowered| text(lowered.as_ref().map(|(types, _)| types)));
    require(a == b, || format!("`{}` lowers to {a} for types but to {b} for a run", source.name))?;
    require(run.is_err() || run.as_ref().is_ok_and(|(_, repeats)| *repeats == 0), || {
        format!("`{}` leaves out steps when lowered for a run", source.name)
    })?;
    Ok(looked.is_ok_and(|(_, repeats)| repeats > 0))
}
