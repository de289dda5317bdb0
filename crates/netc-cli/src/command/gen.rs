//! `netc gen`: random programs and models, for trying passes and other tools on.

use std::path::Path;

use netc_ir::Module;
use netc_testgen::{CoreRecipe, Feature, Features, KerasRecipe};

use super::compile::write_model;
use crate::args::{GenArgs, Level};
use crate::error::CliError;
use crate::format::Format;
use crate::{input, program, text};

const EXAMPLES: &str = "\
Examples:
  netc gen --seed 7 --ops 40                       print a random program of core ops
  netc gen --seed 7 --features branches,nested     print one with these features alone
  netc gen --seed 7 --level layers -o g.nir        write a model of layers as a program
  netc gen --seed 7 --ops 12 -o g.keras            write it as a Keras file
  netc gen --features shared,branches -o g.keras   with these features alone
  netc gen --features nested,custom -o g.keras     with layers of the user too
  netc gen | netc - --pass dce --verify            try a pass on a random program

Features:
";

/// What stands below the options.
pub(crate) fn examples() -> String {
    let feature = |f: &Feature| format!("  {:<14} {}\n", f.name(), f.doc());
    format!("{EXAMPLES}{}", Feature::ALL.iter().map(feature).collect::<String>())
}

pub(crate) fn run(args: &GenArgs) -> Result<(), CliError> {
    let features = args.features.as_deref().map_or(Ok(Features::OF_KERAS), str::parse).map_err(CliError::Usage)?;
    let target = args.output.as_deref().map(Target::of).transpose()?;
    let level = match (args.level, &target) {
        (Some(Level::Core), Some(Target::Model(path, _))) => {
            let note = "a Keras file holds layers, not core ops; write x.nir, or use --level layers instead of";
            return Err(CliError::Usage(format!("{note} core for `{}`", path.display())));
        }
        (Some(level), _) => level,
        (None, Some(Target::Model(..))) => Level::Layers,
        (None, Some(Target::Program(_)) | None) => Level::Core,
    };
    if args.features.is_some() {
        match level {
            Level::Layers => only_of_layers(features)?,
            Level::Core => only_of_core_ops(features)?,
        }
    }
    let model = input::model(module(level, args, features), "random".into(), Vec::new(), "the random program")?;
    let path = match target {
        Some(Target::Model(path, format)) => {
            write_model(&model, path, format)?;
            path
        }
        Some(Target::Program(path)) => {
            program::write(&model.module, "", path)?;
            path
        }
        None => return text::print_data(&netc_ir::print(&model.module)),
    };
    text::print(&format!("{:<10}{}\n", "wrote", path.display()))
}

fn module(level: Level, args: &GenArgs, features: Features) -> Module {
    match level {
        Level::Core => CoreRecipe::from_seed(args.seed, args.ops).with_features(features).build(),
        Level::Layers => KerasRecipe::from_seed(args.seed, args.ops).with_features(features).build(),
    }
}

/// What is asked for by name is made, or refused.
fn only_of_layers(features: Features) -> Result<(), CliError> {
    let not_of_layers = |f: &&Feature| features.has(**f) && !Feature::OF_LAYERS.contains(f);
    let Some(odd) = Feature::ALL.iter().find(not_of_layers) else { return Ok(()) };
    let names: Vec<&str> = Feature::OF_LAYERS.iter().map(|f| f.name()).collect();
    Err(CliError::Usage(format!("models of layers do not have `{}`; what they have: {}", odd.name(), names.join(", "))))
}

fn only_of_core_ops(features: Features) -> Result<(), CliError> {
    if features.has(Feature::Custom) {
        let note = "programs of core ops have no `custom` layers: use --level layers, or write x.keras";
        return Err(CliError::Usage(note.into()));
    }
    Ok(())
}

/// What the output is to be.
enum Target<'a> {
    Program(&'a Path),
    Model(&'a Path, Format),
}

impl<'a> Target<'a> {
    fn of(path: &'a Path) -> Result<Self, CliError> {
        match Format::of(path) {
            Some(format) => Ok(Self::Model(path, format)),
            None if path.extension().is_some_and(|e| e == "nir") => Ok(Self::Program(path)),
            None => Err(CliError::Usage(format!("`{}` is no x.nir, x.keras or x.h5", path.display()))),
        }
    }
}
