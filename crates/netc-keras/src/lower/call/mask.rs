//! Masks as Keras passes them: attached to tensors, or as arguments of calls.
//!
//! The rules are those of `Layer.__call__`. If a layer takes an argument `mask` and the call does not pass one, it
//! receives the masks attached to its inputs, provided that all tensors are in one argument. A layer that supports
//! masking attaches the mask that was passed explicitly to its result, or else the mask attached to its first argument.

use std::collections::BTreeMap;

use netc_ir::{Attr, Binary, Func, Module, Op, OpId, OpKind, SourceOp, ValueId};

use crate::config::call::has_tensors;
use crate::config::declaration::makes_mask;
use crate::config::message::found;
use crate::config::order::run_order;
use crate::lower::call::Call;
use crate::lower::result::{Result, bad};

/// Which masks a layer attaches to its results.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attaches {
    /// Those that its lowering attaches, if any.
    Own,
    /// The mask of its input. The number is the position of its argument `mask`, if it has one.
    Given(Option<usize>),
}

/// Layers whose masks Keras 2 treats differently, or may treat differently.
const UNLIKE_KERAS_2: &[&str] =
    &["GroupNormalization", "Normalization", "Rescaling", "Softmax", "TimeDistributed", "UnitNormalization"];

/// Layers of several inputs whose lowering implements the mask rules of Keras 2.
const KNOWN_IN_KERAS_2: &[&str] = &[
    "Add",
    "AdditiveAttention",
    "Attention",
    "Average",
    "Concatenate",
    "Maximum",
    "Minimum",
    "MultiHeadAttention",
    "Multiply",
    "Subtract",
];

/// The first version of Keras 2 whose `MultiHeadAttention` reads the masks of its inputs.
const ATTENTION_READS_MASKS: (u32, u32) = (2, 10);

/// Classes that return a new tensor in Keras, although their lowering returns the operand. The mask is lost.
const MAKES_A_TENSOR: &[&str] =
    &["AugMix", "Copy", "CutMix", "MixUp", "RandAugment", "UpSampling1D", "UpSampling2D", "UpSampling3D"];

/// The names that layers give their first argument.
const FIRST: &[&str] = &["inputs", "x", "data", "sequence", "sequences", "query"];

impl<'a> Call<'a, '_> {
    /// The first argument of the call; `None` if the call records no arguments, so that it holds all operands.
    fn first(&self) -> Option<&'a Attr> {
        FIRST.iter().find_map(|name| self.arg(0, name))
    }

    /// The mask attached to a tensor.
    fn attached(&self, tensor: &Attr) -> Option<ValueId> {
        let Attr::Operand(i) = tensor else { return None };
        self.masks.get(usize::try_from(*i).ok()?).copied().flatten()
    }

    /// The mask attached to the argument at `position` or with the keyword `name`.
    pub(crate) fn attached_to(&self, position: usize, name: &str) -> Option<ValueId> {
        self.attached(self.arg(position, name)?)
    }

    /// The masks attached to the tensors of the first argument, in order.
    pub(crate) fn attached_to_first(&self) -> Vec<Option<ValueId>> {
        match self.first() {
            Some(Attr::List(items)) => items.iter().map(|item| self.attached(item)).collect(),
            Some(tensor) => vec![self.attached(tensor)],
            None => self.masks.to_vec(),
        }
    }

    /// The mask that the call passes as the argument `name`.
    pub(crate) fn given_mask(&mut self, position: usize, name: &str) -> Result<Option<ValueId>> {
        match self.arg(position, name) {
            None => Ok(None),
            Some(Attr::Operand(i)) => self.operand(*i).map(Some),
            other => Err(self.unsupported(format!("the argument `{name}` = {}", found(other)))),
        }
    }

    /// The mask that a layer of one input receives: the argument `mask`, or else the mask attached to the input.
    pub(crate) fn mask(&mut self, position: usize) -> Result<Option<ValueId>> {
        match self.given_mask(position, "mask")? {
            Some(mask) => Ok(Some(mask)),
            None if self.arguments_with_tensors() > 1 => Ok(None),
            None => Ok(self.attached_to_first().first().copied().flatten()),
        }
    }

    /// The masks that a layer of a list of inputs receives: the argument `mask`, or else the masks attached to the
    /// inputs.
    pub(crate) fn masks_of_list(&mut self, position: usize) -> Result<Vec<Option<ValueId>>> {
        match self.arg(position, "mask") {
            None if self.arguments_with_tensors() > 1 => Ok(Vec::new()),
            None => Ok(self.attached_to_first()),
            Some(Attr::List(items)) => items
                .iter()
                .map(|item| match item.as_operand() {
                    Some(i) => self.operand(i).map(Some),
                    None if item.is_null() => Ok(None),
                    None => Err(bad("mask", Some(item), "a tensor")),
                })
                .collect(),
            other => Err(self.unsupported(format!("the argument `mask` = {}", found(other)))),
        }
    }

    fn arguments_with_tensors(&self) -> usize {
        let (args, kwargs) = (self.op.attrs.get("args"), self.op.attrs.get("kwargs"));
        let args = args.and_then(Attr::as_list).unwrap_or_default().iter();
        let kwargs = kwargs.and_then(Attr::as_map).into_iter().flat_map(|k| k.iter().map(|(_, value)| value));
        args.chain(kwargs).filter(|argument| has_tensors(argument)).count()
    }

    /// Attaches `mask` to result `i`.
    pub(crate) fn attach(&mut self, i: usize, mask: Option<ValueId>) {
        if self.attached.len() <= i {
            self.attached.resize(i + 1, None);
        }
        self.attached[i] = mask;
    }

    /// The masks attached to `results` under `rule`.
    pub(crate) fn attachments(&mut self, rule: Attaches, results: &[ValueId]) -> Result<Vec<Option<ValueId>>> {
        match rule {
            Attaches::Own => Ok(self.own_attachments(results)),
            Attaches::Given(None) => Ok(self.attached_to_first()),
            Attaches::Given(Some(position)) => match self.given_mask(position, "mask")? {
                Some(mask) => Ok(vec![Some(mask)]),
                None => Ok(self.attached_to_first()),
            },
        }
    }

    /// Removes the masks of the tensors that the call passes as `arguments`.
    pub(crate) fn unmask(&mut self, arguments: &[(usize, &str)]) {
        let operands = arguments.iter().filter_map(|(position, name)| {
            self.arg(*position, name)?.as_operand().and_then(|i| usize::try_from(i).ok())
        });
        self.unmasked = operands.collect();
    }

    /// The masks that the lowering attached. A result that is one of the operands keeps the mask of the operand.
    fn own_attachments(&mut self, results: &[ValueId]) -> Vec<Option<ValueId>> {
        let mut own = std::mem::take(&mut self.attached);
        let class = self.class();
        if self.masks.is_empty() || MAKES_A_TENSOR.contains(&class) || class.starts_with("Random") {
            return own;
        }
        own.resize(results.len(), None);
        for (mask, y) in own.iter_mut().zip(results) {
            let given = self.operands.iter().zip(self.masks).find(|(x, _)| *x == y);
            *mask = mask.or(given.and_then(|(_, mask)| *mask));
        }
        own
    }

    /// Rejects masks unless the lowering implements what Keras 2 does with them.
    pub(crate) fn has_masks_known_in_keras_2(&self) -> Result<()> {
        if self.masks.iter().all(Option::is_none) {
            return Ok(());
        }
        let class = self.class();
        let is_known = match class {
            "MultiHeadAttention" => reads_masks_in_keras_2(self.b.module()),
            _ if self.masks.len() > 1 => KNOWN_IN_KERAS_2.contains(&class),
            _ => !UNLIKE_KERAS_2.contains(&class),
        };
        if is_known { Ok(()) } else { Err(self.unsupported("a mask in a model of Keras 2")) }
    }

    /// The conjunction of `a` and `b`; `b` if there is no `a`.
    pub(crate) fn both(&mut self, a: Option<ValueId>, b: ValueId) -> Result<ValueId> {
        match a {
            Some(a) => Ok(self.b.binary(Binary::And, a, b)?),
            None => Ok(b),
        }
    }

    /// `mask` as booleans, with a new axis of extent 1 before axis `at`.
    pub(crate) fn mask_along(&mut self, mask: ValueId, at: usize) -> Result<ValueId> {
        let mask = self.truth(mask)?;
        self.expand(mask, at)
    }
}

/// Whether `MultiHeadAttention` reads the masks of its inputs in the version of Keras that saved `module`.
pub(crate) fn reads_masks_in_keras_2(module: &Module) -> bool {
    let version = module.attrs.get("keras_version").and_then(Attr::as_str).unwrap_or_default();
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(ATTENTION_READS_MASKS.0), Some(ATTENTION_READS_MASKS.1))
}

/// Whether a layer that `module` applies makes masks, or a call passes one.
pub(crate) fn makes_masks(module: &Module) -> bool {
    module.funcs.iter().flat_map(Func::ops).any(|(_, op)| match &op.kind {
        OpKind::Source(op) => gives_mask(op) || op.layer.is_some_and(|id| makes_mask(&module[id])),
        OpKind::Call(_) | OpKind::Core(_) => false,
    })
}

/// Whether a call passes a mask, which the layer may attach to its result, or asks for attention scores, which carry
/// one.
fn gives_mask(op: &SourceOp) -> bool {
    let kwarg = |name: &str| op.attrs.get("kwargs").and_then(|k| k.get(name));
    let args = op.attrs.get("args").and_then(Attr::as_list).unwrap_or_default();
    let with_scores = || kwarg("return_attention_scores").or(args.get(7)).and_then(Attr::as_bool) == Some(true);
    match &*op.name {
        "keras.MultiHeadAttention" | "keras.GroupQueryAttention" => with_scores(),
        name if name.starts_with("keras.ops.") => false,
        _ => kwarg("mask").is_some_and(has_tensors) || args.iter().skip(1).any(has_tensors),
    }
}

/// The order in which Keras runs the ops; `None` if masks do not depend on it.
///
/// The order matters where `MultiHeadAttention` removes the masks of the tensors that it reads.
pub(crate) fn order(func: &Func) -> Option<Vec<OpId>> {
    let takes = |op: &Op| op.kind.name() == "keras.MultiHeadAttention" || matches!(op.kind, OpKind::Call(_));
    if !func.ops().any(|(_, op)| takes(op)) {
        return None;
    }
    let mut at: BTreeMap<OpId, usize> = run_order(func).into_iter().enumerate().map(|(i, op)| (op, i)).collect();
    // Keras does not run ops that no output needs: they come last.
    let all: Vec<OpId> = func.op_ids().collect();
    all.iter().enumerate().for_each(|(i, op)| {
        at.entry(*op).or_insert(all.len() + i);
    });
    let mut order = all;
    order.sort_by_key(|op| at[op]);
    Some(order)
}
