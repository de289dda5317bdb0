//! Folding of affine chains, which batch normalization in inference mode is, into the products next to them.
//!
//! A product is a `conv` or a `matmul` whose kernel is constant. A chain is `x` with constants added, subtracted,
//! multiplied and divided by, each a scalar or one number per entry of one axis; it comes to `x * s + t`. What is
//! between its ops, and between it and the product, is read by nothing else.
//!
//! - After a product, along its output channels: `(x ∘ K) * s + t = x ∘ (K * s) + t`. `K * s` scales the last axis of the
//!   kernel, which holds the filters in every layout and with any number of groups.
//! - Before a product, along its input channels: `(x * s + t) ∘ K = x ∘ (K * s) + Σ K * t`. The sum is over a whole
//!   window, so with padding, whose zeros are not shifted, only without `t`.
//! - Elsewhere: a longer chain becomes one `mul` and one `add`.
//!
//! The pass does the algebra and leaves ops on constants, which `fold-const` computes.

mod chain;
mod emit;
#[cfg(test)]
mod tests;

use netc_ir::{Func, Module, OpId};
use netc_pass::{Context, Fidelity, Pass, PassError, PassInfo, Result};

use crate::analysis::note_layers_alone;

use crate::copy::{Copy, named};
use chain::{Chain, Finder, Product};

/// `fold-bn` as users see it.
pub const INFO: PassInfo = PassInfo {
    name: "fold-bn",
    summary: "Fold batch normalization, and scaling like it, into convolutions and matrix products.",
    help: "Multiplies what scales and shifts channels into the constant kernel of the `conv` or `matmul` before it, or \
           after it; what shifts becomes one `add`. Longer chains of such ops that are next to no product become one \
           `mul` and one `add`.\n\n\
           A chain is folded if nothing else reads what is between its ops: not through an activation, a residual \
           connection or a conversion of types. Into a convolution that pads and comes after, only a scale is folded, \
           because padding is not shifted.\n\n\
           The new kernels are computed by `fold-const`; before it, they are ops.",
    fidelity: Fidelity::Rounding,
    options: &[],
    build: |_| Ok(Box::new(FoldBn)),
};

struct FoldBn;

impl Pass for FoldBn {
    fn run(&self, module: &mut Module, context: &mut Context<'_>) -> Result<()> {
        note_layers_alone(module, INFO.name, context);
        let mut folded = Vec::new();
        for id in module.func_ids() {
            let mut folds = plan(&module[id]);
            folds.retain(|_| context.rewrite());
            if !folds.is_empty() {
                context.count("chains folded", folds.len() as u64);
                folded.push((id, apply(module, &module[id], &folds)?));
            }
        }
        folded.into_iter().for_each(|(id, func)| module[id] = func);
        Ok(())
    }
}

/// A chain with the product that it goes into.
struct Fold {
    chain: Chain,
    into: Target,
}

/// Where a chain goes.
enum Target {
    /// The product whose result it begins with.
    Before(Product),
    /// The product that reads its end.
    After(Product),
    /// Nowhere: it becomes shorter.
    Alone,
}

impl Fold {
    /// The ops that it replaces; in place of the last, the new ones stand.
    fn ops(&self) -> impl Iterator<Item = OpId> + '_ {
        let (before, after) = match &self.into {
            Target::Before(product) => (Some(product.op), None),
            Target::After(product) => (None, Some(product.op)),
            Target::Alone => (None, None),
        };
        before.into_iter().chain(self.chain.steps.iter().map(|s| s.op)).chain(after)
    }
}

/// What can be folded, in the order of the ops. No op is in two folds.
fn plan(func: &Func) -> Vec<Fold> {
    let finder = Finder::of(func);
    let mut taken = vec![false; func.num_op_slots()];
    let mut folds: Vec<Fold> = Vec::new();
    let mut add = |fold: Fold, taken: &mut Vec<bool>| {
        fold.ops().for_each(|op| taken[op.index()] = true);
        folds.push(fold);
    };
    for id in func.op_ids() {
        let Some(product) = finder.product(id) else { continue };
        let chain = finder.chain_from(product.result, product.channel_axis);
        if chain.is_more_than_bias() {
            add(Fold { chain, into: Target::Before(product) }, &mut taken);
        }
    }
    for id in func.op_ids() {
        let Some(first) = finder.step(id).filter(|_| !taken[id.index()]) else { continue };
        let chain = finder.chain_of(first);
        match finder.product_after(&chain).filter(|product| !taken[product.op.index()]) {
            Some(product) => add(Fold { chain, into: Target::After(product) }, &mut taken),
            None if chain.is_long() => add(Fold { chain, into: Target::Alone }, &mut taken),
            None => chain.steps.iter().for_each(|s| taken[s.op.index()] = true),
        }
    }
    folds
}

/// The function with the folds done.
fn apply(module: &Module, func: &Func, folds: &[Fold]) -> Result<Func> {
    let mut fold_of = vec![None; func.num_op_slots()];
    for fold in folds {
        fold.ops().for_each(|op| fold_of[op.index()] = Some(fold));
    }
    let mut copy = Copy::new(module, func, func.name.clone());
    func.params.iter().for_each(|p| copy.param(p));
    for (id, op) in func.ops() {
        match fold_of[id.index()] {
            None => copy.op(op),
            Some(fold) if fold.ops().last() == Some(id) => {
                let result = emit::emit(&mut copy, func, fold)
                    .map_err(|e| PassError::because(format!("cannot fold the op at {}", op.loc), e))?;
                copy.set(op.results[0], result);
            }
            Some(_) => {}
        }
    }
    let mut folded = copy.finish(named(&func.outputs));
    folded.attrs = func.attrs.clone();
    Ok(folded)
}
