//! Rejects models in which a layer reads a mask that differs between Keras 2 and Keras 3.
//!
//! After a merge, Keras 2 combines the masks of the inputs with "and". Keras 3 combines them with "or", and only if all
//! inputs have one. `MultiHeadAttention` of Keras 3 also removes the masks from its input tensors. A layer that reads a
//! mask that differs computes something else in the other Keras.

use std::collections::BTreeMap;

use netc_ir::{Attr, Func, FuncId, Layer, Module, Op, OpKind, SourceOp, ValueId};

use crate::config::call::has_tensors;
use crate::config::declaration::makes_mask;
use crate::config::order::run_order;
use crate::config::tf;
use crate::error::{Problem, Result};
use crate::lower::{makes_masks, passes_mask, reads_masks_in_keras_2};

/// The most ops to visit, because nested models may be applied many times.
const MAX_OPS: usize = 1 << 20;

const MERGES: &[&str] = &["Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply", "Subtract"];

/// Merges whose values in Keras 3 depend on the masks of their inputs.
const HEED_MASKS: &[&str] = &["Maximum", "Minimum", "Multiply"];

/// Layers that return their input tensor.
const GIVE_BACK: &[&str] = &[
    "ActivityRegularization",
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
];

/// Layers that may attach a mask in only one of the two Keras versions.
const ATTACH_OTHERWISE: &[&str] =
    &["Normalization", "Permute", "Rescaling", "Reshape", "TimeDistributed", "UnitNormalization"];

/// Single-input layers whose result depends on the mask.
const READ: &[&str] = &[
    "Bidirectional",
    "ConvLSTM1D",
    "ConvLSTM2D",
    "ConvLSTM3D",
    "GRU",
    "GlobalAveragePooling1D",
    "GroupNormalization",
    "LSTM",
    "RNN",
    "SimpleRNN",
    "Softmax",
];

/// Checks that every mask that a layer reads is the same in Keras 2 and Keras 3.
///
/// # Errors
/// A layer that reads a mask that differs. Names the layer after which the masks differ.
pub(crate) fn same_in_both(module: &Module, func: FuncId) -> Result<()> {
    if !makes_masks(module) {
        return Ok(());
    }
    let mut walk = Walk { module, masks: Vec::new(), left: MAX_OPS };
    walk.func(&module[func], BTreeMap::new()).map(|_| ())
}

/// The mask of a tensor in the two Keras versions.
#[derive(Clone, PartialEq, Eq)]
enum Mask {
    /// The same mask, with its number.
    Same(usize),
    /// Different masks, after this layer.
    Differs(String),
}

/// The tensor of each value. Layers may return their input tensor, so several values can be one tensor. Values that
/// never had a mask are missing.
type Tensors = BTreeMap<ValueId, usize>;

struct Walk<'m> {
    module: &'m Module,
    /// The mask of each tensor.
    masks: Vec<Option<Mask>>,
    left: usize,
}

impl<'m> Walk<'m> {
    fn func(&mut self, func: &'m Func, mut tensors: Tensors) -> Result<Tensors> {
        for id in run_order(func) {
            let op = &func[id];
            self.left = self.left.saturating_sub(1);
            match &op.kind {
                OpKind::Call(call) => self.call(&self.module[call.callee], op, &mut tensors)?,
                OpKind::Source(source) => {
                    if let Some(layer) = source.layer.map(|layer| &self.module[layer]) {
                        self.layer(layer, source, op, &mut tensors)?;
                    }
                }
                OpKind::Core(_) => {}
            }
        }
        Ok(tensors)
    }

    fn call(&mut self, callee: &'m Func, op: &'m Op, tensors: &mut Tensors) -> Result<()> {
        if self.left == 0 {
            let note = "it is called too often for netc to follow its masks; write the model as .h5";
            return Err(Problem::NotKeras { place: format!("model `{}`", callee.name), note: note.into() });
        }
        let params = callee.params.iter().zip(&op.operands);
        let inside = params.filter_map(|(param, v)| Some((param.value, *tensors.get(v)?))).collect();
        let inside = self.func(callee, inside)?;
        let outputs = callee.outputs.iter().zip(&op.results);
        tensors.extend(outputs.filter_map(|(output, y)| Some((*y, *inside.get(&output.value)?))));
        Ok(())
    }

    fn of(&self, tensors: &Tensors, value: ValueId) -> Option<&Mask> {
        self.masks[*tensors.get(&value)?].as_ref()
    }

    fn layer(&mut self, layer: &Layer, source: &SourceOp, op: &Op, tensors: &mut Tensors) -> Result<()> {
        let class = layer.class.strip_prefix("keras.").unwrap_or(&layer.class);
        let config = layer.config.get("config");
        let (Some(first), Some(result)) = (op.operands.first(), op.results.first()) else { return Ok(()) };
        if tf::is_operation(class) || class.starts_with("ops.") {
            return Ok(());
        }
        let own = self.of(tensors, *first).cloned();
        let of_call = source.attrs.get("kwargs").and_then(|kwargs| kwargs.get("mask")).is_some_and(has_tensors);
        let attached = if makes_mask(layer) {
            Some(Mask::Same(self.masks.len()))
        } else if of_call {
            passes_mask(&layer.class, config).then_some(Mask::Same(self.masks.len()))
        } else if MERGES.contains(&class) {
            let masks: Vec<_> = op.operands.iter().map(|v| self.of(tensors, *v).cloned()).collect();
            if HEED_MASKS.contains(&class) && masks.iter().any(Option::is_some) {
                return Err(refused(
                    layer,
                    "its result depends on the masks of its inputs in Keras 3, but not in Keras 2",
                ));
            }
            self.merged(layer, config, &masks)
        } else if matches!(class, "MultiHeadAttention" | "GroupQueryAttention") {
            self.attention(layer, config, source, op, tensors)?;
            own
        } else if matches!(class, "Attention" | "AdditiveAttention") {
            op.operands.iter().try_for_each(|v| reads(layer, self.of(tensors, *v)))?;
            own
        } else if class == "GroupNormalization" && own.is_some() {
            return Err(refused(layer, "it uses a mask in Keras 2, but not in Keras 3"));
        } else if ATTACH_OTHERWISE.contains(&class) {
            own.map(|_| Mask::Differs(layer.name.to_string()))
        } else {
            let is_own = !layer.class.starts_with("keras.");
            if is_own || READ.contains(&class) {
                reads(layer, own.as_ref())?;
            }
            if is_own || passes_mask(&layer.class, config) { own } else { None }
        };
        let Some(attached) = attached else { return Ok(()) };
        if GIVE_BACK.contains(&class)
            && let Some(tensor) = tensors.get(first)
        {
            tensors.insert(*result, *tensor);
            return Ok(());
        }
        tensors.insert(*result, self.masks.len());
        self.masks.push(Some(attached));
        Ok(())
    }

    fn merged(&self, layer: &Layer, config: Option<&Attr>, masks: &[Option<Mask>]) -> Option<Mask> {
        let differs = masks.iter().flatten().find(|mask| matches!(mask, Mask::Differs(_)));
        let mut some = masks.iter().flatten();
        let first = some.next()?;
        // Along the time axis, both Keras versions concatenate the masks.
        let axis = config.and_then(|config| config.get("axis")).and_then(Attr::as_int);
        let is_joined = &*layer.class == "keras.Concatenate" && axis == Some(1);
        let all = masks.iter().all(Option::is_some);
        match differs {
            Some(differs) => Some(differs.clone()),
            None if all && is_joined => Some(Mask::Same(self.masks.len())),
            None if all && some.all(|mask| mask == first) => Some(first.clone()),
            None => Some(Mask::Differs(layer.name.to_string())),
        }
    }

    /// Checks the masks of query, value and key, and removes them as Keras 3 does.
    fn attention(
        &mut self,
        layer: &Layer,
        config: Option<&Attr>,
        source: &SourceOp,
        op: &Op,
        tensors: &Tensors,
    ) -> Result<()> {
        let args = source.attrs.get("args").and_then(Attr::as_list).unwrap_or_default();
        let kwarg = |name: &str| source.attrs.get("kwargs").and_then(|kwargs| kwargs.get(name));
        let named = ["query", "value", "key"].into_iter().filter_map(kwarg);
        let indices = args.iter().take(3).chain(named).filter_map(|argument| {
            if let Attr::Operand(i) = argument { op.operands.get(usize::try_from(*i).ok()?) } else { None }
        });
        let given: Vec<ValueId> = indices.copied().collect();
        given.iter().try_for_each(|v| reads(layer, self.of(tensors, *v)))?;
        if given.iter().all(|v| self.of(tensors, *v).is_none()) {
            return Ok(());
        }
        if !reads_masks_in_keras_2(self.module) {
            return Err(refused(layer, "it uses a mask in Keras 3, but not in the Keras version of the model"));
        }
        let drops = config.and_then(|c| c.get("dropout")).and_then(Attr::as_f64).is_some_and(|rate| rate > 0.0);
        let scores = args.iter().skip(3).chain(kwarg("return_attention_scores")).any(|a| a.as_bool() == Some(true));
        if drops || scores {
            let note = "if a mask excludes all values for a query, Keras 2 returns their mean, but Keras 3 returns \
                        zero with `dropout` or scores";
            return Err(refused(layer, note));
        }
        for tensor in given.iter().filter_map(|v| tensors.get(v)) {
            if self.masks[*tensor].is_some() {
                self.masks[*tensor] = Some(Mask::Differs(layer.name.to_string()));
            }
        }
        Ok(())
    }
}

fn reads(layer: &Layer, mask: Option<&Mask>) -> Result<()> {
    let Some(Mask::Differs(behind)) = mask else { return Ok(()) };
    Err(refused(
        layer,
        &format!("it uses a mask that differs between Keras 2 and Keras 3 after `{behind}`; write the model as .h5"),
    ))
}

fn refused(layer: &Layer, note: &str) -> Problem {
    Problem::NotKeras { place: format!("layer `{}`", layer.name), note: note.into() }
}
