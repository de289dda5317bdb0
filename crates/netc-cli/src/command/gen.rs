//! `netc gen`: random programs and models for testing passes and other tools.

use std::path::Path;

use netc_format::{Format, Holds};
use netc_ir::Module;
use netc_model::Session;
use netc_model::save::file_names;
use netc_testgen::{CoreRecipe, Feature, Features};

use crate::args::{GenArgs, Level};
use crate::error::{CliError, Result};
use crate::input::Tables;
use crate::{program, random_model, text};

pub(crate) fn run(args: &GenArgs, tables: &Tables) -> Result<()> {
    let features = args.features.as_deref().map_or(Ok(Features::STANDARD), str::parse).map_err(CliError::Usage)?;
    let target = match args.output.as_deref() {
        Some(path) => Some((path, format_of(path, tables)?)),
        None => None,
    };
    let of_layers = target.filter(|(_, format)| format.holds == Holds::Model);
    let level = match (args.level, of_layers) {
        (Some(Level::Core), Some((path, format))) => {
            let title = format.title;
            let note = format!(
                "cannot write core ops to `{}`: {title} holds layers. Write x.nir, or use `--level layers`",
                path.display()
            );
            return Err(CliError::Usage(note));
        }
        (Some(level), _) => level,
        (None, Some(_)) => Level::Layers,
        (None, None) => Level::Core,
    };
    if args.features.is_some() {
        match level {
            Level::Layers => only_of_layers(features)?,
            Level::Core => only_of_core_ops(features)?,
        }
    }
    let module = module(level, args, features);
    match (target, of_layers) {
        (None, _) => return text::print_data(&netc_ir::print(&module)),
        (Some((path, _)), None) => program::write(&module, "", path)?,
        (Some((path, _)), Some(_)) => {
            let session = Session::new(tables.formats.clone());
            session.model(module, "random", "the random program")?.save(path)?;
        }
    }
    text::print(&format!("{:<10}{}\n", "wrote", args.output.as_deref().unwrap_or(Path::new("")).display()))
}

/// The format for the name of a file: a program, or a model with weights.
fn format_of(path: &Path, tables: &Tables) -> Result<&'static Format> {
    let formats =
        || tables.formats.all().filter(|format| format.writer.is_some() && format.holds != Holds::Architecture);
    let named = tables.formats.of_path(path).filter(|format| format.holds != Holds::Architecture);
    named.ok_or_else(|| {
        CliError::Usage(format!("cannot write `{}`: expected {}", path.display(), file_names(formats())))
    })
}

fn module(level: Level, args: &GenArgs, features: Features) -> Module {
    let ops = args.ops as usize;
    match level {
        Level::Core => CoreRecipe::from_seed(args.seed, ops).with_features(features).build(),
        Level::Layers => random_model(args.seed, ops, features),
    }
}

/// Refuses a feature that models of layers do not have, instead of ignoring it.
fn only_of_layers(features: Features) -> Result<()> {
    let not_of_layers = |f: &&Feature| features.has(**f) && !Feature::OF_LAYERS.contains(f);
    let Some(odd) = Feature::ALL.iter().find(not_of_layers) else { return Ok(()) };
    let names: Vec<&str> = Feature::OF_LAYERS.iter().map(|f| f.name()).collect();
    Err(CliError::Usage(format!(
        "models of layers do not have the feature `{}`; they have {}",
        odd.name(),
        names.join(", ")
    )))
}

fn only_of_core_ops(features: Features) -> Result<()> {
    if features.has(Feature::Custom) {
        let note = "programs of core ops have no `custom` layers: use `--level layers`, or write x.keras";
        return Err(CliError::Usage(note.into()));
    }
    Ok(())
}
