//! The meaning of every Keras layer and operation, as core ops.
//!
//! One lowering per class, an [`Entry`] in the table of its kind. A lowering does in inference mode what Keras 3 with
//! its JAX backend does, in the same order of operations, so that results agree to rounding. Whatever part of a
//! configuration it does not know is an error, never ignored.

mod activation;
mod adaptive;
mod attention;
mod call;
mod category;
mod conv;
mod conv_recurrent;
mod conv_transpose;
mod declared;
mod dense;
mod einsum;
mod elementwise;
mod identity;
mod index;
mod literal;
mod mask;
mod merge;
mod model;
mod norm;
mod op_index;
mod op_shape;
mod pool;
mod promote;
mod quantized;
mod recurrent;
mod reduce;
mod resize;
mod shape;
mod softmax;
mod tensor;
#[cfg(test)]
mod tests;
mod wrapper;

pub(crate) use call::shown;
pub(crate) use mask::{has_tensors, makes_mask, makes_masks, reads_masks_in_keras_2};
use netc_ir::{Attr, Builder, ElemType, Func, Layer, LayerId, Module, OpId, SourceOp, Type, ValueId};
use netc_pass::{Dialect, LowerError, Meaning, OpContext};

use crate::legacy::tensorflow::{self, NoTwin};
use crate::legacy::{self, Era, Modern};
use crate::ties::ties;
use call::Call;
use mask::Attaches;

/// Keras's own layers (`keras.Conv2D`) and operations (`keras.ops.Add`).
#[derive(Debug, Clone, Copy, Default)]
pub struct KerasDialect;

impl Dialect for KerasDialect {
    fn lower(&self, builder: &mut Builder<'_>, context: OpContext<'_>) -> netc_pass::Lowered {
        let era = Era::of(&builder.module().attrs);
        match context.layer {
            Some(layer) if era == Era::Before3 || legacy::is_legacy(&layer.config) => {
                lower_modern(builder, context, layer, era)
            }
            Some(_) | None => lower(builder, context, era),
        }
    }

    fn makes_masks(&self, module: &Module) -> bool {
        mask::makes_masks(module)
    }

    fn ties(&self, module: &Module) -> Vec<(LayerId, LayerId)> {
        ties(module)
    }

    fn order(&self, func: &Func) -> Option<Vec<OpId>> {
        mask::order(func)
    }
}

fn lower(builder: &mut Builder<'_>, context: OpContext<'_>, era: Era) -> netc_pass::Lowered {
    let name = &*context.op.name;
    let Some(entry) = entry(legacy::class_now(name)) else {
        return Err(LowerError::Unknown { class: name.rsplit('.').next().unwrap_or(name).into() });
    };
    if !context.op.absent.is_empty() {
        return Err(LowerError::Operands("layers of Keras have no operands that may be absent".into()));
    }
    let mut call = Call::new(builder, context);
    if era == Era::Before3 && call.flag_arg(usize::MAX, "training")? {
        // Keras 3's `predict` overrides it, Keras 2's does not.
        return Err(call.unsupported("`training` = true in its call"));
    }
    if era == Era::Before3 {
        call.has_masks_known_in_keras_2()?;
    }
    let answer = meaning(&mut call, entry);
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
fn lower_modern(builder: &mut Builder<'_>, context: OpContext<'_>, layer: &Layer, era: Era) -> netc_pass::Lowered {
    let own = &context.op.name;
    let unsupported = |what: String, types| LowerError::Unsupported { class: own.clone(), what, types };
    let operands: Vec<Type> = context.operands.iter().map(|x| builder.ty(*x).clone()).collect();
    let is_operation = tensorflow::is_operation(own);
    let Modern { layer, call } = match legacy::modern_call(layer, &context.op.attrs, &operands, era) {
        Ok(modern) => modern,
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
    // Keras 2 gives no mask to an operation of TensorFlow, and attaches none behind it.
    let masks = if is_operation { &[][..] } else { context.masks };
    let lowered = lower(builder, OpContext { op: &op, layer: Some(&layer), masks, ..context }, era);
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

/// Whether a layer of the class passes its input's mask to its result.
pub(crate) fn passes_mask(class: &str, config: Option<&Attr>) -> bool {
    match class.strip_prefix("keras.") {
        Some("LSTM" | "GRU" | "SimpleRNN" | "RNN" | "Bidirectional") => {
            let inner = config.and_then(|config| config.get("layer")).and_then(|layer| layer.get("config"));
            let says = |config: &Attr| config.get("return_sequences").and_then(Attr::as_bool);
            inner.or(config).and_then(says) == Some(true)
        }
        Some(_) => entry(class).is_some_and(|entry| matches!(entry.attaches, Attaches::Given(_))),
        None => false,
    }
}

fn meaning(call: &mut Call<'_, '_>, entry: &Entry) -> netc_pass::Lowered {
    let results = match entry.lower {
        Lower::One(lower) => lower(call).map(|y| vec![y]),
        Lower::Many(lower) => lower(call),
    }?;
    let masks = call.attachments(entry.attaches, &results)?;
    let (unmasked, repeats) = (std::mem::take(&mut call.unmasked), std::mem::take(&mut call.repeats));
    Ok(Meaning { results, masks, unmasked, repeats })
}

/// Keras converts integers and truth values wherever a function asks for floats. A lowering that does not is no error
/// of the model: it lacks a meaning, and can be split. Nor is one that asks more of a tensor than is known of it.
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

/// A class and its meaning.
pub struct Entry {
    /// The class, without `keras.` or `keras.ops.`.
    pub class: &'static str,
    /// What it computes, in one line.
    pub doc: &'static str,
    lower: Lower,
    attaches: Attaches,
}

impl Entry {
    /// The same, of a layer that attaches the mask of its first argument to its result.
    const fn passes_mask(self) -> Self {
        Self { attaches: Attaches::Given(None), ..self }
    }

    /// The same, of a layer that attaches the mask that it is given, perhaps as its argument at `position`.
    const fn passes_mask_at(self, position: usize) -> Self {
        Self { attaches: Attaches::Given(Some(position)), ..self }
    }
}

enum Lower {
    One(fn(&mut Call<'_, '_>) -> One),
    Many(fn(&mut Call<'_, '_>) -> Lowered),
}

/// The results of other lowerings.
type Lowered = Result<Vec<ValueId>, LowerError>;

/// The one result of most lowerings.
type One = Result<ValueId, LowerError>;

/// What a step of a lowering yields.
type Done<T = ()> = Result<T, LowerError>;

const fn one(class: &'static str, lower: fn(&mut Call<'_, '_>) -> One, doc: &'static str) -> Entry {
    Entry { class, doc, lower: Lower::One(lower), attaches: Attaches::Own }
}

const fn many(class: &'static str, lower: fn(&mut Call<'_, '_>) -> Lowered, doc: &'static str) -> Entry {
    Entry { class, doc, lower: Lower::Many(lower), attaches: Attaches::Own }
}

/// Every layer that has a meaning, by kind.
pub const LAYERS: &[&[Entry]] = &[
    conv::LAYERS,
    conv_transpose::LAYERS,
    pool::LAYERS,
    adaptive::LAYERS,
    dense::LAYERS,
    norm::LAYERS,
    activation::LAYERS,
    merge::LAYERS,
    shape::LAYERS,
    resize::LAYERS,
    attention::LAYERS,
    recurrent::LAYERS,
    conv_recurrent::LAYERS,
    wrapper::LAYERS,
    identity::LAYERS,
    category::LAYERS,
];

/// Every operation of `keras.ops` that has a meaning, by kind.
pub const OPS: &[&[Entry]] = &[
    elementwise::OPS,
    activation::OPS,
    reduce::OPS,
    op_shape::OPS,
    op_index::OPS,
    index::OPS,
    dense::OPS,
    conv::OPS,
    pool::OPS,
    resize::OPS,
    norm::OPS,
    identity::OPS,
];

/// The names of all source ops that have a meaning, with one line on each.
pub fn classes() -> impl Iterator<Item = (String, &'static str)> {
    let named = |prefix: &'static str, tables: &'static [&'static [Entry]]| {
        tables.iter().flat_map(|t| t.iter()).map(move |e| (format!("{prefix}{}", e.class), e.doc))
    };
    named("keras.", LAYERS).chain(named("keras.ops.", OPS))
}

/// The names of the activation functions that have a meaning.
pub fn activations() -> impl Iterator<Item = &'static str> {
    activation::FUNCTIONS.iter().map(|(name, _)| *name)
}

/// Whether an operation of this class has a meaning.
pub(crate) fn is_operation(class: &str) -> bool {
    OPS.iter().flat_map(|t| t.iter()).any(|e| e.class == class)
}

fn entry(name: &str) -> Option<&'static Entry> {
    let name = name.strip_prefix("keras.")?;
    let (class, tables) = match name.strip_prefix("ops.") {
        Some(class) => (class, OPS),
        None => (name, LAYERS),
    };
    tables.iter().flat_map(|t| t.iter()).find(|e| e.class == class)
}
