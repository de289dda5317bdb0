//! Weights that several stages have.

use std::collections::BTreeMap;

use netc_data::Store;
use netc_ir::{Module, Name, WeightId};

use crate::error::ModelError;

/// Lets weights of one name that have the same bytes have them in the same place: stages that apply one layer each have
/// a copy of its weights.
pub(super) fn share_weights(module: &mut Module) -> Result<(), ModelError> {
    let mut first: BTreeMap<Name, WeightId> = BTreeMap::new();
    let mut copies: Vec<(WeightId, WeightId)> = Vec::new();
    for (i, weight) in module.weights.iter().enumerate() {
        let id = WeightId::new(i);
        let known = *first.entry(weight.name.clone()).or_insert(id);
        if known != id && module[known].ty == weight.ty {
            copies.push((known, id));
        }
    }
    if copies.is_empty() {
        return Ok(());
    }
    let store = Store::open(module).map_err(ModelError::from_error)?;
    for (known, copy) in copies {
        let bytes = |id: WeightId| store.read(&module[id]).map_err(ModelError::from_error);
        if bytes(known)? == bytes(copy)? {
            module[copy].data = module[known].data.clone();
        }
    }
    Ok(())
}
