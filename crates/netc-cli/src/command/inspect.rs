//! `netc inspect MODEL`: the table that `model.summary()` prints.

use netc_ir::{Func, OpId, Type};
use netc_passes::analysis::{Costs, OpNames};
use serde_json::{Map, Value, json};

use crate::args::InspectArgs;
use crate::error::CliError;
use crate::input::{self, Model};
use crate::manifest::port;
use crate::report::title;
use crate::text::{self, table, thousands_or_unknown};

/// One line of the table.
struct Row {
    name: String,
    class: String,
    types: Vec<Type>,
    params: Option<u64>,
    macs: Option<u64>,
    sources: Vec<String>,
}

pub(crate) fn run(args: &InspectArgs) -> Result<(), CliError> {
    let dialects = input::dialects(&args.model.library)?;
    let model = input::load_whole(args.model.given(&args.input), &dialects)?;
    let costs = Costs::of(&model.module, &dialects);
    let rows = rows(&model, &costs);
    if args.json {
        return text::print(&format!("{:#}\n", json_rows(&model, &costs, &rows)));
    }
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let mut out = table(&["layer", "class", "output", ">params", "reads"], &cells);
    out.push_str(&format!("\n{}\n", title(&model, &costs)));
    text::print(&out)
}

fn rows(model: &Model, costs: &Costs<'_>) -> Vec<Row> {
    let func = &model.module[model.main];
    let names = OpNames::of(&model.module, func);
    let inputs = func.params.iter().map(|p| Row {
        name: p.name.to_string(),
        class: p.layer.map_or_else(|| "input".into(), |l| short(&model.module[l].class)),
        types: vec![func[p.value].ty.clone()],
        params: Some(0),
        macs: Some(0),
        sources: Vec::new(),
    });
    inputs.chain(func.op_ids().map(|op| row(model, costs, func, &names, op))).collect()
}

fn row(model: &Model, costs: &Costs<'_>, func: &Func, names: &OpNames<'_>, id: OpId) -> Row {
    let op = &func[id];
    let mut weights = costs.weights(op);
    weights.sort_unstable();
    weights.dedup();
    let elements = weights.iter().filter_map(|w| model.module[*w].ty.num_elements());
    let source = |v: &netc_ir::ValueId| func.producer(*v).map_or_else(|| names.tensor(*v), |op| names.op(op));
    let class = op.kind.layer().map_or_else(|| op.kind.name().to_string(), |l| model.module[l].class.to_string());
    Row {
        name: names.op(id),
        class: short(&class),
        types: op.results.iter().map(|v| func[*v].ty.clone()).collect(),
        params: model.parameters(elements.fold(0, u64::saturating_add)),
        macs: costs.macs(model.main, id),
        sources: op.operands.iter().map(source).collect(),
    }
}

/// A class without its dialect, as Keras's summary shows it.
pub(super) fn short(class: &str) -> String {
    class.rsplit('.').next().unwrap_or(class).into()
}

fn cells(row: &Row) -> Vec<String> {
    let types: Vec<String> = row.types.iter().map(ToString::to_string).collect();
    vec![
        row.name.clone(),
        row.class.clone(),
        types.join(", "),
        thousands_or_unknown(row.params),
        row.sources.join(", "),
    ]
}

fn json_rows(model: &Model, costs: &Costs<'_>, rows: &[Row]) -> Value {
    let layers = rows.iter().map(|row| {
        let mut layer = Map::new();
        layer.insert("name".into(), row.name.as_str().into());
        layer.insert("class".into(), row.class.as_str().into());
        layer.insert("outputs".into(), row.types.iter().map(|ty| Value::Object(port(&row.name, ty))).collect());
        layer.insert("parameters".into(), json!(row.params));
        layer.insert("multiply_accumulates".into(), json!(row.macs));
        layer.insert("reads".into(), json!(row.sources));
        Value::Object(layer)
    });
    let cost = costs.func(model.main);
    json!({
        "model": model.name,
        "class": model.class(),
        "layers": layers.collect::<Vec<_>>(),
        "parameters": model.parameters(cost.params),
        "multiply_accumulates": cost.macs,
    })
}
