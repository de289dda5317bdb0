//! Writes random Keras models into a folder, with inputs and what netc computes of them: for comparing with Keras.
//!
//! `keras_models FOLDER FIRST COUNT STEPS` writes `<seed>.keras`, `<seed>.in.npz` and `<seed>.out.npz` for each seed from
//! `FIRST` on, and `<seed>.h5` if an HDF5 file can say the model.

use std::error::Error;
use std::fs;
use std::path::Path;

use netc_data::Store;
use netc_exec::{Plan, inputs, npz};
use netc_ir::{MAIN, Module};
use netc_passes::lower;
use netc_testgen::{KerasRecipe, dialects, oracle};

/// The seed and the batch of the inputs.
const INPUTS: (u64, u64) = (11, 2);

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, first, count, steps] = &args[..] else {
        return Err("usage: keras_models FOLDER FIRST COUNT STEPS".into());
    };
    let (folder, first, count, steps) =
        (Path::new(folder), first.parse::<u64>()?, count.parse::<u64>()?, steps.parse()?);
    fs::create_dir_all(folder)?;
    for seed in first..first + count {
        let model = KerasRecipe::from_seed(seed, steps).build();
        write(&model, &folder.join(seed.to_string())).map_err(|e| format!("seed {seed}: {e}"))?;
    }
    Ok(())
}

fn write(model: &Module, stem: &Path) -> Result<(), Box<dyn Error>> {
    let main = model.func_named(MAIN).ok_or("there is no @main")?;
    fs::write(stem.with_extension("keras"), oracle::file_bytes(model, main)?)?;
    let mut hdf5 = Vec::new();
    if netc_keras::write_hdf5(model, main, &Store::open(model)?, &mut hdf5).is_ok() {
        fs::write(stem.with_extension("h5"), hdf5)?;
    }
    let lowered = lower::lower_module(model, &dialects())?;
    let main = lowered.func_named(MAIN).ok_or("there is no @main")?;
    let given = inputs::random_inputs(&lowered[main], INPUTS.0, INPUTS.1)?;
    let made = Plan::new(&lowered, main, &Store::open(&lowered)?)?.run(&given)?;
    let named = |tensors| (0..).map(|i: usize| i.to_string()).zip(tensors).collect::<Vec<(String, _)>>();
    for (extension, tensors) in [("in.npz", named(given)), ("out.npz", named(made))] {
        npz::write(&stem.with_extension(extension), tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)))?;
    }
    Ok(())
}
