//! `netc layers MODEL --above X | --below X`: what transfer learning trains or freezes.

use std::collections::BTreeSet;

use netc_ir::{Func, LayerId, OpId};
use netc_passes::analysis::{CutError, layers_below, resolve};
use serde_json::{Value, json};

use super::inspect::short;
use crate::args::LayersArgs;
use crate::error::CliError;
use crate::input::{self, Model};
use crate::text;

pub(crate) fn run(args: &LayersArgs) -> Result<(), CliError> {
    let dialects = input::dialects(&args.model.library)?;
    let model = input::load_whole(args.model.given(&args.input), &dialects)?;
    let func = &model.module[model.main];
    let layers = match (&args.above, &args.below) {
        (Some(name), _) => above(func, &named(&model, name)?),
        (None, Some(name)) => layers_below(&model.module, func, name).map_err(not_a_layer)?,
        (None, None) => BTreeSet::new(),
    };
    let listed = func.layers().into_iter().filter(|l| layers.contains(l)).map(|l| &model.module[l]);
    if args.json {
        let rows: Vec<Value> = listed.map(|l| json!({"name": &*l.name, "class": short(&l.class)})).collect();
        return text::print(&format!("{:#}\n", Value::from(rows)));
    }
    text::print(&listed.map(|l| format!("{}\n", l.name)).collect::<String>())
}

/// The error for a place that has no layers above and below, which a cut names in other words.
fn not_a_layer(error: CutError) -> CliError {
    CliError::input(match error {
        CutError::Input { name } => format!("`{name}` is an input of the model: name a layer that computes"),
        CutError::Empty { spec } => format!("`{spec}` is not the name of a layer"),
        other @ (CutError::Unknown { .. }
        | CutError::Nested { .. }
        | CutError::Inside { .. }
        | CutError::SeveralApplications { .. }
        | CutError::NoSuchApplication { .. }
        | CutError::IndexOutOfRange { .. }
        | CutError::NoLayers { .. }) => other.to_string(),
    })
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
    let points = resolve(&model.module, func, name).map_err(not_a_layer)?;
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
