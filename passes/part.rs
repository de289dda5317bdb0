//! Turns parts of a function into functions, for `split` and `extract`.

use std::collections::BTreeMap;
use std::fmt;

use netc_ir::{Attr, Attrs, Def, Func, INPUTS, MODEL_NAME, Module, Name, OUTPUTS, OpId, Type, UniqueNames, ValueId};
use netc_pass::thousands;

use crate::analysis::OpNames;
use crate::copy::PartCopy;

/// A part of a function.
pub(crate) struct Part<'m> {
    /// The module.
    pub(crate) module: &'m Module,
    /// The function that it is a part of.
    pub(crate) whole: &'m Func,
    /// The names of its ops.
    pub(crate) names: &'m OpNames<'m>,
    /// Its ops in order, including those for the weights and constants that it reads.
    pub(crate) ops: Vec<OpId>,
    /// The values that it reads but does not compute, in the order of its parameters.
    pub(crate) inputs: &'m [ValueId],
    /// The values that it returns.
    pub(crate) outputs: &'m [ValueId],
    /// Whether it returns only outputs of the whole. It then returns them in the structure of the whole.
    pub(crate) ends: bool,
}

impl Part<'_> {
    /// Builds the function `name` from the part. If the whole has a model name, the part's is that name with `suffix`.
    pub(crate) fn func(&self, name: Name, suffix: &str) -> Func {
        let mut copy = PartCopy::new(self.module, self.whole, name);
        let mut names = UniqueNames::without(self.reserved_param_names());
        for value in self.inputs {
            match self.whole[*value].def {
                Def::Param(i) => copy.param(&self.whole.params[i as usize]),
                Def::Result(..) => copy.param_for(*value, names.take(&self.names.tensor(*value))),
            }
        }
        self.ops.iter().for_each(|op| copy.op(&self.whole[*op]));
        let mut func = copy.finish(self.named_outputs());
        func.attrs = self.attrs(suffix);
        func
    }

    /// Names that a crossing tensor's parameter must not have. The input layer made for it must have another name than
    /// the part's layers, such as a shared layer that computes the tensor.
    fn reserved_param_names(&self) -> impl Iterator<Item = Name> {
        let params = self.whole.params.iter().map(|p| p.name.clone());
        let layers = self.ops.iter().filter_map(|op| self.whole[*op].kind.layer());
        params.chain(layers.map(|id| self.module[id].name.clone()))
    }

    /// The outputs with their names: those of the whole keep their names, crossing tensors get the name of the tensor.
    fn named_outputs(&self) -> Vec<(Name, ValueId)> {
        let mut names: BTreeMap<ValueId, Name> = BTreeMap::new();
        for output in self.whole.outputs.iter().rev() {
            names.insert(output.value, output.name.clone());
        }
        let mut unique = UniqueNames::without(self.whole.outputs.iter().map(|o| o.name.clone()));
        let named = self.outputs.iter().map(|v| {
            let name = names.remove(v).unwrap_or_else(|| unique.take(&self.names.tensor(*v)));
            (name, *v)
        });
        named.collect()
    }

    /// The attributes of the whole model, with the structures of inputs and outputs reduced to the part.
    fn attrs(&self, suffix: &str) -> Attrs {
        let mut attrs = self.whole.attrs.clone();
        let params: Vec<ValueId> = self.whole.params.iter().map(|p| p.value).collect();
        let returned: Vec<ValueId> = self.whole.outputs.iter().map(|o| o.value).collect();
        for (key, all, own) in [(INPUTS, params, self.inputs), (OUTPUTS, returned, self.outputs)] {
            let structure = attrs.remove(key).filter(|_| key == INPUTS || self.ends);
            if let Some(structure) = structure.and_then(|tree| structure_of(&tree, &all, own)) {
                attrs.set(key, structure);
            }
        }
        if let Some(name) = attrs.get(MODEL_NAME).and_then(Attr::as_str).map(|n| format!("{n}{suffix}")) {
            attrs.set(MODEL_NAME, Attr::str(name));
        }
        attrs
    }
}

/// Reduces `tree`, a structure of the values `all`, to `own`, a subsequence of them. Dicts lose the other keys. `None`
/// if that is impossible, as for a list with missing items.
fn structure_of(tree: &Attr, all: &[ValueId], own: &[ValueId]) -> Option<Attr> {
    let places: BTreeMap<ValueId, u32> = own.iter().copied().zip(0..).collect();
    let tree = restricted(tree, &|i| places.get(all.get(*i as usize)?).copied())?;
    let mut leaves = Vec::new();
    tree.for_each_operand(&mut |i| leaves.push(i));
    leaves.sort_unstable();
    leaves.into_iter().eq(0..own.len() as u32).then_some(tree)
}

/// Renumbers the leaves of the tree and removes dict entries without leaves.
fn restricted(tree: &Attr, index: &impl Fn(&u32) -> Option<u32>) -> Option<Attr> {
    match tree {
        Attr::Operand(i) => index(i).map(Attr::Operand),
        Attr::List(items) => items.iter().map(|item| restricted(item, index)).collect::<Option<_>>().map(Attr::List),
        Attr::Map(map) => {
            let kept = map.iter().filter_map(|(key, item)| Some((key.clone(), restricted(item, index)?)));
            let kept: Attrs = kept.collect();
            (!kept.is_empty() || map.is_empty()).then_some(Attr::Map(kept))
        }
        Attr::Null | Attr::Bool(_) | Attr::Int(_) | Attr::Float(_) | Attr::Str(_) | Attr::NonJson(_) => {
            Some(tree.clone())
        }
    }
}

/// A value that enters or leaves a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crossing {
    /// The value.
    pub value: ValueId,
    /// Its name in the text of the program.
    pub name: String,
    /// Its type.
    pub ty: Type,
}

impl Crossing {
    pub(crate) fn of(func: &Func, names: &OpNames<'_>, value: ValueId) -> Self {
        Self { value, name: names.value(value), ty: func[value].ty.clone() }
    }
}

impl fmt::Display for Crossing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.ty)?;
        match self.ty.bytes_per_example() {
            Some(bytes) => write!(f, " ({} bytes per example)", thousands(bytes)),
            None => f.write_str(" (unknown size)"),
        }
    }
}
