//! Convolution: copies windows into the rows of a matrix (im2col) and multiplies that matrix by the kernel.
//!
//! A 1x1 kernel is a plain matrix product. Small groups are computed directly, as weighted sums over the windows.

use netc_ir::{Layout, Window};

use super::geometry::Geometry;
use super::matmul::{matrix_product, zeroed, zeros};
use super::num::{Arith, for_arith};
use super::rows::for_each_row;
use super::shape;
use crate::error::kernel::Result;
use crate::value::{Value, Word, allocate, for_word};

/// Maximum elements of the im2col matrix at a time. Bounds the memory of large images.
pub(super) const CHUNK: usize = 1 << 21;

/// Maximum channels times filters of a group that is computed directly. For such small matrices, im2col takes longer
/// than the product saves.
const SMALL_GROUP: usize = 1 << 10;

/// Convolves `x` with a kernel of shape `[spatial..., in / groups, out]`. `dims` is the shape of the result.
pub(super) fn conv(x: &Value, kernel: &Value, window: &Window, groups: u64, dims: &[usize]) -> Result<Value> {
    let last = to_channels_last(x, window.layout)?;
    let out = channels_last_dims(dims, window.layout);
    let y = conv_last(&last, kernel, window, groups as usize, &out)?;
    from_channels_last(&y, window.layout)
}

/// Permutes `x` from `layout` to channels-last.
pub(super) fn to_channels_last(x: &Value, layout: Layout) -> Result<Value> {
    let rank = x.dims().len();
    match layout {
        Layout::ChannelsLast => Ok(x.clone()),
        Layout::ChannelsFirst => shape::permute(x, &[&[0], &Vec::from_iter(2..rank)[..], &[1]].concat()),
    }
}

/// Permutes the channels-last tensor `x` to `layout`.
pub(super) fn from_channels_last(x: &Value, layout: Layout) -> Result<Value> {
    let rank = x.dims().len();
    match layout {
        Layout::ChannelsLast => Ok(x.clone()),
        Layout::ChannelsFirst => shape::permute(x, &[&[0, rank - 1], &Vec::from_iter(1..rank - 1)[..]].concat()),
    }
}

/// Permutes extents from `layout` to channels-last.
pub(super) fn channels_last_dims(dims: &[usize], layout: Layout) -> Vec<usize> {
    match layout {
        Layout::ChannelsLast => dims.to_vec(),
        Layout::ChannelsFirst => [&dims[..1], &dims[2..], &dims[1..2]].concat(),
    }
}

fn conv_last(x: &Value, kernel: &Value, window: &Window, groups: usize, out: &[usize]) -> Result<Value> {
    let (taps, [per_group, filters]) = match kernel.dims() {
        [taps @ .., per_group, filters] => (taps, [*per_group, *filters]),
        _ => return zeros(x, out),
    };
    if out.contains(&0) || kernel.num_elements() == 0 {
        return zeros(x, out);
    }
    let g = Geometry::new(x.dims(), &taps.iter().map(|t| *t as u64).collect::<Vec<_>>(), window, out)?;
    let rows = g.batch * g.outputs;
    let depth = taps.iter().product::<usize>() * per_group;
    if groups == 1 && g.is_identity() {
        let (x, w) = (x.reshape(&[rows, per_group])?, kernel.reshape(&[per_group, filters])?);
        return matrix_product(&x, &w)?.reshape(out);
    }
    if groups > 1 && is_small(per_group, filters / groups) && is_finite(kernel)? {
        return for_arith!(x.elem(), T => direct::<T>(x, kernel, &g, groups, filters))?.reshape(out);
    }
    let w = kernel.reshape(&[depth, groups, filters / groups])?;
    let w = shape::permute(&w, &[1, 0, 2])?;
    grouped(x, &w, &g, per_group)?.reshape(out)
}

/// Convolves with kernels `w` of shape `[groups, taps * per_group, filters / groups]`. The result has shape
/// `[rows, filters]`.
fn grouped(x: &Value, w: &Value, g: &Geometry, per_group: usize) -> Result<Value> {
    let [groups, depth, width] = [w.dims()[0], w.dims()[1], w.dims()[2]];
    let rows = g.batch * g.outputs;
    let chunk = (CHUNK / depth).max(1);
    for_word!(x.elem(), W => {
        if groups == 1 && rows <= chunk {
            let patches = patches::<W>(x, g, [0, rows], [0, per_group], depth)?;
            return matrix_product(&patches, &w.reshape(&[depth, width])?);
        }
        let weights = w.words::<W>()?;
        let mut out: Vec<W> = zeroed(rows * groups * width, x)?;
        for group in 0..groups {
            let mut own: Vec<W> = allocate(depth * width, &w.ty())?;
            own.extend_from_slice(&weights[group * depth * width..][..depth * width]);
            let kernel = Value::from_words(x.elem(), &[depth, width], own)?;
            for start in (0..rows).step_by(chunk) {
                let n = chunk.min(rows - start);
                let patches = patches::<W>(x, g, [start, n], [group * per_group, per_group], depth)?;
                let product = matrix_product(&patches, &kernel)?;
                let filters = out[start * groups * width..].chunks_exact_mut(groups * width);
                for (row, product) in filters.zip(product.words::<W>()?.chunks_exact(width)) {
                    row[group * width..][..width].copy_from_slice(product);
                }
            }
        }
        Value::from_words(x.elem(), &[rows, groups * width], out)
    })
}

/// The im2col matrix of the `n` output elements from `start`: one window per row, of the channels
/// `first..first + channels`.
fn patches<W: Word>(
    x: &Value,
    g: &Geometry,
    [start, n]: [usize; 2],
    [first, channels]: [usize; 2],
    depth: usize,
) -> Result<Value> {
    let all = x.dims().last().copied().unwrap_or(1);
    let data = x.words::<W>()?;
    let mut out: Vec<W> = zeroed(n * depth, x)?;
    // With all channels and no dilation, a window's elements along a line are contiguous in the input and in the row.
    let whole = channels == all && g.step() == 1;
    for_each_row(&mut out, depth, depth, &|i, row| {
        let (batch, place) = ((start + i) / g.outputs, (start + i) % g.outputs);
        g.for_each_run(place, |tap, at, n| {
            let from = (batch * g.inputs + at) * all + first;
            let (parts, len) = if whole { (1, n * channels) } else { (n, channels) };
            for i in 0..parts {
                let x = &data[from + i * g.step() * all..][..len];
                row[(tap + i) * channels..][..len].copy_from_slice(x);
            }
        });
    });
    Value::from_words(x.elem(), &[n, depth], out)
}

/// Whether direct summation beats im2col for groups of this size: few channels and few filters, or a number of filters
/// that fills registers.
fn is_small(per_group: usize, width: usize) -> bool {
    per_group * width <= SMALL_GROUP && (width <= 16 || width.is_multiple_of(4))
}

/// Whether all weights are finite, so that padding contributes exactly 0.
fn is_finite(kernel: &Value) -> Result<bool> {
    for_arith!(kernel.elem(), T => Ok(kernel.slice::<T>()?.iter().all(|w| w.is_finite())))
}

/// Convolves with a finite kernel by summing over the windows. Padding is skipped.
fn direct<T: Arith>(x: &Value, kernel: &Value, g: &Geometry, groups: usize, filters: usize) -> Result<Value> {
    let width = filters / groups;
    match width {
        1 if x.dims().last() == Some(&groups) => depthwise::<T>(x, kernel, g),
        _ if width.is_multiple_of(16) => in_blocks::<T, 16>(x, kernel, g, groups, filters),
        _ if width.is_multiple_of(8) => in_blocks::<T, 8>(x, kernel, g, groups, filters),
        _ if width.is_multiple_of(4) => in_blocks::<T, 4>(x, kernel, g, groups, filters),
        _ if width.is_multiple_of(2) => in_blocks::<T, 2>(x, kernel, g, groups, filters),
        _ => in_blocks::<T, 1>(x, kernel, g, groups, filters),
    }
}

/// [`direct`] with one channel and one filter per group: weighted sums of rows.
fn depthwise<T: Arith>(x: &Value, kernel: &Value, g: &Geometry) -> Result<Value> {
    let (data, weights) = (x.slice::<T>()?, kernel.slice::<T>()?);
    let rows = g.batch * g.outputs;
    let channels = weights.len() / g.taps();
    let mut out: Vec<T> = zeroed(rows * channels, x)?;
    for_each_row(&mut out, channels, weights.len(), &|i, row| {
        let (batch, place) = (i / g.outputs, i % g.outputs);
        g.for_each_tap(place, |tap, at| {
            let x = &data[(batch * g.inputs + at) * channels..][..channels];
            let w = &weights[tap * channels..][..channels];
            for ((y, x), w) in row.iter_mut().zip(x).zip(w) {
                *y = y.plus(x.times(*w));
            }
        });
    });
    Value::from_vec(x.elem(), &[rows, channels], out)
}

/// [`direct`] with `W` filters of one group at a time, whose sums are kept in registers.
fn in_blocks<T: Arith, const W: usize>(
    x: &Value,
    kernel: &Value,
    g: &Geometry,
    groups: usize,
    filters: usize,
) -> Result<Value> {
    let [per_group, width] = [kernel.num_elements() / (g.taps() * filters), filters / groups];
    let channels = per_group * groups;
    // Make the weights of a block contiguous.
    let packed = kernel.reshape(&[g.taps() * per_group, filters / W, W])?;
    let packed = shape::permute(&packed, &[1, 0, 2])?;
    let (data, packed) = (x.slice::<T>()?, packed.slice::<T>()?);
    let depth = g.taps() * per_group * W;
    let rows = g.batch * g.outputs;
    let mut out: Vec<T> = zeroed(rows * filters, x)?;
    for_each_row(&mut out, filters, packed.len(), &|i, row| {
        let (batch, place) = (i / g.outputs, i % g.outputs);
        let mut window = Vec::new();
        g.for_each_tap(place, |tap, at| window.push((tap * per_group * W, (batch * g.inputs + at) * channels)));
        for (i, (row, weights)) in row.chunks_exact_mut(W).zip(packed.chunks_exact(depth)).enumerate() {
            let first = i * W / width * per_group;
            let mut sums = [T::default(); W];
            for (tap, at) in &window {
                let x = &data[at + first..][..per_group];
                let weights = &weights[*tap..][..per_group * W];
                for (x, weights) in x.iter().zip(weights.chunks_exact(W)) {
                    sums.iter_mut().zip(weights).for_each(|(sum, w)| *sum = sum.plus(x.times(*w)));
                }
            }
            row.copy_from_slice(&sums);
        }
    });
    Value::from_vec(x.elem(), &[rows, filters], out)
}
