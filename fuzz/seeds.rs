//! Generates the seeds of the fuzz targets: a folder of files for each, and a dictionary for text formats.
//!
//! Usage: `seeds FOLDER`. The output is reproducible.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::{env, fs};

// The crates are instrumented, so this program must link the fuzzer's runtime, too.
use libfuzzer_sys as _;
use netc_data::Rng;
use netc_exec::{Tensor, inputs, npy, npz};
use netc_ir::{MAIN, Module, print};
use netc_keras_testgen::{KerasRecipe, LIBRARY, oracle};
use netc_testgen::CoreRecipe;

type Made<T> = Result<T, Box<dyn Error>>;

/// Number of recipes of each kind.
const RECIPES: u64 = 24;

const PIPELINES: &[&str] = &[
    "split=a",
    "split{at=[before:a,b+c,#3,d@1]},dce",
    "fix{max=4}(canonicalize,cse,fold-bn,fold-const=0,dce)",
    "lower,@simplify,split=\"a \\\"b\\\"\"",
];

/// Rules, separated by empty lines.
const RULES: &str =
    concat!(include_str!("../passes/saturate/shape.rules"), "\n", include_str!("../passes/saturate/product.rules"));

/// Models saved by Keras 1 and 2.
const LEGACY: &[&[u8]] = &[
    include_bytes!("../tests/legacy/bare_list.h5"),
    include_bytes!("../tests/legacy/functions.h5"),
    include_bytes!("../tests/legacy/keras1_image.h5"),
    include_bytes!("../tests/legacy/keras1_text.h5"),
    include_bytes!("../tests/legacy/nested.h5"),
    include_bytes!("../tests/legacy/recurrent.h5"),
    include_bytes!("../tests/legacy/spread_names.h5"),
];

/// A TensorFlow.js model that needs no more weights than the target provides.
const TFJS: &[u8] = include_bytes!("../tests/tfjs/nested/model.json");

/// Exclusive upper bound of the length of words in a dictionary. Longer ones slow the fuzzer down.
const MAX_WORD: usize = 32;

fn main() -> Made<()> {
    let folder = env::args().nth(1).ok_or("usage: seeds FOLDER")?;
    let folder = Path::new(&folder);
    for seed in 0..RECIPES {
        let core = CoreRecipe::from_seed(seed, 12).build();
        text(folder, seed, &core)?;
        tensors(folder, seed, &core)?;
        let keras = if seed == 0 { oracle::small_model() } else { KerasRecipe::from_seed(seed, 6).build() };
        text(folder, RECIPES + seed, &keras)?;
        files(folder, seed, &keras)?;
        for target in ["split_compose", "lower_exec", "verifier_rejects", "pass_pipeline", "split_merge", "saturate"] {
            save(folder, target, seed, &recipe(seed))?;
        }
    }
    for (seed, model) in LEGACY.iter().enumerate() {
        save(folder, "keras_h5", seed as u64, model)?;
        save(folder, "weights_file", seed as u64, model)?;
    }
    let small = oracle::small_model();
    let file = oracle::file_bytes(&small, small.func_named(MAIN).ok_or("there is no @main")?)?;
    save(folder, "weights_file", RECIPES, &oracle::member(&file, "model.weights.h5")?)?;
    save(folder, "weights_file", RECIPES + 1, &file)?;
    save(folder, "manifest", 0, &oracle::small_stages()[oracle::MANIFEST])?;
    save(folder, "tfjs_json", 0, TFJS)?;
    save(folder, "layers_text", RECIPES, LIBRARY.as_bytes())?;
    for (seed, text) in PIPELINES.iter().enumerate() {
        save(folder, "pipeline_text", seed as u64, text.as_bytes())?;
    }
    for (seed, rule) in RULES.split("\n\n").enumerate() {
        save(folder, "rules_text", seed as u64, rule.as_bytes())?;
    }
    let texts = ["parse_ir", "layers_text", "keras_config", "tfjs_json", "manifest", "pipeline_text", "rules_text"];
    texts.into_iter().try_for_each(|target| words(folder, target))
}

fn save(folder: &Path, target: &str, seed: u64, bytes: &[u8]) -> Made<()> {
    let folder = folder.join(target);
    fs::create_dir_all(&folder)?;
    Ok(fs::write(folder.join(seed.to_string()), bytes)?)
}

fn text(folder: &Path, seed: u64, module: &Module) -> Made<()> {
    let text = print(module);
    save(folder, "parse_ir", seed, text.as_bytes())?;
    // Layer libraries have no weights.
    if module.weights.is_empty() { save(folder, "layers_text", seed, text.as_bytes()) } else { Ok(()) }
}

fn files(folder: &Path, seed: u64, module: &Module) -> Made<()> {
    let file = oracle::file_bytes(module, module.func_named(MAIN).ok_or("there is no @main")?)?;
    save(folder, "keras_zip", seed, &file)?;
    save(folder, "keras_config", seed, &oracle::member(&file, "config.json")?)?;
    save(folder, "hdf5", seed, &oracle::member(&file, "model.weights.h5")?)
}

fn tensors(folder: &Path, seed: u64, module: &Module) -> Made<()> {
    let inputs = inputs::random_inputs(module.main().ok_or("there is no @main")?, seed, 1)?;
    let named: Vec<(String, &Tensor)> = inputs.iter().enumerate().map(|(i, x)| (format!("x{i}"), x)).collect();
    inputs.iter().take(1).try_for_each(|x| save(folder, "npy", seed, &npy::encode(x)))?;
    save(folder, "npz", seed, &npz::encode(named.iter().map(|(name, x)| (name.as_str(), *x)))?)
}

/// The bytes of a random recipe with up to twelve steps.
fn recipe(seed: u64) -> Vec<u8> {
    let mut rng = Rng::for_part(seed, "recipe");
    (0..8 * (1 + rng.below(12))).map(|_| rng.below(256) as u8).collect()
}

/// Writes the words of a target's seeds as a libFuzzer dictionary.
fn words(folder: &Path, target: &str) -> Made<()> {
    let mut words = BTreeSet::new();
    for file in fs::read_dir(folder.join(target))? {
        let text = fs::read_to_string(file?.path())?;
        let parts = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'));
        words.extend(parts.filter(|w| (2..MAX_WORD).contains(&w.len())).map(str::to_string));
    }
    let lines: String = words.iter().map(|word| format!("\"{word}\"\n")).collect();
    Ok(fs::write(folder.join(target).with_extension("dict"), lines)?)
}
