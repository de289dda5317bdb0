//! `netc [INPUT] [--pass P]... [-o OUT]`: read, rewrite, prove, write.

use std::borrow::Cow;
use std::ops::Deref;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Builder};

use clap::ValueEnum;
use netc_data::Store;
use netc_ir::Module;
use netc_keras::ReadOptions;
use netc_pass::{Fidelity, Registry};
use netc_passes::analysis::Costs;
use netc_passes::analysis::graph::dot;

use crate::args::{CompileArgs, Emit};
use crate::chain::Chain;
use crate::error::CliError;
use crate::format::Format;
use crate::input::{self, Model};
use crate::limits;
use crate::manifest::{self, Earlier, Recorded, Rest, StageFile};
use crate::output::{Intent, Outputs, cannot_write, recover, refuse_input};
use crate::pipeline::{self, Settings, Tools};
use crate::report::{Report, Written, title};
use crate::verify::{Executable, Given, Verification, verify};
use crate::{program, report, text};

pub(crate) fn run(args: &CompileArgs, registry: &Registry) -> Result<(), CliError> {
    let pipeline = pipeline::parse(&args.passes)?;
    let dialects = input::dialects(&args.model.library)?;
    // The state of an optimizer is of no use to what passes make of the model.
    let compiled = pipeline.0.is_empty() && !args.no_optimizer;
    let options =
        ReadOptions { weights: args.model.weights.as_deref(), compiled, allowed: &args.model.library.allowed };
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
    let host = args.limits.host();
    let tools = Tools { registry, dialects: &dialects, host: &host };
    let outcome = pipeline::run(&mut model.module, &settings, tools)?;
    // Passes may have added functions.
    model.main = model.module.func_named(netc_ir::MAIN).unwrap_or(model.main);
    let chain = Chain::of(&model.module, model.main);
    let target = args.output.as_deref().map(|path| Target::of(path, args, &model, chain.as_ref())).transpose()?;
    let verification = match (&original, args.verify) {
        (Some(original), Some(inputs)) => {
            let fidelity = outcome.record.fidelity;
            Some(compare((original, &model.module), tools, fidelity, inputs, args)?)
        }
        _ => None,
    };
    let failed = verification.as_ref().is_some_and(|v| !v.passed());
    let passes: Vec<String> = pipeline.0.iter().map(ToString::to_string).collect();
    let costs = LazyLock::new(|| Costs::of(&model.module, &dialects));
    let writer = Writer { model: &model, passes: &passes, costs: &costs, verification: verification.as_ref() };
    let written = thread::scope(|scope| {
        // Writing takes long, and the report needs them behind it.
        let compute = || _ = LazyLock::force(&costs);
        let computed = (limits::threads(1) > 0).then(|| Builder::new().spawn_scoped(scope, compute));
        let written = writer.write(target.filter(|_| !failed), chain.as_ref());
        match computed {
            Some(Ok(thread)) => thread.join().map(|()| written).unwrap_or_else(|panic| resume_unwind(panic)),
            // Without a thread they are computed when they are needed.
            Some(Err(_)) | None => written,
        }
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
    match args.emit {
        Emit::Report => text::print(&report.text()),
        Emit::Ir => text::print_data(&netc_ir::print(&model.module)),
        Emit::Json => text::print_data(&format!("{:#}\n", report.json())),
        Emit::Dot => text::print_data(&dot(&model.module, &model.module[model.main])),
    }?;
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
    tools: Tools<'_>,
    fidelity: Fidelity,
    inputs: u64,
    args: &CompileArgs,
) -> Result<Verification, CliError> {
    let given = Given::Random(args.random.batch);
    let executable = |module| Executable::new(module, tools.dialects, given, tools.host);
    let (before, after) = (executable(before)?, executable(after)?);
    verify(&before, &after, fidelity, inputs, &args.random)
}

/// What the output is to be.
enum Target<'a> {
    Program(&'a Path),
    Whole(Cow<'a, Path>, Format),
    /// Without weights, in JSON.
    Architecture(&'a Path),
    Stages(Stages<'a>),
}

/// The stages of a split, in a folder.
struct Stages<'a> {
    folder: &'a Path,
    chain: &'a Chain,
    format: Format,
    /// What is in the folder.
    earlier: Earlier<'a>,
}

impl<'a> Target<'a> {
    /// Tells by the path what it asks for, and refuses what cannot be done before any work is.
    fn of(path: &'a Path, args: &CompileArgs, model: &Model, chain: Option<&'a Chain>) -> Result<Self, CliError> {
        let (shown, format) = (path.display(), args.format);
        if let (Some(format), None) = (format.filter(|format| format.is_folder()), chain) {
            return Self::folder(path, format, model);
        }
        if (format, Format::of(path), chain.is_some()) == (Some(Format::H5Keras2), Some(Format::H5), false) {
            refuse_input(model, path)?;
            return Ok(Self::Whole(path.into(), Format::H5Keras2));
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
            (_, Some(chain)) => {
                return Self::stages(path, chain, format.unwrap_or(Format::Keras), model, args.force);
            }
            (_, None) => match Format::of(path) {
                Some(format) => Self::Whole(path.into(), format),
                None => {
                    let note = "is no x.keras, x.h5, x.json or x.nir; a folder is for the stages of a split model";
                    return Err(CliError::Usage(format!("`{shown}` {note}")));
                }
            },
        };
        if format.is_some() {
            let note = "`--format` says what stages are written as, and there are none:";
            return Err(CliError::Usage(format!("{note} the name of `{shown}` says what it is")));
        }
        refuse_input(model, path)?;
        Ok(target)
    }

    /// Refuses to replace stages that are not as an earlier split wrote them.
    fn stages(
        folder: &'a Path,
        chain: &'a Chain,
        format: Format,
        model: &Model,
        force: bool,
    ) -> Result<Self, CliError> {
        if folder.exists() && !folder.is_dir() {
            return Err(CliError::input(format!("`{}` is a file; the stages need a folder", folder.display())));
        }
        let names: Vec<String> = (0..chain.stages.len()).map(|i| stage_name(model, i, format)).collect();
        names.iter().try_for_each(|name| refuse_input(model, &folder.join(name)))?;
        refuse_input(model, &folder.join(manifest::FILE_NAME))?;
        recover(folder, Intent::WriteSet)?;
        let mut earlier = Earlier::in_folder(folder, model, force);
        earlier.refuse_stage(model)?;
        earlier.refuse_other_model()?;
        names.iter().try_for_each(|name| earlier.allow(name))?;
        Ok(Self::Stages(Stages { folder, chain, format, earlier }))
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
            Some(Target::Stages(stages)) => self.stages(stages)?,
            None => Written { stages: self.unwritten(chain), ..Written::default() },
        })
    }

    fn unwritten(&self, chain: Option<&Chain>) -> Vec<StageFile> {
        let stages = chain.map_or(&[][..], |c| &c.stages);
        stages.iter().map(|s| StageFile::unwritten(&self.model.module, s.func)).collect()
    }

    fn stages(&self, Stages { folder, chain, format, mut earlier }: Stages<'_>) -> Result<Written, CliError> {
        let mut outputs = Outputs::in_folder(folder)?;
        let names: Vec<String> = (0..chain.stages.len()).map(|i| stage_name(self.model, i, format)).collect();
        let store = Store::open(&self.model.module).map_err(CliError::from_error)?;
        let written = in_parallel(chain.stages.len(), |i| {
            format.write(self.model, &store, chain.stages[i].func, &folder.join(&names[i]), &outputs)
        });
        let mut stages = Vec::new();
        for (stage, name) in written.into_iter().zip(&names) {
            let (finished, written) = stage?;
            let files: Vec<Recorded> = finished
                .iter()
                .zip(&written.checksums)
                .map(|(file, checksum)| Recorded { file: relative(&file.target, folder), checksum: *checksum })
                .collect();
            // The names of shards were not known before.
            files.iter().try_for_each(|recorded| earlier.allow(&recorded.file))?;
            outputs.add(finished);
            stages.push(StageFile {
                file: Some(name.clone()),
                files,
                inputs: written.inputs,
                outputs: written.outputs,
            });
        }
        input::check_weights(&store)?;
        let new: Vec<Recorded> = stages.iter().flat_map(|stage| stage.files.iter().cloned()).collect();
        let rest = earlier.rest(&new)?;
        earlier.seen().for_each(|(target, stamp)| outputs.expect(target, stamp));
        rest.removed.iter().for_each(|(file, stamp)| outputs.remove(folder.join(file), stamp.clone()));
        let target = folder.join(manifest::FILE_NAME);
        let manifest = manifest::write(self.model, chain, &stages, self.passes, self.costs, self.verification);
        outputs.write(&target, |out| {
            std::io::Write::write_all(out, format!("{manifest:#}\n").as_bytes()).map_err(|e| cannot_write(&target, e))
        })?;
        outputs.commit()?;
        let mut notes = format.changes(self.model);
        notes.extend(earlier.forced());
        notes.extend(leftover(self.model, folder, &stages, &rest));
        let paths = names.iter().map(|name| folder.join(name)).chain([target]);
        let paths = paths.map(|path| path.display().to_string()).collect();
        Ok(Written { stages, paths, notes })
    }
}

/// The path of a file in `folder`, as it counts from there.
fn relative(file: &Path, folder: &Path) -> String {
    file.strip_prefix(folder).unwrap_or(file).to_string_lossy().into_owned()
}

/// Says which files of an earlier split are gone, and which stay though they are no part of this one.
fn leftover(model: &Model, folder: &Path, stages: &[StageFile], rest: &Rest) -> Vec<String> {
    let is_stage = |name: &String| stages.iter().any(|stage| stage.file.as_ref() == Some(name));
    let further = |format: &Format| {
        let first = if is_stage(&stage_name(model, 0, *format)) { stages.len() } else { 0 };
        let format = *format;
        (first..).map(move |i| stage_name(model, i, format)).take_while(|name| folder.join(name).exists())
    };
    let mut kept = rest.kept.clone();
    for name in Format::value_variants().iter().flat_map(further) {
        if !kept.contains(&name) {
            kept.push(name);
        }
    }
    let removed: Vec<&str> = rest.removed.iter().map(|(file, _)| file.as_str()).collect();
    let folder = folder.display();
    let mut notes = Vec::new();
    if !removed.is_empty() {
        notes.push(format!("removed {} of the earlier split from `{folder}`", removed.join(", ")));
    }
    if !kept.is_empty() {
        notes.push(format!(
            "`{folder}` still holds {} of an earlier split, which this one does not use",
            kept.join(", ")
        ));
    }
    notes
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
    let mut outputs = folder.map_or_else(|| Outputs::next_to(target), Outputs::in_folder)?;
    let (finished, _) = format.write(model, &store, model.main, target, &outputs)?;
    outputs.add(finished);
    input::check_weights(&store)?;
    outputs.commit()?;
    let paths = vec![target.display().to_string()];
    Ok(Written { paths, notes: format.changes(model), ..Written::default() })
}

/// Writes the graph of `@main` as JSON.
fn write_architecture(model: &Model, target: &Path) -> Result<Written, CliError> {
    let mut outputs = Outputs::next_to(target)?;
    let place = |e| CliError::because(format!("cannot write `{}`", target.display()), e);
    outputs.write(target, |out| netc_keras::write_json(&model.module, model.main, out).map_err(place))?;
    outputs.commit()?;
    let (paths, notes) = (vec![target.display().to_string()], netc_keras::changes(&model.module));
    Ok(Written { paths, notes, ..Written::default() })
}

/// What `make` gives for `0..n`, in order, made on as many threads as the machine has cores: stages are separate
/// files, so their order of completion reaches none of them.
fn in_parallel<T: Send>(n: usize, make: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let threads = limits::threads(thread::available_parallelism().map_or(1, usize::from).min(n));
    let next = AtomicUsize::new(0);
    let work = || {
        let claim = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|i| *i < n);
        std::iter::from_fn(claim).map(|i| (i, make(i))).collect::<Vec<_>>()
    };
    let mut made: Vec<(usize, T)> = thread::scope(|scope| {
        // Nested models need a large stack, so this thread does work only if there is no memory for another.
        let spawn = |_| Builder::new().stack_size(netc_keras::STACK).spawn_scoped(scope, work).ok();
        let workers: Vec<_> = (0..threads).filter_map(spawn).collect();
        let own = if workers.is_empty() { work() } else { Vec::new() };
        own.into_iter()
            .chain(workers.into_iter().flat_map(|w| w.join().unwrap_or_else(|panic| resume_unwind(panic))))
            .collect()
    });
    made.sort_by_key(|(i, _)| *i);
    made.into_iter().map(|(_, made)| made).collect()
}
