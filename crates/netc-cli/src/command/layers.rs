//! `netc layers MODEL --above X | --below X`: what transfer learning trains or freezes.

use std::collections::BTreeSet;

use netc_ir::{Func, LayerId, OpId};
use netc_passes::analysis::{layers_below, model_layers, resolve};

use crate::args::LayersArgs;
use crate::error::CliError;
use crate::input::{self, Model};
use crate::text;

pub(crate) fn run(args: &LayersArgs) -> Result<(), CliError> {
    let dialects = input::dialects(&args.model)?;
    let model = input::load(&args.input, &dialects)?;
    let func = &model.module[model.main];
    let layers = match (&args.above, &args.below) {
        (Some(name), _) => above(func, &named(&model, name)?),
        (None, Some(name)) => layers_below(&model.module, func, name).map_err(|e| CliError::input(e.to_string()))?,
        (None, None) => BTreeSet::new(),
    };
    let counted = model_layers(&model.module, func);
    let names = counted.iter().filter(|l| layers.contains(l)).map(|l| format!("{}\n", model.module[*l].name));
    text::print(&names.collect::<String>())
}

fn named(model: &Model, name: &str) -> Result<Vec<OpId>, CliError> {
    let func = &model.module[model.main];
    // A layer that is applied several times is all of its applications here.
    let layer = func.layers().into_iter().find(|l| &*model.module[*l].name == name);
    let applied: Vec<OpId> =
        func.ops().filter(|(_, op)| layer.is_some() && op.kind.layer() == layer).map(|(id, _)| id).collect();
    if !applied.is_empty() {
        return Ok(applied);
    }
    let points = resolve(&model.module, func, name).map_err(|e| CliError::input(e.to_string()))?;
    Ok(points.iter().map(|p| p.op).collect())
}

/// The layers of `ops` and of everything that reads their results, directly or through others.
fn above(func: &Func, ops: &[OpId]) -> BTreeSet<LayerId> {
    let mut reached = vec![false; func.num_values()];
    let mut layers = BTreeSet::new();
    for (id, op) in func.ops() {
        if ops.contains(&id) || op.operands.iter().any(|v| reached[v.index()]) {
            op.results.iter().for_each(|v| reached[v.index()] = true);
            layers.extend(op.kind.layer());
        }
    }
    layers
}
