//! Programs as text, as they are written to files.

use std::io::Write;
use std::path::{Path, PathBuf};

use netc_ir::Module;

use crate::error::CliError;
use crate::output::{Outputs, cannot_write};

/// Writes `header`, which is empty or comments, and `module` as a program to the file `target`.
pub(crate) fn write(module: &Module, header: &str, target: &Path) -> Result<(), CliError> {
    let folder = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let text = format!("{header}{}", text_in(module, folder));
    let mut outputs = Outputs::default();
    outputs.write(target, |out| out.write_all(text.as_bytes()).map_err(|e| cannot_write(target, e)))?;
    outputs.commit()
}

/// The text of `module` as a program in `folder`: the paths of files count from there.
pub(crate) fn text_in(module: &Module, folder: &Path) -> String {
    let mut module = module.clone();
    for file in &mut module.files {
        *file = relative(Path::new(&**file), folder).into();
    }
    netc_ir::print(&module)
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
