//! Losses and metrics that a Keras 2 model adds with `add_loss` and `add_metric`. They are layers that no output needs.

use netc_ir::{Func, LayerId, Module, Name, OpId};

use crate::config::version::KerasVersion;

/// The layer classes that Keras 2 uses for losses and metrics.
const CLASSES: &[&str] = &["keras.AddLoss", "keras.AddMetric"];

fn adds(module: &Module, layer: Option<LayerId>) -> bool {
    layer.is_some_and(|layer| CLASSES.contains(&&*module[layer].class))
}

/// The calls of `func` that add a loss or a metric.
pub(crate) fn calls(module: &Module, func: &Func) -> Vec<OpId> {
    func.ops().filter(|(_, op)| adds(module, op.kind.layer())).map(|(id, _)| id).collect()
}

/// The names of the layers that add losses and metrics to a Keras 2 model. Only an HDF5 file keeps them.
pub(crate) fn losses(module: &Module) -> Vec<Name> {
    if KerasVersion::of(&module.attrs) == KerasVersion::Keras3 {
        return Vec::new();
    }
    let layers = module.funcs.iter().flat_map(|func| func.layers());
    let mut names: Vec<Name> =
        layers.filter(|layer| adds(module, Some(*layer))).map(|layer| module[layer].name.clone()).collect();
    names.sort();
    names.dedup();
    names
}
