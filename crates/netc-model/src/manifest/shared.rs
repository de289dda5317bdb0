//! Shares weights that several stages have.

use std::collections::BTreeMap;
use std::fs;

use netc_data::Store;
use netc_ir::{Budget, Module, Name, Resource, WeightData, WeightId};

use crate::error::{ModelError, Result};

/// Makes weights with the same name and the same bytes refer to one place.
///
/// Stages that apply a shared layer each have a copy of its weights.
pub(super) fn share_weights(module: &mut Module) -> Result<()> {
    let mut first: BTreeMap<Name, WeightId> = BTreeMap::new();
    let mut copies: Vec<(WeightId, WeightId)> = Vec::new();
    for (i, weight) in module.weights.iter().enumerate() {
        let id = WeightId::new(i);
        let known = *first.entry(weight.name.clone()).or_insert(id);
        // Compare only weights in files, and only those in different places.
        let is_other = known != id && module[known].ty == weight.ty && module[known].data != weight.data;
        if is_other && [known, id].iter().all(|id| matches!(module[*id].data, WeightData::File { .. })) {
            copies.push((known, id));
        }
    }
    if copies.is_empty() {
        return Ok(());
    }
    let store = Store::open(module).map_err(ModelError::from_error)?;
    let len = |file: &Name| fs::metadata(&**file).map_or(0, |metadata| metadata.len());
    // A manifest may name the same bytes many times.
    let budget = Budget::for_file(module.files.iter().map(len).sum());
    for (known, copy) in copies {
        let bytes = |id: WeightId| {
            let len = module[id].ty.num_bytes().unwrap_or(u64::MAX);
            budget.charge(Resource::Read, len).map_err(ModelError::from_error)?;
            store.read(&module[id]).map_err(ModelError::from_error)
        };
        if bytes(known)? == bytes(copy)? {
            module[copy].data = module[known].data.clone();
        }
    }
    Ok(())
}
