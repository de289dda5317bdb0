//! Brings convolutions and poolings to one layout, with as few transposes as there can be.
//!
//! A value of rank 3 or more may be held in two orders of its axes: as the program has it, or *moved*, as the wanted
//! layout has it. A convolution or pooling of the other layout is computed on what is moved. Whatever computes the same
//! in either order, such as a sum or a concatenation, may be computed in either; everything else, parameters and results
//! included, stands as it is. Where what a value is held in is not what a reader wants, there is a transpose, one for all
//! such readers.
//!
//! Which ops are computed moved so that transposes move the fewest bytes, is the cut of least weight between those that
//! must be and those that cannot: `plan` makes the graph, and `cut` the cut. A transpose that the program has already
//! is such an edge too: what it reads in one order is what it gives in the other. Of cuts that weigh the same the one
//! that moves most is taken: what follows a convolution is then next to it, for `fuse`.
//!
//! Only data moves. A reduction is moved where it meets the elements in the same order as before.

mod cut;
mod emit;
mod order;
mod plan;
mod recast;
#[cfg(test)]
mod tests;

use netc_ir::{CoreOp, Func, Layout, Module, OpKind};
use netc_pass::{Context, Fidelity, OptionInfo, OptionKind, Pass, PassInfo, Result};

use crate::analysis::{constant_values, note_layers_alone};
use order::Order;
use plan::Plan;

/// `layout` as users see it.
pub const INFO: PassInfo = PassInfo {
    name: "layout",
    summary: "Compute convolutions and poolings channels last, or channels first, with the fewest transposes.",
    help: "Makes every `conv`, `max_pool` and `avg_pool` one of the wanted layout, and puts transposes where tensors change \
           their order of axes: where they move the fewest bytes. Elementwise ops, `concat`, `pad`, `slice`, reductions \
           and what else computes the same in either order is computed in the wanted one if that saves transposes; those \
           that the program has are cancelled too. The parameters and results of functions stay as they are.\n\n\
           netc's executor computes channels last. It transposes around each convolution and pooling that is channels \
           first, so `layout` makes such networks faster: `@simplify,layout,fold-const,fuse`.\n\n\
           Constants are transposed by ops, which `fold-const` computes. Functions that `fuse` made stay as they are. \
           Extents that are not known count as 32.",
    fidelity: Fidelity::Exact,
    options: &[OptionInfo {
        name: "to",
        kind: OptionKind::Choice { of: &["channels-last", "channels-first"], default: "channels-last" },
        help: "The layout that convolutions and poolings get.",
    }],
    build: |options| {
        let first = options.choice("to") == "channels-first";
        Ok(Box::new(Transform { order: Order::of(if first { Layout::ChannelsFirst } else { Layout::ChannelsLast }) }))
    },
};

struct Transform {
    order: Order,
}

impl Pass for Transform {
    fn run(&self, module: &mut Module, context: &mut Context<'_>) -> Result<()> {
        note_layers_alone(module, INFO.name, context);
        for id in module.func_ids().filter(|id| !module[*id].is_fused()).collect::<Vec<_>>() {
            let plan = plan::plan(&module[id], self.order, &mut context.fuel);
            for op in &plan.unranked {
                let note = "stays as it is: the rank of what it reads is not known";
                context.remark(INFO.name, module[id][*op].loc.clone(), note);
            }
            if !plan.is_empty() {
                let func = emit::apply(module, &module[id], &plan, self.order);
                report(&module[id], &func, &plan, context);
                module[id] = func;
            }
        }
        Ok(())
    }
}

/// Tells what became of the transposes of a function.
fn report(before: &Func, after: &Func, plan: &Plan, context: &mut Context<'_>) {
    let (old, left) = (transposes(before), transposes(after));
    let placed = 2 * plan.windows;
    let cancelled = (old + placed).saturating_sub(left);
    context.count("ops moved", plan.num_moved());
    context.count("transposes placed", placed);
    context.count("transposes cancelled", cancelled);
    context.count("transposes left", left);
    let of_old = if old > 0 { format!("{old} there, ") } else { String::new() };
    let text = format!(
        "@{}: convolutions and poolings moved: {}; transposes: {of_old}{placed} placed, {cancelled} cancelled, {left} left",
        before.name, plan.windows
    );
    context.remark(INFO.name, netc_ir::Loc::Unknown, text);
}

/// How many transposes move what is not constant.
fn transposes(func: &Func) -> u64 {
    let constant = constant_values(func);
    let moves = |op: &&netc_ir::Op| {
        matches!(op.kind, OpKind::Core(CoreOp::Transpose(_))) && op.operands.iter().all(|v| !constant[v.index()])
    };
    func.ops().map(|(_, op)| op).filter(moves).count() as u64
}
