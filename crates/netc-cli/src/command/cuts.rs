//! `netc cuts MODEL`: where one tensor separates a model in two.

use netc_passes::analysis::{Costs, CutCost};
use serde_json::{Value, json};

use crate::args::CutsArgs;
use crate::error::CliError;
use crate::input::{self, Model};
use crate::manifest::port;
use crate::text::{self, table, thousands_or_unknown};

pub(crate) fn run(args: &CutsArgs) -> Result<(), CliError> {
    let dialects = input::dialects(&args.model.library)?;
    let model = input::load_whole(args.model.given(&args.input), &dialects)?;
    let cuts = Costs::of(&model.module, &dialects).cuts(model.main);
    if args.json {
        let rows: Vec<Value> = cuts.iter().map(|c| json_row(&model, c)).collect();
        return text::print(&format!("{:#}\n", Value::from(rows)));
    }
    if cuts.is_empty() {
        text::note("no single tensor separates this model in two; cuts through several tensors are possible");
        return Ok(());
    }
    let headings = ["cut", "tensor", ">bytes", ">params before", ">params after", ">MACs before", ">MACs after"];
    let rows: Vec<Vec<String>> = cuts.iter().map(|c| row(&model, c)).collect();
    text::print(&table(&headings, &rows))
}

fn row(model: &Model, cost: &CutCost) -> Vec<String> {
    let ty = &model.module[model.main][cost.cut.value].ty;
    vec![
        cost.cut.name.clone(),
        ty.to_string(),
        thousands_or_unknown(ty.bytes_per_example()),
        thousands_or_unknown(model.parameters(cost.params_before)),
        thousands_or_unknown(model.parameters(cost.params_after)),
        thousands_or_unknown(cost.macs_before),
        thousands_or_unknown(cost.macs_after),
    ]
}

fn json_row(model: &Model, cost: &CutCost) -> Value {
    let mut row = port(&cost.cut.name, &model.module[model.main][cost.cut.value].ty);
    row.insert("parameters_before".into(), json!(model.parameters(cost.params_before)));
    row.insert("parameters_after".into(), json!(model.parameters(cost.params_after)));
    row.insert("multiply_accumulates_before".into(), json!(cost.macs_before));
    row.insert("multiply_accumulates_after".into(), json!(cost.macs_after));
    Value::Object(row)
}
