//! The kinds of files that hold a model with its weights.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use clap::ValueEnum;
use netc_data::Store;
use netc_ir::FuncId;
use netc_keras::{KerasError, Written};

use crate::error::CliError;
use crate::input::Model;
use crate::output::{Finished, Out, Outputs, refuse_input};

/// A kind of file.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// An archive of Keras 3
    Keras,
    /// HDF5, which the Keras loads that the model is of; layers stay declared as they were read
    H5,
    /// HDF5 that tf.keras 2.15 loads, of a model of any Keras
    H5Keras2,
    /// A folder with model.json and its weights, which TensorFlow.js loads; layers are declared as in Keras 2
    Tfjs,
}

impl Format {
    /// What a path asks for by its extension.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        if path.to_str().is_some_and(|path| path.ends_with(".weights.h5")) {
            return None;
        }
        match path.extension()?.to_str()? {
            "keras" => Some(Self::Keras),
            "h5" | "hdf5" => Some(Self::H5),
            _ => None,
        }
    }

    /// Whether a model is a folder of files.
    pub(crate) fn is_folder(self) -> bool {
        matches!(self, Self::Tfjs)
    }

    /// The path, in the folder of all that is written, of the file that says what the model `name` is.
    pub(crate) fn file_of(self, name: &str) -> String {
        match self {
            Self::Keras => format!("{name}.keras"),
            Self::H5 | Self::H5Keras2 => format!("{name}.h5"),
            Self::Tfjs => format!("{name}/{}", netc_keras::TFJS_MODEL),
        }
    }

    /// Writes the function `func` into the file that will be at `target`, and others that the format has next to it.
    pub(crate) fn write(
        self,
        model: &Model,
        store: &Store,
        func: FuncId,
        target: &Path,
        outputs: &Outputs,
    ) -> Result<(Vec<Finished>, Written), CliError> {
        let place = |e| CliError::because(format!("cannot write `{}`", target.display()), e);
        let module = &model.module;
        let one_file = |fill: &dyn Fn(&mut Out<'_>) -> Result<Written, KerasError>| {
            let mut pending = outputs.start(target)?;
            let written = pending.fill(|out| fill(out).map_err(place))?;
            Ok((vec![pending.finish()], written))
        };
        match self {
            Self::Keras => one_file(&|out| netc_keras::write(module, func, store, out)),
            Self::H5 => one_file(&|out| netc_keras::write_hdf5(module, func, store, out)),
            Self::H5Keras2 => one_file(&|out| netc_keras::write_hdf5_of_keras_2(module, func, store, out)),
            Self::Tfjs => {
                let mut files = Vec::new();
                let create = |name: &str| {
                    let (file, finished) =
                        begin(model, &target.with_file_name(name), outputs).map_err(io::Error::other)?;
                    files.push(finished);
                    Ok(file)
                };
                let written = netc_keras::write_tfjs(module, func, store, create).map_err(place)?;
                Ok((files, written))
            }
        }
    }

    /// What is written otherwise than it was read, for the user.
    pub(crate) fn changes(self, model: &Model) -> Vec<String> {
        let mut changes = match self {
            Self::Keras => netc_keras::changes(&model.module),
            Self::Tfjs => netc_keras::changes_for_tfjs(&model.module),
            Self::H5 => netc_keras::changes_for_hdf5(&model.module),
            Self::H5Keras2 => netc_keras::changes_for_hdf5_of_keras_2(&model.module),
        };
        changes.extend(self.lost_losses(model));
        changes
    }

    /// Names the losses and metrics of the model that are in no file.
    fn lost_losses(self, model: &Model) -> Option<String> {
        let kept = match self {
            Self::H5 | Self::H5Keras2 => netc_keras::losses(&model.module),
            Self::Keras | Self::Tfjs => Vec::new(),
        };
        let lost = model.losses.iter().filter(|name| !kept.contains(name));
        let lost: Vec<String> = lost.map(|name| format!("`{name}`")).collect();
        let reason = match self {
            Self::H5 | Self::H5Keras2 => "a file keeps only the layers that its outputs need",
            Self::Keras => "Keras 3 has no layers for them",
            Self::Tfjs => "TensorFlow.js has no layers for them",
        };
        (!lost.is_empty()).then(|| format!("the losses and metrics of {} are left out: {reason}", lost.join(", ")))
    }
}

/// Starts the file that will be at `target`, whose name was not known before.
fn begin(model: &Model, target: &Path, outputs: &Outputs) -> Result<(BufWriter<File>, Finished), CliError> {
    refuse_input(model, target)?;
    Ok(outputs.start(target)?.into_writer())
}
