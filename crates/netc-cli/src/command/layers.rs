//! `netc layers MODEL --above X | --below X`: what transfer learning trains or freezes.

use std::collections::BTreeSet;

use netc_ir::{Func, LayerId, OpId};
use netc_passes::analysis::{model_layers, needed_by, resolve};

use crate::args::LayersArgs;
use crate::error::CliError;
use crate::input::{self, Model};
use crate::text;

pub(crate) fn run(args: &LayersArgs) -> Result<(), CliError> {
    let dialects = input::dialects(&args.model)?;
    let model = input::load(&args.input, &dialects)?;
    let layers = match (&args.above, &args.below) {
        (Some(name), _) => above(&model.module[model.main], &named(&model, name)?),
        (None, Some(name)) => below(&model.module[model.main], &named(&model, name)?),
        (None, None) => BTreeSet::new(),
    };
    let counted = model_layers(&model.module, &model.module[model.main]);
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

/// The layers of `ops` and of everything that they read, directly or through others, inputs included.
fn below(func: &Func, ops: &[OpId]) -> BTreeSet<LayerId> {
    let needed = needed_by(func, ops.iter().flat_map(|op| func[*op].results.iter().copied()));
    let mut read = BTreeSet::new();
    let mut layers = BTreeSet::new();
    for (_, op) in func.ops().filter(|(id, _)| needed[id.index()]) {
        layers.extend(op.kind.layer());
        read.extend(op.operands.iter().copied());
    }
    layers.extend(func.params.iter().filter(|p| read.contains(&p.value)).filter_map(|p| p.layer));
    layers
}
