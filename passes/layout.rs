//! Converts convolutions and poolings to one layout with as few transposes as possible.
//!
//! A value of rank 3 or more can have its axes in two orders: as in the program, or *moved*, as in the wanted layout. A
//! convolution or pooling of the other layout is computed on moved values. An op that computes the same in either
//! order, such as an addition or a concatenation, may be computed in either. All other values, parameters and results
//! included, stay as they are. If a value and a reader have different orders, there is a transpose, one for all such
//! readers.
//!
//! Layout assignment is a minimum cut: it chooses the moved ops so that transposes move the fewest bytes. One side has
//! the ops that must be moved, the other side those that cannot. `plan` builds the graph and `cut` finds the cut. A
//! transpose of the program is an edge too: its operand in one order is its result in the other. Among minimum cuts,
//! the one that moves the most ops is taken. It keeps the ops after a convolution next to it, where `fuse` finds them.
//!
//! The pass only moves data. A reduction is moved only if it meets the elements in the same order as before.

mod cut;
mod emit;
mod order;
mod plan;
mod recast;
#[cfg(test)]
mod tests;

use netc_ir::{CoreOp, Func, Layout, Module, OpKind};
use netc_pass::{Context, Fidelity, OptionInfo, OptionKind, Pass, PassInfo, Result};

use crate::analysis::{constant_values, warn_unlowered};
use order::Order;
use plan::Plan;

/// `layout` as users see it.
pub const INFO: PassInfo = PassInfo {
    name: "layout",
    summary: "Convert convolutions and poolings to channels last or channels first with the fewest transposes.",
    help: "Converts every `conv`, `max_pool` and `avg_pool` to the wanted layout, and places transposes where they move the \
           fewest bytes. Elementwise ops, `concat`, `pad`, `slice`, reductions and other ops that compute the same in \
           either layout change to the wanted one if that saves transposes. Transposes of the program are cancelled too. \
           Parameters and results of functions keep their layout.\n\n\
           netc's executor computes channels last. It transposes around each channels-first convolution and pooling, so \
           `layout` makes such networks faster: `@simplify,layout,fold-const,fuse`.\n\n\
           Constants are transposed by ops, which `fold-const` evaluates. Functions made by `fuse` do not change. Unknown \
           extents count as 32.",
    fidelity: Fidelity::Exact,
    options: &[OptionInfo {
        name: "to",
        kind: OptionKind::Choice { of: &["channels-last", "channels-first"], default: "channels-last" },
        help: "The wanted layout.",
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
        warn_unlowered(module, INFO.name, context);
        for id in module.func_ids().filter(|id| !module[*id].is_fused()).collect::<Vec<_>>() {
            let plan = plan::plan(&module[id], self.order, &mut context.fuel);
            for op in &plan.unranked {
                let note = "not converted: the rank of its input is unknown";
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

/// Reports what became of the transposes of a function.
fn report(before: &Func, after: &Func, plan: &Plan, context: &mut Context<'_>) {
    let (old, left) = (transposes(before), transposes(after));
    let placed = 2 * plan.windows;
    let cancelled = (old + placed).saturating_sub(left);
    context.count("ops moved", plan.num_moved());
    context.count("transposes placed", placed);
    context.count("transposes cancelled", cancelled);
    context.count("transposes left", left);
    let of_old = if old > 0 { format!("{old} before, ") } else { String::new() };
    let text = format!(
        "@{}: converted convolutions and poolings: {}; transposes: {of_old}{placed} added, {cancelled} cancelled, {left} \
         left",
        before.name, plan.windows
    );
    context.remark(INFO.name, netc_ir::Loc::Unknown, text);
}

/// The number of transposes of values that are not constant.
fn transposes(func: &Func) -> u64 {
    let constant = constant_values(func);
    let moves = |op: &&netc_ir::Op| {
        matches!(op.kind, OpKind::Core(CoreOp::Transpose(_))) && op.operands.iter().all(|v| !constant[v.index()])
    };
    func.ops().map(|(_, op)| op).filter(moves).count() as u64
}
