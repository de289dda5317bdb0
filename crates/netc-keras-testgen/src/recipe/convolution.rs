//! Convolutions and pooling, as layers and as operations.

use netc_ir::{Attr, Attrs, Layout};
use netc_keras::build::{Conv, Declaration, DepthwiseConv, Padding, Pool, SeparableConv, Tensor};

use super::KerasClass;
use super::arrays::array;
use super::choice::Choice;
use super::draft::{Added, Draft};
use super::functions;
use netc_testgen::Step;

/// An image with `n` spatial axes.
pub(super) struct Image {
    pub(super) x: Tensor,
    pub(super) layout: Layout,
    pub(super) spatial: Vec<u64>,
    pub(super) channels: u64,
}

/// An image whose number of spatial axes is in `axes`.
pub(super) fn image(d: &Draft, read: u8, axes: std::ops::RangeInclusive<usize>, k: &mut Choice) -> Option<Image> {
    let x = d.find(read, |extents| axes.contains(&(extents.len() - 1)))?;
    let mut spatial = d.extents(x);
    let layout = if k.below(3) == 2 { Layout::ChannelsFirst } else { Layout::ChannelsLast };
    let channels = match layout {
        Layout::ChannelsFirst => spatial.remove(0),
        Layout::ChannelsLast => spatial.pop()?,
    };
    Some(Image { x, layout, spatial, channels })
}

/// A window that fits into an image.
struct Window<const N: usize> {
    size: [u64; N],
    strides: [u64; N],
    dilation: [u64; N],
    padding: Padding,
}

fn window<const N: usize>(image: &Image, k: &mut Choice) -> Window<N> {
    let extent = |i: usize| image.spatial.get(i).copied().unwrap_or(1);
    let size: [u64; N] = std::array::from_fn(|i| k.between(1, extent(i).min(3)));
    let padding = k.of(&[Padding::Valid, Padding::Same]);
    // Keras supports strides or dilations, not both; the dilated window must fit too.
    let step = k.below(3) + 1;
    let dilates = k.flag() && (0..N).all(|i| (size[i] - 1) * step < extent(i));
    let (strides, dilation) = if dilates { ([1; N], [step; N]) } else { ([step; N], [1; N]) };
    Window { size, strides, dilation, padding }
}

pub(super) fn conv(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let image = image(d, step.reads[0], 1..=3, k)?;
    match image.spatial.len() {
        1 => conv_of::<1>(d, &image, k),
        2 => conv_of::<2>(d, &image, k),
        _ => conv_of::<3>(d, &image, k),
    }
}

fn conv_of<const N: usize>(d: &mut Draft, image: &Image, k: &mut Choice) -> Added {
    let Window { size, strides, dilation, padding } = window::<N>(image, k);
    let causal = N == 1 && image.layout == Layout::ChannelsLast && k.flag();
    let groups = if k.flag() && image.channels.is_multiple_of(2) { 2 } else { 1 };
    let filters = groups * k.between(1, 3);
    let conv = Conv {
        filters,
        kernel: size,
        strides,
        padding: if causal { Padding::Causal } else { padding },
        dilation,
        groups,
        layout: image.layout,
        use_bias: !k.flag(),
        activation: functions::name(k),
    };
    let x = image.x;
    d.add(&format!("Conv{N}D"), &[x], d.size(x) + 1.0, |m| vec![m.conv(x, conv)])
}

pub(super) fn depthwise(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let image = image(d, step.reads[0], 1..=2, k)?;
    match image.spatial.len() {
        1 => depthwise_of::<1>(d, &image, k),
        _ => depthwise_of::<2>(d, &image, k),
    }
}

fn depthwise_of<const N: usize>(d: &mut Draft, image: &Image, k: &mut Choice) -> Added {
    let (conv, x) = (depthwise_conv::<N>(image, k), image.x);
    d.add(&format!("DepthwiseConv{N}D"), &[x], d.size(x) + 1.0, |m| vec![m.depthwise_conv(x, conv)])
}

fn depthwise_conv<const N: usize>(image: &Image, k: &mut Choice) -> DepthwiseConv<N> {
    let Window { size, mut strides, dilation, padding } = window::<N>(image, k);
    // Keras requires the same stride for all axes.
    strides = [strides[0]; N];
    let depth_multiplier = k.between(1, 2);
    let use_bias = !k.flag();
    DepthwiseConv {
        kernel: size,
        strides,
        padding,
        dilation,
        depth_multiplier,
        layout: image.layout,
        use_bias,
        activation: functions::name(k),
    }
}

pub(super) fn separable(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let image = image(d, step.reads[0], 1..=2, k)?;
    match image.spatial.len() {
        1 => separable_of::<1>(d, &image, k),
        _ => separable_of::<2>(d, &image, k),
    }
}

fn separable_of<const N: usize>(d: &mut Draft, image: &Image, k: &mut Choice) -> Added {
    let conv = SeparableConv { filters: k.between(1, 4), depthwise: depthwise_conv::<N>(image, k) };
    let x = image.x;
    d.add(&format!("SeparableConv{N}D"), &[x], d.size(x) + 1.0, |m| vec![m.separable_conv(x, conv)])
}

pub(super) fn pool(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let image = image(d, step.reads[0], 1..=3, k)?;
    match image.spatial.len() {
        1 => pool_of::<1>(d, &image, k),
        2 => pool_of::<2>(d, &image, k),
        _ => pool_of::<3>(d, &image, k),
    }
}

fn pool_of<const N: usize>(d: &mut Draft, image: &Image, k: &mut Choice) -> Added {
    let largest = k.flag();
    let Window { size, strides, padding, .. } = window::<N>(image, k);
    let pool = Pool { size, strides: (!k.flag()).then_some(strides), padding, layout: image.layout };
    let x = image.x;
    let stem = if largest { "MaxPooling" } else { "AveragePooling" };
    d.add(&format!("{stem}{N}D"), &[x], d.size(x), |m| {
        vec![if largest { m.max_pooling(x, pool) } else { m.average_pooling(x, pool) }]
    })
}

pub(super) fn global_pool(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let image = image(d, step.reads[0], 1..=3, k)?;
    let n = image.spatial.len();
    let largest = k.flag();
    let config = Attrs::new().with("data_format", data_format(image.layout)).with("keepdims", k.flag());
    let stem = if largest { "GlobalMaxPooling" } else { "GlobalAveragePooling" };
    let mut declaration = Declaration::keras(&format!("{stem}{n}D"), config).shapeless();
    if n == 1 && !largest {
        if image.layout == Layout::ChannelsFirst {
            // A mask has the steps first, but here they are the last axis.
            d.refuses_masks()?;
        }
        declaration = declaration.kwarg("mask", Attr::Null);
    }
    d.layer(&declaration, &[image.x], d.size(image.x))
}

/// `MaxPool` and `AveragePool` of `keras.ops`.
pub(super) fn windows(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let image = image(d, step.reads[0], 1..=2, k)?;
    let class = k.of(&["MaxPool", "AveragePool"]);
    // Keras fails on tuples that it reads back from a file, so one number is used for all axes.
    let size = k.between(1, image.spatial.iter().copied().min()?.min(3));
    let config = Attrs::new()
        .with("pool_size", size as i64)
        .with("strides", k.between(1, 2) as i64)
        .with("padding", k.of(&["valid", "same"]))
        .with("data_format", data_format(image.layout));
    d.op_of(("nn", class), config, image.x, d.size(image.x))
}

/// `Conv`, `DepthwiseConv` and `SeparableConv` of `keras.ops`, with constant kernels.
pub(super) fn operation(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let class = k.of(&["Conv", "DepthwiseConv", "SeparableConv"]);
    let axes = if class == "Conv" { 1..=3 } else { 1..=2 };
    let image = image(d, step.reads[0], axes, k)?;
    let extents: Vec<u64> = image.spatial.iter().map(|n| k.between(1, (*n).min(3))).collect();
    let [filters, multiplier] = [k.between(1, 3), k.between(1, 2)];
    let config = Attrs::new()
        .with("strides", k.between(1, 2) as i64)
        .with("padding", k.of(&["valid", "same"]))
        .with("data_format", data_format(image.layout))
        .with("dilation_rate", 1);
    let seed = k.seed();
    let kernel = |extents: &[u64], last: [u64; 2]| array(&[extents, &last].concat(), seed, -1.0, 1.0);
    let mut args = vec![Attr::Operand(0)];
    match class {
        "Conv" => args.push(kernel(&extents, [image.channels, filters])),
        _ => args.push(kernel(&extents, [image.channels, multiplier])),
    }
    if class == "SeparableConv" {
        args.push(kernel(&vec![1; extents.len()], [image.channels * multiplier, filters]));
    }
    d.op(("nn", class), config, args, &[image.x], d.size(image.x) + 2.0)
}

pub(super) fn data_format(layout: Layout) -> &'static str {
    match layout {
        Layout::ChannelsLast => "channels_last",
        Layout::ChannelsFirst => "channels_first",
    }
}
