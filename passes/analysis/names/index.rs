//! Looks up names in the functions of a module, and spells places so that they can be found again.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};

use netc_dialect::Dialects;
use netc_ir::{Func, FuncId, LayerId, Module, OpId, ValueId};

use super::super::models::{Models, NONE, Slot};
use super::{CutError, choices, model_layers};

/// The names in the functions of a module. Each function is indexed on first use.
pub(crate) struct Names<'m> {
    pub(super) module: &'m Module,
    pub(super) main: FuncId,
    pub(super) dialects: &'m Dialects,
    indexes: Vec<OnceCell<Index<'m>>>,
    /// The maximum number of `+` in a name.
    pub(super) most_pluses: OnceCell<usize>,
}

/// The names in a function. Never iterated, so the order of hash maps does not matter.
struct Index<'m> {
    /// The applications of the layers of each name, in order. Empty for input layers.
    layers: HashMap<&'m str, Vec<OpId>>,
    /// The index of each op among the applications of its layer, by op id.
    nth: Vec<u32>,
    values: HashMap<&'m str, ValueId>,
    /// The number of each layer, as the framework counts.
    numbers: OnceCell<BTreeMap<LayerId, usize>>,
}

/// One function of the module.
#[derive(Clone, Copy)]
pub(super) struct Scope<'n, 'm> {
    names: &'n Names<'m>,
    pub(super) id: FuncId,
}

/// The meaning of a name in a function.
pub(super) enum Found {
    /// The applications of a layer, or one of them. Empty for an input layer.
    Layer(Vec<OpId>),
    Value(ValueId),
}

impl<'m> Names<'m> {
    /// The names in `module`, for cuts of `main`.
    pub(crate) fn of(module: &'m Module, main: FuncId, dialects: &'m Dialects) -> Self {
        let indexes = module.funcs.iter().map(|_| OnceCell::new()).collect();
        Self { module, main, dialects, indexes, most_pluses: OnceCell::new() }
    }

    pub(super) fn scope(&self, id: FuncId) -> Scope<'_, 'm> {
        Scope { names: self, id }
    }

    /// The text by which [`Self::parts`] finds the place after the op in a slot. `None` if there is none, as for an op
    /// inside a nested model that applies no layer.
    pub(crate) fn path(&self, models: &Models<'_>, slot: Slot) -> Option<String> {
        let (model, op) = models.place(slot);
        let calls = calls(models, model);
        let found = |text: &String| {
            let parts = self.parts(text).unwrap_or_default();
            matches!(&parts[..], [part] if !part.before && part.calls == calls && part.op == op)
        };
        let spelled = |numbered| {
            Some(self.prefix(models, model, numbered)? + &self.scope(models.func_id(model)).spell(op, numbered)?)
        };
        let value = || (model == 0).then(|| self.scope(self.main).spell_result(op)).flatten();
        spelled(false).filter(found).or_else(|| value().filter(found)).or_else(|| spelled(true).filter(found))
    }

    /// The path of a nested model, with a trailing slash; empty for `@main`.
    pub(super) fn prefix(&self, models: &Models<'_>, model: u32, numbered: bool) -> Option<String> {
        let (mut at, mut names) = (model, Vec::new());
        while models.call(at) != NONE {
            let (outer, call) = models.place(models.call(at));
            names.push(self.scope(models.func_id(outer)).spell(call, numbered)?);
            at = outer;
        }
        Some(names.iter().rev().map(|name| format!("{name}/")).collect())
    }
}

/// The calls on the path from `@main` to `model`.
pub(crate) fn calls(models: &Models<'_>, model: u32) -> Vec<OpId> {
    let (mut at, mut calls) = (model, Vec::new());
    while models.call(at) != NONE {
        let (outer, call) = models.place(models.call(at));
        calls.push(call);
        at = outer;
    }
    calls.reverse();
    calls
}

impl<'n, 'm> Scope<'n, 'm> {
    pub(super) fn func(self) -> &'m Func {
        &self.names.module[self.id]
    }

    fn index(self) -> &'n Index<'m> {
        self.names.indexes[self.id.index()].get_or_init(|| Index::of(self.names.module, self.func()))
    }

    /// The names of the layers, including input layers, or of the values if there are no layers.
    pub(super) fn all(self) -> Vec<&'m str> {
        let (module, func) = (self.names.module, self.func());
        let layers: Vec<&str> = func.layers().into_iter().map(|id| &*module[id].name).collect();
        if !layers.is_empty() {
            return layers;
        }
        func.values_in_order().filter_map(|value| func[value].name.as_deref()).collect()
    }

    pub(super) fn has_layers(self) -> bool {
        !self.index().layers.is_empty()
    }

    /// The applications of the layer of that name, if the function has it.
    pub(super) fn layer_named(self, name: &str) -> Option<&'n [OpId]> {
        self.index().layers.get(name).map(Vec::as_slice)
    }

    pub(super) fn is_name(self, text: &str) -> bool {
        self.layer_named(text).is_some() || self.index().values.contains_key(text)
    }

    /// The meaning of `text`, which must not be a path; `None` if it has none.
    pub(super) fn find(self, text: &str) -> Result<Option<Found>, CutError> {
        if let Some(ops) = self.layer_named(text) {
            return Ok(Some(Found::Layer(ops.to_vec())));
        }
        if let Some(value) = self.index().values.get(text).copied().or_else(|| self.value_spelled(text)) {
            return Ok(Some(Found::Value(value)));
        }
        if let Some((name, index)) = text.rsplit_once('@')
            && let Ok(index) = index.parse()
            && let Some(ops) = self.layer(name)?
        {
            return nth(name, ops, index).map(|ops| Some(Found::Layer(ops)));
        }
        Ok(self.layer(text)?.map(Found::Layer))
    }

    /// The applications of the layer with this name or, for `#N`, this number.
    fn layer(self, name: &str) -> Result<Option<Vec<OpId>>, CutError> {
        let Some(index) = name.strip_prefix('#').and_then(|n| n.parse::<usize>().ok()) else {
            return Ok(self.layer_named(name).map(<[OpId]>::to_vec));
        };
        let numbers = self.numbers();
        match (numbers.iter().find(|(_, number)| **number == index), numbers.len()) {
            (Some((layer, _)), _) => Ok(Some(
                self.func().ops().filter(|(_, op)| op.kind.layer() == Some(*layer)).map(|(id, _)| id).collect(),
            )),
            (None, 0) => Err(CutError::NoLayers { index }),
            (None, count) => Err(CutError::IndexOutOfRange { index, count, last: count - 1 }),
        }
    }

    fn numbers(self) -> &'n BTreeMap<LayerId, usize> {
        let Names { module, dialects, .. } = self.names;
        let layers = || model_layers(module, self.func(), dialects).into_iter().zip(0..).collect();
        self.index().numbers.get_or_init(layers)
    }

    /// The value written as `%name`, or as `%7` if it has no name, in the text of the program.
    fn value_spelled(self, text: &str) -> Option<ValueId> {
        let name = text.strip_prefix('%')?;
        self.index().values.get(name).copied().or_else(|| {
            let value = self.func().values_in_order().nth(name.parse().ok()?)?;
            self.func()[value].name.is_none().then_some(value)
        })
    }

    /// The name of the application `op` of a layer: with the layer's name or, if `numbered`, as in `#3`.
    pub(super) fn spell(self, op: OpId, numbered: bool) -> Option<String> {
        let layer = self.func()[op].kind.layer()?;
        let (name, nth) = (&*self.names.module[layer].name, self.index().nth[op.index()]);
        let times = self.layer_named(name)?.len();
        let name = if numbered { format!("#{}", self.numbers().get(&layer)?) } else { name.into() };
        Some(if times == 1 { name } else { format!("{name}@{nth}") })
    }

    /// The first result of `op`, written as in the text of the program.
    fn spell_result(self, op: OpId) -> Option<String> {
        let first = *self.func()[op].results.first()?;
        let number = || self.func().values_in_order().position(|value| value == first);
        match &self.func()[first].name {
            Some(name) => Some(format!("%{name}")),
            None => number().map(|number| format!("%{number}")),
        }
    }
}

impl<'m> Index<'m> {
    fn of(module: &'m Module, func: &'m Func) -> Self {
        let mut layers: HashMap<&str, Vec<OpId>> = HashMap::with_capacity(func.num_ops());
        for layer in func.params.iter().filter_map(|param| param.layer) {
            layers.entry(&module[layer].name).or_default();
        }
        let mut nth = vec![0; func.num_op_slots()];
        for (id, op) in func.ops() {
            if let Some(layer) = op.kind.layer() {
                let ops = layers.entry(&module[layer].name).or_default();
                nth[id.index()] = ops.len() as u32;
                ops.push(id);
            }
        }
        let mut values: HashMap<&str, ValueId> = HashMap::with_capacity(func.num_values());
        for value in func.values_in_order() {
            if let Some(name) = &func[value].name {
                values.entry(name).or_insert(value);
            }
        }
        Self { layers, nth, values, numbers: OnceCell::new() }
    }
}

fn nth(name: &str, ops: Vec<OpId>, index: usize) -> Result<Vec<OpId>, CutError> {
    match ops.get(index) {
        Some(op) => Ok(vec![*op]),
        None if ops.is_empty() => Ok(ops),
        None => {
            let (name, count) = (name.to_string(), ops.len());
            Err(CutError::NoSuchApplication { choices: choices(&name, count), name, index, count })
        }
    }
}
