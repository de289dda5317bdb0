//! Cuts the model into stages: functions that `@main` calls one after the other.
//!
//! [`prepare()`] looks and decides, [`apply()`] rewrites and cannot fail. A cut is a set of values. The first stage is what
//! these need, the next stage what the next cut needs beyond that, and the last stage what is left for the outputs.
//! Every value that crosses is an output of the stage that computes it and an input of each later stage that reads
//! it; a value that skips a stage is handed past it. Weights and constants do not cross: each stage that reads one has
//! its op. Layers, weights, and the names and locations of ops are not touched; the calls of the stages, which stand
//! for no place in the model's source, have no location.
//!
//! The stages are called `@stage0`, `@stage1`, ... Where the module has such a function already, as where a nested model
//! is called so, a number follows: `@stage0_1`.

mod apply;
mod masks;
mod nearest;
mod plan;
mod prepare;
mod report;

use std::borrow::Cow;

use netc_ir::Module;
use netc_pass::{Context, Fidelity, OptionInfo, OptionKind, Pass, PassInfo, Result};

pub use apply::apply;
pub use plan::{Boundary, SplitError, SplitPlan, StagePlan, plan};
pub use prepare::{Prepared, prepare};

pub use crate::part::Crossing;

/// `split` as users see it.
pub const INFO: PassInfo = PassInfo {
    name: "split",
    summary: "Cut the model into stages, each a model of its own.",
    help: "Makes of `@main` the stages `@stage0`, `@stage1`, ... that compute the same one after the other.\n\n\
           - `split=mixed9` cuts after the layer `mixed9`: two stages.\n\
           - `split=before:activation_46` cuts before a layer, at what it reads.\n\
           - `split=#128` cuts after layer 128, as the model's framework counts layers.\n\
           - `split=shared@1` cuts after the second application of a layer that is applied several times.\n\
           - `split=mixed3,mixed7` cuts twice: three stages. The order does not matter.\n\
           - `split=a+b` makes one cut through two parallel branches. A place that another is computed from adds \
           nothing.\n\
           - `split=backbone/conv4` cuts inside the nested model `backbone`, after its layer `conv4`. The models that \
           have the place inside are dissolved, as by `inline`: their layers become layers of the stages. All other \
           nested models stay.\n\
           - `split=\"a,b\"` cuts after a layer whose name has a comma.\n\n\
           Where a program has no layers, values are named: `split=%y`. A cut inside a branch takes every tensor that \
           crosses, and a remark lists them with the nearest places where only one does. Weights and constants do not \
           cross: each stage has those that it reads. Nor do inputs of the model: each stage that reads one takes it. \
           Ops that no output needs are dropped.\n\n\
           A cut between a layer that makes a mask and one that reads it, without a call that mentions it, is refused \
           with the nearest that is not: the stages would compute something else. Masks that calls mention are tensors, \
           and cross.\n\n\
           A number follows the name of a stage that another function has: `@stage0_1`.",
    fidelity: Fidelity::Exact,
    options: &[OptionInfo {
        name: "at",
        kind: OptionKind::List { value: "CUT" },
        help: "Where to cut: a layer or a value, `before:` one, `#N`, `layer@N`, `model/layer`, or several joined by `+`.",
    }],
    build: |options| Ok(Box::new(Split { at: options.list("at").to_vec() })),
};

struct Split {
    at: Vec<String>,
}

impl Pass for Split {
    fn run(&self, module: &mut Module, context: &mut Context<'_>) -> Result<()> {
        if !context.fuel.is_left() {
            return Ok(());
        }
        let Prepared { module: dissolved, plan, remarks } = prepare(module, &self.at, context.dialects)?;
        let dissolved = if let Cow::Owned(dissolved) = dissolved { Some(dissolved) } else { None };
        context.remarks.extend(remarks);
        context.rewrite();
        if let Some(dissolved) = dissolved {
            *module = dissolved;
        }
        apply(module, &plan);
        Ok(())
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
