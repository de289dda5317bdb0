//! Transposed convolutions, as convolutions of a tensor with zeros between its elements.

use netc_dialect::LowerError;
use netc_ir::{CoreOp, Dim, PadMode, Padding, SliceAxis, ValueId, Window};

use crate::lower::call::Call;
use crate::lower::call::tensor::spatial;
use crate::lower::conv::bias_and_activation;
use crate::lower::entry::{Entry, one};
use crate::lower::result::Result;

pub(crate) const LAYERS: &[Entry] = &[
    one("Conv1DTranspose", |c| layer(c, 1), "Transposed convolution over one spatial axis."),
    one("Conv2DTranspose", |c| layer(c, 2), "Transposed convolution over two spatial axes."),
    one("Conv3DTranspose", |c| layer(c, 3), "Transposed convolution over three spatial axes."),
];

fn layer(c: &mut Call<'_, '_>, n: usize) -> Result<ValueId> {
    let x = c.input()?;
    let kernel = c.weight("vars/0", "the kernel")?;
    c.require_extents(kernel, "the kernel", 0, "kernel_size", n)?;
    c.require_extents(kernel, "the kernel", n, "filters", 1)?;
    let y = transposed(c, x, kernel, n)?;
    bias_and_activation(c, y, "vars/1", n)
}

/// The Keras kernel has the shape `spatial..., filters, channels`, and is applied mirrored.
fn transposed(c: &mut Call<'_, '_>, x: ValueId, kernel: ValueId, n: usize) -> Result<ValueId> {
    for (what, value) in [("tensor", x), ("kernel", kernel)] {
        if c.rank(value)? != n + 2 {
            return Err(LowerError::Operands(format!("the {what} is {}, expected rank {}", c.ty(value), n + 2)));
        }
    }
    let strides = at_least_1(c, "strides", n)?;
    let dilations = at_least_1(c, "dilation_rate", n)?;
    let borders = borders(c, kernel, &strides, &dilations)?;
    let layout = c.layout()?;
    let x = spread(c, x, &spatial(layout, &strides, 1))?;
    // The zeros before the first element are part of the border.
    let zeros = || strides.iter().map(|s| s - 1);
    let x = spatial(layout, &zeros().zip(&borders).map(|(z, b)| z.saturating_sub(b.0)).collect::<Vec<_>>(), 0)
        .into_iter()
        .enumerate()
        .try_fold(x, |x, (axis, start)| c.slice(x, axis, SliceAxis { start, ..SliceAxis::ALL }))?;
    let padding = zeros().zip(&borders).map(|(z, b)| (b.0.saturating_sub(z), b.1)).collect();
    let mirrored = c.b.core(CoreOp::Reverse((0..n as u64).collect()), &[kernel])?;
    let perm: Vec<usize> = (0..n).chain([n + 1, n]).collect();
    let kernel = c.transpose(mirrored, &perm)?;
    let window = Window { strides: vec![1; n], dilations, padding: Padding::Explicit(padding), layout };
    Ok(c.b.conv(x, kernel, window, 1)?)
}

fn at_least_1(c: &Call<'_, '_>, key: &str, n: usize) -> Result<Vec<u64>> {
    let all = c.tuple_or(key, n, 1)?;
    if all.contains(&0) { Err(c.bad(key, "integers of 1 or more")) } else { Ok(all) }
}

/// The border of each spatial axis, as `_convert_conv_transpose_padding_args_from_keras_to_jax` computes it.
fn borders(c: &Call<'_, '_>, kernel: ValueId, strides: &[u64], dilations: &[u64]) -> Result<Vec<(u64, u64)>> {
    let same = c.one_of("padding", &["valid", "same"])? == "same";
    let more = if c.has("output_padding") { Some(c.tuple("output_padding", strides.len())?) } else { None };
    let border = |axis: usize, (stride, dilation): (&u64, &u64)| {
        let size = c.extent(kernel, axis)?;
        let more = more.as_ref().and_then(|m| m.get(axis).copied());
        let reach = size.checked_sub(1).and_then(|n| n.checked_mul(*dilation));
        reach
            .and_then(|reach| border(reach, *stride, same, more))
            .ok_or_else(|| c.unsupported(format!("this padding for a kernel of type {}", c.ty(kernel))))
    };
    strides.iter().zip(dilations).enumerate().map(|(axis, pair)| border(axis, pair)).collect()
}

/// The border for a kernel that covers `reach` elements after its first; `None` on overflow.
fn border(reach: u64, stride: u64, same: bool, more: Option<u64>) -> Option<(u64, u64)> {
    let size = reach.checked_add(1)?;
    if !same {
        let more = more.unwrap_or(stride.saturating_sub(size));
        return Some((reach, reach.checked_add(more)?));
    }
    let both = match more {
        None => (stride - 1).checked_add(reach)?,
        Some(more) => size.checked_add(size % 2)?.checked_sub(2)?.checked_add(more)?,
    };
    let before = both.div_ceil(2).min(reach);
    Some((before, both - before))
}

/// Inserts `strides - 1` zeros before each element along each axis.
fn spread(c: &mut Call<'_, '_>, x: ValueId, strides: &[u64]) -> Result<ValueId> {
    if strides.iter().all(|s| *s == 1) {
        return Ok(x);
    }
    let dims = c.dims(x)?;
    let apart = dims.iter().flat_map(|d| [d.clone(), Dim::Known(1)]).collect();
    let amounts = strides.iter().flat_map(|s| [(0, 0), (s - 1, 0)]).collect();
    let long = dims.iter().zip(strides).map(|(d, s)| d.times(&Dim::Known(*s))).collect();
    let y = c.reshape(x, apart)?;
    let y = c.b.pad(y, amounts, PadMode::Constant, 0.0)?;
    c.reshape(y, long)
}
