//! The names of cuts: what `split` may be told, and what each place is called.
//!
//! | text | the cut |
//! |---|---|
//! | `mixed9` | after the layer, or after the value, of that name |
//! | `before:mixed9` | before it: at the values that it reads, model inputs, weights and constants left out |
//! | `shared@1` | after the second application of a layer that is applied several times |
//! | `#128` | after layer 128 of Keras's `model.layers` |
//! | `%y`, `%7` | after a value as the program's text spells it |
//! | `a+b` | through several places at once; one that another is computed from adds nothing |
//! | `inner/conv` | after a layer of the nested model `inner`, for passes that dissolve nested models |
//!
//! A text that is, whole, the name of a layer or a value means that, whatever characters are in it.

mod paths;

use std::collections::BTreeSet;

use netc_ir::{Def, Func, Layer, LayerId, Module, OpId, ValueId};
use netc_pass::{counted, nearest};
use thiserror::Error;

use super::needed::constant_producer;

pub(crate) use paths::{CutPart, cut_parts};

/// A name that is not a place to cut at.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CutError {
    /// Nothing has the name.
    #[error("there is no {kind} `{name}` in `@{func}`{hint}")]
    Unknown {
        /// What was looked for.
        kind: &'static str,
        /// The name.
        name: String,
        /// The function.
        func: String,
        /// The nearest names.
        hint: String,
    },
    /// The layer is in a nested model.
    #[error("`{name}` is a layer of `@{func}`, a model inside the model{hint}")]
    Nested {
        /// The layer.
        name: String,
        /// The nested model.
        func: String,
        /// The path by which it can be named.
        hint: String,
    },
    /// The path of a layer in a nested model, where only the layers of the model itself are asked for.
    #[error(
        "`{name}` lies in a model inside the model: only `split` and `extract` cut there; `--pass inline` makes its layers \
         those of the model"
    )]
    Inside {
        /// The path.
        name: String,
    },
    /// The layer is applied more than once.
    #[error("layer `{name}` is applied {count} times: say which with {choices}")]
    SeveralApplications {
        /// The layer.
        name: String,
        /// How often it is applied.
        count: usize,
        /// The names of its applications.
        choices: String,
    },
    /// The layer has fewer applications.
    #[error("there is no `{name}@{index}`: layer `{name}` is applied {}: {choices}", counted(*count as u64, "time"))]
    NoSuchApplication {
        /// The layer.
        name: String,
        /// The application that was asked for.
        index: usize,
        /// How often it is applied.
        count: usize,
        /// The names of its applications.
        choices: String,
    },
    /// The model has fewer layers.
    #[error("`#{index}` is out of range: the model has {count} layers, `#0` to `#{last}`")]
    IndexOutOfRange {
        /// The place that was asked for.
        index: usize,
        /// The number of layers.
        count: usize,
        /// The last place.
        last: usize,
    },
    /// The model has no layers to count.
    #[error("`#{index}` counts layers, and the model declares none: name a value, as in `%y`")]
    NoLayers {
        /// The place that was asked for.
        index: usize,
    },
    /// The place is an input.
    #[error("`{name}` is an input of the model: a cut there leaves nothing before it")]
    Input {
        /// The input.
        name: String,
    },
    /// A name is empty.
    #[error("`{spec}` is not a cut: a name is missing, as in `a+b` or `before:a`")]
    Empty {
        /// The text.
        spec: String,
    },
}

/// A place in a function where it can be cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutPoint {
    /// The op after or before which the cut is.
    pub op: OpId,
    /// The values that the part before the cut must compute; none if the op reads only inputs.
    pub values: Vec<ValueId>,
}

/// The places that `spec` names in `func`, joined by `+` in the text.
pub fn resolve(module: &Module, func: &Func, spec: &str) -> Result<Vec<CutPoint>, CutError> {
    let scope = Scope { module, func };
    scope.parts(spec)?.into_iter().map(|part| scope.point(part)).collect()
}

const BEFORE: &str = "before:";

/// The layers of `func` as Keras counts them in `model.layers`: operations are not layers, and a `Sequential` leaves
/// its input layer out.
pub fn model_layers(module: &Module, func: &Func) -> Vec<LayerId> {
    let inputs =
        if is_sequential(func) { func.params.iter().filter_map(|p| p.layer).collect() } else { BTreeSet::new() };
    func.layers().into_iter().filter(|id| !is_operation(&module[*id]) && !inputs.contains(id)).collect()
}

/// The input layers that a file of `func` will have beside those that are declared: a stage has some for what it reads of
/// others.
pub(super) fn undeclared_inputs(func: &Func) -> usize {
    if is_sequential(func) { 0 } else { func.params.iter().filter(|p| p.layer.is_none()).count() }
}

fn is_sequential(func: &Func) -> bool {
    func.attrs.get("class").and_then(|c| c.as_str()) == Some("Sequential")
}

/// Whether `layer` declares an operation (`x + y`, `keras.ops.add(x, y)`), which Keras does not count as a layer.
///
/// Nothing else in this crate reads a class name; the naming is the one that ARCHITECTURE.md lays down.
fn is_operation(layer: &Layer) -> bool {
    layer.class.starts_with("keras.ops.")
}

#[derive(Clone, Copy)]
struct Scope<'m> {
    module: &'m Module,
    func: &'m Func,
}

/// A place without a side.
enum Place {
    Op(OpId),
    Value(ValueId),
}

impl Scope<'_> {
    /// What stands between `+` and `+`.
    fn parts(self, spec: &str) -> Result<Vec<&str>, CutError> {
        let whole = self.is_name(spec) || spec.strip_prefix(BEFORE).is_some_and(|s| self.is_name(s));
        let parts: Vec<&str> = if whole { vec![spec] } else { spec.split('+').collect() };
        if parts.iter().any(|p| p.is_empty() || *p == BEFORE) {
            return Err(CutError::Empty { spec: spec.into() });
        }
        Ok(parts)
    }

    /// Whether the cut is before the place, and the place.
    fn side(self, text: &str) -> (bool, &str) {
        match text.strip_prefix(BEFORE) {
            Some(rest) if !self.is_name(text) => (true, rest),
            _ => (false, text),
        }
    }

    fn point(self, text: &str) -> Result<CutPoint, CutError> {
        let (before, name) = self.side(text);
        let (op, after) = match self.place(name)? {
            Place::Op(op) => (op, self.func[op].results.clone()),
            Place::Value(value) => match self.func.producer(value) {
                Some(op) => (op, vec![value]),
                None => return Err(CutError::Input { name: name.into() }),
            },
        };
        Ok(CutPoint { op, values: if before { self.computed_operands(op) } else { after } })
    }

    /// What `op` reads, without what is there before anything runs: inputs, weights and constants.
    fn computed_operands(self, op: OpId) -> Vec<ValueId> {
        let is_computed = |v: &ValueId| self.func.producer(*v).is_some() && constant_producer(self.func, *v).is_none();
        self.func[op].operands.iter().copied().filter(is_computed).collect()
    }

    fn is_name(self, text: &str) -> bool {
        self.applications(|id| &*self.module[id].name == text).is_some() || self.value_named(text).is_some()
    }

    fn place(self, text: &str) -> Result<Place, CutError> {
        self.find(text)?.ok_or_else(|| self.unknown(text))
    }

    /// The place of that name; `None` if nothing has it.
    fn find(self, text: &str) -> Result<Option<Place>, CutError> {
        if let Some(ops) = self.applications(|id| &*self.module[id].name == text) {
            return only(text, &ops).map(Some);
        }
        if let Some(value) = self.value_named(text).or_else(|| self.value_spelled(text)) {
            return Ok(Some(Place::Value(value)));
        }
        if let Some((name, index)) = text.rsplit_once('@')
            && let Ok(index) = index.parse()
            && let Some(ops) = self.layer(name)?
        {
            return nth(name, &ops, index).map(Some);
        }
        self.layer(text)?.map(|ops| only(text, &ops)).transpose()
    }

    /// The applications of the layer called `name`, or counted by it.
    fn layer(self, name: &str) -> Result<Option<Vec<OpId>>, CutError> {
        let Some(index) = name.strip_prefix('#').and_then(|n| n.parse::<usize>().ok()) else {
            return Ok(self.applications(|id| &*self.module[id].name == name));
        };
        let layers = model_layers(self.module, self.func);
        match (layers.get(index), layers.len()) {
            (Some(layer), _) => Ok(self.applications(|id| id == *layer)),
            (None, 0) => Err(CutError::NoLayers { index }),
            (None, count) => Err(CutError::IndexOutOfRange { index, count, last: count - 1 }),
        }
    }

    /// The ops that apply the layer, in order; none if it declares an input, `None` if the function does not have it.
    fn applications(self, is_layer: impl Fn(LayerId) -> bool) -> Option<Vec<OpId>> {
        let ops = self.func.ops().filter(|(_, op)| op.kind.layer().is_some_and(&is_layer));
        let ops: Vec<OpId> = ops.map(|(id, _)| id).collect();
        let known = !ops.is_empty() || self.func.params.iter().any(|p| p.layer.is_some_and(&is_layer));
        known.then_some(ops)
    }

    fn value_named(self, name: &str) -> Option<ValueId> {
        self.func.values_in_order().find(|v| self.func[*v].name.as_deref() == Some(name))
    }

    /// The value that the program's text spells `%name`, or `%7` where it has no name.
    fn value_spelled(self, text: &str) -> Option<ValueId> {
        let name = text.strip_prefix('%')?;
        self.value_named(name).or_else(|| {
            let value = self.func.values_in_order().nth(name.parse().ok()?)?;
            self.func[value].name.is_none().then_some(value)
        })
    }

    fn unknown(self, name: &str) -> CutError {
        if matches!(self.inside(name), Ok(Some(_))) {
            return CutError::Inside { name: name.into() };
        }
        let layer_of = |f: &Func| f.layers().into_iter().any(|id| &*self.module[id].name == name);
        if let Some(func) = self.module.funcs.iter().find(|f| layer_of(f)) {
            let path = self.path_to(name);
            let hint = path.map_or_else(String::new, |path| format!(": `split` and `extract` know it as `{path}`"));
            return CutError::Nested { name: name.into(), func: func.name.to_string(), hint };
        }
        let layers = self.func.layers();
        let mut names: Vec<&str> = layers.iter().map(|id| &*self.module[*id].name).collect();
        let kind = if names.is_empty() { "value" } else { "layer" };
        if names.is_empty() {
            names = self.func.values_in_order().filter_map(|v| self.func[v].name.as_deref()).collect();
        }
        let hint = nearest(name.trim_start_matches('%'), &names);
        CutError::Unknown { kind, name: name.into(), func: self.func.name.to_string(), hint }
    }
}

fn only(name: &str, ops: &[OpId]) -> Result<Place, CutError> {
    match ops {
        [] => Err(CutError::Input { name: name.into() }),
        [op] => Ok(Place::Op(*op)),
        several => Err(CutError::SeveralApplications {
            name: name.into(),
            count: several.len(),
            choices: choices(name, several.len()),
        }),
    }
}

fn nth(name: &str, ops: &[OpId], index: usize) -> Result<Place, CutError> {
    match ops.get(index) {
        Some(op) => Ok(Place::Op(*op)),
        None if ops.is_empty() => Err(CutError::Input { name: name.into() }),
        None => {
            let (name, count) = (name.to_string(), ops.len());
            Err(CutError::NoSuchApplication { choices: choices(&name, count), name, index, count })
        }
    }
}

/// `a@0, a@1, a@2`, with the middle left out where there are many.
fn choices(name: &str, count: usize) -> String {
    let text = |i: usize| format!("`{name}@{i}`");
    if count <= 8 {
        return (0..count).map(text).collect::<Vec<_>>().join(", ");
    }
    format!("{}, {}, ..., {}", text(0), text(1), text(count - 1))
}

/// What the places of a function are called; [`resolve`] reads every answer back.
pub struct OpNames<'m> {
    module: &'m Module,
    func: &'m Func,
    /// Which application of its layer an op is, by op id.
    nth: Vec<u32>,
    /// How often a layer is applied, by layer id.
    count: Vec<u32>,
    /// The number of a value in the order of definition, by value id.
    numbers: Vec<u32>,
}

impl<'m> OpNames<'m> {
    /// Computes the names of the ops of `func`, a function of `module`.
    pub fn of(module: &'m Module, func: &'m Func) -> Self {
        let (mut nth, mut count) = (vec![0; func.num_op_slots()], vec![0; module.layers.len()]);
        for (id, op) in func.ops() {
            if let Some(layer) = op.kind.layer() {
                nth[id.index()] = count[layer.index()];
                count[layer.index()] += 1;
            }
        }
        let mut numbers = vec![0; func.num_values()];
        for (value, number) in func.values_in_order().zip(0..) {
            numbers[value.index()] = number;
        }
        Self { module, func, nth, count, numbers }
    }

    /// The cut after `op`: its layer's name, with which application it is where there are several, or its first
    /// result.
    pub fn op(&self, op: OpId) -> String {
        match (self.func[op].kind.layer(), self.func[op].results.first()) {
            (Some(layer), _) if self.count[layer.index()] == 1 => self.module[layer].name.to_string(),
            (Some(layer), _) => format!("{}@{}", self.module[layer].name, self.nth[op.index()]),
            (None, Some(value)) => self.value(*value),
            (None, None) => self.func[op].kind.name().into(),
        }
    }

    /// A value as the program's text spells it.
    pub fn value(&self, value: ValueId) -> String {
        match &self.func[value].name {
            Some(name) => format!("%{name}"),
            None => format!("%{}", self.numbers[value.index()]),
        }
    }

    /// A word for `value` that can name an input or output: its own name, else its op's.
    pub fn tensor(&self, value: ValueId) -> String {
        match (&self.func[value].name, self.func[value].def) {
            (Some(name), _) => name.to_string(),
            (None, Def::Param(i)) => self.func.params[i as usize].name.to_string(),
            (None, Def::Result(op, 0)) => self.op(op).replace('%', "v"),
            (None, Def::Result(op, i)) => format!("{}.{i}", self.op(op).replace('%', "v")),
        }
    }

    /// The place of `value` in the order of definition.
    pub fn position(&self, value: ValueId) -> u32 {
        self.numbers[value.index()]
    }
}

#[cfg(test)]
mod tests;
