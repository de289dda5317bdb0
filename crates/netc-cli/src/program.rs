//! Programs as text, as they are written to files.

use std::path::{Path, PathBuf};

use netc_ir::Module;

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
