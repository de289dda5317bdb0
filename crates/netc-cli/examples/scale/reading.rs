//! How the time and the memory of the command grow with the file that it reads.
//!
//! Each file is made first. Then the command runs in a process of its own, which is this example once more. Times include
//! what the command prints.

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;
use std::{env, io};

use netc_data::Store;
use netc_ir::{MAIN, Module};
use netc_keras::build::{BuildError, Dense, ModelBuilder, Tensor};

/// A kind of input, by the number of its layers, models, calls, ops or stages.
struct Case {
    name: &'static str,
    sizes: [usize; 3],
    /// Makes the file, or folder, at the path, which has the extension or is the folder.
    make: fn(usize, &Path) -> Result<(), Failed>,
    file: &'static str,
    subcommand: Option<&'static str>,
    passes: &'static [&'static str],
}

type Failed = Box<dyn Error>;

const MOST: [usize; 3] = [1_000, 10_000, 100_000];
const MANY: [usize; 3] = [1_000, 4_000, 16_000];
const FEW: [usize; 3] = [100, 400, 1_600];

const fn inspect(
    name: &'static str,
    sizes: [usize; 3],
    file: &'static str,
    make: fn(usize, &Path) -> Result<(), Failed>,
) -> Case {
    Case { name, sizes, make, file, subcommand: Some("inspect"), passes: &[] }
}

const CASES: &[Case] = &[
    inspect("chain.keras", MOST, "m.keras", |n, path| write(&chain(n)?, path)),
    inspect("chain.h5", MOST, "m.h5", |n, path| write(&chain(n)?, path)),
    Case {
        name: "chain, split",
        sizes: MOST,
        make: |n, path| write(&chain(n)?, path),
        file: "m.keras",
        subcommand: None,
        passes: &["--pass", "split=middle", "-o", "stages"],
    },
    inspect("wide.keras", MANY, "m.keras", |n, path| write(&wide(n)?, path)),
    inspect("wide.h5", MANY, "m.h5", |n, path| write(&wide(n)?, path)),
    inspect("models.keras", FEW, "m.keras", |n, path| write(&models(n)?, path)),
    inspect("models.h5", FEW, "m.h5", |n, path| write(&models(n)?, path)),
    inspect("model of n.keras", MANY, "m.keras", |n, path| write(&model_of(n)?, path)),
    inspect("model of n.h5", MANY, "m.h5", |n, path| write(&model_of(n)?, path)),
    inspect("one layer.keras", MANY, "m.keras", |n, path| write(&one_layer(n)?, path)),
    inspect("one layer.h5", MANY, "m.h5", |n, path| write(&one_layer(n)?, path)),
    Case { name: "fuse", sizes: MANY, make: ops, file: "m.nir", subcommand: None, passes: &["--pass", "fuse"] },
    inspect("manifest", FEW, "manifest.json", stages),
];

/// Set where this process is the command.
const COMMAND: &str = "SCALE_RUNS_THE_COMMAND";

pub(super) fn is_command() -> bool {
    env::var_os(COMMAND).is_some()
}

/// Runs the command, and prints the most memory that the process had, in KB, as the last line of standard error.
pub(super) fn command() -> ExitCode {
    let code = netc_cli::main(netc_passes::registry(), netc_cli::formats());
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    eprintln!("{}", peak.unwrap_or("0"));
    code
}

pub(super) fn table() -> Result<(), Failed> {
    println!(
        "{:<17} {:>8} {:>8} {:>9} {:>8} {:>9} {:>8}",
        "input", "n", "file MB", "seconds", "us per n", "peak MB", "KB per n"
    );
    for case in CASES {
        for n in case.sizes {
            let folder = tempfile::tempdir()?;
            let path = folder.path().join(case.file);
            (case.make)(n, &path)?;
            let size = fs::metadata(&path)?.len() as f64 / 1e6;
            let (seconds, peak) = run(case, folder.path())?;
            let (us, kb) = (seconds * 1e6 / n as f64, peak / n as f64);
            println!("{:<17} {n:>8} {size:>8.1} {seconds:>9.3} {us:>8.1} {:>9.1} {kb:>8.1}", case.name, peak / 1e3);
            io::stdout().flush()?;
        }
    }
    Ok(())
}

/// The seconds that the command takes, and the most KB that it has.
fn run(case: &Case, folder: &Path) -> Result<(f64, f64), Failed> {
    let mut command = Command::new(env::current_exe()?);
    command.args(case.subcommand).arg(case.file).args(case.passes);
    command.current_dir(folder).env(COMMAND, "1").stdout(Stdio::null());
    let start = Instant::now();
    let output = command.stderr(Stdio::piped()).output()?;
    let seconds = start.elapsed().as_secs_f64();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(format!("{}: {text}", case.name).into());
    }
    let peak = text.lines().last().and_then(|line| line.parse().ok()).ok_or("the process did not tell its memory")?;
    Ok((seconds, peak))
}

fn write(module: &Module, path: &Path) -> Result<(), Failed> {
    let main = module.func_named(MAIN).ok_or("there is no @main")?;
    let (store, file) = (Store::open(module)?, File::create(path)?);
    match path.extension().is_some_and(|extension| extension == "h5") {
        true => netc_keras::write_hdf5(module, main, &store, file)?,
        false => netc_keras::write(module, main, &store, file)?,
    };
    Ok(())
}

fn relu(model: &mut ModelBuilder, x: Tensor) -> Tensor {
    model.activation(x, "relu")
}

/// A chain of `n` layers; the one in the middle is called so.
fn chain(n: usize) -> Result<Module, BuildError> {
    let mut model = ModelBuilder::new("chain", 0);
    let mut x = model.input(&[4]);
    for i in 0..n {
        if i == n / 2 {
            model.named("middle");
        }
        x = relu(&mut model, x);
    }
    model.finish(&[("y", x)])
}

/// `n` layers that read the input, and their sum.
fn wide(n: usize) -> Result<Module, BuildError> {
    let mut model = ModelBuilder::new("wide", 0);
    let x = model.input(&[4]);
    let parts: Vec<Tensor> = (0..n).map(|_| relu(&mut model, x)).collect();
    let y = model.add(&parts);
    model.finish(&[("y", y)])
}

/// A chain of `n` models of one layer with weights.
fn models(n: usize) -> Result<Module, BuildError> {
    let mut model = ModelBuilder::new("models", 0);
    let mut x = model.input(&[4]);
    for i in 0..n {
        let inner = model_of_dense(&format!("model_{i}"), 1)?;
        let inner = model.model(inner);
        x = model.apply(inner, &[x]);
    }
    model.finish(&[("y", x)])
}

/// A model of `n` layers with weights in a model.
fn model_of(n: usize) -> Result<Module, BuildError> {
    let mut model = ModelBuilder::new("whole", 0);
    let x = model.input(&[4]);
    let inner = model.model(model_of_dense("model", n)?);
    let y = model.apply(inner, &[x]);
    model.finish(&[("y", y)])
}

fn model_of_dense(name: &str, n: usize) -> Result<Module, BuildError> {
    let mut model = ModelBuilder::new(name, 0);
    let mut x = model.input(&[4]);
    for _ in 0..n {
        x = model.dense(x, Dense { units: 4, ..Dense::default() });
    }
    model.finish(&[("y", x)])
}

/// One layer that is applied `n` times.
fn one_layer(n: usize) -> Result<Module, BuildError> {
    let mut model = ModelBuilder::new("one", 0);
    let x = model.input(&[4]);
    let mut y = relu(&mut model, x);
    let layer = model.layer_of(y);
    for _ in 1..n {
        y = model.apply(layer, &[y]);
    }
    model.finish(&[("y", y)])
}

/// A program of `n` elementwise ops.
fn ops(n: usize, path: &Path) -> Result<(), Failed> {
    let mut text = "netc 1\nfunc @main(%x: f32[4]) -> (%y) {\n %a0 = neg(%x) : f32[4]\n".to_string();
    (1..n).for_each(|i| text += &format!(" %a{i} = neg(%a{}) : f32[4]\n", i - 1));
    Ok(fs::write(path, text + &format!(" %y = neg(%a{}) : f32[4]\n}}\n", n - 1))?)
}

/// A manifest of `n` stages of one layer each.
fn stages(n: usize, path: &Path) -> Result<(), Failed> {
    let mut stages = Vec::new();
    for i in 0..n {
        let file = format!("m.stage{i}.keras");
        write(&chain(1)?, &path.with_file_name(&file))?;
        let source = match i.checked_sub(1) {
            None => r#"{"model_input": "x"}"#.to_string(),
            Some(before) => format!(r#"{{"stage": {before}, "output": 0}}"#),
        };
        let inputs = format!(r#"[{{"name": "x", "source": {source}}}]"#);
        stages.push(format!(
            r#"{{"name": "stage{i}", "file": "{file}", "inputs": {inputs}, "outputs": [{{"name": "y"}}]}}"#
        ));
    }
    let output = format!(r#"[{{"name": "y", "source": {{"stage": {}, "output": 0}}}}]"#, n - 1);
    let (stages, inputs) = (stages.join(",\n"), r#"[{"name": "x"}]"#);
    let text = format!(
        r#"{{"netc": "0.1.0", "model": "m", "passes": [], "inputs": {inputs}, "outputs": {output}, "stages": [{stages}]}}"#
    );
    Ok(fs::write(path, text)?)
}
