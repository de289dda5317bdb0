//! Layer calls as `config.json` writes them: a tree of arguments that contains tensors.

use std::mem;
use std::sync::LazyLock;

use netc_ir::{Attr, Attrs, Dim, ElemType, Name, OpKind, Type};

use crate::config::names::elem_type;
use crate::error::{Problem, Result};

/// A tensor that a call reads: output `tensor` of call `node` of layer `layer`.
#[derive(Clone, Debug)]
pub(crate) struct TensorRef {
    pub(crate) layer: Name,
    pub(crate) node: usize,
    pub(crate) tensor: usize,
    /// The type that the file records for the tensor, if any.
    pub(crate) recorded: Option<Recorded>,
}

/// An element type and extents; an open extent is `None`.
pub(crate) type Recorded = (ElemType, Vec<Option<u64>>);

/// Whether Keras 3 records a wrong output shape for this op.
pub(crate) fn records_otherwise(kind: &OpKind, operand: Option<&Type>) -> bool {
    match kind.name() {
        "keras.RandomCrop" => true,
        // Only for several channels.
        "keras.MelSpectrogram" => operand.and_then(|ty| ty.dims.as_ref()).is_none_or(|dims| dims.len() > 2),
        _ => false,
    }
}

/// One call: its argument tree, in which `$i` is tensor `i`.
pub(crate) struct Call {
    pub(crate) attrs: Attrs,
    pub(crate) tensors: Vec<TensorRef>,
}

impl Call {
    /// A call on one tensor, as in a Sequential model.
    pub(crate) fn of_one(tensor: TensorRef) -> Self {
        Self { attrs: call_attrs(Attr::List(vec![Attr::Operand(0)]), Attr::Map(Attrs::new())), tensors: vec![tensor] }
    }

    /// Reads a Keras 3 entry of `inbound_nodes`. Numbers the tensors in the order in which Keras flattens the tree: map
    /// keys in alphabetical order.
    pub(crate) fn read(node: Attr, place: &str) -> Result<Self> {
        let mut tensors = Vec::new();
        let Attr::Map(mut node) = node else { return Err(Self::lacks("args", place)) };
        let mut part = |key| match node.remove(key) {
            Some(tree) => number(tree, &mut tensors, place),
            None => Err(Self::lacks(key, place)),
        };
        let (args, kwargs) = (part("args")?, part("kwargs")?);
        tensors.shrink_to_fit();
        Ok(Self { attrs: call_attrs(args, kwargs), tensors })
    }

    fn lacks(key: &str, place: &str) -> Problem {
        Problem::config(place, format!("the call has no `{key}`; expected `args` and `kwargs`"))
    }
}

/// Whether the call has `training=True`.
pub(crate) fn trains(call: &Attrs) -> bool {
    call.get("kwargs").and_then(|kwargs| kwargs.get("training")).and_then(Attr::as_bool) == Some(true)
}

/// The operand numbers in the call's `mask` argument.
pub(crate) fn mask_operands(call: &Attrs) -> Vec<usize> {
    let mask = call.get("kwargs").and_then(|kwargs| kwargs.get("mask"));
    let all = mask.map_or(&[][..], |mask| mask.as_list().unwrap_or(std::slice::from_ref(mask)));
    all.iter().filter_map(|item| if let Attr::Operand(i) = item { usize::try_from(*i).ok() } else { None }).collect()
}

/// The call's named arguments whose values are not null and contain no tensors.
pub(crate) fn plain_arguments(call: &Attrs) -> Vec<Name> {
    let named = call.get("kwargs").and_then(Attr::as_map).into_iter().flat_map(Attrs::iter);
    named.filter(|(_, value)| !value.is_null() && !has_tensors(value)).map(|(name, _)| name.clone()).collect()
}

pub(crate) fn call_attrs(args: Attr, kwargs: Attr) -> Attrs {
    static KEYS: LazyLock<[Name; 2]> = LazyLock::new(|| ["args".into(), "kwargs".into()]);
    KEYS.iter().cloned().zip([args, kwargs]).collect()
}

/// Replaces each tensor in the tree by its number.
fn number(tree: Attr, tensors: &mut Vec<TensorRef>, place: &str) -> Result<Attr> {
    let is_tensor = |a: &Attr| a.get("class_name").and_then(Attr::as_str) == Some("__keras_tensor__");
    number_leaves(tree, tensors, &mut |leaf| {
        if !is_tensor(leaf) {
            return Ok(None);
        }
        let tensor = leaf.get("config").and_then(keras_tensor);
        tensor.map(Some).ok_or_else(|| Problem::config(place, "a tensor of the call has no `keras_history`"))
    })
}

/// Replaces every subtree that `leaf` reads as a tensor by its number. Visits map keys in alphabetical order, as Keras
/// does when it flattens a tree. The result keeps the key order of the tree.
pub(crate) fn number_leaves(
    mut tree: Attr,
    tensors: &mut Vec<TensorRef>,
    leaf: &mut impl FnMut(&Attr) -> Result<Option<TensorRef>>,
) -> Result<Attr> {
    if let Some(tensor) = leaf(&tree)? {
        tensors.push(tensor);
        return Ok(Attr::Operand((tensors.len() - 1) as u32));
    }
    let mut in_place = |value: &mut Attr| {
        *value = number_leaves(mem::replace(value, Attr::Null), tensors, leaf)?;
        Ok::<_, Problem>(())
    };
    match &mut tree {
        Attr::Map(map) => {
            let mut entries: Vec<(&Name, &mut Attr)> = map.iter_mut().collect();
            entries.sort_by_key(|(key, _)| *key);
            entries.into_iter().try_for_each(|(_, value)| in_place(value))?;
        }
        Attr::List(items) => items.iter_mut().try_for_each(in_place)?,
        Attr::Null
        | Attr::Bool(_)
        | Attr::Int(_)
        | Attr::Float(_)
        | Attr::Str(_)
        | Attr::Operand(_)
        | Attr::NonJson(_) => {}
    }
    Ok(tree)
}

/// A tensor in the arguments of a call, as Keras 3 writes it.
pub(crate) fn tensor_object(shape: Option<Attr>, dtype: &str, history: Attr) -> Attr {
    // Keras takes the graph from the history and accepts any iterable as a shape. For an unknown shape, an empty list
    // would be read back as a known shape, with the dtype that Keras assumes for an unknown one.
    let shape = shape.unwrap_or_else(|| Attr::Map(Attrs::new()));
    let config = Attrs::new().with("shape", shape).with("dtype", dtype).with("keras_history", history);
    Attr::Map(Attrs::new().with("class_name", "__keras_tensor__").with("config", config))
}

fn keras_tensor(config: &Attr) -> Option<TensorRef> {
    let mut tensor = history(config.get("keras_history")?.as_list()?)?;
    let shape = config.get("shape").and_then(Attr::as_list).and_then(extents);
    let elem = config.get("dtype").and_then(Attr::as_str).and_then(elem_type);
    tensor.recorded = elem.zip(shape);
    Some(tensor)
}

pub(crate) fn history(items: &[Attr]) -> Option<TensorRef> {
    let [layer, node, tensor, ..] = items else { return None };
    let index = |a: &Attr| a.as_int().and_then(|i| usize::try_from(i).ok());
    let Attr::Str(layer) = layer else { return None };
    Some(TensorRef { layer: layer.clone(), node: index(node)?, tensor: index(tensor)?, recorded: None })
}

/// Reads extents as Keras writes them: numbers, or null for open ones.
pub(crate) fn extents(shape: &[Attr]) -> Option<Vec<Option<u64>>> {
    let extent = |a: &Attr| match a {
        Attr::Null => Some(None),
        Attr::Int(i) => u64::try_from(*i).ok().map(Some),
        Attr::Bool(_)
        | Attr::Float(_)
        | Attr::Str(_)
        | Attr::List(_)
        | Attr::Map(_)
        | Attr::Operand(_)
        | Attr::NonJson(_) => None,
    };
    shape.iter().map(extent).collect()
}

/// Reads a structure of inputs or outputs, whose leaves are `[layer, node, tensor]`. Returns the structure with `$i` as
/// leaves, and the tensors in the order in which Keras flattens it.
pub(crate) fn structure(tree: &Attr, place: &str) -> Result<(Attr, Vec<TensorRef>)> {
    let mut tensors = Vec::new();
    let numbered = number_leaves(tree.clone(), &mut tensors, &mut |leaf| match leaf {
        Attr::List(items) => Ok(history(items).filter(|_| items.len() == 3)),
        Attr::Map(_) => Ok(None),
        Attr::Null
        | Attr::Bool(_)
        | Attr::Int(_)
        | Attr::Float(_)
        | Attr::Str(_)
        | Attr::Operand(_)
        | Attr::NonJson(_) => Err(Problem::config(place, "expected [layer, node, tensor], or a list or map of these")),
    })?;
    Ok((numbered, tensors))
}

/// The keys and tensor numbers of a structure that is a dict of single tensors.
pub(crate) fn flat_dict(tree: &Attr) -> Option<Vec<(Name, usize)>> {
    tree.as_map()?.iter().map(|(key, leaf)| Some((key.clone(), leaf.as_operand()? as usize))).collect()
}

/// Names open extents: the batch is `N`, every other one gets its own symbol.
pub(crate) struct Symbols {
    batch: Dim,
    /// The number of symbols other than the batch.
    others: usize,
}

impl Symbols {
    pub(crate) fn new() -> Self {
        Self { batch: Dim::symbol("N"), others: 0 }
    }

    /// The type with the recorded extents. Open extents other than the batch get new symbols.
    pub(crate) fn ty(&mut self, elem: ElemType, extents: &[Option<u64>]) -> Type {
        let dims = extents.iter().enumerate().map(|(axis, extent)| match extent {
            Some(n) => Dim::Known(*n),
            None if axis == 0 => self.batch.clone(),
            None => {
                self.others += 1;
                Dim::symbol(format!("d{}", self.others))
            }
        });
        Type::new(elem, dims.collect::<Vec<_>>())
    }
}

/// The tree with each `$i` replaced.
pub(crate) fn fill(tree: &Attr, leaf: &impl Fn(u32) -> Attr) -> Attr {
    match tree.as_operand() {
        Some(i) => leaf(i),
        None => tree.map_children(|value| fill(value, leaf)),
    }
}

/// Whether the argument contains a tensor.
pub(crate) fn has_tensors(argument: &Attr) -> bool {
    argument.as_operand().is_some() || argument.children().any(has_tensors)
}
