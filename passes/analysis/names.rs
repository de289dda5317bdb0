//! The names of cuts: the syntax of cuts, and the name of each place.
//!
//! | text | the cut |
//! |---|---|
//! | `mixed9` | after the layer or value of that name |
//! | `before:mixed9` | before it: at its operands, except model inputs, weights and constants |
//! | `shared@1` | after the second application of a shared layer |
//! | `#128` | after layer 128, as the model's framework counts layers |
//! | `%y`, `%7` | after a value, written as in the text of the program |
//! | `a+b` | through several places at once; a place that another one depends on adds nothing |
//! | `inner/conv` | after a layer of the nested model `inner`; a path may lead through several models |
//!
//! If the whole text is the name or path of a layer or a value, it means that, whatever characters it contains. In a
//! text with `+`, each part is the longest text that is a name or path.

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

/// Why a text is not a cut.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CutError {
    /// Nothing has the name.
    #[error("no such {kind}: `{name}`{hint}")]
    Unknown {
        /// `layer` or `value`.
        kind: &'static str,
        /// The name.
        name: String,
        /// The nearest names.
        hint: String,
    },
    /// The layer is in a nested model.
    #[error("no such layer: `{name}`. Layers in nested models are named by path; {hint}")]
    Nested {
        /// The layer.
        name: String,
        /// The paths that may be meant.
        hint: String,
    },
    /// The layer is inside another layer, which is one op.
    #[error("`{name}` is inside `{layer}` ({class}), which is applied as one op: cut before or after `{layer}`")]
    Opaque {
        /// The layer.
        name: String,
        /// The layer around it.
        layer: String,
        /// The class of the layer around it.
        class: String,
    },
    /// A path into a nested model, where only layers of the model itself are allowed.
    #[error("`{name}` is inside a nested model")]
    Inside {
        /// The path.
        name: String,
    },
    /// The layer is applied more than once.
    #[error("layer `{name}` is applied {count} times: choose one of {choices}")]
    SeveralApplications {
        /// The layer.
        name: String,
        /// The number of applications.
        count: usize,
        /// The names of its applications.
        choices: String,
    },
    /// The layer has fewer applications.
    #[error(
        "no such application: `{name}@{index}`; layer `{name}` is applied {}: {choices}",
        counted(*count as u64, "time")
    )]
    NoSuchApplication {
        /// The layer.
        name: String,
        /// The requested application.
        index: usize,
        /// The number of applications.
        count: usize,
        /// The names of its applications.
        choices: String,
    },
    /// The model has fewer layers.
    #[error("`#{index}` is out of range: the model has {count} layers, `#0` to `#{last}`")]
    IndexOutOfRange {
        /// The requested number.
        index: usize,
        /// The number of layers.
        count: usize,
        /// The last valid number.
        last: usize,
    },
    /// The model has no layers to count.
    #[error("`#{index}` counts layers, but the model declares none: name a value, as in `%y`")]
    NoLayers {
        /// The requested number.
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

/// A place where a function can be cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutPoint {
    /// The op before or after the cut.
    pub op: OpId,
    /// The values that the part before the cut must compute; empty for a cut before an op that reads only inputs.
    pub values: Vec<ValueId>,
}

/// Resolves the cut `spec` to places in `main`, one for each part joined by `+`. Fails if one is unknown, ambiguous, or
/// inside a nested model.
pub fn resolve(module: &Module, main: FuncId, spec: &str, dialects: &Dialects) -> Result<Vec<CutPoint>, CutError> {
    let func = &module[main];
    let point = |part: CutPart| match part.calls[..] {
        [] => Ok(CutPoint::of(func, part.op, part.value, part.before)),
        _ => Err(CutError::Inside { name: part.text }),
    };
    Names::of(module, main, dialects).parts(spec)?.into_iter().map(point).collect()
}

impl CutPoint {
    /// The place after `op`, after only its result `value`, or before it: at its operands, except inputs, weights and
    /// constants.
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

/// The layers of `func` as its framework counts them: without operations, and with input layers if it counts these.
pub fn model_layers(module: &Module, func: &Func, dialects: &Dialects) -> Vec<LayerId> {
    let mut layers: Vec<LayerId> = func.layers().into_iter().collect();
    if !dialects.counts_inputs(module, func) {
        let inputs: BTreeSet<LayerId> = func.params.iter().filter_map(|p| p.layer).collect();
        layers.retain(|id| !inputs.contains(id));
    }
    layers.retain(|id| !dialects.is_operation(&module[*id]));
    layers
}

/// The number of input layers in a file of `func` that have no declaration. A stage has such input layers for crossing
/// tensors.
pub(super) fn undeclared_inputs(module: &Module, func: &Func, dialects: &Dialects) -> usize {
    if !dialects.counts_inputs(module, func) {
        return 0;
    }
    func.params.iter().filter(|p| p.layer.is_none()).count()
}

/// Formats `a@0, a@1, a@2`, without the middle if there are many.
fn choices(name: &str, count: usize) -> String {
    let text = |i: usize| format!("`{name}@{i}`");
    if count <= 8 {
        return (0..count).map(text).collect::<Vec<_>>().join(", ");
    }
    format!("{}, {}, ..., {}", text(0), text(1), text(count - 1))
}

/// The names of places in a function.
pub struct OpNames<'m> {
    module: &'m Module,
    func: &'m Func,
    /// The index of each op among the applications of its layer, by op id.
    nth: Vec<u32>,
    /// The number of applications of each layer, by layer id.
    count: Vec<u32>,
    /// The index of each value in the order of definition, by value id.
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

    /// The name of the cut after `op`: its layer's name, with the index of the application if there are several, or its
    /// first result.
    pub fn op(&self, op: OpId) -> String {
        match (self.func[op].kind.layer(), self.func[op].results.first()) {
            (Some(layer), _) if self.count[layer.index()] == 1 => self.module[layer].name.to_string(),
            (Some(layer), _) => format!("{}@{}", self.module[layer].name, self.nth[op.index()]),
            (None, Some(value)) => self.value(*value),
            (None, None) => self.func[op].kind.name().into(),
        }
    }

    /// The name of a value as in the text of the program, such as `%y` or `%7`.
    pub fn value(&self, value: ValueId) -> String {
        match &self.func[value].name {
            Some(name) => format!("%{name}"),
            None => format!("%{}", self.numbers[value.index()]),
        }
    }

    /// A name for an input or output that carries `value`: the value's name, or else its op's name.
    pub fn tensor(&self, value: ValueId) -> String {
        match (&self.func[value].name, self.func[value].def) {
            (Some(name), _) => name.to_string(),
            (None, Def::Param(i)) => self.func.params[i as usize].name.to_string(),
            (None, Def::Result(op, 0)) => self.op(op).replace('%', "v"),
            (None, Def::Result(op, i)) => format!("{}.{i}", self.op(op).replace('%', "v")),
        }
    }

    /// The index of `value` in the order of definition.
    pub fn position(&self, value: ValueId) -> u32 {
        self.numbers[value.index()]
    }
}

#[cfg(test)]
mod tests;
