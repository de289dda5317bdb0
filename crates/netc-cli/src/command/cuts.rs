//! `netc cuts MODEL`: the places where a single tensor crosses.

use std::io::{self, IsTerminal};

use netc_ir::ElemType;
use netc_model::Model;
use netc_model::manifest::port;
use netc_pass::spelled;
use netc_passes::analysis::{CutCost, cut_costs};
use serde_json::{Value, json};

use crate::args::{CutOrder, CutsArgs};
use crate::error::Result;
use crate::input::{self, Tables};
use crate::text::{self, Figures, table, width};

pub(crate) fn run(args: &CutsArgs, tables: &Tables) -> Result<()> {
    let session = tables.session(&args.model.library, None)?;
    let model = input::load(&session, &args.input, args.model.weights.as_deref())?.merged()?;
    let mut cuts = cut_costs(&model.module, session.dialects());
    leave_out_unknown(&mut cuts);
    sort(&model, &mut cuts, args.sort);
    cuts.truncate(args.top.map_or(usize::MAX, |top| usize::try_from(top).unwrap_or(usize::MAX)));
    if args.json {
        let rows: Vec<Value> = cuts.iter().map(|c| json_row(&model, c)).collect();
        return text::print_data(&format!("{:#}\n", Value::from(rows)));
    }
    if cuts.is_empty() {
        text::note("no single tensor separates this model in two; cuts through several tensors are possible");
        return Ok(());
    }
    let columns = if io::stdout().is_terminal() { text::terminal_columns() } else { None };
    text::print(&listed(&model, &cuts, Figures::new(args.long), columns))
}

/// Removes the cuts whose tensor has an unknown type: a stage's file declares the type of each input.
fn leave_out_unknown(cuts: &mut Vec<CutCost>) {
    let is_unknown = |c: &CutCost| c.cut.ty.elem == ElemType::Any || c.cut.ty.rank().is_none();
    let unknown: Vec<String> = cuts.iter().filter(|c| is_unknown(c)).map(|c| spelled(&c.cut.name)).collect();
    if unknown.is_empty() {
        return;
    }
    cuts.retain(|c| !is_unknown(c));
    let shown = unknown.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    let more = if unknown.len() > 3 { format!(" and {} more", unknown.len() - 3) } else { String::new() };
    text::note(&format!(
        "not listed: {shown}{more}; a stage needs the type of the tensor that crosses there, and it is unknown. Define the \
         unsupported layers with `--layers FILE.nir`"
    ));
}

fn sort(model: &Model, cuts: &mut [CutCost], order: CutOrder) {
    let apart = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a.abs_diff(b));
    // Unknown numbers come last.
    let known = |n: Option<u64>| (n.is_none(), n);
    match order {
        CutOrder::Order => {}
        CutOrder::Bytes => cuts.sort_by_key(|c| known(c.cut.ty.bytes_per_example())),
        CutOrder::Balance if cuts.iter().any(|c| c.macs_before.zip(c.macs_after).is_some()) => {
            cuts.sort_by_key(|c| known(apart(c.macs_before, c.macs_after)));
        }
        CutOrder::Balance => {
            cuts.sort_by_key(|c| known(apart(model.parameters(c.params_before), model.parameters(c.params_after))))
        }
    }
}

/// A column of the table.
struct Column {
    heading: &'static str,
    /// The columns with the largest number are dropped first from a table that is too wide.
    rank: u8,
    cells: Vec<Cell>,
}

enum Cell {
    Text(String),
    Number(Option<u64>),
    Bytes(Option<u64>),
}

/// The table. If it is wider than the terminal, the least important columns are dropped until it fits. Names are never
/// shortened, and a table that goes to a file or a pipe keeps all columns.
fn listed(model: &Model, cuts: &[CutCost], figures: Figures, terminal: Option<usize>) -> String {
    let number = |get: &dyn Fn(&CutCost) -> Option<u64>| cuts.iter().map(|c| Cell::Number(get(c))).collect();
    let text = |get: &dyn Fn(&CutCost) -> String| cuts.iter().map(|c| Cell::Text(get(c))).collect();
    let column = |heading, rank, cells| Column { heading, rank, cells };
    let mut columns = vec![
        column("cut", 0, text(&|c| spelled(&c.cut.name))),
        column("tensor", 3, text(&|c| c.cut.ty.to_string())),
        column(">per example", 2, cuts.iter().map(|c| Cell::Bytes(c.cut.ty.bytes_per_example())).collect()),
    ];
    if cuts.iter().any(|c| !c.cut.shared_inputs.is_empty()) {
        columns.push(column("read on both sides", 1, text(&|c| c.cut.shared_inputs.join(", "))));
    }
    columns.extend([
        column(">params before", 5, number(&|c| model.parameters(c.params_before))),
        column(">params after", 5, number(&|c| model.parameters(c.params_after))),
        column(">MACs before", 4, number(&|c| c.macs_before)),
        column(">MACs after", 4, number(&|c| c.macs_after)),
    ]);
    loop {
        let table = rendered(&columns, cuts.len(), figures);
        let worst = columns.iter().map(|column| column.rank).max().unwrap_or(0);
        if worst == 0 || terminal.is_none_or(|most| width(&table) <= most) {
            return table;
        }
        columns.retain(|column| column.rank != worst);
    }
}

fn rendered(columns: &[Column], rows: usize, figures: Figures) -> String {
    let headings: Vec<&str> = columns.iter().map(|column| column.heading).collect();
    let cell = |cell: &Cell| match cell {
        Cell::Text(text) => text.clone(),
        Cell::Number(n) => figures.number(*n),
        Cell::Bytes(n) => figures.bytes(*n),
    };
    let row = |i: usize| columns.iter().filter_map(|column| column.cells.get(i).map(cell)).collect();
    let rows: Vec<Vec<String>> = (0..rows).map(row).collect();
    table(&headings, &rows)
}

fn json_row(model: &Model, cost: &CutCost) -> Value {
    let mut row = port(&cost.cut.name, &cost.cut.ty);
    row.insert("pass".into(), format!("split={}", spelled(&cost.cut.name)).into());
    let shared: Vec<&str> = cost.cut.shared_inputs.iter().map(|name| &**name).collect();
    row.insert("read_on_both_sides".into(), json!(shared));
    row.insert("parameters_before".into(), json!(model.parameters(cost.params_before)));
    row.insert("parameters_after".into(), json!(model.parameters(cost.params_after)));
    row.insert("multiply_accumulates_before".into(), json!(cost.macs_before));
    row.insert("multiply_accumulates_after".into(), json!(cost.macs_after));
    Value::Object(row)
}

#[cfg(test)]
mod tests {
    use netc_format::Formats;
    use netc_ir::Type;
    use netc_model::Session;
    use netc_passes::analysis::Cut;

    use super::*;

    fn listed_in(figures: Figures, terminal: Option<usize>) -> String {
        let module = netc_ir::parse("netc 1\nfunc @main(%x: f32[2]) -> (%x) {}").unwrap();
        let model = Session::new(Formats::new()).model(module, "m", "m").unwrap();
        let cost = |name: &str, shared: &[&str], n: u64| CutCost {
            cut: Cut {
                name: name.into(),
                ty: Type::fixed(ElemType::F32, &[1, 56, n]),
                shared_inputs: shared.iter().map(|name| (*name).into()).collect(),
            },
            params_before: 23_851_784,
            params_after: n,
            macs_before: Some(5_713_216_096),
            macs_after: None,
        };
        listed(&model, &[cost("backbone/conv4_block3_out", &["mask"], 256), cost("a,b", &[], 3)], figures, terminal)
    }

    #[test]
    fn a_table_fits_the_terminal() {
        insta::assert_snapshot!(listed_in(Figures::Exact, None), @r#"
        cut                        tensor         per example  read on both sides  params before  params after    MACs before  MACs after
        backbone/conv4_block3_out  f32[1,56,256]     57,344 B  mask                   23,851,784           256  5,713,216,096           ?
        "a,b"                      f32[1,56,3]          672 B                         23,851,784             3  5,713,216,096           ?
        "#);
        insta::assert_snapshot!(listed_in(Figures::Rounded, None), @r#"
        cut                        tensor         per example  read on both sides  params before  params after  MACs before  MACs after
        backbone/conv4_block3_out  f32[1,56,256]     56.0 KiB  mask                       23.9 M           256       5.71 G           ?
        "a,b"                      f32[1,56,3]          672 B                             23.9 M             3       5.71 G           ?
        "#);
        for (columns, expected) in [
            (105, "backbone/conv4_block3_out  f32[1,56,256]     56.0 KiB  mask                     5.71 G           ?"),
            (80, "backbone/conv4_block3_out  f32[1,56,256]     56.0 KiB  mask"),
            (10, "backbone/conv4_block3_out"),
        ] {
            let table = listed_in(Figures::Rounded, Some(columns));
            assert!(table.lines().any(|line| line == expected), "{columns}:\n{table}");
            assert!(width(&table) <= columns.max(25), "{columns}:\n{table}");
        }
    }
}
