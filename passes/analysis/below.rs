//! What lies below a place: the layers that it is computed with.

use std::collections::BTreeSet;

use netc_ir::{Func, LayerId, Module, ValueId};

use super::names::{CutError, resolve};
use super::needed::needed_by;

/// The layers that the place `spec` of `func` is computed with, declarations of inputs included. The name of a layer that
/// is applied several times means all of its applications.
pub fn layers_below(module: &Module, func: &Func, spec: &str) -> Result<BTreeSet<LayerId>, CutError> {
    let applied = func.ops().filter(|(_, op)| op.kind.layer().is_some_and(|id| &*module[id].name == spec));
    let mut values: Vec<ValueId> = applied.flat_map(|(_, op)| op.results.iter().copied()).collect();
    if values.is_empty() {
        values = resolve(module, func, spec)?.into_iter().flat_map(|point| point.values).collect();
    }
    let needed = needed_by(func, values);
    let mut read = BTreeSet::new();
    let mut layers = BTreeSet::new();
    for (_, op) in func.ops().filter(|(id, _)| needed[id.index()]) {
        layers.extend(op.kind.layer());
        read.extend(op.operands.iter().copied());
    }
    layers.extend(func.params.iter().filter(|p| read.contains(&p.value)).filter_map(|p| p.layer));
    Ok(layers)
}
