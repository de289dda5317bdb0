//! Layers that wrap another layer.

pub(crate) mod model;

use netc_dialect::{LowerError, LoweredOp, OpContext};
use netc_ir::{Attr, Attrs, CoreOp, Dim, Layer, SourceOp, Type, ValueId};

use crate::config::classes::dialect_class;
use crate::config::version::KerasVersion;
use crate::legacy::is_model;
use crate::lower::call::Call;
use crate::lower::entry::{Entry, many};
use crate::lower::result::{Result, bad};

pub(crate) const LAYERS: &[Entry] = &[
    many("TimeDistributed", time_distributed, "A layer applied to every step of a sequence.").passes_mask_at(2),
    many("SpectralNormalization", spectral_normalization, "The wrapped layer; training normalizes its kernel."),
    many("Bidirectional", bidirectional, "A recurrent layer that runs forwards and one that runs backwards."),
];

/// Runs all steps at once, as examples of a larger batch: a layer treats all examples alike.
fn time_distributed(c: &mut Call<'_, '_>) -> Result<Vec<ValueId>> {
    let [x] = c.raw_inputs_beside(&["inputs"], &["training", "mask"])?[..] else {
        return Err(LowerError::Operands("`TimeDistributed` takes one tensor".into()));
    };
    let dims = c.dims(x)?;
    let [batch, steps, rest @ ..] = &dims[..] else {
        return Err(c.unsupported(format!("a tensor of type {}", c.ty(x))));
    };
    let flat = c.reshape(x, [&[batch.times(steps)], rest].concat())?;
    let object = c.object("layer")?;
    let mask = match c.mask(2)? {
        Some(mask) if reads_mask(object) => Some(mask_of_examples(c, mask)?),
        Some(_) | None => None,
    };
    let results = c.apply("layer", object, InnerInputs { x: flat, mask, states: &[] }, &[]);
    // In the known result types, the batch axis holds the steps.
    let results = results.map_err(|error| {
        let LowerError::Unsupported { types, .. } = &error else { return error };
        let types = types.iter().map(|ty| steps_apart(ty, batch, steps)).collect();
        error.giving(types)
    });
    let results = results?.results;
    let back = |y: ValueId| {
        let dims = c.dims(y)?;
        let behind = dims.get(1..).unwrap_or_default();
        c.reshape(y, [&[batch.clone(), steps.clone()], behind].concat())
    };
    results.into_iter().map(back).collect()
}

/// `ty` with its first axis, which holds the steps of all examples, split into batch and steps.
fn steps_apart(ty: &Type, batch: &Dim, steps: &Dim) -> Type {
    let dims =
        ty.dims.as_ref().map(|dims| [&[batch.clone(), steps.clone()], dims.get(1..).unwrap_or_default()].concat());
    dims.map_or_else(|| ty.clone(), |dims| Type::new(ty.elem, dims))
}

/// The inputs of the inner layer.
#[derive(Clone, Copy)]
struct InnerInputs<'s> {
    x: ValueId,
    mask: Option<ValueId>,
    /// The initial states of a recurrent layer; empty if they are zeros.
    states: &'s [ValueId],
}

/// Whether a mask changes what the layer declared by `object` computes.
fn reads_mask(object: &Attrs) -> bool {
    let class = dialect_class(object, KerasVersion::Keras3);
    let others = ["keras.RNN", "keras.Bidirectional", "keras.TimeDistributed"];
    let others = others.into_iter().chain(["keras.GlobalAveragePooling1D", "keras.Softmax"]);
    RECURRENT.iter().copied().chain(others).any(|reader| reader == class.as_ref())
}

/// The mask of the inner layer, with the steps in the batch axis.
fn mask_of_examples(c: &mut Call<'_, '_>, mask: ValueId) -> Result<ValueId> {
    match &c.dims(mask)?[..] {
        [batch, steps, rest @ ..] if !rest.is_empty() => c.reshape(mask, [&[batch.times(steps)], rest].concat()),
        _ => Err(c.unsupported(format!("a mask of type {} for its inner layer", c.ty(mask)))),
    }
}

/// The inner layer holds the kernel; the other weights serve training. The result carries the inner layer's mask.
fn spectral_normalization(c: &mut Call<'_, '_>) -> Result<Vec<ValueId>> {
    let x = c.input()?;
    let object = c.object("layer")?;
    let LoweredOp { results, masks, .. } =
        c.apply("layer", object, InnerInputs { x, mask: None, states: &[] }, &c.attached_to_first())?;
    masks.into_iter().enumerate().for_each(|(i, mask)| c.attach(i, mask));
    let elem = c.elem(x);
    results.into_iter().map(|y| Ok(c.b.cast(y, elem)?)).collect()
}

/// The layers that `Bidirectional` may wrap. None of them wraps another layer, so the recursion ends.
const RECURRENT: &[&str] = &["keras.SimpleRNN", "keras.GRU", "keras.LSTM"];

fn bidirectional(c: &mut Call<'_, '_>) -> Result<Vec<ValueId>> {
    let tensors = c.raw_inputs_beside(&["inputs", "sequences"], &["initial_state", "mask"])?;
    let [x] = tensors[..] else { return Err(c.unsupported(format!("{} sequences", tensors.len()))) };
    let states = match c.arg(1, "initial_state") {
        Some(states) => c.tensors(Some(states))?,
        None => Vec::new(),
    };
    if states.len() % 2 != 0 {
        return Err(c.unsupported(format!("{} initial states", states.len())));
    }
    let object = c.object("layer")?;
    for inner in [Some(object), c.get("backward_layer").and_then(Attr::as_map)].into_iter().flatten() {
        let class = dialect_class(inner, KerasVersion::Keras3);
        if !RECURRENT.contains(&&*class) {
            return Err(c.unsupported(format!("an inner layer of the class `{class}`")));
        }
    }
    let mask = c.mask(2)?;
    let (first, last) = states.split_at(states.len() / 2);
    let (given, turned_given) = (InnerInputs { x, mask, states: first }, InnerInputs { x, mask, states: last });
    let forward = c.apply("forward_layer", &zeroing(object), given, &[]).map_err(|error| merged_types(c, error))?;
    let backward = match c.get("backward_layer").and_then(Attr::as_map) {
        Some(own) => c.apply("backward_layer", &zeroing(own), turned_given, &[])?,
        None => c.apply("backward_layer", &zeroing(&turned(object)), turned_given, &[])?,
    };
    let (forward, backward) = (forward.results, backward.results);
    let flag = |key| object.get("config").and_then(|c| c.get(key)).and_then(Attr::as_bool) == Some(true);
    let ([y, states @ ..], [z, other_states @ ..]) = (&forward[..], &backward[..]) else {
        return Err(c.unsupported("an inner layer without a result"));
    };
    let z = if flag("return_sequences") { c.reverse(*z, 1)? } else { *z };
    let merged = merge(c, *y, z)?;
    if flag("return_sequences") {
        (0..merged.len()).for_each(|i| c.attach(i, mask));
    }
    Ok([&merged[..], states, other_states].concat())
}

/// `error` with the result types of the whole layer, derived from those of the forward layer if they are known.
fn merged_types(c: &Call<'_, '_>, error: LowerError) -> LowerError {
    let LowerError::Unsupported { types, .. } = &error else { return error };
    let Some((y, states)) = types.split_first() else { return error };
    let merged = match c.get("merge_mode").and_then(Attr::as_str) {
        None => vec![y.clone(), y.clone()],
        Some("concat") => vec![doubled(y)],
        Some(_) => vec![y.clone()],
    };
    let types = [&merged[..], states, states].concat();
    error.giving(types)
}

/// `ty` with its last extent doubled.
fn doubled(ty: &Type) -> Type {
    let mut dims = ty.dims.clone();
    if let Some(last) = dims.as_mut().and_then(|d| d.last_mut()) {
        *last = last.times(&Dim::Known(2));
    }
    Type { elem: ty.elem, dims }
}

fn merge(c: &mut Call<'_, '_>, y: ValueId, z: ValueId) -> Result<Vec<ValueId>> {
    if !c.has("merge_mode") {
        return Ok(vec![y, z]);
    }
    Ok(vec![match c.one_of("merge_mode", &["concat", "sum", "mul", "ave"])? {
        "sum" => c.add(y, z)?,
        "mul" => c.mul(y, z)?,
        "ave" => {
            let sum = c.add(y, z)?;
            c.div(sum, 2.0)?
        }
        _ => {
            let last = c.rank(y)? - 1;
            c.b.core(CoreOp::Concat(last as u64), &[y, z])?
        }
    }])
}

/// The declaration `object` with the opposite direction.
fn turned(object: &Attrs) -> Attrs {
    let mut config = object.get("config").and_then(Attr::as_map).cloned().unwrap_or_default();
    let backwards = config.get("go_backwards").and_then(Attr::as_bool) == Some(true);
    config.set("go_backwards", !backwards);
    object.clone().with("config", config)
}

/// The declaration `object` as `Bidirectional` changes it: an output sequence is zero where a mask skips a step.
fn zeroing(object: &Attrs) -> Attrs {
    let mut config = object.get("config").and_then(Attr::as_map).cloned().unwrap_or_default();
    let sequences = config.get("return_sequences").and_then(Attr::as_bool) == Some(true);
    config.set("zero_output_for_mask", sequences);
    object.clone().with("config", config)
}

impl<'a> Call<'a, '_> {
    /// The declaration of a layer at `key` of the configuration.
    fn object(&self, key: &str) -> Result<&'a Attrs> {
        let found = self.get(key);
        found.and_then(Attr::as_map).ok_or_else(|| bad(key, found, "the declaration of a layer"))
    }

    /// Lowers the layer declared by `object`, whose weights are below `place`, on the inputs `given`. `masks` are
    /// attached to the input tensor.
    fn apply(
        &mut self,
        place: &str,
        object: &Attrs,
        given: InnerInputs<'_>,
        masks: &[Option<ValueId>],
    ) -> Result<LoweredOp> {
        let class = dialect_class(object, KerasVersion::Keras3);
        let below = |at: &str| at.strip_prefix(place)?.strip_prefix('/').map(Into::into);
        let weights = self.weights().iter().filter_map(|(at, weight)| Some((below(at)?, *weight))).collect();
        let layer = Layer {
            name: self.class().into(),
            class: class.clone(),
            config: object.clone(),
            weights,
            assets: Vec::new(),
        };
        let config = object.get("config").and_then(Attr::as_map);
        if let Some(config) = config.filter(|config| is_model(&class, config)) {
            if given.mask.is_some() || !given.states.is_empty() || masks.iter().any(Option::is_some) {
                return Err(self.unsupported("a mask or initial states for its inner model"));
            }
            return self.model(place, config, given.x);
        }
        let mut operands = vec![given.x];
        let mut kwargs = Attrs::new();
        if let Some(mask) = given.mask {
            operands.push(mask);
            kwargs.set("mask", Attr::Operand(1));
        }
        if !given.states.is_empty() {
            let numbers = (operands.len() as u32..).take(given.states.len());
            kwargs.set("initial_state", Attr::List(numbers.map(Attr::Operand).collect()));
            operands.extend(given.states);
        }
        let attrs = Attrs::new().with("args", Attr::List(vec![Attr::Operand(0)])).with("kwargs", kwargs);
        let op = SourceOp::new(class, None, attrs);
        let (purpose, dialects) = (self.purpose, self.dialects);
        let context = OpContext { op: &op, layer: Some(&layer), operands: &operands, masks, purpose, dialects };
        let lowered = self.lower_inner(context).map_err(|error| {
            let LowerError::Unknown { class } = error else { return error };
            self.unsupported(format!("the inner layer `{class}`"))
        });
        let meaning = lowered?;
        self.repeats.extend(meaning.repeats.iter().cloned());
        Ok(meaning)
    }
}
