//! Programs as text, as they are written to files.

use std::io::Write;
use std::path::{Path, PathBuf};

use netc_ir::Module;

use crate::error::CliError;
use crate::output::{Outputs, cannot_write, folder_of, refuse_same};
use crate::sidecar::{self, Sidecar};

/// Writes `header`, which is empty or comments, and `module` as a program to the file `target`, which spells every weight
/// that is in no file.
pub(crate) fn write(module: &Module, header: &str, target: &Path) -> Result<(), CliError> {
    let text = format!("{header}{}", text_in(module, folder_of(target)));
    let mut outputs = Outputs::next_to(target)?;
    outputs.write(target, |out| out.write_all(text.as_bytes()).map_err(|e| cannot_write(target, e)))?;
    outputs.commit()
}

/// Writes `module` as a program to the file `target`, and the large weights that are in no file to one next to it; gives the
/// paths of both.
pub(crate) fn write_with_sidecar(module: &Module, target: &Path) -> Result<Vec<PathBuf>, CliError> {
    let beside = target.with_extension(sidecar::EXTENSION);
    let mut program = module_in(module, folder_of(target));
    let name = beside.file_name().unwrap_or_default().to_string_lossy();
    let sidecar = Sidecar::take(&mut program, &name);
    let mut outputs = Outputs::next_to(target)?;
    if let Some(sidecar) = &sidecar {
        module.files.iter().try_for_each(|file| refuse_same(Path::new(&**file), &beside))?;
        outputs.write(&beside, |out| sidecar.write(out).map_err(|e| cannot_write(&beside, e)))?;
    }
    let text = netc_ir::print(&program);
    outputs.write(target, |out| out.write_all(text.as_bytes()).map_err(|e| cannot_write(target, e)))?;
    outputs.commit()?;
    Ok(std::iter::once(target.to_path_buf()).chain(sidecar.map(|_| beside)).collect())
}

/// The text of `module` as a program in `folder`: the paths of files count from there.
pub(crate) fn text_in(module: &Module, folder: &Path) -> String {
    netc_ir::print(&module_in(module, folder))
}

/// The module with paths of files that count from `folder`.
fn module_in(module: &Module, folder: &Path) -> Module {
    let mut module = module.clone();
    for file in &mut module.files {
        *file = relative(Path::new(&**file), folder).into();
    }
    module
}

/// `file` as it is found from `folder`; absolute where the two have nothing in common.
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
