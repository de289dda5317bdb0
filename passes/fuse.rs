//! Outlining of what an executor computes in one kernel: a product with its bias, its activation and the residual that is
//! added to it; and elementwise ops that read one another.
//!
//! A group is a *head*, a `conv`, a `matmul` or an elementwise op, and elementwise ops that depend on it, all with results
//! of the head's type, in `f32` or `f64`. Only the last result is read elsewhere, so no other needs to exist as a whole.
//! What else the ops read is there before the head, weights and constants excepted, which have no time: a group stands
//! where its head stood, and no tensor lives longer than before.
//!
//! Each group becomes a function of its own, whose ops are those of the group as they are.

mod group;
mod outline;
#[cfg(test)]
mod tests;

use netc_ir::{Loc, Module};
use netc_pass::{Context, Fidelity, Pass, PassInfo, Result, counted, thousands};

use crate::analysis::note_layers_alone;

/// `fuse` as users see it.
pub const INFO: PassInfo = PassInfo {
    name: "fuse",
    summary: "Make functions of ops that run in one kernel: products with bias and activation, elementwise chains.",
    help: "Makes a function, marked `fused = true`, of each `conv` or `matmul` and the elementwise ops behind it, such as \
           the addition of a bias, an activation or the addition of a residual; and of elementwise ops that read one \
           another. The executor runs such a function as one step: what is between its ops is never in memory as a \
           whole.\n\n\
           An op is taken in if its result has the type of the product's, in `f32` or `f64`, if what else it reads is \
           there before the product or is a weight or constant, and if only ops that are taken in read what is \
           between.\n\n\
           Other passes do not look through the calls that this one leaves, so it comes last: `@simplify,fuse`. `inline` \
           undoes it.",
    fidelity: Fidelity::Exact,
    options: &[],
    build: |_| Ok(Box::new(Fuse)),
};

struct Fuse;

impl Pass for Fuse {
    fn run(&self, module: &mut Module, context: &mut Context<'_>) -> Result<()> {
        note_layers_alone(module, INFO.name, context);
        let mut names = outline::Names::of(module);
        for id in module.func_ids().filter(|id| !module[*id].is_fused()).collect::<Vec<_>>() {
            let mut groups = group::plan(&module[id]);
            // A group relies on those before it, which burn first.
            groups.retain(|_| context.rewrite());
            if groups.is_empty() {
                continue;
            }
            context.count("groups of ops", groups.len() as u64);
            let ops = thousands(groups.iter().map(|group| group.ops.len() as u64).sum());
            let steps = counted(groups.len() as u64, "step");
            context.remark(INFO.name, Loc::Unknown, format!("@{}: {ops} ops run in {steps}", module[id].name));
            outline::apply(module, id, &groups, &mut names);
        }
        Ok(())
    }
}
