//! `netc [INPUT] [--pass P]... [-o OUT]`: read, rewrite, prove, write.

use std::borrow::Cow;
use std::ops::Deref;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Builder};

use clap::ValueEnum;
use netc_data::Store;
use netc_ir::Module;
use netc_keras::ReadOptions;
use netc_pass::{Dialects, Fidelity, Registry};
use netc_passes::analysis::Costs;
use netc_passes::analysis::graph::dot;

use crate::args::{CompileArgs, Emit};
use crate::chain::Chain;
use crate::error::CliError;
use crate::format::Format;
use crate::input::{self, Model};
use crate::manifest::{self, StageFile};
use crate::output::{Outputs, cannot_write, refuse_input};
use crate::pipeline::{self, Settings, Tools};
use crate::report::{Report, Written, title};
use crate::verify::{Executable, Given, Verification, verify};
use crate::{program, report, text};

pub(crate) fn run(args: &CompileArgs, registry: &Registry) -> Result<(), CliError> {
    let pipeline = pipeline::parse(&args.passes)?;
    let dialects = input::dialects(&args.model.library)?;
    // The state of an optimizer is of no use to what passes make of the model.
    let compiled = pipeline.0.is_empty() && !args.no_optimizer;
    let options = ReadOptions { weights: args.model.weights.as_deref(), compiled };
    let mut model = input::load_or_default(args.input.as_deref(), !pipeline.0.is_empty(), options, &dialects)?;
    if args.verify.is_some() {
        model.check_weights()?;
    }
    // Without a pass the model after is the model before.
    let before = (!pipeline.0.is_empty()).then(|| title(&model, &Costs::of(&model.module, &dialects)));
    let original = args.verify.map(|_| model.module.clone());

    let settings = Settings {
        pipeline: &pipeline,
        fuel: pipeline::fuel(&args.passes),
        watch: &args.watch,
        random: &args.random,
        layers: args.model.library.layers.iter().map(|path| absolute(path)).collect(),
    };
    let outcome = pipeline::run(&mut model.module, &settings, Tools { registry, dialects: &dialects })?;
    // Passes may have added functions.
    model.main = model.module.func_named(netc_ir::MAIN).unwrap_or(model.main);
    let chain = Chain::of(&model.module, model.main);
    let target =
        args.output.as_deref().map(|path| Target::of(path, args.format, &model, chain.as_ref())).transpose()?;
    let verification = match (&original, args.verify) {
        (Some(original), Some(inputs)) => {
            let fidelity = outcome.record.fidelity;
            Some(compare((original, &model.module), &dialects, fidelity, inputs, args)?)
        }
        _ => None,
    };
    let failed = verification.as_ref().is_some_and(|v| !v.passed());
    let passes: Vec<String> = pipeline.0.iter().map(ToString::to_string).collect();
    let costs = LazyLock::new(|| Costs::of(&model.module, &dialects));
    let writer = Writer { model: &model, passes: &passes, costs: &costs, verification: verification.as_ref() };
    let written = thread::scope(|scope| {
        // Writing takes long, and the report needs them behind it.
        let computed = scope.spawn(|| LazyLock::force(&costs));
        let written = writer.write(target.filter(|_| !failed), chain.as_ref());
        computed.join().map(|_| written).unwrap_or_else(|panic| resume_unwind(panic))
    })?;
    // What computes something else is another model, and the report is of that.
    let is_other = outcome.record.fidelity == Fidelity::Other;
    let report = Report {
        model: &model,
        title: before.filter(|_| !is_other).unwrap_or_else(|| title(&model, &costs)),
        is_other,
        passes: &passes,
        remarks: &outcome.remarks,
        chain: chain.as_ref(),
        costs: &costs,
        verification: verification.as_ref(),
        written: &written,
        hint: args.output.is_none().then(|| hint(chain.as_ref(), args.format)),
    };
    text::print(&match args.emit {
        Emit::Report => report.text(),
        Emit::Ir => netc_ir::print(&model.module),
        Emit::Json => format!("{:#}\n", report.json()),
        Emit::Dot => dot(&model.module, &model.module[model.main]),
    })?;
    let result = match &verification {
        Some(v) if failed => {
            Err(CliError::Verification(format!("verification failed, nothing is written: {}", report::verdict(v))))
        }
        Some(_) | None => Ok(()),
    };
    // The process ends here: there is no use in freeing a large graph piece by piece.
    std::mem::forget(costs);
    std::mem::forget(model);
    result
}

/// How to ask for an output.
fn hint(chain: Option<&Chain>, format: Option<Format>) -> &'static str {
    match chain {
        Some(_) => "`-o out/` writes the stages",
        None if format.is_some_and(Format::is_folder) => "`-o js/` writes the model",
        None => "`-o x.keras` writes the model",
    }
}

/// The path as it is found from everywhere.
fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.into()).to_string_lossy().into_owned()
}

fn compare(
    (before, after): (&Module, &Module),
    dialects: &Dialects,
    fidelity: Fidelity,
    inputs: u64,
    args: &CompileArgs,
) -> Result<Verification, CliError> {
    let given = Given::Random(args.random.batch);
    let (before, after) = (Executable::new(before, dialects, given)?, Executable::new(after, dialects, given)?);
    verify(&before, &after, fidelity, inputs, &args.random)
}

/// What the output is to be.
enum Target<'a> {
    Program(&'a Path),
    Whole(Cow<'a, Path>, Format),
    /// Without weights, in JSON.
    Architecture(&'a Path),
    Stages(&'a Path, &'a Chain, Format),
}

impl<'a> Target<'a> {
    /// Tells by the path what it asks for, and refuses what cannot be done before any work is.
    fn of(path: &'a Path, format: Option<Format>, model: &Model, chain: Option<&'a Chain>) -> Result<Self, CliError> {
        let shown = path.display();
        if let (Some(format), None) = (format.filter(|format| format.is_folder()), chain) {
            return Self::folder(path, format, model);
        }
        let target = match (path.extension().and_then(|e| e.to_str()), chain) {
            (Some("nir"), _) => Self::Program(path),
            (Some("json"), None) => Self::Architecture(path),
            (Some("keras" | "h5" | "hdf5"), Some(_)) => {
                return Err(CliError::Usage(several_files(path, model)));
            }
            (Some(extension @ ("json" | "onnx" | "npz")), Some(_)) => {
                let note = "the stages of a split model need a folder, and";
                return Err(CliError::Usage(format!("{note} `{shown}` is the name of a .{extension} file")));
            }
            (_, Some(chain)) => Self::Stages(path, chain, format.unwrap_or(Format::Keras)),
            (_, None) => match Format::of(path) {
                Some(format) => Self::Whole(path.into(), format),
                None => {
                    let note = "is no x.keras, x.h5, x.json or x.nir; a folder is for the stages of a split model";
                    return Err(CliError::Usage(format!("`{shown}` {note}")));
                }
            },
        };
        match target {
            Self::Program(_) | Self::Whole(..) | Self::Architecture(_) if format.is_some() => {
                let note = "`--format` says what stages are written as, and there are none:";
                return Err(CliError::Usage(format!("{note} the name of `{shown}` says what it is")));
            }
            Self::Program(_) | Self::Whole(..) | Self::Architecture(_) => refuse_input(model, path)?,
            Self::Stages(folder, chain, format) => {
                if folder.exists() && !folder.is_dir() {
                    return Err(CliError::input(format!("`{shown}` is a file; the stages need a folder")));
                }
                stage_files(model, chain, folder, format).iter().try_for_each(|(_, file)| refuse_input(model, file))?;
                refuse_input(model, &folder.join(manifest::FILE_NAME))?;
                manifest::refuse_chain_of(model, folder)?;
            }
        }
        Ok(target)
    }

    /// A model that is a folder of files.
    fn folder(path: &'a Path, format: Format, model: &Model) -> Result<Self, CliError> {
        let shown = path.display();
        let names_a_file = ["nir", "json", "keras", "h5", "hdf5"];
        if path.extension().and_then(|e| e.to_str()).is_some_and(|e| names_a_file.contains(&e)) {
            let note = "is the name of a file, and a model of TensorFlow.js is several: give a folder";
            return Err(CliError::Usage(format!("`{shown}` {note}")));
        }
        if path.exists() && !path.is_dir() {
            return Err(CliError::input(format!("`{shown}` is a file; a model of TensorFlow.js needs a folder")));
        }
        let target = path.join(format.file_of("").trim_start_matches('/'));
        refuse_input(model, &target)?;
        Ok(Self::Whole(target.into(), format))
    }
}

/// Why stages are not written to one file `path`.
fn several_files(path: &Path, model: &Model) -> String {
    let shown = path.display();
    let note = format!("the model is split into stages, which are several files: give a folder instead of `{shown}`");
    match model.manifest() {
        Some(manifest) => format!("{note}; `netc merge {} -o {shown}` makes one model of them", manifest.display()),
        None => note,
    }
}

fn stage_name(model: &Model, i: usize, format: Format) -> String {
    format.file_of(&format!("{}.stage{i}", model.name))
}

/// The names of the stages' files, and their paths.
fn stage_files(model: &Model, chain: &Chain, folder: &Path, format: Format) -> Vec<(String, PathBuf)> {
    let names = (0..chain.stages.len()).map(|i| stage_name(model, i, format));
    names.map(|name| (name.clone(), folder.join(name))).collect()
}

struct Writer<'a, 'm> {
    model: &'a Model,
    passes: &'a [String],
    costs: &'a (dyn Deref<Target = Costs<'m>> + Sync),
    verification: Option<&'a Verification>,
}

impl Writer<'_, '_> {
    fn write(&self, target: Option<Target<'_>>, chain: Option<&Chain>) -> Result<Written, CliError> {
        Ok(match target {
            Some(Target::Program(path)) => {
                Written { stages: self.unwritten(chain), paths: write_program(self.model, path)?, notes: Vec::new() }
            }
            Some(Target::Whole(path, format)) => write_model(self.model, &path, format)?,
            Some(Target::Architecture(path)) => write_architecture(self.model, path)?,
            Some(Target::Stages(folder, chain, format)) => self.stages(chain, folder, format)?,
            None => Written { stages: self.unwritten(chain), ..Written::default() },
        })
    }

    fn unwritten(&self, chain: Option<&Chain>) -> Vec<StageFile> {
        let stages = chain.map_or(&[][..], |c| &c.stages);
        stages.iter().map(|s| StageFile::unwritten(&self.model.module, s.func)).collect()
    }

    fn stages(&self, chain: &Chain, folder: &Path, format: Format) -> Result<Written, CliError> {
        let mut outputs = Outputs::in_folder(folder)?;
        let targets = stage_files(self.model, chain, folder, format);
        let store = Store::open(&self.model.module).map_err(CliError::from_error)?;
        for (_, target) in targets.iter().filter(|_| format.is_folder()) {
            outputs.make_folder(target.parent().unwrap_or(folder))?;
        }
        let written =
            in_parallel(chain.stages.len(), |i| format.write(self.model, &store, chain.stages[i].func, &targets[i].1));
        let mut files = Vec::new();
        for (stage, (name, _)) in written.into_iter().zip(&targets) {
            let (finished, ports) = stage?;
            outputs.add(finished);
            files.push(StageFile { file: Some(name.clone()), inputs: ports.inputs, outputs: ports.outputs });
        }
        input::check_weights(&store)?;
        let target = folder.join(manifest::FILE_NAME);
        let manifest = manifest::write(self.model, chain, &files, self.passes, self.costs, self.verification);
        outputs.write(&target, |out| {
            std::io::Write::write_all(out, format!("{manifest:#}\n").as_bytes()).map_err(|e| cannot_write(&target, e))
        })?;
        outputs.commit()?;
        let mut notes = format.changes(self.model);
        notes.extend(stale(self.model, folder, files.len(), format));
        let paths = targets.iter().map(|(_, t)| t).chain([&target]).map(|t| t.display().to_string()).collect();
        Ok(Written { stages: files, paths, notes })
    }
}

/// Says that there are further stages in the folder: an earlier split of the model wrote them, and they are no part of
/// this one.
fn stale(model: &Model, folder: &Path, stages: usize, format: Format) -> Option<String> {
    let further = |of: &Format| {
        let (of, first) = (*of, if *of == format { stages } else { 0 });
        (first..).map(move |i| stage_name(model, i, of)).take_while(|name| folder.join(name).exists())
    };
    let stale: Vec<String> = Format::value_variants().iter().flat_map(further).collect();
    let (names, folder) = (stale.join(", "), folder.display());
    let note = || format!("`{folder}` still holds {names} of an earlier split, which this one does not use");
    (!stale.is_empty()).then(note)
}

/// Writes the model as a program and gives the paths of what is written.
fn write_program(model: &Model, target: &Path) -> Result<Vec<String>, CliError> {
    let written = program::write_with_sidecar(&model.module, target)?;
    Ok(written.iter().map(|path| path.display().to_string()).collect())
}

/// Writes `@main` as a model file.
pub(crate) fn write_model(model: &Model, target: &Path, format: Format) -> Result<Written, CliError> {
    let store = Store::open(&model.module).map_err(CliError::from_error)?.reading_ahead();
    let folder = target.parent().filter(|_| format.is_folder());
    let mut outputs = folder.map_or_else(|| Ok(Outputs::default()), Outputs::in_folder)?;
    outputs.add(format.write(model, &store, model.main, target)?.0);
    input::check_weights(&store)?;
    outputs.commit()?;
    let paths = vec![target.display().to_string()];
    Ok(Written { paths, notes: format.changes(model), ..Written::default() })
}

/// Writes the graph of `@main` as JSON.
fn write_architecture(model: &Model, target: &Path) -> Result<Written, CliError> {
    let mut outputs = Outputs::default();
    let place = |e| CliError::because(format!("cannot write `{}`", target.display()), e);
    outputs.write(target, |out| netc_keras::write_json(&model.module, model.main, out).map_err(place))?;
    outputs.commit()?;
    let (paths, notes) = (vec![target.display().to_string()], netc_keras::changes(&model.module));
    Ok(Written { paths, notes, ..Written::default() })
}

/// What `make` gives for `0..n`, in order, made on as many threads as the machine has cores: stages are separate
/// files, so their order of completion reaches none of them.
fn in_parallel<T: Send>(n: usize, make: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(n);
    let next = AtomicUsize::new(0);
    let work = || {
        let claim = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|i| *i < n);
        std::iter::from_fn(claim).map(|i| (i, make(i))).collect::<Vec<_>>()
    };
    let mut made: Vec<(usize, T)> = thread::scope(|scope| {
        // Models in models take stack. What a thread that there is not would do, this one does.
        let spawn = |_| Builder::new().stack_size(netc_keras::STACK).spawn_scoped(scope, work).ok();
        let workers: Vec<_> = (1..threads).filter_map(spawn).collect();
        let own = work();
        own.into_iter()
            .chain(workers.into_iter().flat_map(|w| w.join().unwrap_or_else(|panic| resume_unwind(panic))))
            .collect()
    });
    made.sort_by_key(|(i, _)| *i);
    made.into_iter().map(|(_, made)| made).collect()
}
