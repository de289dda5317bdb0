//! Makes `@main` the part of it between two places.

mod plan;

use netc_ir::{Loc, MAIN, Module, OpId};
use netc_pass::{Context, Dialects, Fidelity, OptionInfo, OptionKind, Pass, PassError, PassInfo};

use crate::analysis::{CutPart, MaskReads, OpNames, cut_parts};
use crate::dissolve::{Dissolved, dissolve};
use crate::part::Part;
use crate::prune::{reachable, replace_funcs};

pub use plan::{ExtractError, ExtractPlan, FurtherInput, plan};

/// `extract` as users see it.
pub const INFO: PassInfo = PassInfo {
    name: "extract",
    summary: "Keep the part of the model between two places, as a model of its own.",
    help: "Makes `@main` the part of it that computes the second place from the first.\n\n\
           - `extract=activation_46..avg_pool` takes the result of `activation_46` and returns that of `avg_pool`.\n\
           - `extract=before:mixed3..mixed9` takes what `mixed3` reads.\n\
           - `extract=..mixed9` begins at the inputs of the model, `extract=mixed9..` ends at its outputs.\n\
           - `extract=a+b..c` begins at several places.\n\
           - `extract=backbone/conv2..backbone/conv4` lies in the nested model `backbone`, which is dissolved.\n\n\
           Places are named as cuts are for `split`. The part has the ops that depend on the first place and that the \
           second needs. What else these read is a further input, and a remark says which op reads it. Weights and \
           constants are no inputs: the part has its own. Inputs and outputs of the model that have nothing to do with \
           the part go, and so do functions, layers and weights that it does not use.",
    fidelity: Fidelity::Other,
    options: &[OptionInfo {
        name: "part",
        kind: OptionKind::Text { value: "FROM..TO" },
        help: "The places between which the part lies; one of them may be left out.",
    }],
    build: |options| Ok(Box::new(Extract { part: options.text("part").into() })),
};

struct Extract {
    part: String,
}

impl Pass for Extract {
    fn run(&self, module: &mut Module, context: &mut Context<'_>) -> Result<(), PassError> {
        if !context.fuel.is_left() {
            return Ok(());
        }
        let dissolved = dissolved(module, &self.part, context)?;
        let plan = match &dissolved {
            Some((dissolved, part)) => plan(dissolved, part)?,
            None => plan(module, &self.part)?,
        };
        check_masks(dissolved.as_ref().map_or(&*module, |(dissolved, _)| dissolved), &plan, context.dialects)?;
        for text in plan.remarks() {
            context.remark(INFO.name, Loc::Unknown, text);
        }
        context.rewrite();
        if let Some((dissolved, _)) = dissolved {
            *module = dissolved;
        }
        apply(module, &plan);
        Ok(())
    }
}

/// Refuses a part that would not find a mask that it reads.
///
/// # Errors
/// What reads the mask, and what makes it.
pub fn check_masks(module: &Module, plan: &ExtractPlan, dialects: &Dialects) -> Result<(), PassError> {
    let Some(main) = module.main() else { return Ok(()) };
    let mut inside = vec![false; main.num_op_slots()];
    plan.ops.iter().for_each(|op| inside[op.index()] = true);
    let of_part = |op: OpId| inside[op.index()].then_some(());
    let Some(severed) = MaskReads::of(module, dialects).severed(of_part).filter(|severed| severed.certain) else {
        return Ok(());
    };
    let text = severed.text(&OpNames::of(module, main));
    Err(PassError(format!("the part severs a mask: {text}; let the part begin before that layer")))
}

/// The module after the nested models are dissolved in which an end of the part lies, and the part's text then.
fn dissolved(module: &Module, part: &str, context: &mut Context<'_>) -> Result<Option<(Module, String)>, PassError> {
    let Some(main) = module.func_named(MAIN).filter(|_| plan(module, part).is_err()) else { return Ok(None) };
    let is_inside = |end: &str| {
        let parts = cut_parts(module, main, end).unwrap_or_default();
        parts.iter().any(|part| matches!(part, CutPart::Inside { .. }))
    };
    let Some((from, to)) = plan::texts(part).find(|(from, to)| is_inside(from) || is_inside(to)) else {
        return Ok(None);
    };
    let given: Vec<String> = [from, to].iter().filter(|end| !end.is_empty()).map(ToString::to_string).collect();
    let Some(Dissolved { module, cuts }) = dissolve(module, &given, INFO.name, context)? else { return Ok(None) };
    let named = cuts.join("..");
    let part = match (from, to) {
        ("", _) => format!("..{named}"),
        (_, "") => format!("{named}.."),
        _ => named,
    };
    Ok(Some((module, part)))
}

/// Makes `@main` of `module` the part that `plan`, which was made for it, says.
pub fn apply(module: &mut Module, plan: &ExtractPlan) {
    let Some(id) = module.func_named(MAIN) else { return };
    let names = OpNames::of(module, &module[id]);
    let (whole, ops) = (&module[id], plan.ops.clone());
    let part = Part { module, whole, names: &names, ops, inputs: &plan.inputs, outputs: &plan.outputs };
    let part = part.func(MAIN.into(), "_part");
    let was = reachable(&module.funcs, [id]);
    let mut funcs = module.funcs.clone();
    funcs[id.index()] = part;
    let keep = reachable(&funcs, module.func_ids().filter(|f| *f == id || !was[f.index()]));
    replace_funcs(module, funcs, &keep);
}

#[cfg(test)]
mod tests;
