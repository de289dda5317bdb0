//! The exporter's code for models from before Keras 3: converts declarations and calls to Keras 3, and keeps losses,
//! which are layers.

use std::borrow::Cow;

use netc_ir::{Attr, Attrs, Func, Layer, LayerId, OpId, Type};

use crate::config::order::extra_calls;
use crate::config::tf;
use crate::config::version::KerasVersion;
use crate::error::{Problem, Result};
use crate::export::exporter::{Container, Exporter, Scope, is_chain};
use crate::export::unknown;
use crate::legacy::tensorflow::NoTwin;
use crate::legacy::{self, Upgraded, losses};

impl<'m> Exporter<'m> {
    /// The Keras 3 declaration of a layer and its call `op`.
    pub(super) fn upgrade_call(&self, scope: &Scope<'m>, id: LayerId, op: OpId) -> Result<Upgraded<'m>> {
        let (layer, op) = (&self.module[id], &scope.func[op]);
        let operands: Vec<Type> = op.operands.iter().map(|x| scope.func[*x].ty.clone()).collect();
        let Some(call) = op.kind.attrs() else {
            return Ok(Upgraded { layer: self.declaration(id), call: Cow::Owned(Attrs::new()) });
        };
        let upgraded = legacy::upgrade_call(layer, call, &operands, self.version).map_err(|no| {
            let what = layer.class.strip_prefix("keras.").unwrap_or(&layer.class);
            let note = match no {
                NoTwin::Operation => format!("`keras.ops` has no operation equivalent to `{what}`"),
                NoTwin::With(with) if tf::is_operation(what) => {
                    format!("`keras.ops` has no operation for `{what}` with {with}")
                }
                NoTwin::With(with) => format!("it is called with {with}"),
            };
            Problem::NotKeras { place: format!("layer `{}`", layer.name), note }
        })?;
        let gives = |key| upgraded.call.get("kwargs").and_then(|k| k.get(key)).is_some_and(|value| !value.is_null());
        let sequence = op
            .operands
            .first()
            .filter(|_| self.version == KerasVersion::Legacy && gives("initial_state") && !gives("mask"));
        if sequence.is_some_and(|x| unknown::may_carry_mask(self.module, scope.func, *x)) {
            let note = "it has both initial states and a masked input, for which Keras 3 drops the mask";
            return Err(Problem::NotKeras { place: format!("layer `{}`", layer.name), note: note.into() });
        }
        if self.version == KerasVersion::Legacy
            && self.container == Container::Archive
            && has_values_of_their_own(&upgraded)
        {
            let note = "Keras 3 with JAX fails on attention whose `value_dim` differs from its `key_dim`; write the \
                        model as .h5";
            return Err(Problem::NotKeras { place: format!("layer `{}`", layer.name), note: note.into() });
        }
        Ok(upgraded)
    }

    /// The declaration of a layer in an archive, which must fit all its calls.
    pub(super) fn upgraded_layer(&self, scope: &Scope<'m>, id: LayerId) -> Result<Cow<'m, Layer>> {
        if !tf::is_operation(&self.module[id].class) {
            return Ok(self.declaration(id));
        }
        let mut found: Option<Cow<'m, Layer>> = None;
        for op in scope.calls.get(&id).into_iter().flatten() {
            let layer = self.upgrade_call(scope, id, *op)?.layer;
            if found.as_ref().is_some_and(|found| *found != layer) {
                let note = "its calls differ in arguments that Keras 3 stores in the operation";
                return Err(Problem::NotKeras { place: format!("layer `{}`", layer.name), note: note.into() });
            }
            found = Some(layer);
        }
        Ok(found.unwrap_or_else(|| self.declaration(id)))
    }

    /// The calls that the file keeps although no output needs them: those that losses and metrics need.
    pub(super) fn extra_calls(&self, func: &Func) -> Vec<OpId> {
        match (self.container, self.version) {
            (Container::Hdf5, KerasVersion::Legacy) => extra_calls(func, &losses::calls(self.module, func)),
            (Container::Archive | Container::Hdf5 | Container::Tfjs, _) => Vec::new(),
        }
    }

    /// Whether to write the function as a Sequential model, which in Keras 3 contains only layers.
    pub(super) fn is_chain(&self, func: &Func) -> bool {
        let has_operations = || func.layers().iter().any(|id| tf::is_operation(&self.module[*id].class));
        is_chain(self.module, func) && (self.is_old() || !has_operations())
    }
}

/// Whether this is a `MultiHeadAttention` whose value size differs from its key size, and that Keras 3 computes with
/// the backend's attention function. It does not use that function if it needs the scores.
fn has_values_of_their_own(upgraded: &Upgraded<'_>) -> bool {
    let says =
        |key: &str| upgraded.layer.config.get("config").and_then(|c| c.get(key)).filter(|value| !value.is_null());
    let other = says("value_dim").is_some_and(|values| Some(values) != says("key_dim"));
    let drops = says("dropout").and_then(Attr::as_f64).is_some_and(|rate| rate > 0.0);
    let with_scores =
        upgraded.call.get("kwargs").and_then(|k| k.get("return_attention_scores")).and_then(Attr::as_bool);
    &*upgraded.layer.class == "keras.MultiHeadAttention" && other && !drops && with_scores != Some(true)
}
