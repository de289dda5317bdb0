//! Builds the ops that a fold leaves.

use netc_ir::{Binary, Builder, Dim, Func, InferError, Loc, OpKind, Reduce, Unary, ValueId};

use super::chain::{Chain, Product, Step, StepKind};
use super::{Fold, Target};
use crate::copy::Copy;

/// Adds the ops that replace the fold, and returns their result.
pub(super) fn emit(copy: &mut Copy<'_>, func: &Func, fold: &Fold) -> Result<ValueId, InferError> {
    let affine = affine(copy, func, &fold.chain)?;
    let loc = Loc::fuse(fold.ops().map(|op| func[op].loc.clone()));
    match &fold.into {
        Target::Before(product) => after_product(copy, func, product, affine, loc),
        Target::After(product) => before_product(copy, func, &fold.chain, product, affine, loc),
        Target::Alone => {
            let x = get(copy, fold.chain.x)?;
            let b = copy.builder.at(loc);
            let scaled = affine.scale.map_or(Ok(x), |scale| b.binary(Binary::Mul, x, scale))?;
            shifted(b, scaled, affine.shift)
        }
    }
}

/// The new value for an old one.
fn get(copy: &Copy<'_>, old: ValueId) -> Result<ValueId, InferError> {
    let undefined = || InferError { op: "operand", constraint: 0, note: format!("{old} is not defined") };
    copy.get_all(&[old]).first().copied().ok_or_else(undefined)
}

fn shifted(b: &mut Builder<'_>, x: ValueId, shift: Option<ValueId>) -> Result<ValueId, InferError> {
    shift.map_or(Ok(x), |shift| b.binary(Binary::Add, x, shift))
}

/// The affine map `x * scale + shift`. Each is a scalar, or varies along the axis of the chain, followed by axes of
/// extent 1.
#[derive(Default)]
struct Affine {
    scale: Option<ValueId>,
    shift: Option<ValueId>,
}

/// Computes the affine map of the chain.
fn affine(copy: &mut Copy<'_>, func: &Func, chain: &Chain) -> Result<Affine, InferError> {
    let mut affine = Affine::default();
    for step in &chain.steps {
        let c = get(copy, step.c)?;
        let b = copy.builder.at(func[step.op].loc.clone());
        let c = along(b, c, step.axis)?;
        affine = affine.then(b, step, c)?;
    }
    Ok(affine)
}

impl Affine {
    /// Composes this with the next step, whose constant is `c`.
    fn then(self, b: &mut Builder<'_>, step: &Step, c: ValueId) -> Result<Self, InferError> {
        let Self { scale, shift } = self;
        let mut on = |f: Binary, value: Option<ValueId>| value.map(|v| b.binary(f, v, c)).transpose();
        Ok(match step.kind {
            StepKind::Plus => Self { scale, shift: on(Binary::Add, shift)?.or(Some(c)) },
            StepKind::Times => Self { scale: on(Binary::Mul, scale)?.or(Some(c)), shift: on(Binary::Mul, shift)? },
            StepKind::Over => {
                let shift = on(Binary::Div, shift)?;
                let divided = scale.map_or_else(|| b.scalar_like(c, 1.0), Ok)?;
                Self { scale: Some(b.binary(Binary::Div, divided, c)?), shift }
            }
            StepKind::Minus => {
                let left = on(Binary::Sub, shift)?;
                Self { scale, shift: Some(left.map_or_else(|| b.unary(Unary::Neg, c), Ok)?) }
            }
            StepKind::MinusFrom => {
                let negated = match scale {
                    Some(scale) => b.unary(Unary::Neg, scale)?,
                    None => b.scalar_like(c, -1.0)?,
                };
                let shift = shift.map_or(Ok(c), |shift| b.binary(Binary::Sub, c, shift))?;
                Self { scale: Some(negated), shift: Some(shift) }
            }
        })
    }
}

/// Reshapes `c` to a scalar, or to a vector followed by `axis` axes of extent 1.
fn along(b: &mut Builder<'_>, c: ValueId, axis: Option<usize>) -> Result<ValueId, InferError> {
    let count = Dim::product(b.ty(c).dims.iter().flatten());
    let dims = axis.map(|axis| std::iter::once(count).chain(vec![Dim::Known(1); axis]).collect());
    b.reshape(c, dims.unwrap_or_default())
}

/// Moves the numbers of a vector made by [`along`] to the last axis.
fn flat(b: &mut Builder<'_>, v: ValueId) -> Result<ValueId, InferError> {
    let axis = b.ty(v).rank().filter(|rank| *rank > 0).map(|_| 0);
    along(b, v, axis)
}

/// `(x ∘ K) * s + t = x ∘ (K * s) + t`.
fn after_product(
    copy: &mut Copy<'_>,
    func: &Func,
    product: &Product,
    affine: Affine,
    loc: Loc,
) -> Result<ValueId, InferError> {
    let (x, mut kernel) = (get(copy, product.x)?, get(copy, product.kernel)?);
    if let Some(scale) = affine.scale {
        let b = copy.builder.at(func[product.op].loc.clone());
        let scale = flat(b, scale)?;
        kernel = b.binary(Binary::Mul, kernel, scale)?;
    }
    let y = again(copy.builder.at(loc), func, product, x, kernel)?;
    shifted(&mut copy.builder, y, affine.shift)
}

/// `(x * s + t) ∘ K = x ∘ (K * s) + Σ K * t`.
fn before_product(
    copy: &mut Copy<'_>,
    func: &Func,
    chain: &Chain,
    product: &Product,
    affine: Affine,
    loc: Loc,
) -> Result<ValueId, InferError> {
    let (x, kernel) = (get(copy, chain.x)?, get(copy, product.kernel)?);
    let b = copy.builder.at(func[product.op].loc.clone());
    let shift = affine.shift.map(|shift| sum_of_shifts(b, product, kernel, shift)).transpose()?;
    let kernel = affine.scale.map_or(Ok(kernel), |scale| times_channels(b, product, kernel, scale))?;
    let y = again(b.at(loc), func, product, x, kernel)?;
    shifted(b, y, shift)
}

/// Adds the product again, with other operands.
fn again(
    b: &mut Builder<'_>,
    func: &Func,
    product: &Product,
    x: ValueId,
    kernel: ValueId,
) -> Result<ValueId, InferError> {
    match &func[product.op].kind {
        OpKind::Core(core) => b.core(core.clone(), &[x, kernel]),
        OpKind::Source(_) | OpKind::Call(_) => Ok(x),
    }
}

/// Multiplies the part of the kernel for each input channel by that channel's number in `v`.
///
/// Group `i` has the channels from `i * per_group` on, and the `i`-th part of the filters.
fn times_channels(b: &mut Builder<'_>, product: &Product, kernel: ValueId, v: ValueId) -> Result<ValueId, InferError> {
    if b.ty(v).rank() == Some(0) {
        return b.binary(Binary::Mul, kernel, v);
    }
    let dims = b.ty(kernel).dims.clone().unwrap_or_default();
    let [taps @ .., per_group, filters] = &dims[..] else { return Ok(kernel) };
    if product.groups == 1 {
        let v = b.reshape(v, vec![per_group.clone(), Dim::Known(1)])?;
        return b.binary(Binary::Mul, kernel, v);
    }
    let groups = Dim::Known(product.groups);
    let v = b.reshape(v, vec![groups.clone(), per_group.clone()])?;
    let v = b.transpose(v, vec![1, 0])?;
    let v = b.reshape(v, vec![per_group.clone(), groups.clone(), Dim::Known(1)])?;
    let split = [taps, &[per_group.clone(), groups, filters.floor_div(product.groups)]].concat();
    let grouped = b.reshape(kernel, split)?;
    let scaled = b.binary(Binary::Mul, grouped, v)?;
    b.reshape(scaled, dims)
}

/// Computes the effect of shifting the input channels on the result of the product, to be added to it.
fn sum_of_shifts(
    b: &mut Builder<'_>,
    product: &Product,
    kernel: ValueId,
    shift: ValueId,
) -> Result<ValueId, InferError> {
    let shifts = times_channels(b, product, kernel, shift)?;
    let summed = b.ty(shifts).rank().unwrap_or_default().saturating_sub(1) as u64;
    if product.is_batched(b.ty(shifts)) {
        return b.reduce(Reduce::Sum, shifts, vec![summed.saturating_sub(1)], true);
    }
    let sum = b.reduce(Reduce::Sum, shifts, (0..summed).collect(), false)?;
    along(b, sum, Some(product.channel_axis))
}
