//! `netc inspect MODEL`: a table of layers, like that of `model.summary()`.

use netc_ir::{FuncId, Op, OpId, OpKind, Type};
use netc_model::Model;
use netc_model::manifest::port;
use netc_passes::analysis::{Costs, OpNames, layers_below};
use serde_json::{Map, Value, json};

use super::layers::not_a_layer;
use crate::args::InspectArgs;
use crate::error::{CliError, Result};
use crate::input::{self, Tables};
use crate::report::{summary, title};
use crate::text::{self, Figures, table};

/// One line of the table.
struct Row {
    name: String,
    class: String,
    types: Vec<Type>,
    params: Option<u64>,
    macs: Option<u64>,
    sources: Vec<String>,
    /// The function of a nested model.
    callee: Option<FuncId>,
}

/// A limit on the rows: nested models can make the table grow exponentially.
const MAX_ROWS: usize = 1 << 20;

pub(crate) fn run(args: &InspectArgs, tables: &Tables) -> Result<()> {
    let session = tables.session(&args.model.library, None)?;
    let model = input::load(&session, &args.input, args.model.weights.as_deref())?.merged()?;
    let costs = Costs::of(&model.module, session.dialects());
    let (mut rows, mut func) = (rows(&model, &costs, args.nested || args.layer.is_some())?, model.main);
    if let Some(layer) = &args.layer {
        rows.retain(|row| is_at(&row.name, layer));
        let Some(first) = rows.first() else {
            let unknown = layers_below(&model.module, layer, session.dialects()).err().map(not_a_layer);
            return Err(unknown.unwrap_or_else(|| CliError::input(format!("there is no layer `{layer}`"))));
        };
        func = first.callee.unwrap_or(func);
    }
    if args.json {
        return text::print_data(&format!("{:#}\n", json_rows(&model, &costs, &rows, func)));
    }
    let figures = Figures::new(args.long);
    let cells: Vec<Vec<String>> = rows.iter().map(|row| cells(row, figures)).collect();
    let mut out = table(&["layer", "class", "output", ">params", "reads"], &cells);
    match &args.layer {
        None => out.push_str(&format!("\n{}\n", title(&model, &costs, figures))),
        Some(layer) if func != model.main => {
            out.push_str(&format!("\n{layer}: {}\n", summary(&model, &costs, func, figures)));
        }
        Some(_) => {}
    }
    text::print(&out)
}

/// Whether `name` is the layer, one of its applications, or a layer inside it.
fn is_at(name: &str, layer: &str) -> bool {
    let Some(rest) = name.strip_prefix(layer) else { return false };
    let rest = rest.strip_prefix('@').map_or(rest, |rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
    rest.is_empty() || rest.starts_with('/')
}

/// The rows of `@main`. If `nested`, the rows of each nested model follow its own.
fn rows(model: &Model, costs: &Costs<'_>, nested: bool) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    // The remaining ops of each model on the path to the current one.
    let mut open = vec![Walk::of(model, model.main, String::new(), &mut rows)];
    while let Some(walk) = open.last_mut() {
        let Some(id) = walk.ops.next() else {
            open.pop();
            continue;
        };
        let row = row(model, costs, walk, id);
        let inner = row.callee.filter(|_| nested).map(|callee| (callee, format!("{}/", row.name)));
        rows.push(row);
        if rows.len() > MAX_ROWS {
            return Err(CliError::input(format!(
                "the nested models have more than {MAX_ROWS} layers; run without `--nested`"
            )));
        }
        if let Some((callee, prefix)) = inner {
            open.push(Walk::of(model, callee, prefix, &mut rows));
        }
    }
    Ok(rows)
}

/// The state of the walk in one model.
struct Walk<'m> {
    func: FuncId,
    names: OpNames<'m>,
    /// The path of the model, with a trailing slash.
    prefix: String,
    ops: std::vec::IntoIter<OpId>,
}

impl<'m> Walk<'m> {
    /// Adds the rows of the inputs.
    fn of(model: &'m Model, id: FuncId, prefix: String, rows: &mut Vec<Row>) -> Self {
        let func = &model.module[id];
        rows.extend(func.params.iter().map(|p| Row {
            name: format!("{prefix}{}", p.name),
            class: p.layer.map_or_else(|| "input".into(), |l| short(&model.module[l].class)),
            types: vec![func[p.value].ty.clone()],
            params: Some(0),
            macs: Some(0),
            sources: Vec::new(),
            callee: None,
        }));
        let ops: Vec<OpId> = func.op_ids().collect();
        Self { func: id, names: OpNames::of(&model.module, func), prefix, ops: ops.into_iter() }
    }
}

fn row(model: &Model, costs: &Costs<'_>, walk: &Walk<'_>, id: OpId) -> Row {
    let Walk { names, prefix, .. } = walk;
    let func = &model.module[walk.func];
    let op = &func[id];
    let mut weights = costs.weights(op);
    weights.sort_unstable();
    weights.dedup();
    let elements = weights.iter().filter_map(|w| model.module[*w].ty.num_elements());
    let source = |v: &netc_ir::ValueId| func.producer(*v).map_or_else(|| names.tensor(*v), |op| names.op(op));
    let class = op.kind.layer().map_or_else(|| op.kind.name().to_string(), |l| model.module[l].class.to_string());
    Row {
        name: format!("{prefix}{}", names.op(id)),
        class: short(&class),
        types: op.results.iter().map(|v| func[*v].ty.clone()).collect(),
        params: model.parameters(elements.fold(0, u64::saturating_add)),
        macs: costs.macs(walk.func, id),
        sources: op.operands.iter().map(|v| format!("{prefix}{}", source(v))).collect(),
        callee: nested_model(op),
    }
}

/// The function of a nested model that an op applies.
fn nested_model(op: &Op) -> Option<FuncId> {
    match &op.kind {
        OpKind::Call(call) if call.layer.is_some() => Some(call.callee),
        OpKind::Call(_) | OpKind::Source(_) | OpKind::Core(_) => None,
    }
}

/// A class without its dialect, as in `model.summary()`.
pub(super) fn short(class: &str) -> String {
    class.rsplit('.').next().unwrap_or(class).into()
}

fn cells(row: &Row, figures: Figures) -> Vec<String> {
    let types: Vec<String> = row.types.iter().map(ToString::to_string).collect();
    vec![row.name.clone(), row.class.clone(), types.join(", "), figures.number(row.params), row.sources.join(", ")]
}

fn json_rows(model: &Model, costs: &Costs<'_>, rows: &[Row], func: FuncId) -> Value {
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
    let cost = costs.func(func);
    json!({
        "model": model.name,
        "class": model.class(),
        "layers": layers.collect::<Vec<_>>(),
        "parameters": model.parameters(cost.params),
        "multiply_accumulates": cost.macs,
    })
}
