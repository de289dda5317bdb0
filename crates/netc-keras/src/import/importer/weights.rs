//! Declares the weights of layers.

use netc_format::Note;
use netc_ir::{Attr, Attrs, FileId, Name, Weight, WeightData, WeightId};

use crate::config::path::join;
use crate::config::ties;
use crate::container::variable::{Bytes, Variable, WeightTable};
use crate::error::{Problem, Result};
use crate::import::importer::{Importer, Place};

/// The most shared weights in a model. Stops a small file from creating many.
const MAX_SHARED: usize = 1 << 20;

impl Importer<'_> {
    /// The layer's weight group, named like its assets folder. For weights in lists, the outermost layer that contains
    /// it.
    pub(super) fn group(&mut self, folder: &str, place: &Place, name: &str) -> Result<String> {
        if let WeightTable::Lists(_) = &self.weights {
            return Ok(if place.group.is_empty() { name.into() } else { place.group.clone() });
        }
        match self.weights.owner(folder) {
            // Keras loads weights by position and does not compare names, because each session numbers them
            // differently.
            Some(other) if other != name && self.given => {
                let path = join(&place.path, name);
                let note = format!("`{path}` takes the weights of `{other}`, which has the same position in that file");
                self.notes.push(Note::new("weights-by-place", note));
                Ok(folder.into())
            }
            Some(other) if other != name => {
                let note = format!("by its position it belongs to layer `{name}`, but it names `{other}` as its layer");
                Err(Problem::weights(folder, note))
            }
            Some(_) | None => Ok(folder.into()),
        }
    }

    /// Declares the weights of the layer at `path`. `files` are the files that the variables refer to.
    pub(super) fn declare_weights(
        &mut self,
        claimed: Vec<(Name, Variable)>,
        path: &str,
        files: &[FileId],
    ) -> Result<Vec<(Name, WeightId)>> {
        let mut declared: Vec<(Name, WeightId)> = Vec::new();
        for (place, variable) in claimed {
            let data = match variable.bytes {
                Bytes::At { file, offset, len } => WeightData::File { file: files[file], offset, len },
                Bytes::Read(literal) if !literal.is_well_formed() => {
                    return Err(Problem::weights(join(path, &place), "it holds booleans other than 0 and 1"));
                }
                Bytes::Read(literal) => WeightData::Inline(literal),
            };
            let name = join(path, &place).into();
            declared.push((place, self.module.add_weight(Weight { name, ty: variable.ty, data })));
        }
        Ok(declared)
    }

    /// The weights of a layer. If an archive has none for it here, takes those of the same layer in another model,
    /// because Keras writes them once, where it reaches the layer first. Lists repeat the weights for every layer, and
    /// the object numbers in those files are not unique.
    pub(super) fn shared_weights(
        &mut self,
        object: &Attrs,
        class: &Name,
        own: Vec<(Name, WeightId)>,
        path: &str,
    ) -> Result<Vec<(Name, WeightId)>> {
        let number = object.get(ties::SHARED).and_then(Attr::as_int);
        let Some(number) = number.filter(|_| matches!(self.weights, WeightTable::Groups(_))) else { return Ok(own) };
        let key = (number, class.clone());
        if !own.is_empty() {
            self.shared.entry(key).or_insert_with(|| own.clone());
            return Ok(own);
        }
        let shared = self.shared.get(&key).cloned().unwrap_or_default();
        self.num_shared += shared.len();
        if self.num_shared > MAX_SHARED {
            return Err(Problem::config(path, format!("layers share more than {MAX_SHARED} weights")));
        }
        Ok(shared)
    }
}
