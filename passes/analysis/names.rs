//! The names of cuts: what `split` may be told, and what each place is called.
//!
//! | text | the cut |
//! |---|---|
//! | `mixed9` | after the layer, or after the value, of that name |
//! | `before:mixed9` | before it: at the values that it reads, model inputs, weights and constants left out |
//! | `shared@1` | after the second application of a layer that is applied several times |
//! | `#128` | after layer 128, as the model's framework counts layers |
//! | `%y`, `%7` | after a value as the program's text spells it |
//! | `a+b` | through several places at once; one that another is computed from adds nothing |
//! | `inner/conv` | after a layer of the nested model `inner`: a path, which may lead through several models |
//!
//! A text that is, whole, the name or the path of a layer or a value means that, whatever characters are in it. Between
//! `+` and `+` the longest such text counts.

mod index;
mod parts;
mod unknown;

use std::collections::BTreeSet;

use netc_dialect::Dialects;
use netc_ir::{Def, Func, FuncId, LayerId, Module, OpId, ValueId};
use netc_pass::counted;
use thiserror::Error;

use super::needed::constant_producer;

pub(crate) use index::Names;
pub(crate) use parts::CutPart;

/// A name that is not a place to cut at.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CutError {
    /// Nothing has the name.
    #[error("there is no {kind} `{name}`{hint}")]
    Unknown {
        /// What was looked for.
        kind: &'static str,
        /// The name.
        name: String,
        /// The nearest names.
        hint: String,
    },
    /// The layer is in a nested model.
    #[error("there is no layer `{name}`. Layers in nested models are named by path; {hint}")]
    Nested {
        /// The layer.
        name: String,
        /// The paths by which it can be named.
        hint: String,
    },
    /// The layer is inside another, which is one op.
    #[error("`{name}` is inside `{layer}` ({class}), which is applied as one op: cut before or after `{layer}`")]
    Opaque {
        /// The layer.
        name: String,
        /// The layer that it is inside of.
        layer: String,
        /// What that is.
        class: String,
    },
    /// The path of a layer in a nested model, where only the layers of the model itself can be named.
    #[error("`{name}` is inside a nested model")]
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

/// The places that `spec` names in `main`, joined by `+` in the text; none of them inside a nested model.
pub fn resolve(module: &Module, main: FuncId, spec: &str, dialects: &Dialects) -> Result<Vec<CutPoint>, CutError> {
    let func = &module[main];
    let point = |part: CutPart| match part.calls[..] {
        [] => Ok(CutPoint::of(func, part.op, part.value, part.before)),
        _ => Err(CutError::Inside { name: part.text }),
    };
    Names::of(module, main, dialects).parts(spec)?.into_iter().map(point).collect()
}

impl CutPoint {
    /// The place after `op`, after its result `value` alone, or before it: at what it reads, without what is there before
    /// anything runs, which are inputs, weights and constants.
    pub(crate) fn of(func: &Func, op: OpId, value: Option<ValueId>, before: bool) -> Self {
        let is_computed = |v: &ValueId| func.producer(*v).is_some() && constant_producer(func, *v).is_none();
        let values = match (before, value) {
            (true, _) => func[op].operands.iter().copied().filter(is_computed).collect(),
            (false, Some(value)) => vec![value],
            (false, None) => func[op].results.clone(),
        };
        Self { op, values }
    }
}

const BEFORE: &str = "before:";

/// The layers of `func` as its framework counts them: without operations, and with inputs if it counts these.
pub fn model_layers(module: &Module, func: &Func, dialects: &Dialects) -> Vec<LayerId> {
    let mut layers: Vec<LayerId> = func.layers().into_iter().collect();
    if !dialects.counts_inputs(module, func) {
        let inputs: BTreeSet<LayerId> = func.params.iter().filter_map(|p| p.layer).collect();
        layers.retain(|id| !inputs.contains(id));
    }
    layers.retain(|id| !dialects.is_operation(&module[*id]));
    layers
}

/// The input layers that a file of `func` has in addition to those that are declared: a stage has some for what it reads
/// of others.
pub(super) fn undeclared_inputs(module: &Module, func: &Func, dialects: &Dialects) -> usize {
    if !dialects.counts_inputs(module, func) {
        return 0;
    }
    func.params.iter().filter(|p| p.layer.is_none()).count()
}

/// `a@0, a@1, a@2`, with the middle left out where there are many.
fn choices(name: &str, count: usize) -> String {
    let text = |i: usize| format!("`{name}@{i}`");
    if count <= 8 {
        return (0..count).map(text).collect::<Vec<_>>().join(", ");
    }
    format!("{}, {}, ..., {}", text(0), text(1), text(count - 1))
}

/// What the places of a function are called.
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
