//! No bytes make a reader panic or take memory that the bytes do not justify, and what a reader takes for its format
//! is written and read back the same.

use std::fs;
use std::io::Write;
use std::sync::LazyLock;

use netc_dialect::{Dialects, LayerLibrary};
use netc_exec::{Consts, Tensor, npy, npz};
use netc_format::{Format, ReadOptions};
use netc_ir::{Attrs, Layer, MAIN, Module, SourceOp, Type, parse, print, verify};
use netc_keras::build::{BatchNormalization, Conv2d, Dense, ModelBuilder};
use netc_keras::{H5, JSON, KERAS, TFJS};
use tempfile::NamedTempFile;

use super::files::{WHOLE, archive, file_bytes, member, round_trip, through};
use super::manifests::manifest;
use super::{Wrong, print_parse, require};

/// What is asked of bytes.
pub type Reader = fn(&[u8]) -> Result<(), Wrong>;

/// More rules than this are not tried.
const FEW_RULES: usize = 2;

/// Every reader, by the name of its fuzz target.
pub const READERS: &[(&str, Reader)] = &[
    ("parse_ir", parse_ir),
    ("layers_text", layers_text),
    ("rules_text", rules_text),
    ("keras_zip", keras_file),
    ("keras_config", keras_config),
    ("hdf5", keras_weights),
    ("keras_h5", keras_h5),
    ("tfjs_json", tfjs_json),
    ("manifest", manifest),
    ("weights_file", weights_file),
    ("npy", npy_file),
    ("npz", npz_file),
];

/// `.nir` text: what is a program prints as text that is the same program.
pub fn parse_ir(bytes: &[u8]) -> Result<(), Wrong> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(()) };
    match parse(text) {
        Ok(module) if verify(&module).is_ok() => print_parse(&module),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// A layer library as `.nir` text: each of its layers has a type, or none for a reason, on what it says it takes.
pub fn layers_text(bytes: &[u8]) -> Result<(), Wrong> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(()) };
    let (Ok(library), Ok(module)) = (LayerLibrary::parse(text), parse(text)) else { return Ok(()) };
    let mut dialects = Dialects::new();
    dialects.push(library);
    for func in &module.funcs {
        let name = format!("custom.{}", func.name);
        let given: Vec<Type> = func.params.iter().map(|p| func[p.value].ty.clone()).collect();
        let config = Attrs::new().with("config", Attrs::new().with("axis", 1).with("value", 0.5));
        let (weights, assets) = (Vec::new(), Vec::new());
        let layer = Layer { name: "layer".into(), class: name.as_str().into(), config, weights, assets };
        let op = SourceOp::new(name, None, Attrs::new());
        // Whether the types fit is the library's affair.
        drop(dialects.result_types(&Module::new(), &op, Some(&layer), &given));
    }
    Ok(())
}

/// Rules as text: the first few are tried on random programs, and are true or refused.
pub fn rules_text(bytes: &[u8]) -> Result<(), Wrong> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(()) };
    let Ok(rules) = netc_rules::parse(text) else { return Ok(()) };
    // Whether they are true is their author's affair.
    rules.iter().take(FEW_RULES).for_each(|rule| drop(netc_rules::check(rule, &Consts, 1)));
    Ok(())
}

/// A `.keras` file: what is a model verifies, and is written as netc writes files, which are read back without loss.
pub fn keras_file(bytes: &[u8]) -> Result<(), Wrong> {
    let dialects = crate::dialects();
    match crate::formats().read(temporary(bytes)?.path(), &WHOLE, &dialects) {
        Ok(imported) => survives(&imported.module, &dialects, Claim::Written, &[&KERAS]),
        Err(_) => Ok(()),
    }
}

/// A model in an HDF5 file: what is one verifies, and is written as an HDF5 and as a `.keras` file, or refused because that
/// cannot say it; the file is read back without loss.
pub fn keras_h5(bytes: &[u8]) -> Result<(), Wrong> {
    let dialects = crate::dialects();
    match crate::formats().read(temporary(bytes)?.path(), &WHOLE, &dialects) {
        Ok(imported) => {
            round_trip(&imported.module, &dialects, &H5)?;
            survives(&imported.module, &dialects, Claim::IfSupported, &[&KERAS])
        }
        Err(_) => Ok(()),
    }
}

/// The `model.json` of a model of TensorFlow.js whose weights are in one file: as [`keras_h5`], and as such files too.
pub fn tfjs_json(bytes: &[u8]) -> Result<(), Wrong> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let path = folder.path().join(TFJS.main_file());
    let (name, shard) = SHARD;
    fs::write(&path, bytes).and_then(|()| fs::write(folder.path().join(name), shard)).map_err(|e| e.to_string())?;
    let dialects = crate::dialects();
    match crate::formats().read(&path, &ReadOptions::default(), &dialects) {
        Ok(imported) => survives(&imported.module, &dialects, Claim::IfSupported, &[&TFJS, &H5, &KERAS]),
        Err(_) => Ok(()),
    }
}

/// The file that [`tfjs_json`] has weights in: its name, and 42 numbers of four bytes.
const SHARD: (&str, [u8; 168]) = ("group1-shard1.bin", [0x3f; 168]);

/// A file of weights for the configuration of [`small_model`], as [`keras_file`].
pub fn weights_file(bytes: &[u8]) -> Result<(), Wrong> {
    let dialects = crate::dialects();
    let (config, weights) = (temporary(&SMALL.0)?, temporary(bytes)?);
    let options = ReadOptions { weights: Some(weights.path()), ..WHOLE };
    match crate::formats().read(config.path(), &options, &dialects) {
        Ok(imported) => survives(&imported.module, &dialects, Claim::Written, &[&KERAS]),
        Err(_) => Ok(()),
    }
}

/// What a model must do in a format.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// It can be written.
    Written,
    /// It can be written unless the format has no such model.
    IfSupported,
}

/// The model verifies, and is the same after it was written in each of the formats and read back.
fn survives(module: &Module, dialects: &Dialects, claim: Claim, formats: &[&'static Format]) -> Result<(), Wrong> {
    print_parse(module)?;
    let main = module.func_named(MAIN).ok_or("there is no @main")?;
    for format in formats {
        // What was read is not named as a file says it: it is what is read of that which is written the same.
        let Some((ours, _folder)) = through(module, main, dialects, format)? else {
            let is_allowed = claim == Claim::IfSupported;
            require(is_allowed, || format!("is not written as {}:\n{}", format.name, print(module)))?;
            continue;
        };
        let written = round_trip(&ours, dialects, format)?;
        require(written, || format!("is written as {} once alone:\n{}", format.name, print(&ours)))?;
    }
    Ok(())
}

/// The `config.json` of a file that has the weights of [`small_model`], and a model without weights.
pub fn keras_config(bytes: &[u8]) -> Result<(), Wrong> {
    let dialects = crate::dialects();
    if let Ok(imported) = crate::formats().read(temporary(bytes)?.path(), &ReadOptions::default(), &dialects) {
        survives(&imported.module, &dialects, Claim::IfSupported, &[&JSON])?;
    }
    keras_file(&archive(&[(CONFIG, bytes), (WEIGHTS, &SMALL.1)])?)
}

/// The `model.weights.h5` of a file that has the configuration of [`small_model`].
pub fn keras_weights(bytes: &[u8]) -> Result<(), Wrong> {
    keras_file(&archive(&[(CONFIG, &SMALL.0), (WEIGHTS, bytes)])?)
}

/// A `.npy` file: what is a tensor is written and read back the same.
pub fn npy_file(bytes: &[u8]) -> Result<(), Wrong> {
    let Ok(tensor) = npy::read(temporary(bytes)?.path()) else { return Ok(()) };
    let back = npy::read(temporary(&npy::encode(&tensor))?.path()).map_err(|e| e.to_string())?;
    require(back == tensor, || format!("reads back as {back:?}, expected {tensor:?}"))
}

/// A `.npz` file: what is tensors is written and read back the same.
pub fn npz_file(bytes: &[u8]) -> Result<(), Wrong> {
    let Ok(tensors) = npz::read(temporary(bytes)?.path()) else { return Ok(()) };
    let named = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
    let written = npz::encode(named).map_err(|e| e.to_string())?;
    let back: Vec<(String, Tensor)> = npz::read(temporary(&written)?.path()).map_err(|e| e.to_string())?;
    require(back == tensors, || format!("reads back as {back:?}, expected {tensors:?}"))
}

/// The model around the bytes that [`keras_config`] and [`keras_weights`] are given: it has few layers and many kinds
/// of weights.
pub fn small_model() -> Module {
    let mut m = ModelBuilder::new("small", 1);
    let x = m.named("image").input(&[3, 3, 1]);
    let x = m.conv2d(x, Conv2d { filters: 2, kernel: [2, 2], ..Conv2d::default() });
    let x = m.batch_normalization(x, BatchNormalization::default());
    let x = m.activation(x, "relu");
    let x = m.global_average_pooling2d(x);
    let y = m.dense(x, Dense { units: 2, ..Dense::default() });
    let module = m.finish(&[("y", y)]);
    debug_assert!(module.is_ok(), "{module:?}");
    module.unwrap_or_default()
}

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.weights.h5";

/// The members of the file of [`small_model`]: configuration and weights.
static SMALL: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
    let module = small_model();
    let parts = || {
        let file = file_bytes(&module, module.func_named(MAIN).ok_or("there is no @main")?)?;
        Ok::<_, Wrong>((member(&file, CONFIG)?, member(&file, WEIGHTS)?))
    };
    let parts = parts();
    debug_assert!(parts.is_ok(), "{parts:?}\n{}", print(&module));
    parts.unwrap_or_default()
});

fn temporary(bytes: &[u8]) -> Result<NamedTempFile, Wrong> {
    let written = NamedTempFile::new().and_then(|mut file| file.write_all(bytes).and(Ok(file)));
    written.map_err(|e| e.to_string())
}
