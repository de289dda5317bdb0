//! Expresses the `hard_sigmoid` of Keras 1 and 2 in Keras 3.
//!
//! The old function is `clip(0.2 * x + 0.5, 0, 1)`, that of Keras 3 is `clip(x / 6 + 0.5, 0, 1)`, so the old one of `x`
//! equals the new one of `1.2 * x`. If `x` is linear in the layer's weights, the weights are multiplied by 1.2. An
//! `Activation` becomes a chain of layers that computes the old function.

use std::borrow::Cow;

use netc_data::dtype_name;
use netc_data::{DataError, Store};
use netc_ir::{Attr, Attrs, Func, Layer, LayerId, Literal, Module, Number, Op, Weight, WeightData};

use crate::config::declaration::{input_declaration, shape};
use crate::config::keys::{ACTIVATIONS, NEW_HARD_SIGMOID};
use crate::config::version::KerasVersion;

/// The factor for weights.
const FACTOR: f64 = 1.2;

/// The elements of a layer's weights that determine the argument of a function.
#[derive(Clone, Copy)]
pub(crate) struct Columns {
    /// The number of leading weights that do not count.
    skip: usize,
    /// The number of equal parts of the last axis, and the parts that count.
    parts: usize,
    of: &'static [usize],
}

const ALL: Columns = Columns { skip: 0, parts: 1, of: &[0] };

/// The columns that determine the argument of the function at `key`. `None` if the layer also applies it to something
/// else.
fn columns(class: &str, key: &str) -> Option<Columns> {
    match (class, key) {
        (
            "Conv1D" | "Conv1DTranspose" | "Conv2D" | "Conv2DTranspose" | "Conv3D" | "Conv3DTranspose" | "Dense"
            | "DepthwiseConv1D" | "DepthwiseConv2D" | "EinsumDense" | "SimpleRNN",
            "activation",
        ) => Some(ALL),
        ("SeparableConv1D" | "SeparableConv2D", "activation") => Some(Columns { skip: 1, ..ALL }),
        // The gates are input, forget, candidate and output; update, reset and candidate.
        ("LSTM" | "ConvLSTM1D" | "ConvLSTM2D" | "ConvLSTM3D", "recurrent_activation") => {
            Some(Columns { skip: 0, parts: 4, of: &[0, 1, 3] })
        }
        ("GRU", "recurrent_activation") => Some(Columns { skip: 0, parts: 3, of: &[0, 1] }),
        ("GRU", "activation") => Some(Columns { skip: 0, parts: 3, of: &[2] }),
        _ => None,
    }
}

/// Converts layers with the old `hard_sigmoid` to Keras 3, where possible. The multiplied weights are inline in the
/// module; the others stay in `store`.
pub(crate) fn with_new_gates<'m>(module: &'m Module, store: &Store) -> Result<Cow<'m, Module>, DataError> {
    let mut changed = Cow::Borrowed(module);
    for (id, change) in gate_changes(module) {
        let (module, i) = (changed.to_mut(), id.index());
        match change {
            GateChange::Clipped(layer) => module.layers[i] = layer,
            GateChange::Scaled(config, scaled) => {
                module.layers[i].config = config;
                for (place, columns) in scaled {
                    let weight = multiplied(&module[module.layers[i].weights[place].1], columns, store)?;
                    module.layers[i].weights[place].1 = module.add_weight(weight);
                }
            }
        }
    }
    Ok(changed)
}

/// What [`with_new_gates`] does to a layer.
pub(crate) enum GateChange {
    /// The layer becomes a model.
    Clipped(Layer),
    /// The layer gets this declaration, and these columns of its weights are multiplied.
    Scaled(Attrs, Vec<(usize, Columns)>),
}

/// The changes that [`with_new_gates`] makes, by layer.
pub(crate) fn gate_changes(module: &Module) -> impl Iterator<Item = (LayerId, GateChange)> {
    of_before(module).filter_map(|id| {
        let clipped = clipped(module, id).map(GateChange::Clipped);
        let change = clipped.or_else(|| scaled(module, &module[id]).map(|(c, s)| GateChange::Scaled(c, s)));
        Some((id, change?))
    })
}

fn of_before(module: &Module) -> impl Iterator<Item = LayerId> {
    let before = KerasVersion::of(&module.attrs) == KerasVersion::Legacy;
    let ids = (0..module.layers.len()).map(LayerId::new);
    ids.filter(move |id| before && module[*id].class.starts_with("keras."))
}

fn is_old(config: &Attrs, key: &str) -> bool {
    config.get(key).and_then(Attr::as_str) == Some("hard_sigmoid")
}

/// An `Activation` as a model of two layers, if its input type is known and the same in all calls.
fn clipped(module: &Module, id: LayerId) -> Option<Layer> {
    let layer = &module[id];
    let config = layer.config.get("config").and_then(Attr::as_map)?;
    if &*layer.class != "keras.Activation" || !is_old(config, "activation") {
        return None;
    }
    let calls = module.funcs.iter().flat_map(|func| func.ops().map(move |(_, op)| (func, op)));
    let mut calls = calls.filter(|(_, op)| op.kind.layer() == Some(id));
    let given = |(func, op): (&'_ Func, &Op)| op.operands.first().map(|x| func[*x].ty.clone());
    let ty = given(calls.next()?)?;
    if !calls.all(|call| given(call).as_ref() == Some(&ty)) {
        return None;
    }
    let input = input_declaration("input", shape(&ty)?, dtype_name(ty.elem), None, KerasVersion::Keras3);
    let entry = |class: &str, name: &str, config: Attrs| {
        let object = Attrs::new().with("module", "keras.layers").with("class_name", class);
        Attr::Map(object.with("config", config.with("name", name)).with("registered_name", Attr::Null))
    };
    let layers = vec![
        Attr::Map(input.config),
        entry("Rescaling", "rescaling", Attrs::new().with("scale", 0.2).with("offset", 0.5)),
        entry("ReLU", "re_lu", Attrs::new().with("max_value", 1.0)),
    ];
    let mut whole = Attrs::new().with("layers", Attr::List(layers));
    for key in ["name", "trainable", "dtype"] {
        config.get(key).into_iter().for_each(|value| whole.set(key, value.clone()));
    }
    let config = layer.config.clone().with("class_name", "Sequential").with("config", whole);
    Some(Layer { class: "keras.Sequential".into(), config, ..layer.clone() })
}

/// The converted declaration of a layer, and the weights to multiply. `None` if there is nothing to convert or it
/// cannot be converted.
fn scaled(module: &Module, layer: &Layer) -> Option<(Attrs, Vec<(usize, Columns)>)> {
    let mut found = Vec::new();
    let places: Vec<(&str, usize)> = layer.weights.iter().enumerate().map(|(i, (place, _))| (&**place, i)).collect();
    let config = with_new(&layer.config, &places, &mut found);
    let fits = |(place, columns): &(usize, Columns)| {
        let last = module[layer.weights[*place].1].ty.fixed_dims().and_then(|dims| dims.last().copied());
        last.is_some_and(|n| n > 0 && n.is_multiple_of(columns.parts as u64))
    };
    (!found.is_empty() && found.iter().all(fits)).then_some((config, found))
}

/// Converts the functions of a declaration wherever the layer's weights can be multiplied. Adds these weights to
/// `found`. `weights` are the layer's, by place.
fn with_new(object: &Attrs, weights: &[(&str, usize)], found: &mut Vec<(usize, Columns)>) -> Attrs {
    let class = object.get("class_name").and_then(Attr::as_str).unwrap_or_default();
    let Some(config) = object.get("config").and_then(Attr::as_map) else { return object.clone() };
    let mut new = config.clone();
    for key in ACTIVATIONS.iter().filter(|key| is_old(config, key)) {
        if let Some(columns) = columns(class, key) {
            found.extend(weights.iter().skip(columns.skip).map(|(_, i)| (*i, columns)));
            new.set(*key, NEW_HARD_SIGMOID);
        }
    }
    let mut inner = |key: &str, part: &str| {
        let below = weights.iter().filter_map(|(place, i)| Some((place.strip_prefix(part)?.strip_prefix('/')?, *i)));
        let weights: Vec<(&str, usize)> = below.collect();
        if let Some(object) = config.get(key).and_then(Attr::as_map) {
            new.set(key, with_new(object, &weights, found));
        }
    };
    match class {
        "TimeDistributed" => inner("layer", "layer"),
        "Bidirectional" => {
            inner("layer", "forward_layer");
            // Both directions may share one declaration.
            let own = config.get("backward_layer").is_some();
            inner(if own { "backward_layer" } else { "layer" }, "backward_layer");
        }
        _ => {}
    }
    object.clone().with("config", new)
}

/// Multiplies some columns of a weight, whose last axis is divisible by the number of parts.
fn multiplied(weight: &Weight, columns: Columns, store: &Store) -> Result<Weight, DataError> {
    let dims = weight.ty.fixed_dims().unwrap_or_default();
    let last = dims.last().map_or(columns.parts, |n| *n as usize);
    let old = Literal { elem: weight.ty.elem, dims: dims.clone(), bytes: store.read(weight)?.into() };
    let number = |(i, number): (usize, Number)| {
        let part = i % last / (last / columns.parts);
        let factor = if columns.of.contains(&part) { FACTOR } else { 1.0 };
        Number::Float(number.as_f64() * factor)
    };
    let new = Literal::dense(old.elem, &dims, old.numbers().enumerate().map(number));
    Ok(Weight { data: WeightData::Inline(new), ..weight.clone() })
}
