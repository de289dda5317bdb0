//! The kinds of files that hold a model with its weights.

use std::path::Path;

use clap::ValueEnum;
use netc_data::Store;
use netc_ir::FuncId;
use netc_keras::Written;

use crate::error::CliError;
use crate::input::Model;
use crate::output::Out;
use crate::text;

/// A kind of file.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// An archive of Keras 3
    Keras,
    /// HDF5, which Keras 2 and 3 load; layers stay declared as they were read
    H5,
}

impl Format {
    /// What a path asks for by its extension.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "keras" => Some(Self::Keras),
            "h5" | "hdf5" => Some(Self::H5),
            _ => None,
        }
    }

    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Keras => "keras",
            Self::H5 => "h5",
        }
    }

    /// Writes the function `func` to `out`, which becomes the file at `target`.
    pub(crate) fn write(
        self,
        model: &Model,
        store: &Store,
        func: FuncId,
        target: &Path,
        out: &mut Out<'_>,
    ) -> Result<Written, CliError> {
        let written = match self {
            Self::Keras => netc_keras::write(&model.module, func, store, out),
            Self::H5 => netc_keras::write_hdf5(&model.module, func, store, out),
        };
        written.map_err(|e| CliError::because(format!("cannot write `{}`", target.display()), e))
    }

    /// Tells the user what is written otherwise than it was read.
    pub(crate) fn tell_changes(self, model: &Model) {
        match self {
            Self::Keras => netc_keras::changes(&model.module).iter().for_each(|change| text::note(change)),
            Self::H5 => {}
        }
    }
}
