//! The model that a command works on, whatever it is given as.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use netc_data::{Folders, Store};
use netc_dialect::{Dialects, LayerLibrary};
use netc_ir::{Attr, FileId, FuncId, LayerId, MAIN, Module, Name, WeightData, WeightId};
use netc_keras::ReadOptions;
use netc_keras::lower::KerasDialect;
use netc_pass::{Context, Manager, Pipeline, nearest};
use netc_passes::{Entry, merge, remove_unused};

use crate::args::{LayerArgs, misspelt_command};
use crate::chain::Chain;
use crate::error::CliError;
use crate::output::{Intent, folder_of, recover};
use crate::{manifest, text};

/// A model with what it is called.
pub(crate) struct Model {
    pub(crate) module: Module,
    pub(crate) main: FuncId,
    /// The stem of the files that are written from it.
    pub(crate) name: String,
    pub(crate) notes: Vec<String>,
    /// The file that was read; those of weights are in the module's table too.
    source: Option<PathBuf>,
    /// Whether that file is a manifest.
    is_manifest: bool,
    /// The layers for its `add_loss` and `add_metric`: see [`netc_keras::losses`].
    pub(crate) losses: Vec<Name>,
}

/// The architecture that is used where none is given.
const DEFAULT: &str = "zoo:inception_v3";

/// The seed of the built-in architectures' weights.
const ZOO_SEED: u64 = 0;

/// The meaning of layers: the libraries given by the user first, then Keras.
pub(crate) fn dialects(args: &LayerArgs) -> Result<Dialects, CliError> {
    let mut dialects = Dialects::new();
    for path in &args.layers {
        let place = || format!("cannot use the layer library `{}`", path.display());
        let text = fs::read_to_string(path).map_err(|e| CliError::because(place(), e))?;
        dialects.push(LayerLibrary::parse(&text).map_err(|e| CliError::because(place(), e))?);
    }
    dialects.push(KerasDialect);
    Ok(dialects)
}

/// What a model is read from.
#[derive(Clone, Copy)]
pub(crate) struct Given<'a> {
    pub(crate) input: &'a str,
    pub(crate) options: ReadOptions<'a>,
}

/// Loads the model `input`. What was noticed is left in the model's notes.
///
/// Without an input, passes run on the default architecture, with a note on standard error.
///
/// # Errors
/// Neither an input nor passes.
pub(crate) fn load_or_default(
    input: Option<&str>,
    has_passes: bool,
    options: ReadOptions<'_>,
    dialects: &Dialects,
) -> Result<Model, CliError> {
    let input = match input {
        Some(input) => input,
        None if has_passes => {
            text::note(&format!("no INPUT is given, so this is {DEFAULT} with seeded weights"));
            DEFAULT
        }
        None => {
            let note = "no INPUT is given: name a model file, or `zoo:inception_v3` for a built-in architecture";
            return Err(CliError::Usage(note.into()));
        }
    };
    load_quietly(Given { input, options }, dialects)
}

/// Loads the model and tells the user what was noticed.
pub(crate) fn load(given: Given<'_>, dialects: &Dialects) -> Result<Model, CliError> {
    let model = load_quietly(given, dialects)?;
    // Nothing is left out where nothing is written.
    let notes = model.notes.iter().filter(|note| !note.ends_with(netc_keras::LEFT_OUT));
    notes.for_each(|note| text::note(note));
    Ok(model)
}

/// Loads the model as [`load`] does; the stages of a manifest are merged into the model that they are together.
pub(crate) fn load_whole(given: Given<'_>, dialects: &Dialects) -> Result<Model, CliError> {
    let mut model = load(given, dialects)?;
    if model.is_manifest && Chain::of(&model.module, model.main).is_some() {
        let merge = Pipeline::of_passes([merge::INFO.name]).map_err(CliError::from_error)?;
        let registry = netc_passes::registry();
        let merged = Manager::new(&registry).run(&mut model.module, &merge, &mut Context::new(dialects));
        merged.map_err(|e| CliError::because(format!("the stages of `{}` are not one model", given.input), e))?;
        model.main = model.module.func_named(MAIN).unwrap_or(model.main);
    }
    Ok(model)
}

fn load_quietly(given: Given<'_>, dialects: &Dialects) -> Result<Model, CliError> {
    let in_folder = model_in(given.input);
    let given = Given { input: in_folder.as_deref().unwrap_or(given.input), ..given };
    let mut model = load_input(given, dialects)?;
    model.source = Some(PathBuf::from(given.input)).filter(|path| path.exists());
    model.losses = netc_keras::losses(&model.module);
    if !given.options.compiled && remove_compiled(&mut model.module) {
        model.notes.push(netc_keras::LEFT_OUT.into());
    }
    Ok(model)
}

/// The file that stands for the model in the folder `input`: a manifest of stages, or a model for TensorFlow.js.
fn model_in(input: &str) -> Option<String> {
    let files = [manifest::FILE_NAME, "model.json"].map(|name| Path::new(input).join(name));
    files.iter().find(|file| file.is_file())?.to_str().map(str::to_string)
}

/// Removes from a program what was not to be read of a model, and says whether there was any.
fn remove_compiled(module: &mut Module) -> bool {
    let declared: Vec<LayerId> = netc_keras::compiled(module).collect();
    if declared.is_empty() {
        return false;
    }
    let weights: Vec<WeightId> = declared.iter().flat_map(|layer| module[*layer].data()).collect();
    let files = weights.iter().filter_map(|weight| match module[*weight].data {
        WeightData::File { file, .. } => Some(Entry::File(file)),
        WeightData::Inline(_) | WeightData::Random { .. } => None,
    });
    let entries: Vec<Entry> = declared
        .iter()
        .map(|layer| Entry::Layer(*layer))
        .chain(weights.iter().map(|weight| Entry::Weight(*weight)))
        .chain(files)
        .collect();
    remove_unused(module, &entries);
    true
}

fn load_input(given: Given<'_>, dialects: &Dialects) -> Result<Model, CliError> {
    let input = given.input;
    let path = Path::new(input);
    let stem = path.file_stem().map_or_else(|| "model".into(), |s| s.to_string_lossy().into_owned());
    let is_program = input == "-" || path.extension().is_some_and(|e| e == "nir");
    if input != "-" && !input.starts_with("zoo:") {
        if fs::metadata(path).is_ok_and(|m| !m.is_file() && !m.is_dir()) {
            return Err(CliError::input(format!("cannot read `{input}`: it is a pipe or a device, not a file")));
        }
        // The file may be one of a set that a killed netc had begun to replace.
        recover(folder_of(path), Intent::Read)?;
    }
    if !is_program && !input.starts_with("zoo:") && !manifest::is_manifest(path) {
        return keras(path, given.options, stem, dialects);
    }
    if let Some(weights) = given.options.weights {
        let shown = weights.display();
        return Err(CliError::Usage(format!("`{input}` has its weights: `--weights {shown}` is for a model of Keras")));
    }
    if let Some(name) = input.strip_prefix("zoo:") {
        return zoo(name);
    }
    if input == "-" {
        let mut program = String::new();
        io::stdin().read_to_string(&mut program).map_err(|e| CliError::because("cannot read standard input", e))?;
        let folders = Folders::of_model(path, given.options.allowed);
        return program_model(&program, (Path::new(""), &folders), "standard input", "model");
    }
    if !is_program {
        return Ok(Model { is_manifest: true, ..manifest::load(path, given.options.allowed, dialects)? });
    }
    if let Some(note) = netc_keras::foreign(path) {
        return Err(CliError::input(format!("cannot read `{input}`: {note}")));
    }
    let program = fs::read_to_string(path).map_err(|e| CliError::because(format!("cannot read `{input}`"), e))?;
    let folders = Folders::of_model(path, given.options.allowed);
    program_model(&program, (path.parent().unwrap_or(Path::new("")), &folders), input, &stem)
}

fn keras(path: &Path, options: ReadOptions<'_>, stem: String, dialects: &Dialects) -> Result<Model, CliError> {
    if let Some(meant) = meant_instead(path) {
        return Err(CliError::input(format!("cannot read `{}`: {meant}", path.display())));
    }
    let imported = netc_keras::read_with(path, options, dialects).map_err(CliError::from_error)?;
    model(imported.module, stem, imported.notes, &path.display().to_string())
}

/// What was meant by a path at which there is no model.
fn meant_instead(path: &Path) -> Option<String> {
    let name = path.to_str().filter(|_| !path.exists())?;
    let meant = match netc_zoo::find(name) {
        Some(_) => format!("zoo:{name}"),
        None => misspelt_command(name)?,
    };
    Some(format!("there is no such file; did you mean `{meant}`?"))
}

fn zoo(name: &str) -> Result<Model, CliError> {
    let Some(entry) = netc_zoo::ZOO.iter().find(|m| m.name == name) else {
        let names: Vec<&str> = netc_zoo::ZOO.iter().map(|m| m.name).collect();
        return Err(CliError::input(format!(
            "there is no built-in architecture `{name}`; `netc zoo` lists them{}",
            nearest(name, &names)
        )));
    };
    let module = (entry.build)(ZOO_SEED).map_err(CliError::from_error)?;
    model(module, name.into(), Vec::new(), name)
}

/// A program in text. Relative paths of weight files count from the folder of the program; the files must be in folders
/// that are allowed.
fn program_model(
    program: &str,
    (folder, allowed): (&Path, &Folders),
    place: &str,
    stem: &str,
) -> Result<Model, CliError> {
    let mut module = netc_ir::parse(program).map_err(|e| CliError::because(format!("cannot parse `{place}`"), e))?;
    for file in &mut module.files {
        let path = folder.join(&**file);
        allowed.check(&path).map_err(|e| CliError::because(format!("cannot read `{place}`"), e))?;
        *file = path.to_string_lossy().into();
    }
    netc_ir::verify(&module).map_err(|e| CliError::because(format!("`{place}` breaks the rules of the IR"), e))?;
    model(module, stem.into(), Vec::new(), place)
}

pub(crate) fn model(module: Module, stem: String, notes: Vec<String>, place: &str) -> Result<Model, CliError> {
    let Some(main) = module.func_named(MAIN) else {
        return Err(CliError::input(format!("`{place}` has no function `@{MAIN}`")));
    };
    Ok(Model { module, main, name: stem, notes, source: None, is_manifest: false, losses: Vec::new() })
}

/// Refuses weights that are damaged, as the checksums of the files show which `store` reads. Those that it has read or
/// copied are not read again.
pub(crate) fn check_weights(store: &Store) -> Result<(), CliError> {
    let check = |(id, path): (FileId, &Name)| netc_keras::check(Path::new(&**path), &store.copied(id));
    store.files().try_for_each(|file| check(file).map_err(CliError::from_error))
}

impl Model {
    /// What the model is: its class in its framework.
    pub(crate) fn class(&self) -> &str {
        self.module[self.main].attrs.get("class").and_then(Attr::as_str).unwrap_or("program")
    }

    /// How many parameters there are, where weights have `elements`; not known of an architecture.
    pub(crate) fn parameters(&self, elements: u64) -> Option<u64> {
        (!netc_keras::is_architecture(&self.module)).then_some(elements)
    }

    /// The manifest that was read, if the model is a chain of stages from files.
    pub(crate) fn manifest(&self) -> Option<&Path> {
        self.source.as_deref().filter(|_| self.is_manifest)
    }

    /// Refuses weights that are damaged, as their files' checksums show, before they are computed with.
    pub(crate) fn check_weights(&self) -> Result<(), CliError> {
        check_weights(&Store::open(&self.module).map_err(CliError::from_error)?)
    }

    /// The files that the model is read from: what was given, and those that the weights are in.
    pub(crate) fn files(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.module.files.iter().map(|f| PathBuf::from(&**f)).chain(self.source.clone())
    }
}
