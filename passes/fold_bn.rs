//! Folds affine chains, such as batch normalization in inference mode, into the products next to them.
//!
//! A product is a `conv` or a `matmul` with a constant kernel. A chain adds, subtracts, multiplies or divides `x` by
//! constants, each a scalar or a vector along one axis. It amounts to `x * s + t`. Nothing else may read the values
//! between its ops, or between it and the product.
//!
//! - After a product, along its output channels: `(x ∘ K) * s + t = x ∘ (K * s) + t`. `K * s` scales the last axis of
//!   the kernel, which holds the filters in every layout and for any number of groups.
//! - Before a product, along its input channels: `(x * s + t) ∘ K = x ∘ (K * s) + Σ K * t`. The sum is over a whole
//!   window. If the product pads, this holds only without `t`, because the padding zeros are not shifted.
//! - Elsewhere: a longer chain becomes one `mul` and one `add`.
//!
//! The pass does the algebra. The new kernels are ops on constants, which `fold-const` evaluates.

mod chain;
mod emit;
#[cfg(test)]
mod tests;

use netc_ir::{Func, Module, OpId};
use netc_pass::{Context, Fidelity, Pass, PassError, PassInfo, Result};

use crate::analysis::warn_unlowered;

use crate::copy::{Copy, named};
use chain::{Chain, Finder, Product};

/// `fold-bn` as users see it.
pub const INFO: PassInfo = PassInfo {
    name: "fold-bn",
    summary: "Fold batch normalization and similar scaling into convolutions and matrix products.",
    help: "Folds ops that scale and shift channels into the constant kernel of the `conv` or `matmul` before or after \
           them; the shift becomes one `add`. Longer chains of such ops without a product next to them become one `mul` \
           and one `add`.\n\n\
           A chain is folded only if nothing else reads the values between its ops. It does not extend through an \
           activation, a residual connection or a cast. A shift is not folded into a following convolution that pads, \
           because padding is not shifted.\n\n\
           The new kernels are ops on constants until `fold-const` evaluates them.",
    fidelity: Fidelity::Rounding,
    options: &[],
    build: |_| Ok(Box::new(FoldBn)),
};

struct FoldBn;

impl Pass for FoldBn {
    fn run(&self, module: &mut Module, context: &mut Context<'_>) -> Result<()> {
        warn_unlowered(module, INFO.name, context);
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

/// A chain and where to fold it.
struct Fold {
    chain: Chain,
    into: Target,
}

/// Where to fold a chain.
enum Target {
    /// Into the product whose result the chain reads.
    Before(Product),
    /// Into the product that reads the end of the chain.
    After(Product),
    /// Nowhere: the chain only becomes shorter.
    Alone,
}

impl Fold {
    /// The ops that it replaces. The new ops take the place of the last.
    fn ops(&self) -> impl Iterator<Item = OpId> + '_ {
        let (before, after) = match &self.into {
            Target::Before(product) => (Some(product.op), None),
            Target::After(product) => (None, Some(product.op)),
            Target::Alone => (None, None),
        };
        before.into_iter().chain(self.chain.steps.iter().map(|s| s.op)).chain(after)
    }
}

/// All folds, in the order of the ops. No op is in two folds.
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
