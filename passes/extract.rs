//! Reduces `@main` to the part between two places.

mod plan;

use std::borrow::Cow;

use netc_dialect::Dialects;
use netc_ir::{Func, Loc, MAIN, Module, OpId};
use netc_pass::{Context, Fidelity, OptionInfo, OptionKind, Pass, PassError, PassInfo, Remark, Result};

use crate::analysis::{MaskReads, OpNames};
use crate::flatten_submodels::Flattened;
use crate::part::Part;
use crate::prune::{reachable, replace_funcs};

pub use plan::{ExtractError, ExtractPlan, FurtherInput};

/// `extract` as users see it.
pub const INFO: PassInfo = PassInfo {
    name: "extract",
    summary: "Keep the part of the model between two places, as a model of its own.",
    help: "Reduces `@main` to the part that computes the second place from the first.\n\n\
           - `extract=activation_46..avg_pool` takes the result of `activation_46` and returns the result of \
           `avg_pool`.\n\
           - `extract=before:mixed3..mixed9` takes the inputs of `mixed3`.\n\
           - `extract=..mixed9` begins at the inputs of the model, `extract=mixed9..` ends at its outputs.\n\
           - `extract=a+b..c` begins at several places.\n\
           - `extract=backbone/conv2..backbone/conv4` is inside the nested model `backbone`, which is flattened.\n\n\
           Places are named like cuts for `split`. The part consists of the ops that depend on the first place and that \
           the second place needs. Any other tensor that they read becomes a further input, and a remark names the op \
           that reads it. Weights and constants do not become inputs: the part has its own. Inputs, outputs, functions, \
           layers and weights that the part does not use are removed.",
    fidelity: Fidelity::Other,
    options: &[OptionInfo {
        name: "part",
        kind: OptionKind::Text { value: "FROM..TO" },
        help: "The places where the part begins and ends. Either may be omitted.",
    }],
    build: |options| Ok(Box::new(Extract { part: options.text("part").into() })),
};

struct Extract {
    part: String,
}

impl Pass for Extract {
    fn run(&self, module: &mut Module, context: &mut Context<'_>) -> Result<()> {
        if !context.fuel.is_left() {
            return Ok(());
        }
        let Prepared { module: flattened, plan, remarks } = prepare(module, &self.part, context.dialects)?;
        let flattened = if let Cow::Owned(flattened) = flattened { Some(flattened) } else { None };
        context.remarks.extend(remarks);
        context.rewrite();
        if let Some(flattened) = flattened {
            *module = flattened;
        }
        apply(module, &plan);
        Ok(())
    }
}

/// An extraction that can be applied.
pub struct Prepared<'m> {
    /// The module to apply the plan to: the given one, or a copy in which the nested models around a place are
    /// dissolved.
    pub module: Cow<'m, Module>,
    /// The part.
    pub plan: ExtractPlan,
    /// Remarks for the user.
    pub remarks: Vec<Remark>,
}

/// Decides which part of `@main` the text `FROM..TO` means. `module` must be verified.
///
/// # Errors
/// Fails if the text names no part, or if the part would lose a mask that it reads.
pub fn prepare<'m>(module: &'m Module, text: &str, dialects: &'m Dialects) -> Result<Prepared<'m>> {
    let (mut flattened, plan) = plan::plan(module, text, dialects)?;
    check_masks(&flattened, &plan, dialects)?;
    let mut remarks = std::mem::take(&mut flattened.remarks);
    let remark = |text| Remark { pass: INFO.name, loc: Loc::Unknown, text };
    remarks.extend(plan.remarks().into_iter().map(remark));
    Ok(Prepared { module: flattened.module, plan, remarks })
}

fn check_masks(flattened: &Flattened<'_>, plan: &ExtractPlan, dialects: &Dialects) -> Result<()> {
    let mut inside = vec![false; flattened.module.main().map_or(0, Func::num_op_slots)];
    plan.ops.iter().for_each(|op| inside[op.index()] = true);
    let of_part = |op: OpId| inside[op.index()].then_some(());
    let severed = MaskReads::of(&flattened.module, dialects).severed(of_part);
    let Some(severed) = severed.filter(|severed| severed.certain) else { return Ok(()) };
    let text = severed.text(|op| flattened.name(op));
    let what = severed.what.words();
    Err(PassError::new(format!("the part severs {what}: {text}; begin the part before that layer")))
}

/// Reduces `@main` of `module` to the part of `plan`, which must have been made for this module.
pub fn apply(module: &mut Module, plan: &ExtractPlan) {
    let Some(id) = module.func_named(MAIN) else { return };
    let names = OpNames::of(module, &module[id]);
    let (whole, ops) = (&module[id], plan.ops.clone());
    let (inputs, outputs, ends) = (&plan.inputs[..], &plan.outputs[..], plan.ends);
    let part = Part { module, whole, names: &names, ops, inputs, outputs, ends };
    let part = part.func(MAIN.into(), "_part");
    let was = reachable(&module.funcs, [id]);
    let mut funcs = module.funcs.clone();
    funcs[id.index()] = part;
    let keep = reachable(&funcs, module.func_ids().filter(|f| *f == id || !was[f.index()]));
    replace_funcs(module, funcs, &keep);
}

#[cfg(test)]
mod tests;
