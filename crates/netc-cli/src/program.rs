//! Programs as text, as the command writes them to files.

use std::io::Write;
use std::path::Path;

use netc_format::nir;
use netc_ir::Module;
use netc_model::output::{Outputs, cannot_write, folder_of};

use crate::error::Result;
use crate::text;

/// Writes `header`, which is empty or comments, and `module` as a program to the file `target`, which spells every weight
/// that is in no file.
pub(crate) fn write(module: &Module, header: &str, target: &Path) -> Result<()> {
    let program = format!("{header}{}", nir::text_in(module, folder_of(target)));
    let mut outputs = Outputs::next_to(target)?;
    outputs.recovered().iter().for_each(|note| text::note(&note.text));
    outputs.write(target, |out| out.write_all(program.as_bytes()).map_err(|e| cannot_write(target, e)))?;
    Ok(outputs.commit()?)
}
