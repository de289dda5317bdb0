//! Layers and operations that change nothing in inference mode.

use netc_dialect::LowerError;
use netc_ir::{Compare, Reduce, ValueId};

use crate::lower::call::Call;
use crate::lower::entry::{Entry, many, one};
use crate::lower::ops::reduce;
use crate::lower::result::Result;

pub(crate) const LAYERS: &[Entry] = &[
    many("Identity", identity, "The inputs.").passes_mask(),
    one("Dropout", |c| c.input(), "`x`; drops elements in training.").passes_mask(),
    one("SpatialDropout1D", |c| c.input(), "`x`; drops elements in training.").passes_mask(),
    one("SpatialDropout2D", |c| c.input(), "`x`; drops elements in training.").passes_mask(),
    one("SpatialDropout3D", |c| c.input(), "`x`; drops elements in training.").passes_mask(),
    one("AlphaDropout", |c| c.input(), "`x`; drops elements in training.").passes_mask(),
    one("GaussianDropout", |c| c.input(), "`x`; multiplies by noise in training.").passes_mask(),
    one("GaussianNoise", |c| c.input(), "`x`; adds noise in training.").passes_mask(),
    one("ActivityRegularization", |c| c.input(), "`x`; adds a loss in training.").passes_mask(),
    one("StochasticDepth", |c| c.input(), "`x`; randomly dropped in training."),
    one("Masking", masking, "`x`, with 0 at steps whose features all equal `mask_value`."),
    one("AugMix", augment, "`x`; augments images in training."),
    one("CutMix", augment, "`x`; augments images in training."),
    one("MixUp", augment, "`x`; augments images in training."),
    one("RandAugment", augment, "`x`; augments images in training."),
    one("RandomBrightness", augment, "`x`; augments images in training."),
    one("RandomColorDegeneration", augment, "`x`; augments images in training."),
    one("RandomColorJitter", augment, "`x`; augments images in training."),
    one("RandomContrast", augment, "`x`; augments images in training."),
    one("RandomElasticTransform", augment, "`x`; augments images in training."),
    one("RandomErasing", augment, "`x`; augments images in training."),
    one("RandomFlip", augment, "`x`; augments images in training."),
    one("RandomGaussianBlur", augment, "`x`; augments images in training."),
    one("RandomGrayscale", augment, "`x`; augments images in training."),
    one("RandomHue", augment, "`x`; augments images in training."),
    one("RandomInvert", augment, "`x`; augments images in training."),
    one("RandomPerspective", augment, "`x`; augments images in training."),
    one("RandomPosterization", augment, "`x`; augments images in training."),
    one("RandomRotation", augment, "`x`; augments images in training."),
    one("RandomSaturation", augment, "`x`; augments images in training."),
    one("RandomSharpness", augment, "`x`; augments images in training."),
    one("RandomShear", augment, "`x`; augments images in training."),
    one("RandomTranslation", augment, "`x`; augments images in training."),
    one("RandomZoom", augment, "`x`; augments images in training."),
];

pub(crate) const OPS: &[Entry] = &[
    one("Copy", |c| c.tensor(0, "x"), "`x`."),
    one("StopGradient", |c| c.tensor(0, "variable"), "`x`; stops gradients in training."),
];

fn identity(c: &mut Call<'_, '_>) -> Result<Vec<ValueId>> {
    c.inputs()
}

/// Only floats are supported: some of these layers convert integers, and some do not.
fn augment(c: &mut Call<'_, '_>) -> Result<ValueId> {
    // Their argument `training` defaults to true, and Keras writes it into the call; inference overrides it.
    c.only_args(1, &["inputs", "data", "training"])?;
    let first = ["inputs", "data"].iter().find_map(|name| c.arg(0, name));
    let x = match c.tensors(first)?[..] {
        [x] => c.autocast(x)?,
        _ => return Err(LowerError::Operands(format!("`{}` takes one tensor", c.class()))),
    };
    if c.elem(x).is_float() { Ok(x) } else { Err(c.unsupported(format!("elements of type {}", c.elem(x)))) }
}

fn masking(c: &mut Call<'_, '_>) -> Result<ValueId> {
    let x = c.input()?;
    let value = c.float_or("mask_value", 0.0)?;
    let differs = c.compare(Compare::Ne, x, value)?;
    let last = (c.rank(x)?.saturating_sub(1)) as u64;
    let keep = any(c, differs, &[last], true)?;
    let mask = c.squeeze(keep, c.rank(keep)?.saturating_sub(1))?;
    c.attach(0, Some(mask));
    c.select(keep, x, 0.0)
}

/// Whether any element along `axes` is true.
pub(crate) fn any(c: &mut Call<'_, '_>, x: ValueId, axes: &[u64], keep: bool) -> Result<ValueId> {
    reduce::logical(c, Reduce::Max, x, axes, keep)
}
