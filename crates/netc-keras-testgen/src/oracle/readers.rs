//! Oracles for readers: no bytes make a reader of Keras files panic or use more memory than their size justifies, and a
//! model that was read survives a round trip.

use std::fs;
use std::sync::LazyLock;

use netc_format::ReadOptions;
use netc_ir::{MAIN, Module, print};
use netc_keras::build::{BatchNormalization, Conv2d, Dense, ModelBuilder};
use netc_keras::{H5, JSON, KERAS, TFJS};
use netc_testgen::oracle::{Claim, Reader, Tools, WHOLE, Wrong, round_trip, survives, temporary};

use super::files::{archive, file_bytes, member};
use super::manifests::manifest;
use crate::recipe::{dialects, formats};

/// Every reader of Keras files, by the name of its fuzz target.
pub const READERS: &[(&str, Reader)] = &[
    ("keras_zip", keras_file),
    ("keras_config", keras_config),
    ("hdf5", keras_weights),
    ("keras_h5", keras_h5),
    ("tfjs_json", tfjs_json),
    ("manifest", manifest),
    ("weights_file", weights_file),
];

/// Reads a `.keras` file. A model that is read must verify and survive a round trip through a file of netc.
pub fn keras_file(bytes: &[u8]) -> Result<(), Wrong> {
    let (formats, dialects) = (formats(), dialects());
    match formats.read(temporary(bytes)?.path(), &WHOLE, &dialects) {
        Ok(imported) => {
            survives(&imported.module, Tools { formats: &formats, dialects: &dialects }, Claim::Written, &[&KERAS])
        }
        Err(_) => Ok(()),
    }
}

/// Reads a model from an HDF5 file. A model that is read must verify, and survive a round trip through HDF5 and through
/// `.keras`, unless that format cannot store it.
pub fn keras_h5(bytes: &[u8]) -> Result<(), Wrong> {
    let (formats, dialects) = (formats(), dialects());
    match formats.read(temporary(bytes)?.path(), &WHOLE, &dialects) {
        Ok(imported) => {
            round_trip(&imported.module, Tools { formats: &formats, dialects: &dialects }, &H5)?;
            survives(&imported.module, Tools { formats: &formats, dialects: &dialects }, Claim::IfSupported, &[&KERAS])
        }
        Err(_) => Ok(()),
    }
}

/// Reads a `model.json` of TensorFlow.js whose weights are in one file. The rules are those of [`keras_h5`], for
/// TensorFlow.js files too.
pub fn tfjs_json(bytes: &[u8]) -> Result<(), Wrong> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let path = folder.path().join(TFJS.main_file());
    let (name, shard) = SHARD;
    fs::write(&path, bytes).and_then(|()| fs::write(folder.path().join(name), shard)).map_err(|e| e.to_string())?;
    let (formats, dialects) = (formats(), dialects());
    match formats.read(&path, &ReadOptions::default(), &dialects) {
        Ok(imported) => survives(
            &imported.module,
            Tools { formats: &formats, dialects: &dialects },
            Claim::IfSupported,
            &[&TFJS, &H5, &KERAS],
        ),
        Err(_) => Ok(()),
    }
}

/// The file of weights for [`tfjs_json`]: its name, and 42 numbers of four bytes each.
const SHARD: (&str, [u8; 168]) = ("group1-shard1.bin", [0x3f; 168]);

/// Reads a file of weights for the configuration of [`small_model`]. The rules are those of [`keras_file`].
pub fn weights_file(bytes: &[u8]) -> Result<(), Wrong> {
    let (formats, dialects) = (formats(), dialects());
    let (config, weights) = (temporary(&SMALL.0)?, temporary(bytes)?);
    let options = ReadOptions { weights: Some(weights.path()), ..WHOLE };
    match formats.read(config.path(), &options, &dialects) {
        Ok(imported) => {
            survives(&imported.module, Tools { formats: &formats, dialects: &dialects }, Claim::Written, &[&KERAS])
        }
        Err(_) => Ok(()),
    }
}

/// Reads a `config.json`: with the weights of [`small_model`] as a `.keras` file, and without weights as JSON.
pub fn keras_config(bytes: &[u8]) -> Result<(), Wrong> {
    let (formats, dialects) = (formats(), dialects());
    if let Ok(imported) = formats.read(temporary(bytes)?.path(), &ReadOptions::default(), &dialects) {
        survives(&imported.module, Tools { formats: &formats, dialects: &dialects }, Claim::IfSupported, &[&JSON])?;
    }
    keras_file(&archive(&[(CONFIG, bytes), (WEIGHTS, &SMALL.1)])?)
}

/// Reads a `model.weights.h5` for the configuration of [`small_model`], as part of a `.keras` file.
pub fn keras_weights(bytes: &[u8]) -> Result<(), Wrong> {
    keras_file(&archive(&[(CONFIG, &SMALL.0), (WEIGHTS, bytes)])?)
}

/// The model that supplies the other members for [`keras_config`] and [`keras_weights`]. It has few layers and many
/// kinds of weights.
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
