//! `netc run MODEL --input x.npy -o y.npz`: runs a model.

use std::collections::BTreeMap;
use std::path::Path;

use netc_exec::{Tensor, inputs, npy, npz};
use netc_ir::{Func, Number};
use netc_model::output::{Outputs, cannot_write, refuse_same};
use netc_model::verify::{Executable, RunInputs};
use netc_model::{Model, ModelError};
use netc_pass::{nearest, thousands};

use crate::args::RunArgs;
use crate::error::{CliError, Result};
use crate::input::{self, Tables};
use crate::progress::Progress;
use crate::text::{self, decimal, table};

pub(crate) fn run(args: &RunArgs, tables: &Tables) -> Result<()> {
    let session = tables.session(&args.model.library, Some(&args.limits))?;
    let model = input::load(&session, &args.input, args.model.weights.as_deref())?;
    model.check_weights()?;
    let main = model.module.main().ok_or_else(|| CliError::input("there is no function `@main`"))?;
    let files = if args.inputs.is_empty() { None } else { Some(read_inputs(&args.inputs, main)?) };
    let given = files.as_deref().map_or(RunInputs::Random(args.random.batch), RunInputs::Tensors);
    let executable = Executable::new(&session, &model.module, given)?;
    if let Some(path) = &args.output {
        check_target(path, &model, args, executable.func().outputs.len())?;
    }
    let tensors = match files {
        Some(tensors) => tensors,
        None => {
            text::note(&format!("no --input is given: using random inputs with seed {}", args.random.seed));
            executable.random_inputs(args.random.random())?
        }
    };
    let mut progress = Progress::new("run");
    let outputs = executable.run(&tensors, &mut |done, total| progress.update(done, total))?;
    drop(progress);
    let named: Vec<(&str, &Tensor)> = executable.func().outputs.iter().map(|o| &*o.name).zip(&outputs).collect();
    match &args.output {
        Some(path) => {
            write(path, &named)?;
            text::print(&format!("{:<10}{}\n", "wrote", path.display()))
        }
        None => text::print(&summary(&named)),
    }
}

/// Checks the output path before the model runs.
fn check_target(path: &Path, model: &Model, args: &RunArgs, outputs: usize) -> Result<()> {
    model.refuse_input(path)?;
    for given in &args.inputs {
        let file = given.split_once('=').map_or(given.as_str(), |(_, file)| file);
        refuse_same(Path::new(file), path)?;
    }
    match path.extension().and_then(|e| e.to_str()) {
        Some("npz") => Ok(()),
        Some("npy") if outputs == 1 => Ok(()),
        Some("npy") => Err(CliError::Usage(format!("the model has {outputs} outputs: write them to x.npz"))),
        _ => Err(CliError::Usage(format!(
            "cannot write `{}`: expected x.npz, or x.npy for a single output",
            path.display()
        ))),
    }
}

/// Reads the inputs, in the order of the parameters. Each must be given exactly once.
fn read_inputs(given: &[String], func: &Func) -> Result<Vec<Tensor>> {
    let names: Vec<&str> = func.params.iter().map(|p| &*p.name).collect();
    let mut files: BTreeMap<&str, &str> = BTreeMap::new();
    for argument in given {
        let (name, file) = split_argument(argument, &names)?;
        if files.insert(name, file).is_some() {
            return Err(CliError::Usage(format!("input `{name}` is given twice")));
        }
    }
    if let Some(name) = names.iter().find(|name| !files.contains_key(*name)) {
        let hint = format!("add `--input {name}=FILE`; {}", inputs_of_model(&names));
        return Err(CliError::Usage(format!("input `{name}` is missing: {hint}")));
    }
    let read = |name: &&str| read(files[*name]);
    inputs::fit(func, names.iter().map(read).collect::<Result<_, _>>()?).map_err(CliError::from_error)
}

/// Parses `NAME=FILE`, or `FILE` if the model has one input.
fn split_argument<'a>(argument: &'a str, names: &[&'a str]) -> Result<(&'a str, &'a str)> {
    let known = |name: &str| names.contains(&name);
    // A path may contain `=`: the part before it is a name only if the model has such an input.
    match (argument.split_once('=').filter(|(name, _)| known(name) || !Path::new(argument).exists()), names) {
        (Some((name, file)), _) if known(name) => Ok((name, file)),
        (Some((name, _)), _) => Err(CliError::Usage(format!(
            "the model has no input `{name}`{}; {}",
            nearest(name, names),
            inputs_of_model(names)
        ))),
        (None, [only]) => Ok((only, argument)),
        (None, _) => Err(CliError::Usage(format!(
            "the model has several inputs: use `--input NAME={argument}`; {}",
            inputs_of_model(names)
        ))),
    }
}

fn inputs_of_model(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => "the model has no inputs".into(),
        [only] => format!("its only input is {only}"),
        all => format!("its inputs are {}", all.join(", ")),
    }
}

fn read(file: &str) -> Result<Tensor> {
    if Path::new(file).extension().is_some_and(|e| e == "npz") {
        let note = "is an archive of arrays, and an input is one array: unpack it and pass a .npy file";
        return Err(CliError::Usage(format!("`{file}` {note}")));
    }
    npy::read(Path::new(file)).map_err(CliError::from_error)
}

/// Writes outputs to a path that [`check_target`] accepted.
fn write(path: &Path, outputs: &[(&str, &Tensor)]) -> Result<()> {
    let single = path.extension().is_some_and(|e| e == "npy");
    let mut files = Outputs::next_to(path)?;
    files.recovered().iter().for_each(|note| text::note(&note.text));
    files.write(path, |out| match outputs {
        [(_, only)] if single => npy::write_to(only, out).map_err(|e| cannot_write(path, e)),
        _ => npz::write_to(outputs.iter().copied(), out).map_err(ModelError::from_error),
    })?;
    Ok(files.commit()?)
}

fn summary(outputs: &[(&str, &Tensor)]) -> String {
    let rows: Vec<Vec<String>> = outputs
        .iter()
        .map(|(name, tensor)| {
            let (cells, nans) = statistics(tensor.numbers().map(Number::as_f64));
            let cells = cells.map_or_else(|| vec![String::from("-"); 3], |s| s.map(decimal).to_vec());
            let mut row = vec![name.to_string(), tensor.ty().to_string()];
            row.extend(cells);
            row.push(thousands(nans));
            row
        })
        .collect();
    table(&["output", "type", ">min", ">max", ">mean", ">NaN"], &rows)
}

/// The minimum, maximum and mean of the numbers that are not NaN, if there are any, and the count of NaNs.
fn statistics(numbers: impl Iterator<Item = f64>) -> (Option<[f64; 3]>, u64) {
    let (mut least, mut greatest, mut sum) = (f64::INFINITY, f64::NEG_INFINITY, 0.0);
    let (mut count, mut nans) = (0u64, 0);
    for number in numbers {
        if number.is_nan() {
            nans += 1;
            continue;
        }
        least = least.min(number);
        greatest = greatest.max(number);
        sum += number;
        count += 1;
    }
    ((count > 0).then(|| [least, greatest, sum / count as f64]), nans)
}
