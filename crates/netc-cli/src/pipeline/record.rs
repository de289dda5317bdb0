//! The record of a pipeline as tables and as JSON.

use netc_pass::{Record, thousands};
use serde_json::{Value, json};

use crate::text::table;

/// The time of each step in seconds.
pub(super) fn timing(record: &Record) -> String {
    let row = |step: &Record, name: String| {
        vec![name, format!("{:.4}", step.time.as_secs_f64()), format!("{:.4}", step.overhead.as_secs_f64())]
    };
    tree(record, &["timing", ">seconds", ">checking"], &row)
}

/// The ops, rewrites and counters of each step.
pub(super) fn stats(record: &Record) -> String {
    let row = |step: &Record, name: String| {
        let counts = step.counts.iter().map(|(what, n)| format!("{} {what}", thousands(*n))).collect::<Vec<_>>();
        vec![
            name,
            thousands(step.ops_before as u64),
            thousands(step.ops_after as u64),
            thousands(step.rewrites),
            counts.join(", "),
        ]
    };
    tree(record, &["stats", ">ops before", ">after", ">rewrites", "counted"], &row)
}

fn tree(record: &Record, headings: &[&str], row: &dyn Fn(&Record, String) -> Vec<String>) -> String {
    let mut rows = Vec::new();
    add(record, 0, row, &mut rows);
    table(headings, &rows)
}

fn add(record: &Record, depth: usize, row: &dyn Fn(&Record, String) -> Vec<String>, rows: &mut Vec<Vec<String>>) {
    rows.push(row(record, format!("{}{}", "  ".repeat(depth), record.name)));
    record.steps.iter().for_each(|step| add(step, depth + 1, row, rows));
}

pub(super) fn json(record: &Record) -> Value {
    let mut json = json!({
        "name": record.name,
        "seconds": record.time.as_secs_f64(),
        "seconds_checking": record.overhead.as_secs_f64(),
        "ops_before": record.ops_before,
        "ops_after": record.ops_after,
        "rewrites": record.rewrites,
        "counts": record.counts,
    });
    if !record.steps.is_empty() {
        json["steps"] = record.steps.iter().map(self::json).collect();
    }
    json
}
