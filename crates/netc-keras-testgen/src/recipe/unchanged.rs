//! Layers that are the identity in inference, and custom layers.

use netc_ir::{Attr, Attrs};
use netc_keras::build::{Declaration, Init, Origin};

use super::KerasClass;
use super::choice::Choice;
use super::draft::{Added, Draft};
use netc_testgen::Feature;
use netc_testgen::Step;

/// Classes, and the number of axes after the batch that they take; 0 means any.
const NOISE: &[(&str, usize)] = &[
    ("Dropout", 0),
    ("AlphaDropout", 0),
    ("GaussianDropout", 0),
    ("GaussianNoise", 0),
    ("SpatialDropout1D", 2),
    ("SpatialDropout2D", 3),
    ("SpatialDropout3D", 4),
    ("ActivityRegularization", 0),
    ("Identity", 0),
    ("StochasticDepth", 0),
];

pub(super) fn dropout(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let (class, axes) = k.of(NOISE);
    let x = if axes == 0 { d.any(step.reads[0])? } else { d.of_rank(step.reads[0], axes)? };
    let config = match class {
        "Identity" => Attrs::new(),
        "StochasticDepth" => Attrs::new().with("drop_path_rate", 0.5),
        "ActivityRegularization" => Attrs::new().with("l1", 0.0).with("l2", 0.125),
        "GaussianNoise" => Attrs::new().with("stddev", 0.5).with("seed", Attr::Null),
        _ => Attrs::new().with("rate", 0.5).with("seed", Attr::Null),
    };
    let mut declaration = Declaration::keras(class, config).shapeless();
    if class == "StochasticDepth" {
        declaration.origin = Origin::Applications("convnext".into());
    }
    let noisy = !matches!(class, "Identity" | "ActivityRegularization");
    d.layer(&if noisy { declaration.kwarg("training", false) } else { declaration }, &[x], d.size(x))
}

/// Classes, and the keys that they require.
const AUGMENTS: &[(&str, &[&str])] = &[
    ("RandomFlip", &[]),
    ("RandomRotation", &["factor"]),
    ("RandomZoom", &["height_factor"]),
    ("RandomTranslation", &["height_factor", "width_factor"]),
    ("RandomContrast", &["factor"]),
    ("RandomBrightness", &["factor"]),
    ("AugMix", &[]),
    ("CutMix", &[]),
    ("MixUp", &[]),
    ("RandAugment", &[]),
    ("RandomColorDegeneration", &["factor"]),
    ("RandomColorJitter", &[]),
    ("RandomElasticTransform", &[]),
    ("RandomErasing", &[]),
    ("RandomGaussianBlur", &[]),
    ("RandomGrayscale", &[]),
    ("RandomHue", &["factor"]),
    ("RandomInvert", &[]),
    ("RandomPerspective", &[]),
    ("RandomPosterization", &["factor"]),
    ("RandomSaturation", &["factor"]),
    ("RandomSharpness", &["factor"]),
    ("RandomShear", &[]),
];

/// Images of three channels, which all augmentations accept.
pub(super) fn augment(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let (class, keys) = k.of(AUGMENTS);
    let x = d.find(step.reads[0], |extents| extents.len() == 3 && extents[2] == 3)?;
    let mut config = Attrs::new().with("data_format", "channels_last");
    for key in keys {
        config.set(*key, if class == "RandomPosterization" { Attr::from(4) } else { Attr::from(0.25) });
    }
    d.layer(&Declaration::keras(class, config).kwarg("training", true), &[x], d.size(x))
}

pub(super) fn masking(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    let x = d.of_rank(step.reads[0], 2)?;
    d.makes_masks()?;
    let config = Attrs::new().with("mask_value", k.of(&[0.0, 0.5]));
    d.layer(&Declaration::keras("Masking", config).shapeless(), &[x], d.size(x))
}

/// A custom layer: with weights of its own, or with inner layers.
pub(super) fn custom(d: &mut Draft, step: &Step<KerasClass>, k: &mut Choice) -> Added {
    if !d.features.has(Feature::Custom) && !d.features.has(Feature::Abstract) {
        return None;
    }
    let x = d.any(step.reads[0])?;
    let channels = *d.extents(x).last()?;
    let unicode = ("\u{fc}n\u{ef}code", Attrs::new().with("k", k.of(&[0, 1])));
    let declaration = if k.flag() {
        let inner = k.between(1, 3);
        let config = Attrs::new().with("inner", inner as i64).with(unicode.0, unicode.1);
        let down = [(vec![channels, inner], Init::glorot(channels, inner)), (vec![inner], Init::offset())];
        let up = [(vec![inner, channels], Init::glorot(inner, channels))];
        let declaration = Declaration::keras("Adapter", config).sublayer("up", up).sublayer("down", down);
        if inner == 2 { declaration.asset("words.txt", b"a\n\xff\0").asset("up/empty", b"") } else { declaration }
    } else {
        let config = Attrs::new().with("axis", Attr::ints([-1])).with(unicode.0, unicode.1);
        let class = if d.features.has(Feature::Abstract) { "Secret" } else { "Scale" };
        Declaration::keras(class, config).weights([(vec![channels], Init::factor()), (vec![channels], Init::offset())])
    };
    let registered = format!("Custom>{}", declaration.class);
    d.layer(&Declaration { origin: Origin::Custom(registered), ..declaration }, &[x], d.size(x) + 0.5)
}
