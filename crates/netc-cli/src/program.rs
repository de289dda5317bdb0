//! Writes programs to `.nir` files.

use std::io::Write;
use std::path::Path;

use netc_format::nir;
use netc_ir::Module;
use netc_model::output::{Outputs, cannot_write, folder_of};

use crate::error::Result;
use crate::text;

/// Writes `module` to the file `target`, after `header`, which is empty or consists of comments. Weights that are in no
/// file are written as text.
pub(crate) fn write(module: &Module, header: &str, target: &Path) -> Result<()> {
    let program = format!("{header}{}", nir::text_in(module, folder_of(target)));
    let mut outputs = Outputs::next_to(target)?;
    outputs.recovered().iter().for_each(|note| text::note(&note.text));
    outputs.write(target, |out| out.write_all(program.as_bytes()).map_err(|e| cannot_write(target, e)))?;
    Ok(outputs.commit()?)
}
