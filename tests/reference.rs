//! Tests the pages that are generated from tables: `docs/reference/passes.md`, the functions in `docs/reference/rules.md`, and the
//! supported layers in `docs/reference/layers.md`.
//!
//! `UPDATE_DOCS=1 cargo test --workspace --test reference` regenerates them.

#![allow(clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking, and so do their helpers")]

use std::path::Path;
use std::{env, fs};

use netc_keras::lower::classes;
use netc_pass::PassInfo;
use netc_passes::{PASSES, PIPELINES};
use netc_rules::FUNCTIONS;

#[test]
fn the_page_of_passes_matches_the_table() {
    check("passes.md", |_| page());
}

#[test]
fn the_page_of_rules_lists_every_function() {
    const START: &str = "| function | gives |\n|---|---|\n";
    check("rules.md", |found| {
        let argument = |i: usize| ["a", "b", "c"][i];
        let mut rows = String::new();
        for function in FUNCTIONS.iter().filter(|f| f.name.len() > 1) {
            let arguments = (0..function.arity).map(argument).collect::<Vec<_>>().join(", ");
            rows.push_str(&format!("| `{}({arguments})` | {} |\n", function.name, function.summary));
        }
        between(found, START, &rows)
    });
}

/// The first version of Keras that has a layer, if it is not 1. Taken from the classes in its packages.
const LAYERS_SINCE: &[(&str, &[&str])] = &[
    (
        "2.0",
        &[
            "Add",
            "AlphaDropout",
            "Average",
            "Concatenate",
            "Conv2DTranspose",
            "Conv3DTranspose",
            "DepthwiseConv2D",
            "Dot",
            "Maximum",
            "Minimum",
            "Multiply",
            "RNN",
            "Subtract",
        ],
    ),
    ("2.1", &["SeparableConv1D", "Softmax"]),
    ("2.2", &["ReLU"]),
    (
        "2.6",
        &[
            "AdditiveAttention",
            "Attention",
            "CategoryEncoding",
            "CenterCrop",
            "Conv1DTranspose",
            "ConvLSTM1D",
            "ConvLSTM3D",
            "Discretization",
            "EinsumDense",
            "LayerNormalization",
            "MultiHeadAttention",
            "Normalization",
            "RandomContrast",
            "RandomFlip",
            "RandomRotation",
            "RandomTranslation",
            "RandomZoom",
            "Rescaling",
            "Resizing",
        ],
    ),
    ("2.7", &["DepthwiseConv1D"]),
    ("2.9", &["RandomBrightness", "UnitNormalization"]),
    ("2.10", &["LayerScale", "StochasticDepth"]),
    ("2.11", &["GroupNormalization"]),
    ("2.12", &["CustomScaleLayer", "Identity"]),
    ("2.13", &["SpectralNormalization"]),
    ("3.0", &["GroupQueryAttention"]),
    ("3.6", &["RandomShear"]),
    (
        "3.8",
        &[
            "MixUp",
            "RandAugment",
            "RandomColorDegeneration",
            "RandomColorJitter",
            "RandomGrayscale",
            "RandomHue",
            "RandomPosterization",
            "RandomSaturation",
            "RandomSharpness",
        ],
    ),
    (
        "3.9",
        &[
            "AugMix",
            "CutMix",
            "RMSNormalization",
            "RandomErasing",
            "RandomGaussianBlur",
            "RandomInvert",
            "RandomPerspective",
        ],
    ),
    ("3.10", &["RandomElasticTransform"]),
    (
        "3.13",
        &[
            "AdaptiveAveragePooling1D",
            "AdaptiveAveragePooling2D",
            "AdaptiveAveragePooling3D",
            "AdaptiveMaxPooling1D",
            "AdaptiveMaxPooling2D",
            "AdaptiveMaxPooling3D",
        ],
    ),
];

/// The first version of Keras that has an operation, if it is not 3.0.
const OPS_SINCE: &[(&str, &[&str])] = &[
    ("3.1", &["DivideNoNan", "HardSilu", "Normalize"]),
    ("3.6", &["Trunc"]),
    ("3.7", &["Celu", "Exp2", "Glu", "HardShrink", "HardTanh", "SoftShrink", "Squareplus", "TanhShrink"]),
    ("3.8", &["SparsePlus", "Sparsemax", "Threshold"]),
    ("3.9", &["RMSNorm"]),
    ("3.10", &["SparseSigmoid"]),
    ("3.11", &["LayerNorm"]),
    ("3.14", &["DepthToSpace", "Fliplr", "Flipud", "SpaceToDepth"]),
];

#[test]
fn the_page_of_layers_lists_every_supported_layer() {
    let since = |class: &str, table: &[(&'static str, &[&str])], first| {
        table.iter().find(|(_, classes)| classes.contains(&class)).map_or(first, |(version, _)| *version)
    };
    let table = |prefix: &str, versions: &[(&'static str, &[&str])], first| {
        let mut rows: Vec<String> = classes()
            .filter_map(|(class, doc)| Some((class.strip_prefix(prefix)?.to_string(), doc)))
            .filter(|(class, _)| !class.contains('.'))
            .map(|(class, doc)| {
                format!("| `{class}` | {} | {} |\n", since(&class, versions, first), doc.replace('|', "\\|"))
            })
            .collect();
        rows.sort();
        rows.concat()
    };
    check("layers.md", |found| {
        let page = between(found, "| layer | since | computes |\n|---|---|---|\n", &table("keras.", LAYERS_SINCE, "1"));
        between(&page, "| operation | since | computes |\n|---|---|---|\n", &table("keras.ops.", OPS_SINCE, "3.0"))
    });
}

/// Replaces the text between `start` and the next end mark of the page by `rows`.
fn between(page: &str, start: &str, rows: &str) -> String {
    let (before, rest) = page.split_once(start).unwrap();
    let (_, after) = rest.split_once("<!-- end -->").unwrap();
    format!("{before}{start}{rows}<!-- end -->{after}")
}

/// Checks that `made` leaves the page unchanged, or writes its result if `UPDATE_DOCS` is set.
fn check(name: &str, made: impl Fn(&str) -> String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference").join(name);
    let found = fs::read_to_string(&path).unwrap();
    let page = made(&found);
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &page).unwrap();
    } else {
        assert!(found == page, "docs/{name} is out of date: run with UPDATE_DOCS=1");
    }
}

#[test]
fn every_pass_is_documented() {
    for pass in PASSES {
        let complete = !pass.summary.is_empty() && !pass.help.is_empty();
        assert!(complete && pass.options.iter().all(|o| !o.help.is_empty()), "{} lacks help", pass.name);
    }
    assert!(PIPELINES.iter().all(|p| !p.summary.is_empty()));
}

fn page() -> String {
    let mut out = String::from(
        "# Passes\n\nGenerated from the table of passes; `netc passes` prints the same.\n\n\
         | pass | values | what it does |\n|---|---|---|\n",
    );
    for pass in PASSES {
        out.push_str(&format!("| [`{0}`](#{0}) | {1} | {2} |\n", pass.name, pass.fidelity, pass.summary));
    }
    out.push_str("\n| pipeline | what it does | stands for |\n|---|---|---|\n");
    for pipeline in PIPELINES {
        out.push_str(&format!("| `@{}` | {} | `{}` |\n", pipeline.name, pipeline.summary, pipeline.text));
    }
    out.push_str(
        "\nAn *exact* pass keeps the computed bits. A *rounding* pass may change rounding. *Other* passes change what \
         the model computes.\n",
    );
    PASSES.iter().for_each(|pass| out.push_str(&section(pass)));
    out
}

fn section(pass: &PassInfo) -> String {
    let mut out = format!("\n## {}\n\n{}\n\n{}\n", pass.name, pass.summary, pass.help.trim());
    if !pass.options.is_empty() {
        out.push_str("\n| option | value | what it does |\n|---|---|---|\n");
        for option in pass.options {
            let value = option.kind.describe().replace('|', "\\|");
            out.push_str(&format!("| `{}` | {value} | {} |\n", option.name, option.help));
        }
    }
    out
}
