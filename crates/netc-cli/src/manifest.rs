//! `manifest.json`: the stages of a split model, and how to run them one after the other.
//!
//! `stages[]` stand in order. Inputs and outputs of a stage stand in the order in which its file's model takes and
//! returns them. An input's `source` is `{"model_input": NAME}` or `{"stage": I, "output": J}`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use netc_ir::{Builder, CallOp, Dim, ElemType, FuncId, MAIN, Module, Name, OpKind, Type, ValueId, call_types};
use netc_keras::dtype_name;
use netc_pass::Dialects;
use netc_passes::analysis::Costs;
use serde_json::{Map, Value, json};

use crate::chain::{Chain, Source};
use crate::error::CliError;
use crate::input::{self, Model};
use crate::verify::Verification;

/// How a stage appears in the manifest.
pub(crate) struct StageFile {
    /// The file, by its name in the folder of the manifest; `None` where nothing is written.
    pub(crate) file: Option<String>,
    pub(crate) inputs: Vec<String>,
    pub(crate) outputs: Vec<String>,
}

impl StageFile {
    /// The names that the function itself has.
    pub(crate) fn unwritten(module: &Module, func: FuncId) -> Self {
        let func = &module[func];
        Self {
            file: None,
            inputs: func.params.iter().map(|p| p.name.to_string()).collect(),
            outputs: func.outputs.iter().map(|o| o.name.to_string()).collect(),
        }
    }
}

/// The manifest of a split model.
pub(crate) fn write(
    model: &Model,
    chain: &Chain,
    files: &[StageFile],
    costs: &Costs<'_>,
    verification: Option<&Verification>,
) -> Value {
    let (module, main) = (&model.module, &model.module[model.main]);
    let stages = chain.stages.iter().zip(files).map(|(stage, file)| {
        let func = &module[stage.func];
        let cost = costs.func(stage.func);
        let inputs = func.params.iter().zip(&file.inputs).zip(&stage.inputs).map(|((p, name), source)| {
            let mut port = port(name, &func[p.value].ty);
            port.insert("source".into(), source_json(model, *source));
            Value::Object(port)
        });
        let outputs =
            func.outputs.iter().zip(&file.outputs).map(|(o, name)| Value::Object(port(name, &func[o.value].ty)));
        json!({
            "name": &*func.name,
            "file": file.file,
            "inputs": inputs.collect::<Vec<_>>(),
            "outputs": outputs.collect::<Vec<_>>(),
            "layers": cost.layers,
            "parameters": cost.params,
            "multiply_accumulates": cost.macs,
        })
    });
    let inputs = main.params.iter().enumerate().map(|(i, p)| {
        let mut port = port(&p.name, &main[p.value].ty);
        port.insert("readers".into(), readers(chain, i));
        Value::Object(port)
    });
    let outputs = main.outputs.iter().zip(&chain.outputs).map(|(o, source)| {
        let mut port = port(&o.name, &main[o.value].ty);
        port.insert("source".into(), source_json(model, *source));
        Value::Object(port)
    });
    let mut manifest = json!({
        "netc": env!("CARGO_PKG_VERSION"),
        "model": model.name,
        "inputs": inputs.collect::<Vec<_>>(),
        "outputs": outputs.collect::<Vec<_>>(),
        "stages": stages.collect::<Vec<_>>(),
    });
    if let Some(v) = verification {
        manifest["verification"] = verification_json(v);
    }
    manifest
}

/// Name, shape (null where open), type and size of a tensor.
pub(crate) fn port(name: &str, ty: &Type) -> Map<String, Value> {
    let shape = ty.dims.as_ref().map(|dims| dims.iter().map(Dim::known).collect::<Vec<_>>());
    let mut port = Map::new();
    port.insert("name".into(), name.into());
    port.insert("shape".into(), json!(shape));
    let dtype = (ty.elem != ElemType::Any).then(|| dtype_name(ty.elem));
    port.insert("dtype".into(), json!(dtype));
    port.insert("bytes_per_example".into(), json!(ty.bytes_per_example()));
    port
}

fn source_json(model: &Model, source: Source) -> Value {
    match source {
        Source::Input(i) => json!({"model_input": &*model.module[model.main].params[i].name}),
        Source::Stage(stage, output) => json!({"stage": stage, "output": output}),
    }
}

fn readers(chain: &Chain, input: usize) -> Value {
    let places = chain.stages.iter().enumerate().flat_map(|(s, stage)| {
        let at = stage.inputs.iter().enumerate().filter(move |(_, source)| **source == Source::Input(input));
        at.map(move |(i, _)| json!({"stage": s, "input": i}))
    });
    places.collect()
}

/// What a verification found.
pub(crate) fn verification_json(v: &Verification) -> Value {
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

/// Loads the chain of stages that the manifest at `path` describes, as one model.
pub(crate) fn load(path: &Path, dialects: &Dialects) -> Result<Model, CliError> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|e| CliError::because(format!("cannot read `{shown}`"), e))?;
    let json: Value =
        serde_json::from_str(&text).map_err(|e| CliError::because(format!("`{shown}` is not JSON"), e))?;
    let reader = Reader { path, folder: path.parent().unwrap_or(Path::new("")), json: &json };
    let (module, notes) = reader.module(dialects)?;
    let name = json.get("model").and_then(Value::as_str).unwrap_or("model");
    if !is_plain_name(name) {
        return Err(reader.error("model", &format!("a name that can begin the name of a file, found `{name}`")));
    }
    netc_ir::verify(&module)
        .map_err(|e| CliError::because(format!("the stages of `{shown}` do not fit together"), e))?;
    input::model(module, name.into(), notes, &shown.to_string())
}

/// Whether `name` names something in a folder, and nothing outside of it.
fn is_plain_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!((components.next(), components.next()), (Some(Component::Normal(_)), None)) && !name.contains('/')
}

struct Reader<'a> {
    path: &'a Path,
    folder: &'a Path,
    json: &'a Value,
}

/// A place that gives a value: a model input by name, or an output of a stage.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Given {
    Input(String),
    Stage(u64, u64),
}

impl Reader<'_> {
    fn error(&self, place: &str, expected: &str) -> CliError {
        CliError::input(format!("`{}`: {place}: expected {expected}", self.path.display()))
    }

    fn list<'v>(&self, value: &'v Value, key: &str, place: &str) -> Result<&'v Vec<Value>, CliError> {
        value.get(key).and_then(Value::as_array).ok_or_else(|| self.error(place, &format!("a list `{key}`")))
    }

    fn module(&self, dialects: &Dialects) -> Result<(Module, Vec<String>), CliError> {
        let stages = self.list(self.json, "stages", "the manifest")?;
        let mut module = Module::new();
        let (mut funcs, mut notes) = (Vec::new(), Vec::new());
        for (i, stage) in stages.iter().enumerate() {
            let file = self.stage_file(stage, i)?;
            let imported = netc_keras::read(&file, dialects).map_err(CliError::from_error)?;
            notes.extend(imported.notes);
            if module.attrs.is_empty() {
                module.attrs = imported.module.attrs.clone();
            }
            let main = imported.module.func_named(MAIN);
            let rename = |name: &str| -> Name {
                if name == MAIN { format!("stage{i}").into() } else { format!("stage{i}/{name}").into() }
            };
            // Each file numbers its open extents anew; the batch is common to all.
            let symbol = |name: &Name| (&**name != "N").then(|| Dim::symbol(format!("s{i}_{name}")));
            let ids = module.append(imported.module, rename, symbol);
            funcs.push(main.map(|m| ids[m.index()]).ok_or_else(|| self.error(&format!("stages[{i}]"), "a model"))?);
        }
        let main = self.main(&module, &funcs, stages)?;
        module.add_func(main);
        Ok((module, notes))
    }

    /// The file of a stage, which must lie in the folder of the manifest or below.
    fn stage_file(&self, stage: &Value, i: usize) -> Result<PathBuf, CliError> {
        let place = format!("stages[{i}]");
        let file =
            stage.get("file").and_then(Value::as_str).ok_or_else(|| self.error(&place, "the name of a `file`"))?;
        let inside = Path::new(file).components().all(|c| matches!(c, Component::Normal(_)));
        if !inside || file.is_empty() {
            return Err(self.error(&place, &format!("a file in the folder of the manifest, found `{file}`")));
        }
        Ok(self.folder.join(file))
    }

    fn main(&self, module: &Module, funcs: &[FuncId], stages: &[Value]) -> Result<netc_ir::Func, CliError> {
        let mut b = Builder::new(module, MAIN);
        let mut given: BTreeMap<Given, ValueId> = BTreeMap::new();
        for (name, ty) in self.model_inputs(module, funcs, stages)? {
            let value = b.param(name.clone(), ty, None);
            given.insert(Given::Input(name), value);
        }
        for (i, (func, stage)) in funcs.iter().zip(stages).enumerate() {
            let place = format!("stages[{i}]");
            let operands = self.list(stage, "inputs", &place)?.iter().map(|input| {
                let source = self.source(input, &place)?;
                given.get(&source).copied().ok_or_else(|| {
                    self.error(&place, "a source that is a model input or an output of an earlier stage")
                })
            });
            let operands: Vec<ValueId> = operands.collect::<Result<_, _>>()?;
            let callee = &module[*func];
            if operands.len() != callee.params.len() {
                return Err(self.error(&place, &format!("{} inputs, as its file's model takes", callee.params.len())));
            }
            let call = CallOp { callee: *func, layer: None, attrs: netc_ir::Attrs::new() };
            let types = call_types(callee, operands.iter().map(|v| b.ty(*v)));
            let results = types.into_iter().zip(&callee.outputs).map(|(ty, o)| (ty, Some(o.name.clone())));
            let op = b.op(OpKind::Call(Box::new(call)), &operands, results.collect::<Vec<_>>());
            for (j, value) in b.results(op).iter().enumerate() {
                given.insert(Given::Stage(i as u64, j as u64), *value);
            }
        }
        let outputs = self.list(self.json, "outputs", "the manifest")?.iter().enumerate().map(|(i, output)| {
            let place = format!("outputs[{i}]");
            let name = output.get("name").and_then(Value::as_str).ok_or_else(|| self.error(&place, "a `name`"))?;
            let value = given.get(&self.source(output, &place)?).copied();
            Ok((Name::from(name), value.ok_or_else(|| self.error(&place, "a source that exists"))?))
        });
        let outputs: Vec<(Name, ValueId)> = outputs.collect::<Result<_, CliError>>()?;
        Ok(b.finish(outputs))
    }

    /// The model's inputs with the types that the stages that read them declare.
    fn model_inputs(
        &self,
        module: &Module,
        funcs: &[FuncId],
        stages: &[Value],
    ) -> Result<Vec<(String, Type)>, CliError> {
        let mut types: BTreeMap<String, Type> = BTreeMap::new();
        for (i, (func, stage)) in funcs.iter().zip(stages).enumerate() {
            let place = format!("stages[{i}]");
            for (input, param) in self.list(stage, "inputs", &place)?.iter().zip(&module[*func].params) {
                if let Given::Input(name) = self.source(input, &place)? {
                    types.entry(name).or_insert_with(|| module[*func][param.value].ty.clone());
                }
            }
        }
        self.list(self.json, "inputs", "the manifest")?
            .iter()
            .enumerate()
            .map(|(i, input)| {
                let place = format!("inputs[{i}]");
                let name = input.get("name").and_then(Value::as_str).ok_or_else(|| self.error(&place, "a `name`"))?;
                let ty = types.get(name).cloned().unwrap_or_else(|| Type::unranked(ElemType::Any));
                Ok((name.to_string(), ty))
            })
            .collect()
    }

    fn source(&self, port: &Value, place: &str) -> Result<Given, CliError> {
        let source = port.get("source");
        let number = |key| source.and_then(|s| s.get(key)).and_then(Value::as_u64);
        if let Some(name) = source.and_then(|s| s.get("model_input")).and_then(Value::as_str) {
            return Ok(Given::Input(name.into()));
        }
        match (number("stage"), number("output")) {
            (Some(stage), Some(output)) => Ok(Given::Stage(stage, output)),
            _ => Err(self.error(place, "a `source`: {\"model_input\": NAME} or {\"stage\": I, \"output\": J}")),
        }
    }
}
