//! `netc gen`: random programs and models, for trying passes and other tools on.

use std::path::Path;

use netc_ir::Module;
use netc_testgen::{CoreRecipe, Feature, Features, KerasRecipe};

use super::compile::{write_model, write_program};
use crate::args::{GenArgs, Level};
use crate::error::CliError;
use crate::{input, text};

const EXAMPLES: &str = "\
Examples:
  netc gen --seed 7 --ops 40                       print a random program of core ops
  netc gen --seed 7 --features branches,nested     print one with these features alone
  netc gen --seed 7 --level layers -o g.nir        write a model of layers as a program
  netc gen --seed 7 --ops 12 -o g.keras            write it as a Keras file
  netc gen | netc - --pass dce --verify            try a pass on a random program

Features:
";

/// What stands below the options.
pub(crate) fn examples() -> String {
    let feature = |f: &Feature| format!("  {:<14} {}\n", f.name(), f.doc());
    format!("{EXAMPLES}{}", Feature::ALL.iter().map(feature).collect::<String>())
}

pub(crate) fn run(args: &GenArgs) -> Result<(), CliError> {
    let features = args.features.as_deref().map_or(Ok(Features::default()), str::parse).map_err(CliError::Usage)?;
    let target = args.output.as_deref().map(Target::of).transpose()?;
    let level = match (args.level, &target) {
        (Some(Level::Core), Some(Target::Model(path))) => {
            let note = "a Keras file holds layers, not core ops; write x.nir, or use --level layers instead of";
            return Err(CliError::Usage(format!("{note} core for `{}`", path.display())));
        }
        (Some(level), _) => level,
        (None, Some(Target::Model(_))) => Level::Layers,
        (None, Some(Target::Program(_)) | None) => Level::Core,
    };
    let model = input::model(module(level, args, features), "random".into(), Vec::new(), "the random program")?;
    match target {
        Some(Target::Model(path)) => write_model(&model, path).map(drop),
        Some(Target::Program(path)) => write_program(&model, path).map(drop),
        None => text::print(&netc_ir::print(&model.module)),
    }
}

fn module(level: Level, args: &GenArgs, features: Features) -> Module {
    match level {
        Level::Core => CoreRecipe::from_seed(args.seed, args.ops).with_features(features).build(),
        Level::Layers => KerasRecipe::from_seed(args.seed, args.ops).with_features(features).build(),
    }
}

/// What the output is to be.
enum Target<'a> {
    Program(&'a Path),
    Model(&'a Path),
}

impl<'a> Target<'a> {
    fn of(path: &'a Path) -> Result<Self, CliError> {
        match path.extension().and_then(|e| e.to_str()) {
            Some("nir") => Ok(Self::Program(path)),
            Some("keras") => Ok(Self::Model(path)),
            _ => Err(CliError::Usage(format!("`{}` is neither x.nir nor x.keras", path.display()))),
        }
    }
}
