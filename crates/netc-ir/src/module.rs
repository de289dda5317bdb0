//! Modules, functions, layer declarations, weights and locations.

use std::collections::BTreeSet;
use std::ops::{Index, IndexMut};

use crate::attr::{Attr, Attrs, F64};
use crate::id::{FileId, FuncId, LayerId, OpId, ValueId, WeightId};
use crate::literal::Literal;
use crate::name::Name;
use crate::op::Op;
use crate::types::Type;
use crate::verified_set::VerifiedSet;

/// A whole program: tables whose entries refer to one another by id, and attributes of the whole model.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Module {
    /// Files that weights and locations refer to, by path.
    pub files: Vec<Name>,
    /// The weights.
    pub weights: Vec<Weight>,
    /// The layer declarations, in the order of the model they come from.
    pub layers: Vec<Layer>,
    /// The functions. The entry is the one named `main`.
    pub funcs: Vec<Func>,
    /// What the importer records about the whole model.
    pub attrs: Attrs,
}

/// The name of a module's entry function.
pub const MAIN: &str = "main";

/// The attribute that marks a function whose ops are meant to run as one kernel.
pub const FUSED: &str = "fused";

/// The function attribute that holds the model's name in its framework.
pub const MODEL_NAME: &str = "name";

/// The function attribute that holds the model's class in its framework.
pub const MODEL_CLASS: &str = "class";

/// The function attribute that holds the structure of the parameters, unless it is a plain list.
pub const INPUTS: &str = "inputs";

/// The function attribute that holds the structure of the outputs, unless it is a plain list.
pub const OUTPUTS: &str = "outputs";

impl Module {
    /// A module without functions.
    pub fn new() -> Self {
        Self::default()
    }

    /// The entry function.
    pub fn main(&self) -> Option<&Func> {
        self.func_named(MAIN).map(|id| &self[id])
    }

    /// The function called `name`.
    pub fn func_named(&self, name: &str) -> Option<FuncId> {
        self.funcs.iter().position(|f| &*f.name == name).map(FuncId::new)
    }

    /// Adds a function.
    pub fn add_func(&mut self, func: Func) -> FuncId {
        self.funcs.push(func);
        FuncId::new(self.funcs.len() - 1)
    }

    /// Adds a layer declaration.
    pub fn add_layer(&mut self, layer: Layer) -> LayerId {
        self.layers.push(layer);
        LayerId::new(self.layers.len() - 1)
    }

    /// Adds a weight.
    pub fn add_weight(&mut self, weight: Weight) -> WeightId {
        self.weights.push(weight);
        WeightId::new(self.weights.len() - 1)
    }

    /// The id of the file at `path`, added if new.
    pub fn intern_file(&mut self, path: &str) -> FileId {
        let known = self.files.iter().position(|f| &**f == path);
        FileId::new(known.unwrap_or_else(|| {
            self.files.push(path.into());
            self.files.len() - 1
        }))
    }

    /// The number of ops in all functions.
    pub fn num_ops(&self) -> usize {
        self.funcs.iter().map(Func::num_ops).sum()
    }

    /// The ids of all functions.
    pub fn func_ids(&self) -> impl Iterator<Item = FuncId> + use<> {
        (0..self.funcs.len()).map(FuncId::new)
    }
}

macro_rules! index {
    ($($owner:ty, $id:ty, $field:ident, $out:ty $(, $changes:ident)?;)*) => {$(
        impl Index<$id> for $owner {
            type Output = $out;
            fn index(&self, id: $id) -> &$out {
                &self.$field[id.index()]
            }
        }

        impl IndexMut<$id> for $owner {
            fn index_mut(&mut self, id: $id) -> &mut $out {
                $(self.seen.$changes(id);)?
                &mut self.$field[id.index()]
            }
        }
    )*};
}

index! {
    Module, FuncId, funcs, Func;
    Module, LayerId, layers, Layer;
    Module, WeightId, weights, Weight;
    Module, FileId, files, Name;
    Func, ValueId, values, Value, value_changes;
    Func, OpId, ops, Op, op_changes;
}

/// A layer declaration of the source framework, which source ops apply any number of times.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layer {
    /// Its name in the model.
    pub name: Name,
    /// Dialect and class, as in the ops that apply it.
    pub class: Name,
    /// Its complete configuration.
    pub config: Attrs,
    /// Its weights, keyed by their place in the layer, in file order.
    pub weights: Vec<(Name, WeightId)>,
    /// Its asset files, such as a vocabulary, keyed by their path in the layer's folder. Each is a weight of type
    /// `u8[n]` that no op reads.
    pub assets: Vec<(Name, WeightId)>,
}

impl Layer {
    /// The ids of its weights and assets.
    pub fn data(&self) -> impl Iterator<Item = WeightId> + '_ {
        self.weights.iter().chain(&self.assets).map(|(_, id)| *id)
    }

    /// The ids of its weights and assets, mutable for renumbering.
    pub fn data_mut(&mut self) -> impl Iterator<Item = &mut WeightId> {
        self.weights.iter_mut().chain(&mut self.assets).map(|(_, id)| id)
    }
}

/// A tensor of trained or generated numbers, or the bytes of an asset. The data is loaded only when needed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Weight {
    /// Its path in the model.
    pub name: Name,
    /// Its type. All extents are numbers.
    pub ty: Type,
    /// Where its bytes are.
    pub data: WeightData,
}

/// Where the bytes of a weight are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WeightData {
    /// Little-endian, row-major, in a file.
    File {
        /// The file.
        file: FileId,
        /// Offset of the first byte.
        offset: u64,
        /// Number of bytes.
        len: u64,
    },
    /// In the program.
    Inline(Literal),
    /// Uniformly distributed in `[low, high)`, generated from a seed.
    Random {
        /// The seed.
        seed: u64,
        /// Lower bound.
        low: F64,
        /// Upper bound.
        high: F64,
    },
}

/// A function: parameters, outputs, and ops ordered so that each reads only values defined before it.
#[derive(Clone, Debug, Default)]
pub struct Func {
    /// Its name. Text: `@name`.
    pub name: Name,
    /// The parameters.
    pub params: Vec<Param>,
    /// The returned values.
    pub outputs: Vec<Output>,
    /// What the importer records about the function, such as the class of its model.
    pub attrs: Attrs,
    pub(crate) values: Vec<Value>,
    pub(crate) ops: Vec<Op>,
    pub(crate) order: Vec<OpId>,
    /// Which ops and values are unchanged since the last verification. Every `&mut` accessor clears the entry.
    pub(crate) seen: VerifiedSet,
}

/// A parameter of a function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Param {
    /// Its name for callers.
    pub name: Name,
    /// The value it defines.
    pub value: ValueId,
    /// The input layer that declares it, if the framework has input layers.
    pub layer: Option<LayerId>,
}

/// A value that a function returns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// Its name for callers.
    pub name: Name,
    /// The value.
    pub value: ValueId,
}

/// A tensor in a function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Value {
    /// Its type.
    pub ty: Type,
    /// Its name in text, unique in the function. A value without a name prints as its number.
    pub name: Option<Name>,
    /// Its definition.
    pub def: Def,
}

/// The definition of a value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Def {
    /// The parameter with this index.
    Param(u32),
    /// The op's result with this index.
    Result(OpId, u32),
}

impl Func {
    /// A function without parameters, ops or outputs.
    pub fn new(name: impl Into<Name>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The ops in execution order.
    pub fn op_ids(&self) -> impl DoubleEndedIterator<Item = OpId> + ExactSizeIterator + '_ {
        self.order.iter().copied()
    }

    /// The ops in execution order, with their ids.
    pub fn ops(&self) -> impl DoubleEndedIterator<Item = (OpId, &Op)> + ExactSizeIterator {
        self.order.iter().map(|id| (*id, &self[*id]))
    }

    /// Whether its ops are meant to run as one kernel. They belong to the caller and keep its names and locations.
    pub fn is_fused(&self) -> bool {
        self.attrs.get(FUSED) == Some(&Attr::Bool(true))
    }

    /// The number of ops.
    pub fn num_ops(&self) -> usize {
        self.order.len()
    }

    /// The size of the value table: every `ValueId` of this function has a smaller index.
    pub fn num_values(&self) -> usize {
        self.values.len()
    }

    /// The size of the op table: every `OpId` of this function has a smaller index.
    pub fn num_op_slots(&self) -> usize {
        self.ops.len()
    }

    /// The op that defines `value`, unless it is a parameter.
    pub fn producer(&self, value: ValueId) -> Option<OpId> {
        match self[value].def {
            Def::Result(op, _) => Some(op),
            Def::Param(_) => None,
        }
    }

    /// The layer declarations that this function applies, in the order of the model.
    pub fn layers(&self) -> BTreeSet<LayerId> {
        let params = self.params.iter().filter_map(|p| p.layer);
        params.chain(self.ops().filter_map(|(_, op)| op.kind.layer())).collect()
    }

    /// The values in the order in which they are defined: parameters, then results.
    pub fn values_in_order(&self) -> impl Iterator<Item = ValueId> + '_ {
        let params = self.params.iter().map(|p| p.value);
        params.chain(self.ops().flat_map(|(_, op)| op.results.iter().copied()))
    }
}

/// The functions that `func` calls or that its source ops name, repeated for each mention.
pub fn callees(func: &Func) -> impl Iterator<Item = FuncId> + '_ {
    func.ops().flat_map(|(_, op)| op.kind.funcs())
}

/// Functions are equal if they print the same. Their ids may differ, because edits leave holes in the tables.
impl PartialEq for Func {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (Canonical::of(self), Canonical::of(other));
        self.name == other.name
            && self.attrs == other.attrs
            && self.params.len() == other.params.len()
            && self.outputs.len() == other.outputs.len()
            && self.num_ops() == other.num_ops()
            && self.params.iter().zip(&other.params).all(|(p, q)| p.name == q.name && p.layer == q.layer)
            && self.outputs.iter().zip(&other.outputs).all(|(p, q)| p.name == q.name && a[p.value] == b[q.value])
            && self.ops().zip(other.ops()).all(|((_, p), (_, q))| {
                p.kind == q.kind
                    && p.loc == q.loc
                    && p.operands.iter().map(|v| a[*v]).eq(q.operands.iter().map(|v| b[*v]))
                    && p.results.len() == q.results.len()
            })
            && self
                .values_in_order()
                .zip(other.values_in_order())
                .all(|(v, w)| self[v].ty == other[w].ty && self[v].name == other[w].name)
    }
}

impl Eq for Func {}

/// Numbers each value in the order of definition.
pub(crate) struct Canonical(Vec<Option<u32>>);

impl Canonical {
    pub(crate) fn of(func: &Func) -> Self {
        let mut numbers = vec![None; func.num_values()];
        for (n, value) in func.values_in_order().enumerate() {
            if let Some(slot) = numbers.get_mut(value.index()) {
                *slot = u32::try_from(n).ok();
            }
        }
        Self(numbers)
    }
}

impl Index<ValueId> for Canonical {
    type Output = Option<u32>;
    fn index(&self, value: ValueId) -> &Option<u32> {
        self.0.get(value.index()).unwrap_or(&None)
    }
}

#[cfg(test)]
mod tests {
    use crate::parse;

    const BASE: &str = "netc 1
        layer l0 \"a\" : t.A {}
        layer l1 \"b\" : t.A {}
        func @f(%x: f32[2] \"in\" l0, %z: f32[2]) -> (%y \"out\", %z) attrs {k = 1} {
          %a, %b = t.A(%x, %z) : f32[2], f32[2] loc(\"p\")
          %y = neg(%a) : f32[2]
        }";

    #[test]
    fn functions_with_different_text_are_not_equal() {
        let base = parse(BASE).unwrap();
        assert_eq!(base, parse(BASE).unwrap());
        for (from, to) in [
            ("@f", "@g"),
            ("k = 1", "k = 2"),
            ("\"in\"", "\"on\""),
            ("\"in\" l0", "\"in\" l1"),
            ("%z: f32[2]) ->", "%z: f32[2], %w: f32[2]) ->"),
            ("\"out\", %z)", "\"ou\", %z)"),
            ("\"out\", %z)", "\"out\", %x \"z\")"),
            ("\"out\", %z)", "\"out\")"),
            ("neg(%a)", "abs(%a)"),
            ("neg(%a)", "neg(%b)"),
            ("loc(\"p\")", "loc(\"q\")"),
            ("%z: f32[2]", "%z: f32[3]"),
            ("%a, %b", "%a, %c"),
            ("%a, %b = t.A(%x, %z) : f32[2], f32[2]", "%a = t.A(%x, %z) : f32[2]"),
            ("\n        }", "\n %n = neg(%x) : f32[2]\n }"),
        ] {
            assert!(BASE.contains(from), "{from}");
            assert_ne!(base.funcs, parse(&BASE.replace(from, to)).unwrap().funcs, "{from} -> {to}");
        }
    }
}
