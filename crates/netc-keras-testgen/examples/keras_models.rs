//! Writes random Keras models into a folder, with inputs and the outputs that netc computes, to compare with Keras.
//!
//! `keras_models FOLDER FIRST COUNT STEPS [reduced]` writes `<seed>.keras`, `<seed>.in.npz` and `<seed>.out.npz` for
//! each seed from `FIRST` on, and `<seed>.h5` if HDF5 can store the model. `reduced` shrinks each model to one layer,
//! of the class of its last layer.

use std::error::Error;
use std::fs;
use std::path::Path;

use netc_data::Store;
use netc_exec::{Plan, Tensor, inputs, npz};
use netc_ir::{Func, MAIN, Module, OpKind};
use netc_keras_testgen::{KerasRecipe, dialects, oracle};
use netc_passes::lower;
use netc_testgen::reduce::{Verdict, reduce};

/// The seed and the batch size of the inputs.
const INPUTS: (u64, u64) = (11, 2);

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (folder, first, count, steps, reduced) = match &args[..] {
        [folder, first, count, steps] => (folder, first, count, steps, false),
        [folder, first, count, steps, how] if how == "reduced" => (folder, first, count, steps, true),
        _ => return Err("usage: keras_models FOLDER FIRST COUNT STEPS [reduced]".into()),
    };
    let (folder, first, count, steps) =
        (Path::new(folder), first.parse::<u64>()?, count.parse::<u64>()?, steps.parse()?);
    fs::create_dir_all(folder)?;
    for seed in first..first + count {
        let mut model = KerasRecipe::from_seed(seed, steps).build();
        if reduced {
            model = to_last_layer(&model);
        }
        write(&model, &folder.join(seed.to_string())).map_err(|e| format!("seed {seed}: {e}"))?;
    }
    Ok(())
}

/// The smallest model that has a layer of the class of the last one and computes finite numbers.
fn to_last_layer(model: &Module) -> Module {
    let ops = |module: &Module| -> Vec<String> {
        let ops = module.main().into_iter().flat_map(Func::ops).map(|(_, op)| &op.kind);
        ops.filter(|kind| matches!(kind, OpKind::Source(_))).map(|kind| kind.name().into()).collect()
    };
    let Some(last) = ops(model).pop() else { return model.clone() };
    let finite = |tensors: &[Tensor]| tensors.iter().all(|t| t.to_f64s().iter().all(|n| n.is_finite()));
    let shows = &mut |module: &Module| match computed(module) {
        Ok((_, made)) if ops(module).contains(&last) && finite(&made) => Verdict::Shows,
        Ok(_) | Err(_) => Verdict::Clean,
    };
    reduce(model, &dialects(), shows).module
}

/// Inputs for the model, and the outputs that netc computes.
fn computed(model: &Module) -> Result<(Vec<Tensor>, Vec<Tensor>), Box<dyn Error>> {
    let lowered = lower::lower_module(model, &dialects())?;
    let main = lowered.func_named(MAIN).ok_or("there is no @main")?;
    let given = inputs::random_inputs(&lowered[main], INPUTS.0, INPUTS.1)?;
    let made = Plan::new(&lowered, main, &Store::open(&lowered)?)?.run(&given)?;
    Ok((given, made))
}

fn write(model: &Module, stem: &Path) -> Result<(), Box<dyn Error>> {
    let main = model.func_named(MAIN).ok_or("there is no @main")?;
    fs::write(stem.with_extension("keras"), oracle::file_bytes(model, main)?)?;
    let mut hdf5 = Vec::new();
    if netc_keras::write_hdf5(model, main, &Store::open(model)?, &mut hdf5).is_ok() {
        fs::write(stem.with_extension("h5"), hdf5)?;
    }
    let (given, made) = computed(model)?;
    let named = |tensors| (0..).map(|i: usize| i.to_string()).zip(tensors).collect::<Vec<(String, _)>>();
    for (extension, tensors) in [("in.npz", named(given)), ("out.npz", named(made))] {
        npz::write(&stem.with_extension(extension), tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)))?;
    }
    Ok(())
}
