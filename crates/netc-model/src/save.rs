//! Writes models: chooses the destination and format, and writes the files.

use std::io::{self, Write};
use std::ops::Deref;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Builder};

use netc_data::Store;
use netc_format::{Format, FormatError, Formats, Holds, Layout, ModelRef, Note, Sink, Written, foreign, stack};
use netc_ir::FuncId;
use netc_passes::analysis::Costs;

use crate::error::{ModelError, Remedy, Result};
use crate::limits;
use crate::manifest::{self, Earlier, Recorded, Rest, StageFile};
use crate::model::Model;
use crate::output::{Finished, Intent, Outputs, cannot_write, recover};
use crate::stage_graph::StageGraph;
use crate::verify::Verification;

/// The result of saving a model.
#[derive(Default)]
pub struct Saved {
    /// The stages of a split, written or not.
    pub stages: Vec<StageFile>,
    /// The paths of the main files, including the manifest of a split.
    pub paths: Vec<String>,
    /// Notes about differences from the model that was read.
    pub notes: Vec<Note>,
    /// Notes about files recovered from a killed netc.
    pub recovered: Vec<Note>,
}

impl Saved {
    /// The result if nothing is written. Lists the stages of `graph` if the model was split.
    pub fn nothing(model: &Model, graph: Option<&StageGraph>) -> Self {
        let stages = graph.map_or(&[][..], |graph| &graph.stages);
        let stages = stages.iter().map(|stage| StageFile::unwritten(&model.module, stage.func)).collect();
        Self { stages, ..Self::default() }
    }
}

/// The path and format that a model will be written to. Creating one runs all checks that need no writing.
pub struct Destination<'a> {
    target: Target<'a>,
    graph: Option<&'a StageGraph>,
    recovered: Vec<Note>,
}

enum Target<'a> {
    /// The whole model: the path of its main file, the format, and whether to replace files next to it that are not part
    /// of a model.
    Whole(PathBuf, &'static Format, bool),
    Stages(StagesIn<'a>),
}

/// The stages of a split, in a folder.
struct StagesIn<'a> {
    folder: &'a Path,
    graph: &'a StageGraph,
    format: &'static Format,
    /// The split that is already in the folder.
    earlier: Earlier<'a>,
}

impl<'a> Destination<'a> {
    /// Chooses the destination from the path and the optional format. A split model has a `graph`.
    ///
    /// `force` allows replacing files in a folder of stages that netc would otherwise protect.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # use netc_format::Formats;
    /// # use netc_model::Session;
    /// # let netc = Session::new(Formats::new().with(&netc_keras::FRAMEWORK));
    /// # let module = netc_zoo::find("tiny").map(|zoo| (zoo.build)(0)).ok_or("no tiny")??;
    /// # let model = netc.model(module, "tiny", "tiny")?;
    /// use std::sync::LazyLock;
    ///
    /// use netc_model::Destination;
    /// use netc_passes::analysis::Costs;
    ///
    /// let path = folder.path().join("tiny.keras");
    /// let destination = Destination::of(&path, &model, None, None, false)?;
    /// // Nothing has been written yet.
    /// assert!(!path.exists());
    /// let costs = LazyLock::new(|| Costs::of(&model.module, netc.dialects()));
    /// destination.write(&model, &[], &costs, None)?;
    /// assert!(path.exists());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The extension is unknown or contradicts `format`, or files would be lost.
    pub fn of(
        path: &'a Path,
        model: &Model,
        graph: Option<&'a StageGraph>,
        format: Option<&'static Format>,
        force: bool,
    ) -> Result<Self> {
        let formats = model.session().formats();
        let named = formats.of_path(path);
        // A file that holds a whole program can hold the stages too.
        if let Some(graph) = graph.filter(|_| named.is_none_or(|named| named.holds != Holds::Program)) {
            refuse_name_of_file(path, named, model)?;
            let format = format.or_else(|| formats.of_models().next());
            let format = format.ok_or_else(|| ModelError::Usage("none of the formats can hold stages".into()))?;
            return Self::stages(path, graph, format, model, force);
        }
        let format = match (named, format) {
            (Some(named), None) => named,
            (None, None) => return Err(ModelError::Usage(unknown_name(path, formats))),
            (_, Some(format)) if graph.is_none() && matches!(format.layout, Layout::Folder { .. }) => {
                return Self::folder(path, format, named, model, force);
            }
            (Some(_), Some(format)) if format.names(path) => format,
            (Some(_), Some(_)) => {
                let note = "for an unsplit model the extension decides the format; omit `--format` or rename";
                return Err(ModelError::Usage(format!("{note} `{}`", path.display())));
            }
            (None, Some(_)) => return Err(ModelError::Usage(unknown_name(path, formats))),
        };
        Ok(Self { graph, ..Self::whole(path, format, model, force)? })
    }

    fn whole(path: &Path, format: &'static Format, model: &Model, force: bool) -> Result<Self> {
        model.refuse_input(path)?;
        Ok(Self { target: Target::Whole(path.into(), format, force), graph: None, recovered: Vec::new() })
    }

    /// A folder of stages. Fails if it would replace stages that changed since an earlier split wrote them.
    fn stages(
        folder: &'a Path,
        graph: &'a StageGraph,
        format: &'static Format,
        model: &Model,
        force: bool,
    ) -> Result<Self> {
        if format.holds != Holds::Model {
            return Err(ModelError::Usage(format!("{} cannot hold a stage of a model", format.title)));
        }
        if folder.exists() && !folder.is_dir() {
            return Err(ModelError::failed(format!("`{}` is a file; the stages need a folder", folder.display())));
        }
        let names: Vec<String> = (0..graph.stages.len()).map(|i| stage_name(model, i, format)).collect();
        names.iter().try_for_each(|name| model.refuse_input(&folder.join(name)))?;
        model.refuse_input(&folder.join(manifest::FILE_NAME))?;
        let recovered = recover(folder, Intent::WriteSet)?;
        let mut earlier = Earlier::in_folder(folder, model, force);
        earlier.refuse_stage(model)?;
        earlier.refuse_other_model()?;
        names.iter().try_for_each(|name| earlier.allow(name))?;
        let target = Target::Stages(StagesIn { folder, graph, format, earlier });
        Ok(Self { target, graph: Some(graph), recovered })
    }

    /// A model in a format that takes a folder.
    fn folder(
        path: &Path,
        format: &'static Format,
        by_name: Option<&Format>,
        model: &Model,
        force: bool,
    ) -> Result<Self> {
        let (shown, title) = (path.display(), format.title);
        if by_name.is_some() {
            let note = format!("is the name of a file, but {title} takes several files; give a folder");
            return Err(ModelError::Usage(format!("`{shown}` {note}")));
        }
        if path.exists() && !path.is_dir() {
            return Err(ModelError::failed(format!("`{shown}` is a file; {title} needs a folder")));
        }
        let target = path.join(format.main_file());
        Self::whole(&target, format, model, force)
    }

    /// Notes about files recovered from a killed netc so far.
    pub fn recovered(&self) -> &[Note] {
        &self.recovered
    }

    /// Writes the model.
    ///
    /// A manifest records `passes`, which produced the model, and `verification`, which compared it with the original.
    ///
    /// # Errors
    /// The format does not support the model, or a file cannot be written. Then nothing is written.
    pub fn write<'m>(
        self,
        model: &'m Model,
        passes: &[String],
        costs: &(dyn Deref<Target = Costs<'m>> + Sync),
        verification: Option<&Verification>,
    ) -> Result<Saved> {
        Ok(match self.target {
            Target::Whole(path, format, force) => {
                let stages = Saved::nothing(model, self.graph).stages;
                Saved { stages, ..write_model(model, &path, format, force)? }
            }
            Target::Stages(stages) => stages.write(model, passes, costs, verification)?,
        })
    }
}

/// The message for a path without a known extension.
fn unknown_name(path: &Path, formats: &Formats) -> String {
    let names = file_names(formats.all().filter(|format| format.writer.is_some()));
    format!("expected an output such as {names}, found `{}`; a folder is for stages of a split model", path.display())
}

/// The names that files of the formats may have: `x.nir, x.onnx or x.json`.
pub fn file_names(formats: impl Iterator<Item = &'static Format>) -> String {
    let mut names: Vec<String> = Vec::new();
    for extension in formats.filter_map(|format| format.extensions.first()) {
        let name = format!("x.{extension}");
        if !names.contains(&name) {
            names.push(name);
        }
    }
    match names.as_slice() {
        [rest @ .., last] if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        names => names.concat(),
    }
}

/// Checks that the path for stages, which need a folder, does not name a file.
fn refuse_name_of_file(path: &Path, named: Option<&Format>, model: &Model) -> Result<()> {
    let shown = path.display();
    if named.is_some_and(|format| format.holds == Holds::Model) {
        let note =
            format!("the model is split into stages, which are several files: give a folder instead of `{shown}`");
        return Err(ModelError::Usage(match model.manifest() {
            Some(manifest) => format!("{note}; `netc merge {} -o {shown}` merges them into one", manifest.display()),
            None => note,
        }));
    }
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    if named.is_some() || foreign::EXTENSIONS.contains(&extension) {
        let note = "the stages of a split model need a folder, but";
        return Err(ModelError::Usage(format!("{note} `{shown}` is the name of a .{extension} file")));
    }
    Ok(())
}

fn stage_name(model: &Model, i: usize, format: &Format) -> String {
    format.file_of(&format!("{}.stage{i}", model.name))
}

impl StagesIn<'_> {
    fn write<'m>(
        self,
        model: &'m Model,
        passes: &[String],
        costs: &(dyn Deref<Target = Costs<'m>> + Sync),
        verification: Option<&Verification>,
    ) -> Result<Saved> {
        let Self { folder, graph, format, mut earlier } = self;
        let mut outputs = Outputs::in_folder(folder)?;
        let names: Vec<String> = (0..graph.stages.len()).map(|i| stage_name(model, i, format)).collect();
        let store = Store::open(&model.module).map_err(ModelError::from_error)?;
        let written = in_parallel(graph.stages.len(), |i| {
            write_files(model, &store, graph.stages[i].func, (&folder.join(&names[i]), format), &outputs)
        });
        let mut stages = Vec::new();
        for (stage, name) in written.into_iter().zip(&names) {
            let (finished, written) = stage?;
            let files: Vec<Recorded> = finished
                .iter()
                .zip(&written.checksums)
                .map(|(file, checksum)| Recorded { file: relative(&file.target, folder), checksum: *checksum })
                .collect();
            // The names of shards are known only now.
            files.iter().try_for_each(|recorded| earlier.allow(&recorded.file))?;
            outputs.add(finished);
            stages.push(StageFile {
                file: Some(name.clone()),
                files,
                inputs: written.inputs,
                outputs: written.outputs,
            });
        }
        model.check_payload(&store)?;
        let new: Vec<Recorded> = stages.iter().flat_map(|stage| stage.files.iter().cloned()).collect();
        let rest = earlier.rest(&new)?;
        earlier.seen().for_each(|(target, stamp)| outputs.expect(target, stamp));
        rest.removed.iter().for_each(|(file, stamp)| outputs.remove(folder.join(file), stamp.clone()));
        let target = folder.join(manifest::FILE_NAME);
        let manifest = manifest::write(model, graph, &stages, passes, costs, verification);
        outputs.write(&target, |out| {
            out.write_all(format!("{manifest:#}\n").as_bytes()).map_err(|e| cannot_write(&target, e))
        })?;
        let recovered = outputs.recovered().to_vec();
        outputs.commit()?;
        let mut notes = notes(model, format);
        notes.extend(earlier.forced());
        notes.extend(leftover(model, folder, &stages, &rest));
        let paths = names.iter().map(|name| folder.join(name)).chain([target]);
        let paths = paths.map(|path| path.display().to_string()).collect();
        Ok(Saved { stages, paths, notes, recovered })
    }
}

/// Notes about how files of the format differ from the model.
fn notes(model: &Model, format: &Format) -> Vec<Note> {
    format.writer.map(|writer| writer.notes(&model.module, model.losses())).unwrap_or_default()
}

/// The path of a file relative to `folder`.
fn relative(file: &Path, folder: &Path) -> String {
    file.strip_prefix(folder).unwrap_or(file).to_string_lossy().into_owned()
}

/// Notes about the files of an earlier split: which were removed, and which remain although this split does not use
/// them.
fn leftover(model: &Model, folder: &Path, stages: &[StageFile], rest: &Rest) -> Vec<Note> {
    let is_stage = |name: &String| stages.iter().any(|stage| stage.file.as_ref() == Some(name));
    let further = |format: &'static Format| {
        let first = if is_stage(&stage_name(model, 0, format)) { stages.len() } else { 0 };
        (first..).map(move |i| stage_name(model, i, format)).take_while(|name| folder.join(name).exists())
    };
    let mut kept = rest.kept.clone();
    for name in model.session().formats().of_models().flat_map(further) {
        if !kept.contains(&name) {
            kept.push(name);
        }
    }
    let removed: Vec<&str> = rest.removed.iter().map(|(file, _)| file.as_str()).collect();
    let folder = folder.display();
    let mut notes = Vec::new();
    if !removed.is_empty() {
        let note = format!("removed {} of an earlier split from `{folder}`", removed.join(", "));
        notes.push(Note::new("stages-removed", note));
    }
    if !kept.is_empty() {
        let kept = kept.join(", ");
        let note = format!("`{folder}` still has {kept} from an earlier split, which this split does not use");
        notes.push(Note::new("stages-kept", note));
    }
    notes
}

/// Writes `@main` as a model file.
fn write_model(model: &Model, target: &Path, format: &'static Format, force: bool) -> Result<Saved> {
    let store = Store::open(&model.module).map_err(ModelError::from_error)?.reading_ahead();
    let folder = match format.layout {
        Layout::Folder { .. } => target.parent(),
        Layout::File => None,
    };
    let mut outputs = folder.map_or_else(|| Outputs::next_to(target), Outputs::in_folder)?;
    let (finished, _) = write_files(model, &store, model.main, (target, format), &outputs)?;
    let paths = match format.layout {
        Layout::Folder { .. } => vec![target.display().to_string()],
        Layout::File => finished.iter().map(|file| file.target.display().to_string()).collect(),
    };
    let forced = replaced_strangers(model, target, &finished, force)?;
    outputs.add(finished);
    model.check_payload(&store)?;
    let recovered = outputs.recovered().to_vec();
    outputs.commit()?;
    let mut notes = notes(model, format);
    notes.extend(forced);
    Ok(Saved { paths, notes, recovered, ..Saved::default() })
}

/// Checks that no file next to `main` is replaced unless it is part of the model at `main`: the user did not name it. With
/// `force`, replaces such files and returns a note about them.
fn replaced_strangers(model: &Model, main: &Path, files: &[Finished], force: bool) -> Result<Option<Note>> {
    let replaced = files.iter().map(|file| file.target.as_path()).filter(|file| *file != main && file.exists());
    let mut replaced: Vec<&Path> = replaced.collect();
    if replaced.is_empty() {
        return Ok(None);
    }
    let earlier = model.session().formats().read(main, &model.session().read_options(), model.dialects());
    if let Ok(earlier) = earlier {
        let own: Vec<PathBuf> =
            earlier.module.files.iter().filter_map(|file| Path::new(&**file).canonicalize().ok()).collect();
        replaced.retain(|file| file.canonicalize().is_ok_and(|file| !own.contains(&file)));
    }
    let Some(first) = replaced.first() else { return Ok(None) };
    if force {
        let shown: Vec<String> = replaced.iter().map(|file| format!("`{}`", file.display())).collect();
        return Ok(Some(Note::new("files-replaced", format!("replaced {}", shown.join(", ")))));
    }
    let (first, main) = (first.display(), main.display());
    let context =
        format!("`{first}`, which would be replaced too, is not part of a model at `{main}`; choose another name");
    Err(ModelError::needs(Remedy::Force, context))
}

/// Writes the function `func` to the file `target` and the files that the format puts next to it.
fn write_files(
    model: &Model,
    store: &Store,
    func: FuncId,
    (target, format): (&Path, &'static Format),
    outputs: &Outputs,
) -> Result<(Vec<Finished>, Written)> {
    let place = |e: FormatError| ModelError::because(format!("cannot write `{}`", target.display()), e);
    let Some(writer) = format.writer else {
        return Err(ModelError::Usage(format!("netc cannot write {}", format.title)));
    };
    let mut sink = Files { model, outputs, target, begun: Vec::new(), failed: None };
    let written = writer.write(ModelRef { module: &model.module, func }, store, &mut sink);
    match (written, sink.failed) {
        (_, Some(failed)) => Err(failed),
        (written, None) => {
            let written = written.map_err(place)?;
            debug_assert_eq!(sink.begun.len(), written.checksums.len(), "a checksum for each file");
            Ok((sink.begun, written))
        }
    }
}

/// A sink for the files of one model.
struct Files<'a> {
    model: &'a Model,
    outputs: &'a Outputs,
    target: &'a Path,
    begun: Vec<Finished>,
    /// Why a file could not be created, because [`Sink::create`] can only return an I/O error.
    failed: Option<ModelError>,
}

impl Sink for Files<'_> {
    fn main(&self) -> &Path {
        self.target
    }

    fn create(&mut self, name: &str) -> io::Result<Box<dyn Write>> {
        if Path::new(name).file_name().is_none_or(|own| own != name) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("`{name}` is not the name of a file")));
        }
        let target = self.target.with_file_name(name);
        match self.model.refuse_input(&target).and_then(|()| self.outputs.start(&target)) {
            Ok(pending) => {
                let (file, finished) = pending.into_writer();
                self.begun.push(finished);
                Ok(Box::new(file))
            }
            Err(error) => {
                self.failed = Some(error);
                Err(io::ErrorKind::Other.into())
            }
        }
    }
}

/// Calls `make` for `0..n` on one thread per core and returns the results in order.
///
/// Stages are separate files, so the order in which they complete does not affect their bytes.
fn in_parallel<T: Send>(n: usize, make: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let threads = limits::threads(thread::available_parallelism().map_or(1, usize::from).min(n));
    let next = AtomicUsize::new(0);
    let work = || {
        let claim = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|i| *i < n);
        std::iter::from_fn(claim).map(|i| (i, make(i))).collect::<Vec<_>>()
    };
    let mut made: Vec<(usize, T)> = thread::scope(|scope| {
        // Nested models need a large stack, so this thread works only if no other can be started.
        let spawn = |_| Builder::new().stack_size(stack::STACK).spawn_scoped(scope, work).ok();
        let workers: Vec<_> = (0..threads).filter_map(spawn).collect();
        let own = if workers.is_empty() { work() } else { Vec::new() };
        own.into_iter()
            .chain(workers.into_iter().flat_map(|w| w.join().unwrap_or_else(|panic| resume_unwind(panic))))
            .collect()
    });
    made.sort_by_key(|(i, _)| *i);
    made.into_iter().map(|(_, made)| made).collect()
}
