//! Parts of a function as functions of their own: what `split` and `extract` make.

use std::fmt;

use netc_ir::{Attr, Attrs, Def, Func, Module, Name, OpId, Type, UniqueNames, ValueId};
use netc_pass::thousands;

use crate::analysis::OpNames;
use crate::copy::Copy;

/// A part of a function.
pub(crate) struct Part<'m> {
    /// The module.
    pub(crate) module: &'m Module,
    /// The function that it is a part of.
    pub(crate) whole: &'m Func,
    /// The names of its ops.
    pub(crate) names: &'m OpNames<'m>,
    /// Its ops in order, those for the weights and constants that it reads included.
    pub(crate) ops: Vec<OpId>,
    /// What it reads and does not compute, in the order of its parameters.
    pub(crate) inputs: &'m [ValueId],
    /// What it returns.
    pub(crate) outputs: &'m [ValueId],
}

impl Part<'_> {
    /// The part as the function `name`. Where the whole has a name in its framework, the part's has `suffix` behind it.
    pub(crate) fn func(&self, name: Name, suffix: &str) -> Func {
        let mut copy = Copy::new(self.module, self.whole, name);
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

    /// What a crossing tensor's parameter must not be called: an input layer that is made for it must differ from the
    /// part's other layers, such as a shared layer of which the tensor is a result.
    fn reserved_param_names(&self) -> impl Iterator<Item = Name> {
        let params = self.whole.params.iter().map(|p| p.name.clone());
        let layers = self.ops.iter().filter_map(|op| self.whole[*op].kind.layer());
        params.chain(layers.map(|id| self.module[id].name.clone()))
    }

    /// The whole's outputs under their names, what crosses under the name of the tensor.
    fn named_outputs(&self) -> Vec<(Name, ValueId)> {
        let mut names: Vec<Option<Name>> = vec![None; self.whole.num_values()];
        for output in self.whole.outputs.iter().rev() {
            names[output.value.index()] = Some(output.name.clone());
        }
        let mut unique = UniqueNames::without(self.whole.outputs.iter().map(|o| o.name.clone()));
        let named = self.outputs.iter().map(|v| {
            let name = names[v.index()].take().unwrap_or_else(|| unique.take(&self.names.tensor(*v)));
            (name, *v)
        });
        named.collect()
    }

    /// The whole's facts, without those about its inputs and outputs, which the part has others of.
    fn attrs(&self, suffix: &str) -> Attrs {
        let mut attrs = self.whole.attrs.clone();
        attrs.remove("inputs");
        attrs.remove("outputs");
        if let Some(name) = attrs.get("name").and_then(Attr::as_str).map(|n| format!("{n}{suffix}")) {
            attrs.set("name", Attr::str(name));
        }
        attrs
    }
}

/// A value that goes into a part or out of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crossing {
    /// The value.
    pub value: ValueId,
    /// How the program's text spells it.
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
            None => f.write_str(" (size not known)"),
        }
    }
}
