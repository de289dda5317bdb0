//! Reads the stages of a manifest as one model.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use netc_data::Folders;
use netc_format::{Imported, Note};
use netc_ir::link::Linker;
use netc_ir::{
    Attrs, Builder, CallOp, Dim, ElemType, Func, FuncId, Layer, LayerId, Loc, MAIN, Module, Name, OpId, OpKind, Type,
    ValueId, call_types,
};
use serde_json::Value;

use super::files::{self, Changed};
use super::shared;
use super::text::Text;
use crate::error::{ModelError, Result};
use crate::model::Model;
use crate::output::is_inside;
use crate::session::Session;

/// Loads the stages that the manifest at `path` describes, as one model.
///
/// Files, with links resolved, must be in the folder of the manifest or in one that the session allows.
pub(crate) fn load(path: &Path, session: &Session) -> Result<Model> {
    let shown = path.display();
    let text = Text::read(path).map_err(|e| ModelError::because(format!("cannot read `{shown}`"), e))?;
    let json = text.json().map_err(|e| ModelError::because(format!("`{shown}` is not JSON"), e))?;
    let folders = Folders::of_model(path, session.allowed());
    let reader = Reader { path, folder: path.parent().unwrap_or(Path::new("")), folders, json: &json, session };
    let (module, notes) = reader.module()?;
    let name = json.get("model").and_then(Value::as_str).unwrap_or("model");
    if !is_plain_name(name) {
        return Err(reader.error("model", &format!("a name without slashes to begin file names with, found `{name}`")));
    }
    netc_ir::verify(&module)
        .map_err(|e| ModelError::because(format!("the stages of `{shown}` do not fit together"), e))?;
    Ok(Model::new(session, module, name.into(), notes, &shown.to_string())?.of_manifest())
}

/// Whether `name` is a plain file name, without folders.
fn is_plain_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!((components.next(), components.next()), (Some(Component::Normal(_)), None)) && !name.contains('/')
}

struct Reader<'a> {
    path: &'a Path,
    folder: &'a Path,
    /// The allowed folders.
    folders: Folders,
    json: &'a Value,
    session: &'a Session,
}

/// The source of a value: a model input by name, or an output of a stage.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum InputSpec {
    Input(String),
    Stage(u64, u64),
}

impl Reader<'_> {
    fn error(&self, place: &str, expected: &str) -> ModelError {
        ModelError::failed(format!("`{}`: {place}: expected {expected}", self.path.display()))
    }

    fn list<'v>(&self, value: &'v Value, key: &str, place: &str) -> Result<&'v Vec<Value>> {
        value.get(key).and_then(Value::as_array).ok_or_else(|| self.error(place, &format!("a list `{key}`")))
    }

    fn module(&self) -> Result<(Module, Vec<Note>)> {
        let stages = self.list(self.json, "stages", "the manifest")?;
        let mut module = Module::new();
        let mut linker = Linker::new(&mut module);
        let (mut funcs, mut notes, mut files) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (i, stage) in stages.iter().enumerate() {
            let file = self.stage_file(stage, i)?;
            // Otherwise a short manifest could name a large file many times.
            if !files.insert(fs::canonicalize(&file).unwrap_or_else(|_| file.clone())) {
                return Err(self.error(&format!("stages[{i}]"), "a file that no earlier stage uses"));
            }
            let (imported, is_trained) = self.stage(&file, stage, i)?;
            if is_trained {
                let note = "has changed since netc wrote it: a framework saved it, and netc uses it as it is now";
                notes.push(Note::new("stage-trained", format!("`{}` {note}", file.display())));
            }
            notes.extend(imported.notes);
            if linker.module().attrs.is_empty() {
                linker.module().attrs = imported.module.attrs.clone();
            }
            let main = imported.module.func_named(MAIN);
            let rename = |name: &str| -> Name {
                if name == MAIN { format!("stage{i}").into() } else { format!("stage{i}/{name}").into() }
            };
            // Each file numbers its symbolic extents from the start. The batch is common to all.
            let symbol = |name: &Name| (&**name != "N").then(|| Dim::symbol(format!("s{i}_{name}")));
            let ids = linker.append(imported.module, rename, symbol);
            let main = main.map(|m| ids[m.index()]).ok_or_else(|| self.error(&format!("stages[{i}]"), "a model"))?;
            self.number_calls(linker.module(), main, stage, i, is_trained)?;
            funcs.push(main);
        }
        shared::share_weights(&mut module)?;
        let head = self.head()?;
        let inputs = self.model_inputs(&module, &funcs, stages, &head)?;
        let inputs: Vec<_> =
            inputs.into_iter().map(|(name, ty, layer)| (name, ty, layer.map(|l| module.add_layer(l)))).collect();
        let mut main = self.main(&module, &funcs, stages, inputs)?;
        main.attrs = head.main().map_or(Attrs::new(), |main| main.attrs.clone());
        module.add_func(main);
        Ok((module, notes))
    }

    /// Reads a stage. Also returns whether a framework has saved it since netc wrote it.
    ///
    /// # Errors
    /// The file changed, and it is not a model with the same signature that a framework saved.
    fn stage(&self, file: &Path, stage: &Value, i: usize) -> Result<(Imported, bool)> {
        let compared = files::compare(self.folder, stage, self.session.formats());
        let options = self.session.read_options();
        let read = self.session.formats().read(file, &options, self.session.dialects()).map_err(ModelError::from_error);
        let Ok(Some(Changed::Yes(changed))) = &compared else {
            let imported = read?;
            let expected = "files with `bytes` and a `checksum` such as crc32:0123abcd";
            compared?.ok_or_else(|| self.error(&format!("stages[{i}]"), expected))?;
            return Ok((imported, false));
        };
        let refused = |why: &str| {
            let note = "split the model again or restore the stage";
            let (file, manifest) = (changed.display(), self.path.display());
            ModelError::failed(format!("`{file}` is not the stage that `{manifest}` describes: {why}; {note}"))
        };
        let imported = read.map_err(|error| refused(&error.chain()))?;
        if imported.is_own {
            return Err(refused("netc wrote it for another split"));
        }
        match imported.module.main().and_then(|main| files::misfit(stage, main)) {
            Some(misfit) => Err(refused(&misfit)),
            None => Ok((imported, true)),
        }
    }

    /// Numbers the layer calls in the stage `main` as in the whole model. A trained stage may have more calls.
    fn number_calls(&self, module: &mut Module, main: FuncId, stage: &Value, i: usize, is_trained: bool) -> Result<()> {
        let Some(calls) = stage.get("calls") else { return Ok(()) };
        let place = format!("stages[{i}].calls");
        let of_layer = |list: &Value| -> Option<Vec<u32>> {
            list.as_array()?.iter().map(|n| u32::try_from(n.as_u64()?).ok()).collect()
        };
        let calls: Option<BTreeMap<&str, Vec<u32>>> = calls
            .as_object()
            .and_then(|calls| calls.iter().map(|(layer, list)| Some((layer.as_str(), of_layer(list)?))).collect());
        let calls = calls.ok_or_else(|| self.error(&place, "layers with lists of numbers"))?;
        for op in module[main].op_ids().collect::<Vec<OpId>>() {
            let Some(layer) = module[main][op].kind.layer() else { continue };
            let numbers = calls.get(&*module[layer].name).cloned();
            if let (Some(numbers), Loc::Call { call, .. }) = (numbers, &mut module[main][op].loc) {
                match numbers.get(*call as usize) {
                    Some(number) => *call = *number,
                    None if is_trained => {}
                    None => return Err(self.error(&place, "a number for each call of the layer")),
                }
            }
        }
        Ok(())
    }

    /// The program with the attributes and inputs of the whole model. Empty if the manifest has none.
    fn head(&self) -> Result<Module> {
        let Some(main) = self.json.get("main") else { return Ok(Module::new()) };
        let program = main.as_str().and_then(|text| netc_ir::parse(text).ok());
        program.ok_or_else(|| self.error("main", "a program"))
    }

    /// The file of a stage, which must be in the folder of the manifest or below.
    fn stage_file(&self, stage: &Value, i: usize) -> Result<PathBuf> {
        let place = format!("stages[{i}]");
        let file =
            stage.get("file").and_then(Value::as_str).ok_or_else(|| self.error(&place, "the name of a `file`"))?;
        if !is_inside(Path::new(file)) {
            return Err(self.error(&place, &format!("a file in the folder of the manifest, found `{file}`")));
        }
        let file = self.folder.join(file);
        let checked = self.folders.check(&file);
        checked.map_err(|e| ModelError::because(format!("cannot read `{}`: {place}", self.path.display()), e))?;
        Ok(file)
    }

    fn main(
        &self,
        module: &Module,
        funcs: &[FuncId],
        stages: &[Value],
        inputs: Vec<(String, Type, Option<LayerId>)>,
    ) -> Result<Func> {
        self.require_unique("inputs", inputs.iter().map(|(name, ..)| name.as_str()))?;
        let mut b = Builder::new(module, MAIN);
        let mut given: BTreeMap<InputSpec, ValueId> = BTreeMap::new();
        for (name, ty, layer) in inputs {
            let value = b.param(name.clone(), ty, layer);
            given.insert(InputSpec::Input(name), value);
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
                return Err(self.error(&place, &format!("{} inputs, as its model takes", callee.params.len())));
            }
            for (j, (operand, param)) in operands.iter().zip(&callee.params).enumerate() {
                let (given, declared) = (b.ty(*operand), &callee[param.value].ty);
                if !given.agrees_with(declared) {
                    let place = format!("{place}.inputs[{j}]");
                    return Err(self.error(&place, &format!("{declared}, as its model takes, found {given}")));
                }
            }
            let call = CallOp { callee: *func, layer: None, attrs: netc_ir::Attrs::new() };
            let types = call_types(callee, operands.iter().map(|v| b.ty(*v)));
            let results = types.into_iter().zip(&callee.outputs).map(|(ty, o)| (ty, Some(o.name.clone())));
            let op = b.op(OpKind::Call(Box::new(call)), &operands, results.collect::<Vec<_>>());
            for (j, value) in b.results(op).iter().enumerate() {
                given.insert(InputSpec::Stage(i as u64, j as u64), *value);
            }
        }
        let outputs = self.list(self.json, "outputs", "the manifest")?.iter().enumerate().map(|(i, output)| {
            let place = format!("outputs[{i}]");
            let name = output.get("name").and_then(Value::as_str).ok_or_else(|| self.error(&place, "a `name`"))?;
            let value = given.get(&self.source(output, &place)?).copied();
            Ok((Name::from(name), value.ok_or_else(|| self.error(&place, "a source that exists"))?))
        });
        let outputs: Vec<(Name, ValueId)> = outputs.collect::<Result<_>>()?;
        self.require_unique("outputs", outputs.iter().map(|(name, _)| &**name))?;
        Ok(b.finish(outputs))
    }

    /// Checks that the names under `place` are distinct.
    fn require_unique<'n>(&self, place: &str, names: impl Iterator<Item = &'n str>) -> Result<()> {
        let mut seen = BTreeSet::new();
        match names.into_iter().find(|name| !seen.insert(*name)) {
            Some(name) => Err(self.error(place, &format!("distinct names, found `{name}` twice"))),
            None => Ok(()),
        }
    }

    /// The inputs of the model. Their types come from the stages that read them, or from the head if no stage does.
    fn model_inputs(
        &self,
        module: &Module,
        funcs: &[FuncId],
        stages: &[Value],
        head: &Module,
    ) -> Result<Vec<(String, Type, Option<Layer>)>> {
        let mut types: BTreeMap<String, Type> = BTreeMap::new();
        let declared = |name: &str| head.main()?.params.iter().find(|p| &*p.name == name);
        for (i, (func, stage)) in funcs.iter().zip(stages).enumerate() {
            let place = format!("stages[{i}]");
            for (j, (input, param)) in self.list(stage, "inputs", &place)?.iter().zip(&module[*func].params).enumerate()
            {
                let InputSpec::Input(name) = self.source(input, &place)? else { continue };
                if types.contains_key(&name) {
                    continue;
                }
                let ty = &module[*func][param.value].ty;
                if let (Some(main), Some(of_main)) = (head.main(), declared(&name)) {
                    let found = &main[of_main.value].ty;
                    if !found.agrees_with(ty) {
                        let expected = format!("{ty} for `%{name}`, as stages[{i}].inputs[{j}] takes, found {found}");
                        return Err(self.error("main", &expected));
                    }
                }
                types.insert(name, ty.clone());
            }
        }
        self.list(self.json, "inputs", "the manifest")?
            .iter()
            .enumerate()
            .map(|(i, input)| {
                let place = format!("inputs[{i}]");
                let name = input.get("name").and_then(Value::as_str).ok_or_else(|| self.error(&place, "a `name`"))?;
                if let Some(ty) = types.get(name) {
                    return Ok((name.to_string(), ty.clone(), None));
                }
                let unread = head.main().zip(declared(name));
                let ty = unread.map_or(Type::unranked(ElemType::Any), |(main, p)| main[p.value].ty.clone());
                let layer = unread.and_then(|(_, p)| p.layer).map(|id| &head[id]);
                Ok((
                    name.to_string(),
                    ty,
                    layer.map(|l| Layer { weights: Vec::new(), assets: Vec::new(), ..l.clone() }),
                ))
            })
            .collect()
    }

    fn source(&self, port: &Value, place: &str) -> Result<InputSpec> {
        let source = port.get("source");
        let number = |key| source.and_then(|s| s.get(key)).and_then(Value::as_u64);
        if let Some(name) = source.and_then(|s| s.get("model_input")).and_then(Value::as_str) {
            return Ok(InputSpec::Input(name.into()));
        }
        match (number("stage"), number("output")) {
            (Some(stage), Some(output)) => Ok(InputSpec::Stage(stage, output)),
            _ => Err(self.error(place, "a `source`: {\"model_input\": NAME} or {\"stage\": I, \"output\": J}")),
        }
    }
}
