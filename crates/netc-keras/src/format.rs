//! The Keras entries of the format table.

use std::io::Write;

use netc_data::{Checksum, Span, Store};
use netc_dialect::Dialects;
use netc_format::{
    Format, FormatError, Framework, Holds, Imported, Layout, ModelRef, Note, ReadOptions, Reader, Sink, Source, Writer,
    Written,
};
use netc_ir::{Module, Name};

use crate::error::{KerasError, Problem};
use crate::import::read;
use crate::lower::KerasDialect;
use crate::{export, legacy, text};

/// The Keras formats and the dialect of Keras layers.
pub const FRAMEWORK: Framework =
    Framework { formats: &[&KERAS, &H5, &H5_KERAS2, &TFJS, &JSON], dialect: Some(|| Box::new(KerasDialect)) };

/// Keras 3 archives.
pub const KERAS: Format = Format {
    extensions: &["keras"],
    help: "A Keras 3 archive",
    reader: Some(&Files::Archive),
    writer: Some(&Files::Archive),
    ..Format::new("keras", "a .keras file")
};

/// HDF5 files as written by the Keras version that the model is from.
pub const H5: Format = Format {
    extensions: &["h5", "hdf5"],
    except: &[".weights.h5"],
    help: "HDF5 for the Keras version that the model is from; layers stay declared as read",
    reader: Some(&Files::Hdf5),
    writer: Some(&Files::Hdf5),
    ..Format::new("h5", "an HDF5 file of Keras")
};

/// HDF5 files for tf.keras 2.15, written from a model of any Keras version. [`H5`] reads them.
pub const H5_KERAS2: Format = Format {
    name: "h5-keras2",
    title: "an HDF5 file of Keras 2",
    help: "HDF5 for tf.keras 2.15, from a model of any Keras version",
    reader: None,
    writer: Some(&Files::Hdf5OfKeras2),
    ..H5
};

/// TensorFlow.js layers models. [`JSON`] has the same reader: only the text of a JSON file tells the two apart.
pub const TFJS: Format = Format {
    layout: Layout::Folder { main: export::TFJS_MODEL },
    help: "A folder with model.json and its weights for TensorFlow.js; layers are declared as in Keras 2",
    reader: Some(&Files::Json),
    writer: Some(&Files::Tfjs),
    ..Format::new("tfjs", "a model of TensorFlow.js")
};

/// The JSON architecture that Keras writes with `to_json`.
pub const JSON: Format = Format {
    extensions: &["json"],
    holds: Holds::Architecture,
    help: "The layers without weights, as `model.to_json()` returns them",
    reader: Some(&Files::Json),
    writer: Some(&Files::Json),
    ..Format::new("json", "an architecture in JSON")
};

/// The kinds of files.
#[derive(Clone, Copy)]
enum Files {
    Archive,
    Hdf5,
    Hdf5OfKeras2,
    Json,
    Tfjs,
}

impl Reader for Files {
    fn sniff(&self, source: &Source) -> bool {
        let is_text = || text::begins_like_json(source.head()) && netc_format::foreign::named(source).is_none();
        match self {
            Self::Archive => read::is_archive(source),
            Self::Hdf5 | Self::Hdf5OfKeras2 => read::is_hdf5(source).unwrap_or(false),
            Self::Json | Self::Tfjs => !source.head().is_empty() && is_text(),
        }
    }

    fn read(&self, source: &Source, options: &ReadOptions<'_>, dialects: &Dialects) -> Result<Imported, FormatError> {
        Ok(read::read_source(source, *options, dialects)?)
    }

    fn json_keys(&self) -> &'static [&'static str] {
        match self {
            Self::Json => &["class_name"],
            Self::Archive | Self::Hdf5 | Self::Hdf5OfKeras2 | Self::Tfjs => &[],
        }
    }

    fn takes_weights(&self) -> bool {
        true
    }

    fn check_payload(&self, source: &Source, copied: &[Span]) -> Result<(), FormatError> {
        let checked = match self {
            Self::Archive => read::check(source.file(), copied),
            Self::Hdf5 | Self::Hdf5OfKeras2 | Self::Json | Self::Tfjs => Ok(()),
        };
        checked.map_err(|error| FormatError::read(source.path(), error))
    }

    fn checksum(&self, source: &Source) -> Option<Checksum> {
        match self {
            Self::Archive => read::checksum(source.file()),
            Self::Hdf5 | Self::Hdf5OfKeras2 | Self::Json | Self::Tfjs => None,
        }
    }
}

impl Writer for Files {
    fn write(
        &self,
        ModelRef { module, func }: ModelRef<'_>,
        store: &Store,
        sink: &mut dyn Sink,
    ) -> Result<Written, FormatError> {
        if let Self::Tfjs = self {
            return Ok(export::write_tfjs(module, func, store, |name| sink.create(name))?);
        }
        let failed = |error: std::io::Error| {
            FormatError::from(KerasError::Write { model: module[func].name.clone(), source: error.into() })
        };
        let mut out = sink.create_main().map_err(failed)?;
        let written = match self {
            Self::Archive => export::write(module, func, store, &mut out),
            Self::Hdf5 => export::write_hdf5(module, func, store, &mut out),
            Self::Hdf5OfKeras2 | Self::Tfjs => export::write_hdf5_of_keras_2(module, func, store, &mut out),
            Self::Json => export::write_json(module, func, &mut out),
        }?;
        out.flush().map_err(failed)?;
        Ok(written)
    }

    fn notes(&self, module: &Module, losses: &[Name]) -> Vec<Note> {
        let mut notes = match self {
            Self::Archive | Self::Json => export::changes(module),
            Self::Hdf5 => export::changes_for_hdf5(module),
            Self::Hdf5OfKeras2 => export::changes_for_hdf5_of_keras_2(module),
            Self::Tfjs => export::changes_for_tfjs(module),
        };
        notes.extend(self.lost_losses(module, losses));
        notes
    }
}

impl Files {
    /// Notes the losses and metrics of the model that this format drops.
    fn lost_losses(self, module: &Module, losses: &[Name]) -> Option<Note> {
        let (kept, reason) = match self {
            Self::Hdf5 | Self::Hdf5OfKeras2 => {
                (legacy::losses(module), "a file keeps only the layers that its outputs need")
            }
            Self::Archive | Self::Json => (Vec::new(), "Keras 3 has no layers for them"),
            Self::Tfjs => (Vec::new(), "TensorFlow.js has no layers for them"),
        };
        let lost = losses.iter().filter(|name| !kept.contains(name));
        let lost: Vec<String> = lost.map(|name| format!("`{name}`")).collect();
        let note = format!("the losses and metrics of {} are dropped: {reason}", lost.join(", "));
        (!lost.is_empty()).then(|| Note::new("losses-left-out", note))
    }
}

impl From<KerasError> for FormatError {
    fn from(error: KerasError) -> Self {
        match error {
            KerasError::Read { path, source } => Self::Read { path, source: source.into() },
            KerasError::Write { model, source: source @ Problem::NotKeras { .. } } => {
                Self::Unsupported { model, source: source.into() }
            }
            KerasError::Write { model, source } => Self::Write { model, source: source.into() },
        }
    }
}
