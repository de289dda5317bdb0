//! Masks that a file mentions in the call of a nested model.
//!
//! Keras 3 records the mask that is attached to a tensor as an argument of the call, and the operations that compute it as
//! part of the graph. A call without the argument finds the same mask beside its tensor, in Keras and in netc, so it is
//! left out where it is that one.

use netc_ir::{Attr, Attrs, Func, Module, Name, Op, OpKind, SourceOp, ValueId};

use crate::lower::{has_tensors, passes_mask};

/// The arguments of the call of a model without its masks, and how many of its operands they have; `None` if there is no
/// mask, or a mask that is not the one beside its tensor.
pub(crate) fn without_attached(
    module: &Module,
    func: &Func,
    attrs: &Attrs,
    operands: &[ValueId],
) -> Option<(Attrs, usize)> {
    let kwargs = attrs.get("kwargs").and_then(Attr::as_map)?;
    let mask = kwargs.get("mask").filter(|mask| has_tensors(mask))?;
    let [inputs] = attrs.get("args").and_then(Attr::as_list)? else { return None };
    let (inputs, masks) = (leaves(inputs), leaves(mask));
    let is_other = |(key, value): &(Name, Attr)| has_tensors(value) && &**key != "mask";
    if inputs.len() != masks.len() || kwargs.iter().any(is_other) {
        return None;
    }
    let value = |leaf: &Attr| if let Attr::Operand(i) = leaf { operands.get(*i as usize).copied() } else { None };
    for (input, mask) in inputs.iter().zip(&masks).filter(|(_, mask)| !mask.is_null()) {
        if !is_attached(module, func, value(input)?, value(mask)?) {
            return None;
        }
    }
    let kept = inputs.iter().filter(|input| has_tensors(input)).count();
    let without = attrs.clone().with("kwargs", kwargs.clone().with("mask", Attr::Null));
    Some((without, kept))
}

/// The leaves of a structure as Keras flattens it.
fn leaves(tree: &Attr) -> Vec<&Attr> {
    match tree {
        Attr::List(items) => items.iter().flat_map(leaves).collect(),
        Attr::Map(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key);
            entries.into_iter().flat_map(|(_, value)| leaves(value)).collect()
        }
        Attr::Null | Attr::Bool(_) | Attr::Int(_) | Attr::Float(_) | Attr::Str(_) | Attr::Operand(_) => vec![tree],
    }
}

/// Whether `mask` is what Keras attaches to `x`, as far as netc follows the layers that `x` comes through.
fn is_attached(module: &Module, func: &Func, mut x: ValueId, mask: ValueId) -> bool {
    loop {
        let Some((op, source)) = made_by(func, x) else { return false };
        let Some(input) = op.operands.first().copied() else { return false };
        let config = source.layer.and_then(|id| module[id].config.get("config"));
        let says = |key: &str| config.and_then(|config| config.get(key));
        match &*source.name {
            "keras.Embedding" => {
                let zero = Attr::Int(0);
                return says("mask_zero").and_then(Attr::as_bool) == Some(true) && differs(func, mask, input, &zero);
            }
            "keras.Masking" => {
                let Some(value) = says("mask_value") else { return false };
                let any = made_by(func, mask).filter(|(_, source)| &*source.name == "keras.ops.Any");
                let Some((op, source)) = any else { return false };
                let config = source.layer.and_then(|id| module[id].config.get("config"));
                let over_last = config.and_then(|config| config.get("axis")).and_then(axis) == Some(-1);
                return over_last && op.operands.first().is_some_and(|ne| differs(func, *ne, input, value));
            }
            class if passes_mask(class, config) => {
                let args = source.attrs.get("args").and_then(Attr::as_list).and_then(<[Attr]>::first);
                if args != Some(&Attr::Operand(0)) {
                    return false;
                }
                // The mask that the call gives it, or that of its only tensor.
                match source.attrs.get("kwargs").and_then(|kwargs| kwargs.get("mask")) {
                    None | Some(Attr::Null) => x = input,
                    Some(Attr::Operand(i)) => return op.operands.get(*i as usize) == Some(&mask),
                    Some(
                        Attr::Bool(_) | Attr::Int(_) | Attr::Float(_) | Attr::Str(_) | Attr::List(_) | Attr::Map(_),
                    ) => {
                        return false;
                    }
                }
            }
            _ => return false,
        }
    }
}

fn axis(attr: &Attr) -> Option<i64> {
    match attr.as_list() {
        Some([one]) => one.as_int(),
        Some(_) => None,
        None => attr.as_int(),
    }
}

fn made_by(func: &Func, value: ValueId) -> Option<(&Op, &SourceOp)> {
    let op = &func[func.producer(value)?];
    match &op.kind {
        OpKind::Source(source) => Some((op, source)),
        OpKind::Call(_) | OpKind::Core(_) => None,
    }
}

/// Whether `value` says where `x` is not `number`.
fn differs(func: &Func, value: ValueId, x: ValueId, number: &Attr) -> bool {
    let Some((op, source)) = made_by(func, value) else { return false };
    let args = source.attrs.get("args").and_then(Attr::as_list);
    let Some([Attr::Operand(0), other]) = args else { return false };
    let same = match (other.as_f64(), number.as_f64()) {
        (Some(a), Some(b)) => a.to_bits() == b.to_bits(),
        (_, _) => false,
    };
    &*source.name == "keras.ops.NotEqual" && op.operands == [x] && same
}
