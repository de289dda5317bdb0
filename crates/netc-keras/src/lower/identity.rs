//! Layers and operations that change nothing in inference mode.

use netc_dialect::LowerError;
use netc_ir::{Compare, Reduce, ValueId};

use crate::lower::call::Call;
use crate::lower::entry::{Entry, many, one};
use crate::lower::ops::reduce;
use crate::lower::result::Result;

pub(crate) const LAYERS: &[Entry] = &[
    many("Identity", identity, "The inputs.").passes_mask(),
    one("Dropout", |c| c.input(), "`x`; noise in training.").passes_mask(),
    one("SpatialDropout1D", |c| c.input(), "`x`; noise in training.").passes_mask(),
    one("SpatialDropout2D", |c| c.input(), "`x`; noise in training.").passes_mask(),
    one("SpatialDropout3D", |c| c.input(), "`x`; noise in training.").passes_mask(),
    one("AlphaDropout", |c| c.input(), "`x`; noise in training.").passes_mask(),
    one("GaussianDropout", |c| c.input(), "`x`; noise in training.").passes_mask(),
    one("GaussianNoise", |c| c.input(), "`x`; noise in training.").passes_mask(),
    one("ActivityRegularization", |c| c.input(), "`x`; a loss in training.").passes_mask(),
    one("StochasticDepth", |c| c.input(), "`x`; left out now and then in training."),
    one("Masking", masking, "0 where all features of a step have the mask's value."),
    one("AugMix", augment, "`x`; another image in training."),
    one("CutMix", augment, "`x`; another image in training."),
    one("MixUp", augment, "`x`; another image in training."),
    one("RandAugment", augment, "`x`; another image in training."),
    one("RandomBrightness", augment, "`x`; another image in training."),
    one("RandomColorDegeneration", augment, "`x`; another image in training."),
    one("RandomColorJitter", augment, "`x`; another image in training."),
    one("RandomContrast", augment, "`x`; another image in training."),
    one("RandomElasticTransform", augment, "`x`; another image in training."),
    one("RandomErasing", augment, "`x`; another image in training."),
    one("RandomFlip", augment, "`x`; another image in training."),
    one("RandomGaussianBlur", augment, "`x`; another image in training."),
    one("RandomGrayscale", augment, "`x`; another image in training."),
    one("RandomHue", augment, "`x`; another image in training."),
    one("RandomInvert", augment, "`x`; another image in training."),
    one("RandomPerspective", augment, "`x`; another image in training."),
    one("RandomPosterization", augment, "`x`; another image in training."),
    one("RandomRotation", augment, "`x`; another image in training."),
    one("RandomSaturation", augment, "`x`; another image in training."),
    one("RandomSharpness", augment, "`x`; another image in training."),
    one("RandomShear", augment, "`x`; another image in training."),
    one("RandomTranslation", augment, "`x`; another image in training."),
    one("RandomZoom", augment, "`x`; another image in training."),
];

pub(crate) const OPS: &[Entry] = &[
    one("Copy", |c| c.tensor(0, "x"), "`x`."),
    one("StopGradient", |c| c.tensor(0, "variable"), "`x`; no gradient in training."),
];

fn identity(c: &mut Call<'_, '_>) -> Result<Vec<ValueId>> {
    c.inputs()
}

/// Some of these convert integers and some do not, so only floats pass.
fn augment(c: &mut Call<'_, '_>) -> Result<ValueId> {
    // The default of their argument `training` is true, and Keras writes it into the call; inference overrides it.
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
