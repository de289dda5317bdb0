//! Layers that merge several tensors into one.

use netc_dialect::LowerError;
use netc_ir::{Binary, ElemType, Literal, Reduce, ValueId};

use crate::lower::call::promote::{Arg, Kind};
use crate::lower::call::{Call, normal_axis};
use crate::lower::dense::matmul;
use crate::lower::entry::{Entry, one};
use crate::lower::norm::unit;
use crate::lower::ops::reduce::logical;
use crate::lower::result::Result;

pub(crate) const LAYERS: &[Entry] = &[
    one("Add", |c| fold(c, Binary::Add), "The sum of the inputs."),
    one("Subtract", subtract, "The first input minus the second."),
    one("Multiply", product, "The elementwise product of the inputs."),
    one("Average", average, "The mean of the inputs."),
    one("Maximum", |c| extreme(c, Binary::Max), "The elementwise maximum of the inputs."),
    one("Minimum", |c| extreme(c, Binary::Min), "The elementwise minimum of the inputs."),
    one("Concatenate", concatenate, "The inputs concatenated along `axis`."),
    one("CustomScaleLayer", residual, "The first input plus `scale` times the second."),
    one("Dot", dot, "The dot product of two inputs along `axes`, for each example."),
];

/// The inputs at the same rank: those of lower rank get axes of extent 1 after their first.
fn aligned(c: &mut Call<'_, '_>) -> Result<Vec<ValueId>> {
    let inputs = c.inputs()?;
    let ranks = inputs.iter().map(|x| c.rank(*x)).collect::<Result<Vec<_>>>();
    // Inputs of unknown rank cannot be aligned: the core ops report them.
    let Ok(ranks) = ranks else { return Ok(inputs) };
    let rank = ranks.iter().copied().max().unwrap_or(0);
    let mut out = Vec::with_capacity(inputs.len());
    for (mut x, own) in inputs.into_iter().zip(ranks) {
        for _ in own..rank {
            x = c.expand(x, 1)?;
        }
        out.push(x);
    }
    Ok(out)
}

fn fold(c: &mut Call<'_, '_>, f: Binary) -> Result<ValueId> {
    let inputs = aligned(c)?;
    attach_merged(c)?;
    fold_all(c, f, &inputs)
}

/// Attaches the merged mask to the result. In Keras 3 that is the disjunction, if all inputs carry masks; in Keras 1
/// and 2 it is the conjunction of the masks that there are.
fn attach_merged(c: &mut Call<'_, '_>) -> Result<()> {
    if c.is_legacy() {
        let mut all = None;
        for mask in c.attached_to_first().into_iter().flatten() {
            if all.map(|all| c.rank(all)).transpose()?.is_some_and(|rank| c.rank(mask).ok() != Some(rank)) {
                return Err(c.unsupported("masks of different ranks"));
            }
            let mask = c.truth(mask)?;
            all = Some(c.both(all, mask)?);
        }
        c.attach(0, all);
        return Ok(());
    }
    let masks = c.attached_to_first();
    if let Some((first, rest)) = masks.into_iter().collect::<Option<Vec<_>>>().as_deref().and_then(|m| m.split_first())
    {
        let mut either = c.truth(*first)?;
        for mask in rest {
            if c.rank(*mask)? != c.rank(either)? {
                return Err(c.unsupported("masks of different ranks"));
            }
            let mask = c.truth(*mask)?;
            either = c.b.binary(Binary::Or, either, mask)?;
        }
        c.attach(0, Some(either));
    }
    Ok(())
}

/// The inputs, and the masks that `Multiply`, `Maximum` and `Minimum` apply to them: none in Keras 1 and 2.
///
/// Keras loses masks where it adds axes, so masks on inputs of different ranks are unsupported.
fn masked(c: &mut Call<'_, '_>) -> Result<(Vec<ValueId>, Vec<Option<ValueId>>)> {
    let inputs = aligned(c)?;
    let masks = c.attached_to_first();
    if c.is_legacy() || masks.iter().all(Option::is_none) {
        return Ok((inputs, Vec::new()));
    }
    let ranks = c.inputs()?.iter().map(|x| c.rank(*x)).collect::<Result<Vec<_>>>()?;
    if ranks.windows(2).any(|pair| pair[0] != pair[1]) {
        return Err(c.unsupported("masks and inputs of different ranks"));
    }
    Ok((inputs, masks))
}

/// A mask of steps as a mask of their elements.
fn of_elements(c: &mut Call<'_, '_>, mask: ValueId) -> Result<ValueId> {
    let rank = c.rank(mask)?;
    c.mask_along(mask, rank)
}

/// Masked elements count as 1; where all inputs are masked, the result is 0.
fn product(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let (mut inputs, masks) = masked(c)?;
    for (x, mask) in inputs.iter_mut().zip(&masks) {
        if let Some(mask) = mask {
            let keep = of_elements(c, *mask)?;
            *x = c.select(keep, *x, 1.0)?;
        }
    }
    let y = fold_all(c, Binary::Mul, &inputs)?;
    attach_merged(c)?;
    match c.attached.first().copied().flatten() {
        Some(either) if !c.is_legacy() => {
            let keep = of_elements(c, either)?;
            c.select(keep, y, 0.0)
        }
        Some(_) | None => Ok(y),
    }
}

/// Masked elements take the value of the other operand. Inputs are folded from the left.
fn extreme(c: &mut Call<'_, '_>, f: Binary) -> Result<ValueId> {
    let (inputs, masks) = masked(c)?;
    if masks.is_empty() {
        attach_merged(c)?;
        return fold_all(c, f, &inputs);
    }
    let keeps =
        masks.iter().map(|mask| mask.map(|mask| of_elements(c, mask)).transpose()).collect::<Result<Vec<_>>>()?;
    let mut all = inputs.into_iter().zip(keeps);
    let (mut y, mut kept) =
        all.next().ok_or_else(|| LowerError::Operands("expected at least one tensor to merge, found none".into()))?;
    for (x, keep) in all {
        let (mut a, mut b) = c.promote2(Arg::Tensor(y), Arg::Tensor(x), &[])?;
        if let Some(keep) = keep {
            b = c.select(keep, b, a)?;
        }
        if let Some(kept) = kept {
            a = c.select(kept, a, b)?;
        }
        kept = match (kept, keep) {
            (Some(kept), Some(keep)) => Some(c.b.binary(Binary::Or, kept, keep)?),
            _ => None,
        };
        y = c.b.binary(f, a, b)?;
    }
    attach_merged(c)?;
    Ok(y)
}

fn fold_all(c: &mut Call<'_, '_>, f: Binary, inputs: &[ValueId]) -> Result<ValueId> {
    let (first, rest) = inputs
        .split_first()
        .ok_or_else(|| LowerError::Operands("expected at least one tensor to merge, found none".into()))?;
    let mut y = *first;
    for x in rest {
        let (a, b) = c.promote2(Arg::Tensor(y), Arg::Tensor(*x), &[])?;
        y = c.b.binary(f, a, b)?;
    }
    Ok(y)
}

fn subtract(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let [a, b] = two(c, aligned)?;
    attach_merged(c)?;
    fold_all(c, Binary::Sub, &[a, b])
}

/// A layer of `keras.applications.InceptionResNetV2`.
fn residual(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let [x, y] = two(c, |c| c.inputs())?;
    let scale = Arg::Float(c.float("scale")?);
    let (y, scale) = c.promote2(Arg::Tensor(y), scale, &[])?;
    let y = c.b.binary(Binary::Mul, y, scale)?;
    let (x, y) = c.promote2(Arg::Tensor(x), Arg::Tensor(y), &[])?;
    Ok(c.b.binary(Binary::Add, x, y)?)
}

fn two(c: &mut Call<'_, '_>, inputs: fn(&mut Call<'_, '_>) -> Result<Vec<ValueId>>) -> Result<[ValueId; 2]> {
    let all = inputs(c)?;
    let n = all.len();
    all.try_into().map_err(|_| LowerError::Operands(format!("`{}` takes two tensors, found {n}", c.class())))
}

fn average(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let inputs = aligned(c)?;
    attach_merged(c)?;
    let sum = fold_all(c, Binary::Add, &inputs)?;
    let (sum, count) = c.promote2(Arg::Tensor(sum), Arg::Int(inputs.len() as i128), &[Kind::WeakFloat])?;
    c.div(sum, count)
}

fn concatenate(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let inputs: Vec<Arg> = c.inputs()?.into_iter().map(Arg::Tensor).collect();
    let inputs = c.promote(&inputs, &[])?;
    let first = *inputs
        .first()
        .ok_or_else(|| LowerError::Operands("expected at least one tensor to concatenate, found none".into()))?;
    let axis = c.axis("axis", c.rank(first)?, -1)?;
    attach_concatenated(c, &inputs, axis as u64)?;
    Ok(c.b.concat(&inputs, axis as u64)?)
}

/// If any input carries a mask, attaches one to the result: the concatenated masks of the elements, reduced over the
/// last axis by "any" in Keras 3 and by "all" in Keras 1 and 2.
fn attach_concatenated(c: &mut Call<'_, '_>, inputs: &[ValueId], axis: u64) -> Result<()> {
    let masks = c.attached_to_first();
    if masks.iter().all(Option::is_none) {
        return Ok(());
    }
    let mut parts = Vec::new();
    for (x, mask) in inputs.iter().zip(masks) {
        let dims = c.dims(*x)?;
        let keep = match mask {
            Some(mask) if c.rank(mask)? < dims.len() => of_elements(c, mask)?,
            Some(mask) => c.truth(mask)?,
            None => c.b.constant(Literal::splat(ElemType::Bool, &[], 1.0))?,
        };
        parts.push(c.b.broadcast(keep, dims)?);
    }
    let whole = c.b.concat(&parts, axis)?;
    let last = c.rank(whole)?.saturating_sub(1) as u64;
    let keeps = if c.is_legacy() { Reduce::Min } else { Reduce::Max };
    let mask = logical(c, keeps, whole, &[last], false)?;
    c.attach(0, Some(mask));
    Ok(())
}

/// `axes` names the axis of each input that is summed over; the first axis is the batch.
fn dot(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let [x, y] = two(c, |c| c.inputs())?;
    let (x, y) = c.promote2(Arg::Tensor(x), Arg::Tensor(y), &[])?;
    let (a, b) = (dot_axis(c, 0, x)?, dot_axis(c, 1, y)?);
    let (x, y) = if c.flag("normalize", false)? {
        (unit(c, x, &[a as u64], 1e-7)?, unit(c, y, &[b as u64], 1e-7)?)
    } else {
        (x, y)
    };
    let (rank_x, rank_y) = (c.rank(x)?, c.rank(y)?);
    if rank_x > 3 || rank_y > 3 {
        return Err(c.unsupported(format!("inputs of ranks {rank_x} and {rank_y}")));
    }
    // For each example, the product of two matrices; a vector becomes a matrix of one row or one column.
    let x = if rank_x == 2 {
        c.expand(x, 1)?
    } else if a == 1 {
        c.transpose(x, &[0, 2, 1])?
    } else {
        x
    };
    let y = if rank_y == 2 {
        c.expand(y, 2)?
    } else if b == 2 {
        c.transpose(y, &[0, 2, 1])?
    } else {
        y
    };
    let z = matmul(c, x, y)?;
    match (rank_x, rank_y) {
        (2, _) => c.squeeze(z, 1),
        (_, 2) => c.squeeze(z, 2),
        _ => Ok(z),
    }
}

fn dot_axis(c: &Call<'_, '_>, i: usize, x: ValueId) -> Result<usize> {
    let axes = c.get("axes");
    let axis = match axes.and_then(|a| a.as_list()) {
        Some([a, b]) => if i == 0 { a } else { b }.as_int(),
        Some(_) => None,
        None => axes.and_then(|a| a.as_int()),
    };
    let axis = axis.and_then(|a| normal_axis(a, c.rank(x).ok()?)).filter(|a| *a >= 1);
    axis.ok_or_else(|| c.bad("axes", "an axis, or one for each input, that is not the first axis"))
}
