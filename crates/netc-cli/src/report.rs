//! The report of what netc did to a model, as text and as JSON.

use std::collections::BTreeMap;

use netc_format::Note;
use netc_ir::{Attr, FuncId, MODEL_NAME, Type};
use netc_model::manifest::StageFile;
use netc_model::{Model, Origin, Saved, Stage, StageGraph, Verification, manifest};
use netc_pass::Remark;
use netc_passes::analysis::Costs;
use serde_json::{Value, json};

use crate::text::{Figures, count, difference, entry, table, thousands};

/// The contents of a report.
pub(crate) struct Report<'a> {
    pub(crate) model: &'a Model,
    /// The model's name in its framework and its class.
    pub(crate) title: String,
    /// Whether a pass made another model of it, such as a part of it.
    pub(crate) is_other: bool,
    pub(crate) passes: &'a [String],
    pub(crate) remarks: &'a [Remark],
    pub(crate) graph: Option<&'a StageGraph>,
    pub(crate) costs: &'a Costs<'a>,
    pub(crate) verification: Option<&'a Verification>,
    pub(crate) written: &'a Saved,
    /// How to get an output, if the command line has none.
    pub(crate) hint: Option<&'static str>,
    pub(crate) figures: Figures,
}

impl Report<'_> {
    /// The report for people.
    pub(crate) fn text(&self) -> String {
        let mut out = entry("model", &self.title);
        if self.graph.is_none() {
            out.push_str(&self.ports());
        }
        self.model.notes.iter().for_each(|note| out.push_str(&entry("note", &note.to_string())));
        self.passes.iter().for_each(|pass| out.push_str(&entry("pass", pass)));
        self.remarks.iter().for_each(|remark| out.push_str(&entry("", &remark.to_string())));
        if let Some(graph) = self.graph {
            out.push_str(&format!("\n{}\n{}\n", self.stages(graph), self.tensors(graph)));
        }
        if let Some(v) = self.verification {
            out.push_str(&entry("verify", &verdict(v)));
        }
        self.written.notes.iter().for_each(|note| out.push_str(&entry("note", &note.to_string())));
        self.written.paths.iter().for_each(|path| out.push_str(&format!("{:<10}{path}\n", "wrote")));
        if let Some(hint) = self.hint {
            out.push_str(&entry("wrote", hint));
        }
        out
    }

    /// The inputs and outputs of the model.
    fn ports(&self) -> String {
        let main = &self.model.module[self.model.main];
        let row = |heading: &str, name: &str, ty: &Type| {
            vec![format!("{heading:<8}"), name.into(), ty.to_string(), self.figures.bytes(ty.bytes_per_example())]
        };
        let inputs = main.params.iter().map(|p| row("input", &p.name, &main[p.value].ty));
        let outputs = main.outputs.iter().map(|o| row("output", &o.name, &main[o.value].ty));
        let rows: Vec<Vec<String>> = inputs.chain(outputs).collect();
        let table = table(&["", "", "", ">"], &rows);
        table.split_once('\n').map_or_else(String::new, |(_, rows)| rows.into())
    }

    /// A table of the stages and their files.
    fn stages(&self, graph: &StageGraph) -> String {
        let row = |(stage, file): (&Stage, &StageFile)| {
            let cost = self.costs.func(stage.func);
            vec![
                self.model.module[stage.func].name.to_string(),
                thousands(cost.layers as u64),
                self.figures.number(self.model.parameters(cost.params)),
                self.figures.number(cost.macs),
                file.file.clone().unwrap_or_default(),
            ]
        };
        let rows: Vec<Vec<String>> = graph.stages.iter().zip(&self.written.stages).map(row).collect();
        let file = if self.written.stages.iter().any(|stage| stage.file.is_some()) { "file" } else { "" };
        table(&["stage", ">layers", ">params", ">MACs", file], &rows)
    }

    /// A table of the tensors that enter, leave and connect the stages.
    fn tensors(&self, graph: &StageGraph) -> String {
        let module = &self.model.module;
        let main = &module[self.model.main];
        let readers = Readers::of(self.model, graph, &self.written.stages);
        let row = |name: &str, ty: &Type, from: &str, to: Vec<String>| {
            let to = if to.is_empty() { "-".into() } else { to.join(", ") };
            vec![name.into(), ty.to_string(), self.figures.bytes(ty.bytes_per_example()), from.into(), to]
        };
        let mut rows = Vec::new();
        for (i, param) in main.params.iter().enumerate() {
            rows.push(row(&param.name, &main[param.value].ty, "input", readers.named(Origin::Input(i), &param.name)));
        }
        for (s, (stage, file)) in graph.stages.iter().zip(&self.written.stages).enumerate() {
            let func = &module[stage.func];
            for (i, (output, name)) in func.outputs.iter().zip(&file.outputs).enumerate() {
                rows.push(row(name, &func[output.value].ty, &func.name, readers.named(Origin::Stage(s, i), name)));
            }
        }
        table(&["tensor", "type", ">per example", "from", "to"], &rows)
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

/// Which stages and outputs read each tensor between stages, and under which name.
struct Readers<'a>(BTreeMap<Origin, Vec<(&'a str, &'a str)>>);

impl<'a> Readers<'a> {
    fn of(model: &'a Model, graph: &StageGraph, files: &'a [StageFile]) -> Self {
        let mut readers: BTreeMap<Origin, Vec<(&str, &str)>> = BTreeMap::new();
        for (stage, file) in graph.stages.iter().zip(files) {
            for (origin, name) in stage.inputs.iter().zip(&file.inputs) {
                readers.entry(*origin).or_default().push((&model.module[stage.func].name, name));
            }
        }
        for (origin, output) in graph.outputs.iter().zip(&model.module[model.main].outputs) {
            readers.entry(*origin).or_default().push(("output", &output.name));
        }
        Self(readers)
    }

    /// `stage1, output`; a reader that has another name for the tensor than `name` says so: `output as scores`.
    fn named(&self, origin: Origin, name: &str) -> Vec<String> {
        let readers = self.0.get(&origin).map_or(&[][..], Vec::as_slice);
        let shown = |(reader, own): &(&str, &str)| {
            if *own == name { (*reader).to_string() } else { format!("{reader} as {own}") }
        };
        readers.iter().map(shown).collect()
    }
}

/// `inception_v3 (Functional), 313 layers, 23.9 M params, 5.71 GMAC`.
pub(crate) fn title(model: &Model, costs: &Costs<'_>, figures: Figures) -> String {
    format!("{} ({}), {}", own_name(model), model.class(), summary(model, costs, model.main, figures))
}

/// The model's name in its framework, or else the name of the file.
fn own_name(model: &Model) -> &str {
    model.module[model.main].attrs.get(MODEL_NAME).and_then(Attr::as_str).unwrap_or(&model.name)
}

/// `313 layers, 23.9 M params, 5.71 GMAC`. Multiply-accumulates are those of one example.
pub(crate) fn summary(model: &Model, costs: &Costs<'_>, func: FuncId, figures: Figures) -> String {
    let cost = costs.func(func);
    let layers = count(cost.layers, "layer");
    let parts = StageGraph::of(&model.module, func).map_or(layers, |graph| count(graph.stages.len(), "stage"));
    let params = figures.number(model.parameters(cost.params));
    format!("{parts}, {params} params, {}", figures.macs(cost.macs))
}

/// The result of a verification in one sentence.
pub(crate) fn verdict(v: &Verification) -> String {
    sentence(v, v.passed(), "the rounding bound")
}

/// The result of a comparison in one sentence, for outputs that may differ by `tolerance`.
pub(crate) fn verdict_within(v: &Verification, tolerance: f64) -> String {
    sentence(v, v.within(tolerance), &format!("the tolerance of {}", difference(tolerance)))
}

fn sentence(v: &Verification, passed: bool, allowed: &str) -> String {
    let inputs = count(usize::try_from(v.inputs).unwrap_or(usize::MAX), "random input");
    let inputs = format!("{inputs} (batch {}, seed {})", v.batch, v.seed);
    if v.bit_equal() {
        return format!("outputs are equal bit for bit on {inputs}");
    }
    let (absolute, relative) = (difference(v.worst(|d| d.max_abs)), difference(v.worst(|d| d.norm_rel)));
    let bound = v.largest_bound().filter(|bound| bound.is_finite());
    let bound = bound.map_or_else(String::new, |b| format!(", bound {b:.1e} relative"));
    let found = match (passed, v.largest_bound()) {
        (false, _) => "OUTPUTS DIFFER".to_string(),
        (true, Some(f64::INFINITY)) => {
            "outputs cannot be compared: a rounded value passes through a discontinuous function such as `ceil`".into()
        }
        (true, _) => format!("outputs are within {allowed}"),
    };
    format!("{found} on {inputs}: largest difference {absolute} absolute, {relative} relative{bound}")
}
