//! Removes redundant `mask` arguments from calls of nested models.
//!
//! Keras 3 records the mask attached to a tensor as an argument of the call, and the operations that compute it as part
//! of the graph. Without the argument, Keras and netc find the same mask attached to the tensor. So netc drops the
//! argument if it can prove that it is that mask.

use std::cell::RefCell;
use std::collections::BTreeSet;

use netc_ir::{Attr, Attrs, Func, Module, Name, Op, OpKind, SourceOp, ValueId};

use crate::config::call::has_tensors;
use crate::lower::passes_mask;

/// The arguments of a model's call without its masks, and the number of remaining operands. `None` if there is no mask,
/// or one that is not proved to be the mask attached to its tensor.
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
    let graph = Graph { module, func, proved: RefCell::default() };
    let value = |leaf: &Attr| if let Attr::Operand(i) = leaf { operands.get(*i as usize).copied() } else { None };
    for (input, mask) in inputs.iter().zip(&masks).filter(|(_, mask)| !mask.is_null()) {
        graph.is_attached(value(input)?, value(mask)?, 0)?;
    }
    let kept = inputs.iter().filter(|input| has_tensors(input)).count();
    let without = attrs.clone().with("kwargs", kwargs.clone().with("mask", Attr::Null));
    Some((without, kept))
}

/// The leaves of a structure, in the order in which Keras flattens it.
fn leaves(tree: &Attr) -> Vec<&Attr> {
    match tree {
        Attr::List(items) => items.iter().flat_map(leaves).collect(),
        Attr::Map(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key);
            entries.into_iter().flat_map(|(_, value)| leaves(value)).collect()
        }
        Attr::Null
        | Attr::Bool(_)
        | Attr::Int(_)
        | Attr::Float(_)
        | Attr::Str(_)
        | Attr::Operand(_)
        | Attr::NonJson(_) => vec![tree],
    }
}

/// The most layers through which to follow a mask.
const MAX_DEPTH: usize = 1 << 12;

/// The graph in which to follow masks.
struct Graph<'a> {
    module: &'a Module,
    func: &'a Func,
    /// Pairs of a tensor and its mask that are already proved, so that branches that meet again are followed once.
    proved: RefCell<BTreeSet<(ValueId, ValueId)>>,
}

/// A call of a layer or operation.
#[derive(Clone, Copy)]
struct LayerCall<'a> {
    op: &'a Op,
    source: &'a SourceOp,
    config: Option<&'a Attr>,
}

impl LayerCall<'_> {
    /// The argument at `position`, or else the one called `name`.
    fn argument(&self, position: usize, name: &str) -> Option<&Attr> {
        let args = self.source.attrs.get("args").and_then(Attr::as_list);
        let named = self.source.attrs.get("kwargs").and_then(|kwargs| kwargs.get(name));
        args.and_then(|args| args.get(position)).or(named).filter(|argument| !argument.is_null())
    }

    fn tensor(&self, argument: Option<&Attr>) -> Option<ValueId> {
        if let Some(Attr::Operand(i)) = argument { self.op.operands.get(*i as usize).copied() } else { None }
    }

    fn tensors(&self, argument: Option<&Attr>) -> Option<Vec<ValueId>> {
        argument?.as_list()?.iter().map(|item| self.tensor(Some(item))).collect()
    }

    fn says(&self, key: &str) -> Option<&Attr> {
        self.config.and_then(|config| config.get(key))
    }

    fn axis(&self) -> Option<i64> {
        self.says("axis").and_then(axis)
    }
}

impl<'a> Graph<'a> {
    fn made(&self, value: ValueId) -> Option<LayerCall<'a>> {
        let op = &self.func[self.func.producer(value)?];
        let OpKind::Source(source) = &op.kind else { return None };
        let config = source.layer.and_then(|id| self.module[id].config.get("config"));
        Some(LayerCall { op, source, config })
    }

    /// The call that made `value`, if it is this `keras.ops` operation.
    fn made_by(&self, value: ValueId, operation: &str) -> Option<LayerCall<'a>> {
        self.made(value).filter(|made| made.source.name.strip_prefix("keras.ops.") == Some(operation))
    }

    /// Proves that `mask` is the mask that Keras attaches to `x`. `None` if there is no proof, which does not mean that
    /// it is another mask.
    fn is_attached(&self, x: ValueId, mask: ValueId, depth: usize) -> Option<()> {
        if !self.proved.borrow().contains(&(x, mask)) {
            self.prove(x, mask, depth)?;
            self.proved.borrow_mut().insert((x, mask));
        }
        Some(())
    }

    fn prove(&self, x: ValueId, mask: ValueId, depth: usize) -> Option<()> {
        let made = self.made(x).filter(|_| depth < MAX_DEPTH)?;
        let first = made.argument(0, "inputs");
        match made.source.name.strip_prefix("keras.")? {
            "Embedding" => {
                made.says("mask_zero").filter(|zero| zero.as_bool() == Some(true))?;
                self.differs(mask, made.tensor(first)?, &Attr::Int(0))
            }
            "Masking" => {
                let any = self.made_by(mask, "Any").filter(|any| any.axis() == Some(-1))?;
                self.differs(any.tensor(any.argument(0, "x"))?, made.tensor(first)?, made.says("mask_value")?)
            }
            "Add" | "Subtract" | "Average" | "Maximum" | "Minimum" | "Multiply" => {
                let (mut mask, inputs) = (mask, made.tensors(first)?);
                let (first, others) = inputs.split_first()?;
                for x in others.iter().rev() {
                    let either = self.made_by(mask, "LogicalOr")?;
                    self.is_attached(*x, either.tensor(either.argument(1, "x2"))?, depth + 1)?;
                    mask = either.tensor(either.argument(0, "x1"))?;
                }
                self.is_attached(*first, mask, depth + 1)
            }
            "Concatenate" => {
                let any = self.made_by(mask, "Any").filter(|any| any.axis() == Some(-1))?;
                let joined = self.made_by(any.tensor(any.argument(0, "x"))?, "Concatenate")?;
                let (inputs, masks) = (made.tensors(first)?, joined.tensors(joined.argument(0, "xs"))?);
                let same = joined.axis() == made.axis() && inputs.len() == masks.len();
                let mut pairs = inputs.iter().zip(&masks).filter(|_| same);
                pairs.try_for_each(|(x, mask)| self.is_spread(*x, *mask, depth + 1))?;
                same.then_some(())
            }
            _ if passes_mask(&made.source.name, made.config) => {
                let x = made.tensor(made.source.attrs.get("args")?.as_list()?.first())?;
                // The mask is the call's argument, or else the mask of its only tensor.
                match made.source.attrs.get("kwargs").and_then(|kwargs| kwargs.get("mask")).filter(|m| !m.is_null()) {
                    Some(given) => made.tensor(Some(given)).filter(|given| *given == mask).map(|_| ()),
                    None => self.is_attached(x, mask, depth + 1),
                }
            }
            _ => None,
        }
    }

    /// Proves that `mask` is the mask of `x` broadcast to its shape, or all true if `x` has no mask.
    fn is_spread(&self, x: ValueId, mask: ValueId, depth: usize) -> Option<()> {
        if let Some(ones) = self.made_by(mask, "OnesLike") {
            // An input never has a mask.
            let is_input = self.func.producer(x).is_none();
            return (is_input && ones.tensor(ones.argument(0, "x")) == Some(x)).then_some(());
        }
        let either = self.made_by(mask, "LogicalOr")?;
        let spread = self.made_by(either.tensor(either.argument(0, "x1"))?, "ExpandDims")?;
        let zeros = self.made_by(either.tensor(either.argument(1, "x2"))?, "ZerosLike")?;
        let same = spread.axis() == Some(-1) && zeros.tensor(zeros.argument(0, "x")) == Some(x);
        self.is_attached(x, spread.tensor(spread.argument(0, "x")).filter(|_| same)?, depth + 1)
    }

    /// Proves that `value` is `x != number`.
    fn differs(&self, value: ValueId, x: ValueId, number: &Attr) -> Option<()> {
        let made = self.made_by(value, "NotEqual")?;
        let (a, b) = (made.argument(1, "x2")?.as_f64()?, number.as_f64()?);
        let same = a.to_bits() == b.to_bits() && made.tensor(made.argument(0, "x1")) == Some(x);
        same.then_some(())
    }
}

fn axis(attr: &Attr) -> Option<i64> {
    match attr.as_list() {
        Some([one]) => one.as_int(),
        Some(_) => None,
        None => attr.as_int(),
    }
}
