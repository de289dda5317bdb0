//! The dialect of Keras: how a source op becomes core ops.

use netc_dialect::{Dialect, LowerError, LoweredOp, OpContext};
use netc_ir::{Attr, Attrs, Builder, CallOp, ElemType, Func, Layer, LayerId, Module, Name, OpId, SourceOp, Type};

use crate::config::classes::{is_layer_class, is_of_keras};
use crate::config::ties::ties;
use crate::config::version::{self, KerasVersion};
use crate::config::{call, declaration, tf, training};
use crate::legacy::tensorflow::NoTwin;
use crate::legacy::{self, Upgraded};
use crate::lower::call::{Call, mask};
use crate::lower::declared;
use crate::lower::entry::{Entry, Lower};
use crate::lower::table::entry;

/// The dialect of Keras layers (`keras.Conv2D`) and operations (`keras.ops.Add`).
#[derive(Debug, Clone, Copy, Default)]
pub struct KerasDialect;

impl Dialect for KerasDialect {
    fn owns(&self, class: &str) -> bool {
        is_of_keras(class)
    }

    fn lower(&self, builder: &mut Builder<'_>, context: OpContext<'_>) -> netc_dialect::Result<LoweredOp> {
        let version = KerasVersion::of(&builder.module().attrs);
        match context.layer {
            Some(layer) if version == KerasVersion::Legacy || version::is_legacy(&layer.config) => {
                lower_upgraded(builder, context, layer, version)
            }
            Some(_) | None => lower(builder, context, version),
        }
    }

    fn class<'n>(&self, name: &'n str) -> Option<&'n str> {
        // TensorFlow operations have no dialect prefix.
        tf::is_operation(name).then_some(name)
    }

    fn settings<'l>(&self, layer: &'l Layer) -> Option<&'l Attrs> {
        layer.config.get("config").and_then(Attr::as_map)
    }

    fn declares_inside(&self, layer: &Layer, name: &str) -> bool {
        declaration::declares_inside(layer, name)
    }

    fn write_name(&self, layer: &mut Layer) {
        declaration::write_name(layer);
    }

    fn is_operation(&self, layer: &Layer) -> bool {
        !is_layer_class(&layer.class)
    }

    fn counts_inputs(&self, func: &Func) -> bool {
        // `Sequential.layers` omits the input layer.
        func.attrs.get("class").and_then(Attr::as_str) != Some("Sequential")
    }

    fn is_trainable(&self, layer: &Layer) -> Option<bool> {
        training::is_trainable(layer)
    }

    fn set_trainable(&self, layer: &mut Layer, to: bool) {
        training::set_trainable(layer, to);
    }

    fn unfreeze(&self, model: &mut Attrs) {
        training::unfreeze(model);
    }

    fn plain_arguments(&self, call: &CallOp) -> Vec<Name> {
        call::plain_arguments(&call.attrs)
    }

    fn mask_operands(&self, op: &SourceOp) -> Vec<usize> {
        call::mask_operands(&op.attrs)
    }

    fn makes_masks(&self, module: &Module) -> bool {
        mask::makes_masks(module)
    }

    fn run_order(&self, func: &Func) -> Option<Vec<OpId>> {
        mask::order(func)
    }

    fn weight_ties(&self, module: &Module) -> Vec<(LayerId, LayerId)> {
        ties(module)
    }

    fn loss_layers(&self, module: &Module) -> Vec<Name> {
        legacy::losses(module)
    }
}

fn lower(builder: &mut Builder<'_>, context: OpContext<'_>, version: KerasVersion) -> netc_dialect::Result<LoweredOp> {
    let name = &*context.op.name;
    let Some(entry) = entry(legacy::upgraded_class(name)) else {
        return Err(LowerError::Unknown { class: name.rsplit('.').next().unwrap_or(name).into() });
    };
    if !context.op.absent.is_empty() {
        return Err(LowerError::Operands("Keras layers have no optional operands".into()));
    }
    let mut call = Call::new(builder, context);
    if version == KerasVersion::Legacy && call.flag_arg(usize::MAX, "training")? {
        // `predict` overrides it in Keras 3, but not in Keras 2.
        return Err(call.unsupported("`training` = true in its call"));
    }
    if version == KerasVersion::Legacy {
        call.has_masks_known_in_keras_2()?;
    }
    let answer = lowered(&mut call, entry);
    let types = if answer.is_err() { declared::types(&call) } else { Vec::new() };
    answer.map_err(|error| {
        let error = declared::of_integers(builder.module(), context.layer, of_operands(builder, context, error));
        match &error {
            LowerError::Unsupported { types: known, .. } if known.is_empty() => error.giving(types),
            LowerError::Unsupported { .. }
            | LowerError::Unknown { .. }
            | LowerError::Config { .. }
            | LowerError::Weight { .. }
            | LowerError::Operands(_)
            | LowerError::Infer(_) => error,
        }
    })
}

/// Lowers the Keras 3 equivalent of an older layer's call.
fn lower_upgraded(
    builder: &mut Builder<'_>,
    context: OpContext<'_>,
    layer: &Layer,
    version: KerasVersion,
) -> netc_dialect::Result<LoweredOp> {
    let own = &context.op.name;
    let unsupported = |what: String, types| LowerError::Unsupported { class: own.clone(), what, types };
    let operands: Vec<Type> = context.operands.iter().map(|x| builder.ty(*x).clone()).collect();
    let is_operation = tf::is_operation(own);
    let Upgraded { layer, call } = match legacy::upgrade_call(layer, &context.op.attrs, &operands, version) {
        Ok(upgraded) => upgraded,
        Err(NoTwin::Operation) => return Err(LowerError::Unknown { class: own.clone() }),
        Err(NoTwin::With(what)) if is_operation => return Err(unsupported(what, Vec::new())),
        Err(NoTwin::With(what)) => {
            let class = own.rsplit('.').next().unwrap_or(own);
            return Err(LowerError::Unsupported { class: class.into(), what, types: Vec::new() });
        }
    };
    let name = if is_operation { layer.class.clone() } else { own.clone() };
    let absent = context.op.absent.clone();
    let op = SourceOp { absent, ..SourceOp::new(name, context.op.layer, call.into_owned()) };
    // Keras 2 passes no mask to a TensorFlow operation, and attaches none to its result.
    let masks = if is_operation { &[][..] } else { context.masks };
    let lowered = lower(builder, OpContext { op: &op, layer: Some(&layer), masks, ..context }, version);
    lowered.map_err(|error| match error {
        LowerError::Unknown { .. } if is_operation => LowerError::Unknown { class: own.clone() },
        LowerError::Unsupported { what, types, .. } if is_operation => unsupported(what, types),
        LowerError::Unknown { .. }
        | LowerError::Unsupported { .. }
        | LowerError::Config { .. }
        | LowerError::Weight { .. }
        | LowerError::Operands(_)
        | LowerError::Infer(_) => error,
    })
}

fn lowered(call: &mut Call<'_, '_>, entry: &Entry) -> netc_dialect::Result<LoweredOp> {
    let results = match entry.lower {
        Lower::One(lower) => lower(call).map(|y| vec![y]),
        Lower::Many(lower) => lower(call),
    }?;
    let masks = call.attachments(entry.attaches, &results)?;
    let (unmasked, repeats) = (std::mem::take(&mut call.unmasked), std::mem::take(&mut call.repeats));
    Ok(LoweredOp { results, masks, unmasked, repeats })
}

/// Turns `error` into "unsupported" if the type of an operand may be its cause, so that the model can still be split.
///
/// Keras converts integers and booleans wherever a function needs floats, and a lowering may not. A lowering may also
/// need to know more about an operand than is known.
fn of_operands(builder: &Builder<'_>, context: OpContext<'_>, error: LowerError) -> LowerError {
    let class = || context.op.name.rsplit('.').next().unwrap_or(&context.op.name).into();
    let operands = || context.operands.iter().map(|x| builder.ty(*x));
    let unknown = operands().find(|ty| ty.elem == ElemType::Any || ty.dims.is_none());
    let integers = operands().find(|ty| ty.elem.is_int() || ty.elem == ElemType::Bool);
    match (error, unknown, integers) {
        (error @ (LowerError::Unknown { .. } | LowerError::Unsupported { .. }), ..) => error,
        (error, Some(ty), _) => {
            let what = format!("a tensor of type {ty} ({error})");
            LowerError::Unsupported { class: class(), what, types: Vec::new() }
        }
        (LowerError::Infer(source), None, Some(ty)) => {
            let what = format!("a tensor of type {ty} ({source})");
            LowerError::Unsupported { class: class(), what, types: Vec::new() }
        }
        (error, None, _) => error,
    }
}
