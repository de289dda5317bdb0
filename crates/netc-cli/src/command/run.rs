//! `netc run MODEL --input x.npy -o y.npz`: execute a model.

use std::path::Path;

use netc_exec::{Tensor, inputs, npy, npz};

use crate::args::RunArgs;
use crate::error::CliError;
use crate::input::{self, Model};
use crate::output::{Outputs, cannot_write, refuse_input, refuse_same};
use crate::text::{self, table};
use crate::verify::Executable;

pub(crate) fn run(args: &RunArgs) -> Result<(), CliError> {
    let dialects = input::dialects(&args.model)?;
    let model = input::load(&args.input, &dialects)?;
    let executable = Executable::new(&model.module, &dialects)?;
    if let Some(path) = &args.output {
        check_target(path, &model, args, executable.func().outputs.len())?;
    }
    let tensors = if args.inputs.is_empty() {
        text::note(&format!("no --input is given, so the inputs are random, with seed {}", args.random.seed));
        executable.random_inputs(args.random.seed, args.random.batch)?
    } else {
        read_inputs(&args.inputs, &executable)?
    };
    let outputs = executable.run(&tensors, "run")?;
    let named: Vec<(&str, &Tensor)> = executable.func().outputs.iter().map(|o| &*o.name).zip(&outputs).collect();
    match &args.output {
        Some(path) => write(path, &named),
        None => text::print(&summary(&named)),
    }
}

/// Refuses a target that cannot be written, before the model runs.
fn check_target(path: &Path, model: &Model, args: &RunArgs, outputs: usize) -> Result<(), CliError> {
    refuse_input(model, path)?;
    for given in &args.inputs {
        let file = given.split_once('=').map_or(given.as_str(), |(_, file)| file);
        refuse_same(Path::new(file), path)?;
    }
    match path.extension().and_then(|e| e.to_str()) {
        Some("npz") => Ok(()),
        Some("npy") if outputs == 1 => Ok(()),
        Some("npy") => Err(CliError::Usage(format!("the model gives {outputs} outputs: write them to x.npz"))),
        _ => Err(CliError::Usage(format!("`{}`: expected x.npz, or x.npy for a single output", path.display()))),
    }
}

fn read_inputs(given: &[String], executable: &Executable) -> Result<Vec<Tensor>, CliError> {
    let func = executable.func();
    let mut named = Vec::new();
    for argument in given {
        let known = |name: &str| func.params.iter().any(|p| &*p.name == name);
        // A path may contain `=`: the part before it is a name only if the model has such an input.
        match argument.split_once('=').filter(|(name, _)| known(name) || !Path::new(argument).exists()) {
            Some((name, file)) => named.push((name.to_string(), read(file)?)),
            None if func.params.len() == 1 => named.push((func.params[0].name.to_string(), read(argument)?)),
            None => {
                let names: Vec<String> = func.params.iter().map(|p| format!("`{}`", p.name)).collect();
                return Err(CliError::Usage(format!(
                    "the model takes {} inputs, so say which `{argument}` is: --input NAME={argument}; the names are {}",
                    func.params.len(),
                    names.join(", ")
                )));
            }
        }
    }
    let ordered = inputs::by_name(func, &named).map_err(CliError::from_error)?;
    inputs::fit(func, ordered).map_err(CliError::from_error)
}

fn read(file: &str) -> Result<Tensor, CliError> {
    npy::read(Path::new(file)).map_err(|e| CliError::because(format!("cannot read `{file}`"), e))
}

/// Writes outputs to a target that was checked.
fn write(path: &Path, outputs: &[(&str, &Tensor)]) -> Result<(), CliError> {
    let single = path.extension().is_some_and(|e| e == "npy");
    let bytes = match outputs {
        [(_, only)] if single => npy::encode(only),
        _ => npz::encode(outputs.iter().copied()).map_err(CliError::from_error)?,
    };
    let mut files = Outputs::default();
    files.write(path, |out| std::io::Write::write_all(out, &bytes).map_err(|e| cannot_write(path, e)))?;
    files.commit()
}

fn summary(outputs: &[(&str, &Tensor)]) -> String {
    let rows: Vec<Vec<String>> = outputs
        .iter()
        .map(|(name, tensor)| {
            let numbers = tensor.to_f64s();
            let mean = numbers.iter().sum::<f64>() / numbers.len().max(1) as f64;
            let (low, high) =
                numbers.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(*x), h.max(*x)));
            vec![
                name.to_string(),
                tensor.ty().to_string(),
                format!("{low:.6}"),
                format!("{high:.6}"),
                format!("{mean:.6}"),
            ]
        })
        .collect();
    table(&["output", "type", ">least", ">greatest", ">mean"], &rows)
}
