//! Splits the model into stages: functions that `@main` calls one after the other.
//!
//! [`prepare()`] decides, [`apply()`] rewrites and cannot fail. A cut is a set of values. The first stage has the ops
//! that the first cut needs, each next stage the further ops that the next cut needs, and the last stage the remaining
//! ops for the outputs. Every crossing value is an output of the stage that computes it and an input of each later
//! stage that reads it; stages in between do not handle it. Weights and constants do not cross: each stage that reads
//! one has its own op. Layers, weights, and the names and locations of ops do not change. The calls of the stages have
//! no location, because nothing in the model's source corresponds to them.
//!
//! The stages are called `@stage0`, `@stage1`, ... If the module already has a function of that name, such as a nested
//! model, a number is appended: `@stage0_1`.

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
    summary: "Split the model into stages, each a model of its own.",
    help: "Divides `@main` into stages `@stage0`, `@stage1`, ..., which compute the same when run one after the other.\n\n\
           - `split=mixed9` cuts after the layer `mixed9`: two stages.\n\
           - `split=before:activation_46` cuts before a layer, at its inputs.\n\
           - `split=#128` cuts after layer 128, as the model's framework counts layers.\n\
           - `split=shared@1` cuts after the second application of a shared layer.\n\
           - `split=mixed3,mixed7` cuts twice: three stages. The order does not matter.\n\
           - `split=a+b` makes one cut through two parallel branches. A place adds nothing if another place already \
           depends on it.\n\
           - `split=backbone/conv4` cuts inside the nested model `backbone`, after its layer `conv4`. The nested models \
           around the cut are flattened, as by `inline`: their layers become layers of the stages. All other nested models \
           stay.\n\
           - `split=\"a,b\"` cuts after a layer whose name contains a comma.\n\n\
           In a program without layers, cuts name values: `split=%y`. A cut may be crossed by several tensors; a remark \
           lists them and names the nearest cuts that only one tensor crosses. Weights and constants do not cross: each \
           stage has its own. Inputs of the model do not cross either: each stage that reads one takes it as an input. Ops \
           that no output needs are dropped.\n\n\
           netc rejects a cut between a layer that makes an implicit mask and a layer that reads it, because the stages \
           would compute something else, and names the nearest valid cuts. Masks passed explicitly in a call are ordinary \
           tensors and may cross.\n\n\
           If another function has the name of a stage, a number is appended: `@stage0_1`.",
    fidelity: Fidelity::Exact,
    options: &[OptionInfo {
        name: "at",
        kind: OptionKind::List { value: "CUT" },
        help: "Where to cut: a layer or a value, `before:NAME`, `#N`, `layer@N`, `model/layer`, or several joined by `+`.",
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
        let Prepared { module: flattened, plan, remarks } = prepare(module, &self.at, context.dialects)?;
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

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
