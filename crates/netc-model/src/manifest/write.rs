//! Writes the manifest of a split.

use std::collections::BTreeMap;

use netc_ir::{Builder, Func, LayerId, Loc, MAIN, Module};
use netc_passes::analysis::Costs;
use serde_json::{Map, Value, json};

use super::entry::{StageFile, port};
use super::files;
use crate::model::Model;
use crate::stage_graph::{Origin, StageGraph};
use crate::verify::Verification;

/// The manifest of a split model, as JSON.
pub fn write(
    model: &Model,
    graph: &StageGraph,
    files: &[StageFile],
    passes: &[String],
    costs: &Costs<'_>,
    verification: Option<&Verification>,
) -> Value {
    let (module, main) = (&model.module, &model.module[model.main]);
    let stages = graph.stages.iter().zip(files).map(|(stage, file)| {
        let func = &module[stage.func];
        let cost = costs.func(stage.func);
        let inputs = func.params.iter().zip(&file.inputs).zip(&stage.inputs).map(|((p, name), source)| {
            let mut port = port(name, &func[p.value].ty);
            port.insert("source".into(), source_json(model, *source));
            Value::Object(port)
        });
        let outputs =
            func.outputs.iter().zip(&file.outputs).map(|(o, name)| Value::Object(port(name, &func[o.value].ty)));
        let mut entry = Map::new();
        entry.insert("name".into(), (&*func.name).into());
        entry.insert("file".into(), file.file.clone().into());
        files::record(&mut entry, &file.files);
        entry.insert("inputs".into(), inputs.collect());
        entry.insert("outputs".into(), outputs.collect());
        entry.insert("layers".into(), cost.layers.into());
        entry.insert("parameters".into(), json!(model.parameters(cost.params)));
        entry.insert("multiply_accumulates".into(), json!(cost.macs));
        let calls = renumbered_calls(module, func);
        if !calls.is_empty() {
            entry.insert("calls".into(), json!(calls));
        }
        Value::Object(entry)
    });
    let inputs = main.params.iter().enumerate().map(|(i, p)| {
        let mut port = port(&p.name, &main[p.value].ty);
        port.insert("readers".into(), readers(graph, i));
        Value::Object(port)
    });
    let outputs = main.outputs.iter().zip(&graph.outputs).map(|(o, source)| {
        let mut port = port(&o.name, &main[o.value].ty);
        port.insert("source".into(), source_json(model, *source));
        Value::Object(port)
    });
    let mut manifest = json!({
        "netc": env!("CARGO_PKG_VERSION"),
        "model": model.name,
        "passes": passes,
        "inputs": inputs.collect::<Vec<_>>(),
        "outputs": outputs.collect::<Vec<_>>(),
        "stages": stages.collect::<Vec<_>>(),
    });
    manifest["main"] = head(module, main).into();
    if let Some(v) = verification {
        manifest["verification"] = verification_json(v);
    }
    manifest
}

/// A program with only `main`, without its ops and outputs.
fn head(module: &Module, main: &Func) -> String {
    let mut head = Module::new();
    let layers: Vec<Option<LayerId>> =
        main.params.iter().map(|p| p.layer.map(|id| head.add_layer(module[id].clone()))).collect();
    let mut b = Builder::new(&head, MAIN);
    for (param, layer) in main.params.iter().zip(layers) {
        b.param(param.name.clone(), main[param.value].ty.clone(), layer);
    }
    let mut func = b.finish([]);
    func.attrs = main.attrs.clone();
    head.add_func(func);
    netc_ir::print(&head)
}

/// The call numbers of each layer in the whole model, for layers whose numbers are not 0, 1, ...
fn renumbered_calls(module: &Module, stage: &Func) -> BTreeMap<String, Vec<u32>> {
    let mut calls: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for (_, op) in stage.ops() {
        if let (Some(layer), Loc::Call { call, .. }) = (op.kind.layer(), &op.loc) {
            calls.entry(module[layer].name.to_string()).or_default().push(*call);
        }
    }
    calls.retain(|_, numbers| !numbers.iter().copied().eq(0..numbers.len() as u32));
    calls
}

fn source_json(model: &Model, source: Origin) -> Value {
    match source {
        Origin::Input(i) => json!({"model_input": &*model.module[model.main].params[i].name}),
        Origin::Stage(stage, output) => json!({"stage": stage, "output": output}),
    }
}

fn readers(graph: &StageGraph, input: usize) -> Value {
    let places = graph.stages.iter().enumerate().flat_map(|(s, stage)| {
        let at = stage.inputs.iter().enumerate().filter(move |(_, source)| **source == Origin::Input(input));
        at.map(move |(i, _)| json!({"stage": s, "input": i}))
    });
    places.collect()
}

/// The result of a verification, as JSON.
pub fn verification_json(v: &Verification) -> Value {
    json!({
        "inputs": v.inputs,
        "batch": v.batch,
        "seed": v.seed,
        "passed": v.passed(),
        "bit_equal": v.bit_equal(),
        "largest_bound": v.largest_bound(),
        "largest_absolute_difference": v.worst(|d| d.max_abs),
        "largest_relative_difference": v.worst(|d| d.norm_rel),
    })
}
