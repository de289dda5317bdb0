//! Layers that change the size of images: transposed convolutions, adaptive pooling, resizing.

use netc_ir::{Attr, Attrs};
use netc_keras::build::{Declaration, Init};

use super::KerasClass;
use super::choice::Choice;
use super::convolution::{Image, data_format, image};
use super::draft::{Added, Draft};
use super::functions;
use netc_testgen::Step;

pub(super) fn transposed(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let image = image(d, step.reads[0], 1..=3, k)?;
    let n = image.spatial.len();
    let size: Vec<u64> = (0..n).map(|_| k.between(1, 3)).collect();
    // Keras supports strides or dilations, not both.
    let step = k.between(1, 3);
    let [stride, dilation] = if k.flag() { [1, step] } else { [step, 1] };
    // An axis of one element may produce an empty result.
    let pads = k.flag() && image.spatial.iter().all(|extent| *extent > 1);
    let output_padding = if pads { Attr::ints(vec![k.below(stride); n]) } else { Attr::Null };
    let use_bias = !k.flag();
    let filters = k.between(1, 3);
    let config = Attrs::new()
        .with("filters", filters as i64)
        .with("kernel_size", Attr::ints(size.iter().copied()))
        .with("strides", Attr::ints(vec![stride; n]))
        .with("padding", k.of(&["valid", "same"]))
        .with("output_padding", output_padding)
        .with("data_format", data_format(image.layout))
        .with("dilation_rate", Attr::ints(vec![dilation; n]))
        .with("activation", functions::name(k))
        .with("use_bias", use_bias);
    let fan = size.iter().product::<u64>() * image.channels;
    let kernel = [&size[..], &[filters, image.channels]].concat();
    let declaration = Declaration::keras(&format!("Conv{n}DTranspose"), config)
        .weights([(kernel, Init::glorot(fan, filters))])
        .weights(use_bias.then(|| (vec![filters], Init::offset())));
    d.layer(&declaration, &[image.x], d.size(image.x) + 1.0)
}

pub(super) fn adaptive(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let image = image(d, step.reads[0], 1..=3, k)?;
    let n = image.spatial.len();
    let stem = k.of(&["AdaptiveAveragePooling", "AdaptiveMaxPooling"]);
    // Windows overlap if there are more windows than elements.
    let windows = image.spatial.iter().map(|extent| k.between(1, (extent + 1).min(5)));
    let config = Attrs::new()
        .with("output_size", Attr::ints(windows.collect::<Vec<u64>>()))
        .with("data_format", data_format(image.layout));
    d.layer(&Declaration::keras(&format!("{stem}{n}D"), config).shapeless(), &[image.x], d.size(image.x))
}

const METHODS: &[&str] = &["bilinear", "nearest", "bicubic", "lanczos3", "lanczos5"];

/// `Resizing`, `CenterCrop`, `Resize`, `DepthToSpace`, `SpaceToDepth`, and `UpSampling2D` with interpolation.
pub(super) fn resize(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let image = image(d, step.reads[0], 2..=2, k)?;
    let format = data_format(image.layout);
    let size = d.size(image.x) + 0.5;
    match k.below(5) {
        0 => {
            let config =
                resized(k, format).with("height", k.between(1, 5) as i64).with("width", k.between(1, 5) as i64);
            d.layer(&Declaration::keras("Resizing", config).shapeless(), &[image.x], size)
        }
        1 => center_crop(d, &image, k),
        2 => {
            let config = Attrs::new()
                .with("size", Attr::ints([k.between(1, 2), k.between(1, 2)]))
                .with("data_format", format)
                .with("interpolation", k.of(METHODS));
            d.layer(&Declaration::keras("UpSampling2D", config), &[image.x], size)
        }
        3 => blocks(d, &image, k),
        _ => {
            let config = resized(k, format).with("size", Attr::ints([k.between(1, 5), k.between(1, 5)]));
            d.op_of(("image", "Resize"), config, image.x, size)
        }
    }
}

/// Rearranges channels into blocks of pixels, or blocks into channels.
fn blocks(d: &mut Draft, image: &Image, k: &mut Choice) -> Added {
    let all = |n: u64| image.spatial.iter().all(|extent| extent.is_multiple_of(n));
    let (class, block) = if image.channels.is_multiple_of(4) && k.flag() {
        ("DepthToSpace", 2)
    } else {
        ("SpaceToDepth", k.of(&[2, 3, 1].into_iter().filter(|n| all(*n)).collect::<Vec<u64>>()))
    };
    let config = Attrs::new().with("block_size", block as i64).with("data_format", data_format(image.layout));
    d.op_of(("nn", class), config, image.x, d.size(image.x))
}

fn resized(k: &mut Choice, format: &str) -> Attrs {
    let aspect = k.below(3);
    Attrs::new()
        .with("interpolation", k.of(METHODS))
        .with("antialias", k.flag())
        .with("crop_to_aspect_ratio", aspect == 1)
        .with("pad_to_aspect_ratio", aspect == 2)
        .with("fill_mode", "constant")
        .with("fill_value", k.of(&[0.0, 0.5]))
        .with("data_format", format)
}

fn center_crop(d: &mut Draft, image: &Image, k: &mut Choice) -> Added {
    let config = Attrs::new()
        .with("height", k.between(1, 4) as i64)
        .with("width", k.between(1, 4) as i64)
        .with("data_format", data_format(image.layout));
    d.layer(&Declaration::keras("CenterCrop", config).shapeless(), &[image.x], d.size(image.x))
}
