//! Layers that make one tensor of several.

use netc_ir::{Binary, ValueId};
use netc_pass::LowerError;

use super::call::{Call, normal_axis};
use super::dense::matmul;
use super::norm::unit;
use super::promote::{Arg, Kind};
use super::{Done, Entry, One, one};

pub(super) const LAYERS: &[Entry] = &[
    one("Add", |c| fold(c, Binary::Add), "The sum of the inputs."),
    one("Subtract", subtract, "The first input less the second."),
    one("Multiply", |c| masked_fold(c, Binary::Mul), "The product of the inputs, element by element."),
    one("Average", average, "The mean of the inputs."),
    one("Maximum", |c| masked_fold(c, Binary::Max), "The largest of the inputs, element by element."),
    one("Minimum", |c| masked_fold(c, Binary::Min), "The smallest of the inputs, element by element."),
    one("Concatenate", concatenate, "The inputs one after the other along `axis`."),
    one("CustomScaleLayer", residual, "The first input and a multiple of the second."),
    one("Dot", dot, "The products of the examples' tensors, summed along `axes`."),
];

/// The inputs, with axes after the first axis of those that have fewer.
fn aligned(c: &mut Call<'_, '_>) -> Done<Vec<ValueId>> {
    let inputs = c.inputs()?;
    let ranks = inputs.iter().map(|x| c.rank(*x)).collect::<Done<Vec<_>>>();
    // Without a rank there is nothing to align: the core ops say what they need.
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

fn fold(c: &mut Call<'_, '_>, f: Binary) -> One {
    let inputs = aligned(c)?;
    fold_all(c, f, &inputs)
}

fn masked_fold(c: &mut Call<'_, '_>, f: Binary) -> One {
    c.unmasked()?;
    fold(c, f)
}

fn fold_all(c: &mut Call<'_, '_>, f: Binary, inputs: &[ValueId]) -> One {
    let (first, rest) = inputs.split_first().ok_or_else(|| LowerError::Operands("a merge of no tensors".into()))?;
    let mut y = *first;
    for x in rest {
        let (a, b) = c.promote2(Arg::Tensor(y), Arg::Tensor(*x), &[])?;
        y = c.b.binary(f, a, b)?;
    }
    Ok(y)
}

fn subtract(c: &mut Call<'_, '_>) -> One {
    let [a, b] = two(c, aligned)?;
    fold_all(c, Binary::Sub, &[a, b])
}

/// Of `keras.applications.InceptionResNetV2`.
fn residual(c: &mut Call<'_, '_>) -> One {
    let [x, y] = two(c, |c| c.inputs())?;
    let scale = Arg::Float(c.float("scale")?);
    let (y, scale) = c.promote2(Arg::Tensor(y), scale, &[])?;
    let y = c.b.binary(Binary::Mul, y, scale)?;
    let (x, y) = c.promote2(Arg::Tensor(x), Arg::Tensor(y), &[])?;
    Ok(c.b.binary(Binary::Add, x, y)?)
}

fn two(c: &mut Call<'_, '_>, inputs: fn(&mut Call<'_, '_>) -> Done<Vec<ValueId>>) -> Done<[ValueId; 2]> {
    let all = inputs(c)?;
    let n = all.len();
    all.try_into().map_err(|_| LowerError::Operands(format!("`{}` takes two tensors, found {n}", c.class())))
}

fn average(c: &mut Call<'_, '_>) -> One {
    let inputs = aligned(c)?;
    let sum = fold_all(c, Binary::Add, &inputs)?;
    let (sum, count) = c.promote2(Arg::Tensor(sum), Arg::Int(inputs.len() as i128), &[Kind::WeakFloat])?;
    c.div(sum, count)
}

fn concatenate(c: &mut Call<'_, '_>) -> One {
    let inputs: Vec<Arg> = c.inputs()?.into_iter().map(Arg::Tensor).collect();
    let inputs = c.promote(&inputs, &[])?;
    let first = *inputs.first().ok_or_else(|| LowerError::Operands("a concatenation of no tensors".into()))?;
    let axis = c.axis("axis", c.rank(first)?, -1)?;
    Ok(c.b.concat(&inputs, axis as u64)?)
}

/// `axes` name the axis of each input that is summed over; the first axis is the batch.
fn dot(c: &mut Call<'_, '_>) -> One {
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
        return Err(c.unsupported(format!("inputs of rank {rank_x} and {rank_y}")));
    }
    // Rows of the examples' matrices times columns; a vector is a matrix of one row or one column.
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

fn dot_axis(c: &Call<'_, '_>, i: usize, x: ValueId) -> Done<usize> {
    let axes = c.get("axes");
    let axis = match axes.and_then(|a| a.as_list()) {
        Some([a, b]) => if i == 0 { a } else { b }.as_int(),
        Some(_) => None,
        None => axes.and_then(|a| a.as_int()),
    };
    let axis = axis.and_then(|a| normal_axis(a, c.rank(x).ok()?)).filter(|a| *a >= 1);
    axis.ok_or_else(|| c.bad("axes", "an axis, or one for each input, after the first axis"))
}
