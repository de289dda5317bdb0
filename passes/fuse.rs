//! Outlines ops that an executor can run in one kernel: a product with its bias, activation and residual addition, and
//! chains of elementwise ops.
//!
//! A group is a *head* (a `conv`, a `matmul` or an elementwise op) and elementwise ops that depend on it. All results
//! have the head's type, in `f32` or `f64`. Only the last result is read outside, so the others never need to be in
//! memory as a whole. Other operands must be defined before the head, except weights and constants, which can move. The
//! group takes the place of its head, so no tensor lives longer than before.
//!
//! Each group becomes a function with the same ops.

mod group;
mod outline;
#[cfg(test)]
mod tests;

use netc_ir::{Loc, Module};
use netc_pass::{Context, Fidelity, Pass, PassInfo, Result, counted, thousands};

use crate::analysis::warn_unlowered;

/// `fuse` as users see it.
pub const INFO: PassInfo = PassInfo {
    name: "fuse",
    summary: "Group ops that run in one kernel: products with bias and activation, chains of elementwise ops.",
    help: "Moves each `conv` or `matmul` and the elementwise ops after it, such as a bias, an activation or a residual \
           addition, into a function marked `fused = true`. Does the same with chains of elementwise ops. The executor \
           runs such a function as one step, so the tensors between its ops are never in memory as a whole.\n\n\
           An elementwise op joins a group if its result has the type of the product's result, in `f32` or `f64`, and if \
           its other operands are weights, constants or defined before the product. No op outside the group may read a \
           tensor between the group's ops.\n\n\
           Other passes do not look into fused functions, so run `fuse` last: `@simplify,fuse`. `inline` undoes it.",
    fidelity: Fidelity::Exact,
    options: &[],
    build: |_| Ok(Box::new(Fuse)),
};

struct Fuse;

impl Pass for Fuse {
    fn run(&self, module: &mut Module, context: &mut Context<'_>) -> Result<()> {
        warn_unlowered(module, INFO.name, context);
        let mut names = outline::Names::of(module);
        for id in module.func_ids().filter(|id| !module[*id].is_fused()).collect::<Vec<_>>() {
            let mut groups = group::plan(&module[id]);
            // A group relies on the groups before it, so those take fuel first.
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
