//! The format `.nir`: a program as IR text, with large weights in a `.safetensors` file next to it.

mod sidecar;

use std::io::Write;
use std::path::{Path, PathBuf};

use netc_data::{Folders, Hashed, PlaceError, Store};
use netc_dialect::Dialects;
use netc_ir::{Module, ParseError, Violations};
use thiserror::Error;

use self::sidecar::Sidecar;
use crate::error::{FormatError, Result};
use crate::foreign;
use crate::format::{Format, Framework, Holds, Imported, ModelRef, ReadOptions, Reader, Writer, Written};
use crate::sink::Sink;
use crate::source::{Source, folder_of};

/// netc's own format. It holds source ops of any framework and has no dialect of its own.
pub const NETC: Framework = Framework { formats: &[&NIR], dialect: None };

/// Programs as text.
pub const NIR: Format = Format {
    extensions: &["nir"],
    holds: Holds::Program,
    help: "A program in netc's own text, with large weights in a .safetensors file next to it",
    reader: Some(&Nir),
    writer: Some(&Nir),
    ..Format::new("nir", "a netc program")
};

/// A text is not a valid program.
#[derive(Debug, Error)]
pub enum NirError {
    /// It has a syntax error.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// It names a file that may not be read.
    #[error("cannot read a file that the model names")]
    Place(#[from] PlaceError),
    /// The program is malformed.
    #[error("it breaks the rules of the IR")]
    Malformed(#[from] Violations),
}

struct Nir;

impl Reader for Nir {
    /// Recognises a program by its extension, because it can begin with a comment, as other text files can.
    fn sniff(&self, source: &Source) -> bool {
        let is_other = [&b"PK"[..], b"\x89HDF"].iter().any(|start| source.head().starts_with(start));
        let is_foreign = || foreign::named(source).is_some_and(|note| note != foreign::PROGRAM);
        NIR.names(source.path()) && !is_other && !is_foreign()
    }

    fn read(&self, source: &Source, options: &ReadOptions<'_>, _: &Dialects) -> Result<Imported> {
        let path = source.path();
        let text = source.text().map_err(|error| FormatError::read(path, error))?;
        let folders = Folders::of_model(path, options.allowed);
        let folder = path.parent().unwrap_or(Path::new(""));
        let module = program(&text, folder, &folders).map_err(|error| FormatError::read(path, error))?;
        Ok(Imported { module, notes: Vec::new(), is_own: false })
    }
}

impl Writer for Nir {
    fn write(&self, model: ModelRef<'_>, _: &Store, sink: &mut dyn Sink) -> Result<Written> {
        let func = &model.module[model.func];
        let target = sink.main().to_path_buf();
        let mut program = module_in(model.module, folder_of(&target));
        let neighbour = target.with_extension(sidecar::EXTENSION);
        let name = neighbour.file_name().unwrap_or_default().to_string_lossy();
        let sidecar = Sidecar::take(&mut program, &name);
        let mut checksums = Vec::new();
        let mut write = || {
            checksums.push(sink.write_main(netc_ir::print(&program).as_bytes())?);
            if let Some(sidecar) = &sidecar {
                let mut out = sink.create(&name)?;
                let mut hashed = Hashed::new(&mut out);
                sidecar.write(&mut hashed)?;
                checksums.push(hashed.into_crc().into());
                out.flush()?;
            }
            Ok(())
        };
        write()
            .map_err(|error: std::io::Error| FormatError::Write { model: func.name.clone(), source: error.into() })?;
        let inputs = func.params.iter().map(|param| param.name.to_string()).collect();
        let outputs = func.outputs.iter().map(|output| output.name.to_string()).collect();
        Ok(Written { inputs, outputs, checksums })
    }
}

/// Parses and verifies a program. Its file paths are relative to `folder` and must be in `allowed` folders.
///
/// # Errors
/// See [`NirError`].
pub fn program(text: &str, folder: &Path, allowed: &Folders) -> Result<Module, NirError> {
    let mut module = netc_ir::parse(text)?;
    for file in &mut module.files {
        let path = folder.join(&**file);
        allowed.check(&path)?;
        *file = path.to_string_lossy().into();
    }
    netc_ir::verify(&module)?;
    Ok(module)
}

/// Prints `module` as a program in `folder`, with file paths relative to it. Weights that are not in a file are printed
/// in full.
pub fn text_in(module: &Module, folder: &Path) -> String {
    netc_ir::print(&module_in(module, folder))
}

/// The module with file paths relative to `folder`.
fn module_in(module: &Module, folder: &Path) -> Module {
    let mut module = module.clone();
    for file in &mut module.files {
        *file = relative(Path::new(&**file), folder).into();
    }
    module
}

/// The path of `file` relative to `folder`. Returns `file` unchanged if one of them does not exist.
fn relative(file: &Path, folder: &Path) -> String {
    let (Ok(file), Ok(folder)) = (file.canonicalize(), folder.canonicalize()) else {
        return file.to_string_lossy().into_owned();
    };
    let common = file.components().zip(folder.components()).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..", folder.components().count() - common);
    let down = file.components().skip(common);
    let path: PathBuf = up.map(PathBuf::from).chain(down.map(|c| c.as_os_str().into())).collect();
    path.to_string_lossy().into_owned()
}
