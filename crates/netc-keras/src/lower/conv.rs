//! Convolutions.

pub(crate) mod adaptive;
pub(crate) mod pool;
pub(crate) mod resize;
pub(crate) mod transpose;

use netc_dialect::LowerError;
use netc_ir::{Dim, Layout, Padding, ValueId, Window};

use crate::lower::activation::activate;
use crate::lower::call::Call;
use crate::lower::entry::{Entry, one};
use crate::lower::result::Result;

pub(crate) const LAYERS: &[Entry] = &[
    one("Conv1D", |c| conv(c, 1), "Convolution over one spatial axis; padding may be causal."),
    one("Conv2D", |c| conv(c, 2), "Convolution over two spatial axes."),
    one("Conv3D", |c| conv(c, 3), "Convolution over three spatial axes."),
    one("DepthwiseConv1D", |c| depthwise_conv(c, 1), "Depthwise convolution over one spatial axis."),
    one("DepthwiseConv2D", |c| depthwise_conv(c, 2), "Depthwise convolution over two spatial axes."),
    one("SeparableConv1D", |c| separable_conv(c, 1), "A depthwise convolution, then a pointwise one."),
    one("SeparableConv2D", |c| separable_conv(c, 2), "A depthwise convolution, then a pointwise one."),
];

pub(crate) const OPS: &[Entry] = &[
    one("Conv", conv_op, "Convolution over any number of spatial axes."),
    one("DepthwiseConv", depthwise_conv_op, "Depthwise convolution over any number of spatial axes."),
    one("SeparableConv", separable_conv_op, "A depthwise convolution, then a pointwise one."),
];

fn conv(c: &mut Call<'_, '_>, n: usize) -> Result<ValueId> {
    let x = c.input()?;
    let kernel = c.weight("vars/0", "the kernel")?;
    c.require_extents(kernel, "the kernel", 0, "kernel_size", n)?;
    c.require_extents(kernel, "the kernel", n + 1, "filters", 1)?;
    // Keras converts the input to the kernel's type.
    let x = c.b.cast(x, c.elem(kernel))?;
    let groups = if c.has("groups") { c.count("groups")? } else { 1 };
    let window = window(c, n)?;
    let y = c.b.conv(x, kernel, window, groups)?;
    bias_and_activation(c, y, "vars/1", n)
}

fn depthwise_conv(c: &mut Call<'_, '_>, n: usize) -> Result<ValueId> {
    let x = c.input()?;
    let kernel = depthwise_kernel(c, n)?;
    let y = depthwise(c, x, kernel, n)?;
    bias_and_activation(c, y, "vars/1", n)
}

fn separable_conv(c: &mut Call<'_, '_>, n: usize) -> Result<ValueId> {
    let x = c.input()?;
    let kernel = depthwise_kernel(c, n)?;
    let mixer = c.weight("vars/1", "the pointwise kernel")?;
    c.require_extents(mixer, "the pointwise kernel", n + 1, "filters", 1)?;
    let y = depthwise(c, x, kernel, n)?;
    let y = pointwise(c, y, mixer, n)?;
    bias_and_activation(c, y, "vars/2", n)
}

fn depthwise_kernel(c: &mut Call<'_, '_>, n: usize) -> Result<ValueId> {
    let kernel = c.weight("vars/0", "the depthwise kernel")?;
    c.require_extents(kernel, "the depthwise kernel", 0, "kernel_size", n)?;
    c.require_extents(kernel, "the depthwise kernel", n + 1, "depth_multiplier", 1)?;
    Ok(kernel)
}

fn conv_op(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let (x, kernel) = (c.tensor(0, "inputs")?, c.tensor(1, "kernel")?);
    let n = spatial_axes(c, kernel)?;
    let x = c.b.cast(x, c.elem(kernel))?;
    let channels = c.extent(x, netc_ir::infer::channel_axis(c.layout()?, n + 2))?;
    let groups = match c.extent(kernel, n)? {
        0 => return Err(LowerError::Operands(format!("a kernel of type {} has no input channels", c.ty(kernel)))),
        per_group => channels / per_group,
    };
    let window = window(c, n)?;
    Ok(c.b.conv(x, kernel, window, groups)?)
}

fn depthwise_conv_op(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let (x, kernel) = (c.tensor(0, "inputs")?, c.tensor(1, "kernel")?);
    let n = spatial_axes(c, kernel)?;
    depthwise(c, x, kernel, n)
}

fn separable_conv_op(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let (x, kernel) = (c.tensor(0, "inputs")?, c.tensor(1, "depthwise_kernel")?);
    let mixer = c.tensor(2, "pointwise_kernel")?;
    let n = spatial_axes(c, kernel)?;
    let y = depthwise(c, x, kernel, n)?;
    pointwise(c, y, mixer, n)
}

fn spatial_axes(c: &Call<'_, '_>, kernel: ValueId) -> Result<usize> {
    let n = c.rank(kernel)?.checked_sub(2).filter(|n| *n >= 1);
    n.ok_or_else(|| LowerError::Operands(format!("a kernel of type {} has no spatial axes", c.ty(kernel))))
}

/// A convolution with one group per channel. The Keras kernel has the shape `spatial..., channels, multiplier`.
fn depthwise(c: &mut Call<'_, '_>, x: ValueId, kernel: ValueId, n: usize) -> Result<ValueId> {
    let mut dims = c.dims(kernel)?;
    let [channels, multiplier] = match dims.split_off(n.min(dims.len())).try_into() {
        Ok(last) => last,
        Err(_) => {
            let note = format!("the depthwise kernel is {}, expected rank {}", c.ty(kernel), n + 2);
            return Err(LowerError::Operands(note));
        }
    };
    let groups = c.extent(kernel, n)?;
    dims.extend([Dim::Known(1), channels.times(&multiplier)]);
    let kernel = c.reshape(kernel, dims)?;
    let window = window(c, n)?;
    Ok(c.b.conv(x, kernel, window, groups)?)
}

fn pointwise(c: &mut Call<'_, '_>, x: ValueId, kernel: ValueId, n: usize) -> Result<ValueId> {
    let ones = vec![1; n];
    let window = Window { strides: ones.clone(), dilations: ones, padding: Padding::Valid, layout: c.layout()? };
    Ok(c.b.conv(x, kernel, window, 1)?)
}

pub(crate) fn window(c: &Call<'_, '_>, n: usize) -> Result<Window> {
    let dilations = c.tuple_or("dilation_rate", n, 1)?;
    let padding = match c.one_of("padding", &["valid", "same", "causal"])? {
        "same" => Padding::Same,
        "causal" if n == 1 => {
            // The window ends at the element it computes.
            let reach = |(k, d): (u64, &u64)| k.saturating_sub(1).saturating_mul(*d);
            let before = c.tuple("kernel_size", 1)?.into_iter().zip(&dilations).map(reach);
            Padding::Explicit(before.map(|b| (b, 0)).collect())
        }
        "causal" => return Err(c.unsupported_key("padding")),
        _ => Padding::Valid,
    };
    Ok(Window { strides: c.tuple_or("strides", n, 1)?, dilations, padding, layout: c.layout()? })
}

pub(crate) fn bias_and_activation(c: &mut Call<'_, '_>, y: ValueId, place: &str, n: usize) -> Result<ValueId> {
    if !c.flag("use_bias", true)? {
        return activate(c, y);
    }
    let bias = c.weight(place, "the bias")?;
    c.require_extents(bias, "the bias", 0, "filters", 1)?;
    let axis = match c.layout()? {
        Layout::ChannelsLast => n + 1,
        Layout::ChannelsFirst => 1,
    };
    let bias = c.along(bias, axis, n + 2)?;
    let y = c.add(y, bias)?;
    activate(c, y)
}
