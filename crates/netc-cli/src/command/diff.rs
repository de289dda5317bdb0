//! `netc diff A B`: compares the outputs of two models.

use netc_model::Model;
use netc_model::manifest::verification_json;
use netc_model::verify::{Executable, RunInputs, Verification, verify};
use netc_pass::{Fidelity, thousands};
use serde_json::{Value, json};

use crate::args::DiffArgs;
use crate::error::{CliError, Result};
use crate::input::{self, Tables};
use crate::progress::with_progress;
use crate::report::verdict_within;
use crate::text::{self, difference, table};

pub(crate) fn run(args: &DiffArgs, tables: &Tables) -> Result<()> {
    let session = tables.session(&args.model, Some(&args.limits))?;
    let (a, b) = (input::load(&session, &args.a, None)?, input::load(&session, &args.b, None)?);
    [&a, &b].into_iter().try_for_each(Model::check_weights)?;
    let given = RunInputs::Random(args.random.batch);
    let executable = |model: &Model| Executable::new(&session, &model.module, given);
    let (a, b) = (executable(&a)?, executable(&b)?);
    let found = with_progress(|progress| verify(&a, &b, Fidelity::Exact, args.inputs, args.random.random(), progress))?;
    let printed = match args.json {
        true => text::print_data(&json_text(&found, args.tolerance)),
        false => text::print(&report(&found, args.tolerance)),
    };
    // A difference is an error even if the report could not be printed.
    if found.within(args.tolerance) {
        return printed;
    }
    Err(CliError::Verification(format!(
        "outputs differ by up to {} relative to the largest element; the tolerance is {}",
        difference(found.worst(|d| d.norm_rel)),
        difference(args.tolerance)
    )))
}

fn report(found: &Verification, tolerance: f64) -> String {
    let rows: Vec<Vec<String>> = found
        .outputs
        .iter()
        .map(|(name, d)| {
            let worst = d.worst.as_ref().map_or_else(String::new, |i| format!("{i:?}"));
            vec![
                name.clone(),
                thousands(d.elements),
                thousands(d.differing),
                difference(d.max_abs),
                difference(d.norm_rel),
                thousands(d.max_ulp),
                worst,
            ]
        })
        .collect();
    let headings = ["output", ">elements", ">differing", ">absolute", ">relative", ">ULP", "worst at"];
    format!("{}{}\n", table(&headings, &rows), verdict_within(found, tolerance))
}

fn json_text(found: &Verification, tolerance: f64) -> String {
    let outputs: Vec<Value> = found
        .outputs
        .iter()
        .map(|(name, d)| {
            json!({
                "name": name,
                "elements": d.elements,
                "differing": d.differing,
                "bit_equal": d.bit_equal,
                "absolute": d.max_abs,
                "relative": d.norm_rel,
                "relative_elementwise": d.max_rel,
                "ulp": d.max_ulp,
                "worst": d.worst,
            })
        })
        .collect();
    let mut json = verification_json(found);
    json["tolerance"] = json!(tolerance);
    json["passed"] = json!(found.within(tolerance));
    json["outputs"] = outputs.into();
    format!("{json:#}\n")
}
