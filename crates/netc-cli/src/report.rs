//! What happened to a model, for people and as JSON.

use netc_format::Note;
use netc_ir::{Attr, FuncId, MODEL_NAME, Module, Type};
use netc_model::{Model, Origin, Saved, StageGraph, Verification, manifest};
use netc_pass::Remark;
use netc_passes::analysis::Costs;
use serde_json::{Value, json};

use crate::text::{bytes, count, difference, thousands_or_unknown};

/// Everything that a report tells.
pub(crate) struct Report<'a> {
    pub(crate) model: &'a Model,
    /// The model's name in its framework and its class.
    pub(crate) title: String,
    /// Whether it is another model than was read: a part of that.
    pub(crate) is_other: bool,
    pub(crate) passes: &'a [String],
    pub(crate) remarks: &'a [Remark],
    pub(crate) graph: Option<&'a StageGraph>,
    pub(crate) costs: &'a Costs<'a>,
    pub(crate) verification: Option<&'a Verification>,
    pub(crate) written: &'a Saved,
    /// How to ask for an output, where none was asked for.
    pub(crate) hint: Option<&'static str>,
}

impl Report<'_> {
    /// The report for people.
    pub(crate) fn text(&self) -> String {
        let (module, main) = (&self.model.module, &self.model.module[self.model.main]);
        let mut out = String::new();
        out.push_str(&format!("{:<10}{}\n", "model", self.title));
        for param in &main.params {
            out.push_str(&entry("input", &param.name, &main[param.value].ty));
        }
        for output in &main.outputs {
            out.push_str(&entry("output", &output.name, &main[output.value].ty));
        }
        for note in &self.model.notes {
            out.push_str(&format!("{:<10}{note}\n", "note"));
        }
        for pass in self.passes {
            out.push_str(&format!("{:<10}{pass}\n", "pass"));
        }
        for remark in self.remarks {
            out.push_str(&format!("{:<10}{remark}\n", ""));
        }
        if let Some(graph) = self.graph {
            for i in 0..graph.stages.len() {
                out.push_str(&self.stage(module, graph, i));
            }
        }
        if let Some(v) = self.verification {
            out.push_str(&format!("{:<10}{}\n", "verify", verdict(v)));
        }
        for note in &self.written.notes {
            out.push_str(&format!("{:<10}{note}\n", "note"));
        }
        for path in &self.written.paths {
            out.push_str(&format!("{:<10}{path}\n", "wrote"));
        }
        if let Some(how) = self.hint {
            out.push_str(&format!("{:<10}nothing: {how}\n", "wrote"));
        }
        out
    }

    fn stage(&self, module: &Module, graph: &StageGraph, i: usize) -> String {
        let (stage, file) = (&graph.stages[i], &self.written.stages[i]);
        let func = &module[stage.func];
        let mut out = format!("\n{:<10}{}\n", func.name, summary(self.model, self.costs, stage.func));
        for ((param, name), source) in func.params.iter().zip(&file.inputs).zip(&stage.inputs) {
            let from = match source {
                Origin::Input(_) => "the model's input".to_string(),
                Origin::Stage(s, j) => format!("{}, output {j}", module[graph.stages[*s].func].name),
            };
            out.push_str(&format!("{} (from {from})\n", entry("  input", name, &func[param.value].ty).trim_end()));
        }
        for (output, name) in func.outputs.iter().zip(&file.outputs) {
            out.push_str(&entry("  output", name, &func[output.value].ty));
        }
        if let Some(file) = &file.file {
            out.push_str(&format!("{:<10}{file}\n", "  file"));
        }
        out
    }

    /// The report as JSON: the manifest where the model was split, else what the model is.
    pub(crate) fn json(&self) -> Value {
        let mut json = match self.graph {
            Some(graph) => {
                manifest::write(self.model, graph, &self.written.stages, self.passes, self.costs, self.verification)
            }
            None => self.model_json(),
        };
        let note = |note: &Note| json!({"code": note.code, "text": note.text});
        json["notes"] = self.model.notes.iter().chain(&self.written.notes).map(note).collect();
        json["passes"] = json!(self.passes);
        json["remarks"] = self.remarks.iter().map(ToString::to_string).collect();
        json["written"] = json!(self.written.paths);
        json
    }

    fn model_json(&self) -> Value {
        let main = &self.model.module[self.model.main];
        let cost = self.costs.func(self.model.main);
        let mut json = json!({
            "netc": env!("CARGO_PKG_VERSION"),
            "model": if self.is_other { own_name(self.model) } else { &self.model.name },
            "inputs": main.params.iter().map(|p| Value::Object(manifest::port(&p.name, &main[p.value].ty))).collect::<Vec<_>>(),
            "outputs": main.outputs.iter().map(|o| Value::Object(manifest::port(&o.name, &main[o.value].ty))).collect::<Vec<_>>(),
            "layers": cost.layers,
            "parameters": self.model.parameters(cost.params),
            "multiply_accumulates": cost.macs,
        });
        if let Some(v) = self.verification {
            json["verification"] = manifest::verification_json(v);
        }
        json
    }
}

/// `inception_v3 (Functional): 313 layers, 23,851,784 parameters, 5,713,216,096 multiply-accumulates`.
pub(crate) fn title(model: &Model, costs: &Costs<'_>) -> String {
    format!("{} ({}): {}", own_name(model), model.class(), summary(model, costs, model.main))
}

/// The model's name in its framework, or else the name of the file.
fn own_name(model: &Model) -> &str {
    model.module[model.main].attrs.get(MODEL_NAME).and_then(Attr::as_str).unwrap_or(&model.name)
}

/// `313 layers, 23,851,784 parameters, 5,713,216,096 multiply-accumulates`.
pub(crate) fn summary(model: &Model, costs: &Costs<'_>, func: FuncId) -> String {
    let cost = costs.func(func);
    let (layers, macs) = (count(cost.layers, "layer"), thousands_or_unknown(cost.macs));
    let parts = StageGraph::of(&model.module, func).map_or(layers, |graph| count(graph.stages.len(), "stage"));
    let params = thousands_or_unknown(model.parameters(cost.params));
    format!("{parts}, {params} parameters, {macs} multiply-accumulates per example")
}

fn entry(head: &str, name: &str, ty: &Type) -> String {
    format!("{head:<10}{name}: {ty}, {}\n", bytes(ty))
}

/// What a verification found, in one line.
pub(crate) fn verdict(v: &Verification) -> String {
    sentence(v, v.passed(), "its rounding bound")
}

/// What a comparison found, in one line, where outputs may be apart by `tolerance`.
pub(crate) fn verdict_within(v: &Verification, tolerance: f64) -> String {
    sentence(v, v.within(tolerance), &format!("the tolerance of {}", difference(tolerance)))
}

fn sentence(v: &Verification, passed: bool, allowed: &str) -> String {
    let inputs = count(usize::try_from(v.inputs).unwrap_or(usize::MAX), "random input");
    let how = format!("{inputs}, batch {}, seed {}", v.batch, v.seed);
    let (absolute, relative) = (difference(v.worst(|d| d.max_abs)), difference(v.worst(|d| d.norm_rel)));
    let largest = format!("largest difference {absolute} absolute, {relative} relative");
    let finite = v.largest_bound().filter(|bound| bound.is_finite());
    let bound = finite.map_or_else(String::new, |b| format!(", bound {b:.1e} relative"));
    let equal = match (v.bit_equal(), passed) {
        (true, _) => "every output is equal bit for bit".into(),
        (false, true) if v.largest_bound() == Some(f64::INFINITY) => {
            "what is rounded goes through a function that jumps, such as `ceil`, so there is no bound to compare with"
                .into()
        }
        (false, true) => format!("every output is within {allowed}"),
        (false, false) => "OUTPUTS DIFFER".to_string(),
    };
    format!("{equal} ({how}; {largest}{bound})")
}
