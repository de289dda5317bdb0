//! Converts a Keras 3 model to tf.keras 2.15. Rejects what Keras 2 does not have.

use std::borrow::Cow;

use netc_ir::{Attr, Attrs, ElemType, Func, Module, Name, Op, OpId, OpKind, SourceOp, ValueId};

use crate::config::attrs::BACKEND;
use crate::config::call::trains;
use crate::config::classes;
use crate::config::declaration::makes_mask;
use crate::config::keys::INNER;
use crate::config::version::KerasVersion;
use crate::error::{Problem, Result};
use crate::legacy::calls::RECURRENT;
use crate::legacy::downgrade::{Reader, downgrade};
use crate::legacy::old_call;
use crate::legacy::tensorflow::{self, Twin};

/// A Keras 3 key that tf.keras 2.15 rejects.
struct Key {
    name: &'static str,
    /// The classes that have the key; empty for all.
    of: &'static [&'static str],
    /// The values for which Keras 2 computes the same without the key.
    without: Without,
}

/// When a layer computes the same without a key.
#[derive(Clone, Copy)]
enum Without {
    /// For any value: the key concerns training, or does not change the result.
    Any,
    /// For null.
    Null,
    /// For false and null.
    False,
    /// For false and null. Keras 2 accepts the key if it is true.
    Unsaid,
    /// If all items are 1.
    Ones,
    /// For `channels_last`.
    ChannelsLast,
}

const LAST: &[&str] = &[
    "CenterCrop",
    "RandomBrightness",
    "RandomContrast",
    "RandomCrop",
    "RandomFlip",
    "RandomRotation",
    "RandomTranslation",
    "RandomZoom",
    "Resizing",
    "ZeroPadding1D",
];

const KEYS: &[Key] = &[
    Key { name: "lora_rank", of: &[], without: Without::Null },
    Key { name: "lora_alpha", of: &[], without: Without::Any },
    Key { name: "quantization_config", of: &[], without: Without::Null },
    Key { name: "optional", of: &["InputLayer"], without: Without::False },
    Key {
        name: "seed",
        of: &[
            "AdditiveAttention",
            "Attention",
            "ConvLSTM1D",
            "ConvLSTM2D",
            "ConvLSTM3D",
            "GRU",
            "GRUCell",
            "LSTM",
            "LSTMCell",
            "MultiHeadAttention",
            "SimpleRNN",
            "SimpleRNNCell",
        ],
        without: Without::Any,
    },
    Key { name: "noise_shape", of: &["AlphaDropout"], without: Without::Any },
    Key { name: "synchronized", of: &["BatchNormalization"], without: Without::Any },
    Key { name: "data_format", of: LAST, without: Without::ChannelsLast },
    Key { name: "data_format", of: &["SpatialDropout2D", "SpatialDropout3D"], without: Without::Any },
    Key { name: "value_range", of: &["RandomContrast"], without: Without::Any },
    Key { name: "dilation_rate", of: &["Conv3DTranspose"], without: Without::Ones },
    Key { name: "output_padding", of: &["Conv1DTranspose"], without: Without::Null },
    Key {
        name: "zero_output_for_mask",
        of: &["ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "GRU", "LSTM", "RNN", "SimpleRNN"],
        without: Without::Unsaid,
    },
    Key { name: "input_axes", of: &["GlorotNormal", "GlorotUniform"], without: Without::Any },
    Key { name: "output_axes", of: &["GlorotNormal", "GlorotUniform"], without: Without::Any },
    Key { name: "rms_scaling", of: &["LayerNormalization"], without: Without::False },
    Key { name: "flash_attention", of: &["MultiHeadAttention"], without: Without::Any },
    Key { name: "sliding_window", of: &["MultiHeadAttention"], without: Without::Null },
    Key { name: "use_gate", of: &["MultiHeadAttention"], without: Without::False },
    Key { name: "antialias", of: &["Resizing"], without: Without::False },
    Key { name: "pad_to_aspect_ratio", of: &["Resizing"], without: Without::False },
    // Options of padding, which is rejected.
    Key { name: "fill_mode", of: &["Resizing"], without: Without::Any },
    Key { name: "fill_value", of: &["Resizing"], without: Without::Any },
];

impl Without {
    fn is_same(self, value: &Attr) -> bool {
        match self {
            Self::Any => true,
            Self::Null => value.is_null(),
            Self::False | Self::Unsaid => value.is_null() || value.as_bool() == Some(false),
            Self::Ones => {
                let ones = value.as_list().unwrap_or(std::slice::from_ref(value));
                ones.iter().all(|one| one.as_int() == Some(1))
            }
            Self::ChannelsLast => value.is_null() || value.as_str() == Some("channels_last"),
        }
    }
}

/// Converts the module to tf.keras 2.15. Returns a module of older Keras unchanged.
///
/// # Errors
/// A layer that Keras 2 does not have or computes differently.
pub(crate) fn as_keras_2(module: &Module) -> Result<Cow<'_, Module>> {
    if KerasVersion::of(&module.attrs) == KerasVersion::Legacy {
        return Ok(Cow::Borrowed(module));
    }
    refuse_masks_of_models(module)?;
    let mut downgraded = downgrade(module, Reader::Keras2)?.into_owned();
    downgraded.attrs.set("backend", BACKEND);
    for layer in &mut downgraded.layers {
        let refuse = |note| Problem::NotKeras { place: format!("layer `{}`", layer.name), note };
        let class = layer.class.rsplit('.').next().unwrap_or(&layer.class);
        if !is_scope(&layer.name) {
            return Err(refuse(
                "Keras 2 does not allow its name: a name begins with a letter, digit or dot and has no spaces".into(),
            ));
        }
        if layer.class.starts_with("keras.ops.") {
            let twin = tensorflow::back(&layer.class)
                .ok_or_else(|| refuse(format!("netc does not write the operation `{class}` for Keras 2")))?;
            if let Some(option) = option(&layer.config) {
                return Err(refuse(format!("netc does not write the operation `{class}` with `{option}` for Keras 2")));
            }
            layer.class = format!("tf.{}", twin.of).into();
            layer.config = declaration(twin.of, &layer.name);
        } else if layer.class.starts_with("keras.") && !classes::is_known(class, KerasVersion::Legacy) {
            return Err(refuse(format!("Keras 2 has no layer `{class}`")));
        } else if &*layer.class == "keras.SpectralNormalization" {
            return Err(refuse("tf.keras cannot find the class `SpectralNormalization` in an HDF5 file".into()));
        } else if &*layer.class == "keras.RandomCrop" {
            return Err(refuse("in inference it crops in Keras 2, but not in Keras 3".into()));
        } else if &*layer.class == "keras.Lambda" {
            return Err(refuse("netc does not know how Keras 2 writes the function of a `Lambda`".into()));
        } else if !layer.class.starts_with("keras.") && holds_object(&layer.config) {
            return Err(refuse("its configuration contains an object, which has another form in Keras 2".into()));
        } else if has_graph(&layer.config) {
            return Err(refuse("netc does not convert the calls in the model inside it to Keras 2".into()));
        }
    }
    for at in 0..downgraded.funcs.len() {
        for (op, call) in old_calls(&downgraded.funcs[at], module)? {
            downgraded.funcs[at].set_kind(op, OpKind::Source(Box::new(call)));
        }
    }
    Ok(Cow::Owned(downgraded))
}

/// Whether TensorFlow accepts the name as a scope.
fn is_scope(name: &str) -> bool {
    let is_first = |c: char| c.is_ascii_alphanumeric() || c == '.';
    name.starts_with(is_first) && name.chars().all(|c| is_first(c) || "_\\/>-".contains(c))
}

/// Rejects a module in which masks may enter or leave nested models, because Keras 2 handles them differently.
fn refuse_masks_of_models(module: &Module) -> Result<()> {
    let nested = module.funcs.iter().flat_map(Func::ops).find_map(|(_, op)| match &op.kind {
        OpKind::Call(call) => call.layer,
        OpKind::Source(_) | OpKind::Core(_) => None,
    });
    let Some(layer) = nested.filter(|_| module.layers.iter().any(makes_mask)) else { return Ok(()) };
    let note = "netc does not know what Keras 2 does with masks in a nested model; dissolve it with `--pass inline`";
    Err(Problem::NotKeras { place: format!("layer `{}`", module[layer].name), note: note.into() })
}

/// Whether a configuration contains an object of a class, other than the dtype policy.
pub(crate) fn holds_object(object: &Attrs) -> bool {
    let config = object.get("config").and_then(Attr::as_map).into_iter().flat_map(Attrs::iter);
    config.filter(|(key, _)| &**key != "dtype").any(|(_, value)| value.get("class_name").is_some())
}

/// Whether a layer's configuration contains a Functional model.
fn has_graph(object: &Attrs) -> bool {
    let config = object.get("config").and_then(Attr::as_map);
    let inner = INNER.iter().filter_map(|key| config?.get(key)?.as_map());
    inner.into_iter().any(|object| {
        let is_graph = object.get("config").is_some_and(|config| config.get("input_layers").is_some());
        is_graph || has_graph(object)
    })
}

/// The layer that Keras 2 makes for a TensorFlow operation. Only `function` matters.
fn declaration(function: &str, name: &str) -> Attrs {
    let config =
        Attrs::new().with("name", name).with("trainable", true).with("dtype", "float32").with("function", function);
    Attrs::new().with("class_name", "TFOpLambda").with("config", config).with("name", name)
}

/// An option in the configuration of an operation: any entry except its name and the default `alpha` = 1 of `Elu`.
fn option(object: &Attrs) -> Option<&str> {
    let config = object.get("config").and_then(Attr::as_map)?;
    let says = |(key, value): &&(Name, Attr)| match &**key {
        "name" => false,
        "alpha" => value.as_f64().is_none_or(|alpha| (alpha - 1.0).abs() > 0.0),
        _ => !value.is_null(),
    };
    config.iter().find(says).map(|(key, _)| &**key)
}

/// The meaning of a configuration entry in Keras 2.
pub(super) enum Said {
    /// None: the layer computes the same without it, so it can be dropped.
    Nothing,
    /// The same as in Keras 3.
    Known,
    /// Keras 2 does not support this value.
    Unknown,
}

/// The meaning of `key` = `value` for a layer of the class in tf.keras 2.15.
pub(super) fn said(class: &str, key: &str, value: &Attr) -> Said {
    let key = KEYS.iter().find(|it| it.name == key && (it.of.is_empty() || it.of.contains(&class)));
    match key {
        None => Said::Known,
        Some(key) if key.without.is_same(value) => Said::Nothing,
        Some(Key { without: Without::Unsaid, .. }) => Said::Known,
        Some(_) => Said::Unknown,
    }
}

/// The names of the tensor arguments, for layers that can be called with keyword arguments or several tensors.
fn arguments(class: &str) -> &'static [&'static str] {
    match class {
        "keras.MultiHeadAttention" => &["query", "value", "key"],
        "keras.Bidirectional" => &["inputs"],
        _ if RECURRENT.contains(&class) => &["sequences"],
        _ => &[],
    }
}

/// Converts the calls of a function to those of Keras 2.
fn old_calls(func: &Func, module: &Module) -> Result<Vec<(OpId, SourceOp)>> {
    let mut calls = Vec::new();
    for (id, op) in func.ops() {
        let OpKind::Source(source) = &op.kind else { continue };
        let layer = op.kind.layer().map(|layer| &module[layer]);
        let refuse = |note: String| {
            let place = layer.map_or_else(|| op.loc.to_string(), |layer| format!("layer `{}`", layer.name));
            Problem::NotKeras { place, note }
        };
        let class = layer.map_or("", |layer| &*layer.class);
        let operation = tensorflow::back(class);
        match operation {
            Some(operation) => check_types(func, op, operation).map_err(refuse)?,
            None => check_floats(func, op, class).map_err(refuse)?,
        }
        let mut args = source.attrs.get("args").and_then(Attr::as_list).unwrap_or_default().to_vec();
        let mut named = source.attrs.get("kwargs").and_then(Attr::as_map).cloned().unwrap_or_default();
        let of_operation = operation.map(|twin| [&["x"], twin.more.unwrap_or_default()].concat());
        let names = of_operation.as_deref().unwrap_or(arguments(class));
        if args.is_empty()
            && let Some(first) = names.first().and_then(|name| named.remove(name))
        {
            args.push(first);
        }
        if args.len() > 1 && args.len() <= names.len() {
            let rest = args.split_off(1);
            names[1..].iter().zip(rest).for_each(|(name, arg)| named.set(*name, arg));
        }
        let states = named.get("initial_state").filter(|states| RECURRENT.contains(&class) && !states.is_null());
        if states.is_some() && module.layers.iter().any(makes_mask) {
            return Err(refuse("Keras 3 drops masks in a call with initial states, but Keras 2 does not".into()));
        }
        if let (Some(states), [sequence]) = (states, &args[..]) {
            let states = states.as_list().unwrap_or(std::slice::from_ref(states));
            args = vec![Attr::List([std::slice::from_ref(sequence), states].concat())];
            named.remove("initial_state");
        }
        if trains(&source.attrs) {
            // `predict` overrides the argument in Keras 3, but not in Keras 2.
            named.remove("training");
        }
        if operation.is_some() && op.results.first().is_some_and(|value| func[*value].ty.elem.is_float()) {
            args.iter_mut().for_each(as_float);
        }
        let args: Vec<Attr> = args.iter().map(|arg| constant(arg, true)).collect::<Result<_, _>>().map_err(refuse)?;
        let named = constant(&named.into(), false).map_err(refuse)?;
        let attrs = source.attrs.clone().with("args", Attr::List(args)).with("kwargs", named);
        let name = operation.map_or_else(|| source.name.clone(), |it| format!("tf.{}", it.of).into());
        calls.push((id, SourceOp::new(name, source.layer, attrs)));
    }
    Ok(calls)
}

/// Operations that TensorFlow also computes for integers.
const OF_INTEGERS: &[&str] =
    &["Absolute", "Add", "Maximum", "Minimum", "Multiply", "Negative", "Relu", "Square", "Subtract"];

/// Rejects an operation if Keras 3 converts the types of its inputs, because TensorFlow does not.
fn check_types(func: &Func, op: &Op, operation: &Twin) -> Result<(), String> {
    let result = op.results.first().map_or(ElemType::Any, |value| func[*value].ty.elem);
    let is_same = op.operands.iter().all(|value| func[*value].ty.elem == result);
    if is_same && (result.is_float() || result.is_int() && OF_INTEGERS.contains(&operation.class)) {
        return Ok(());
    }
    Err(format!("Keras 3 converts the input types of `{}`, but TensorFlow does not", operation.class))
}

/// Layers that convert integers to floats in both Keras 2 and Keras 3.
const CAST: &[&str] = &[
    "keras.CategoryEncoding",
    "keras.CenterCrop",
    "keras.Dense",
    "keras.Embedding",
    "keras.Normalization",
    "keras.RandomBrightness",
    "keras.RandomContrast",
    "keras.RandomFlip",
    "keras.RandomRotation",
    "keras.RandomTranslation",
    "keras.RandomZoom",
    "keras.Rescaling",
    "keras.Resizing",
];

/// Rejects a Keras layer that converts integers to floats in Keras 3 but not in Keras 2.
pub(crate) fn check_floats(func: &Func, op: &Op, class: &str) -> Result<(), String> {
    let is_int = |value: &ValueId| func[*value].ty.elem.is_int() || func[*value].ty.elem == ElemType::Bool;
    let gives_float = op.results.first().is_some_and(|value| func[*value].ty.elem.is_float());
    let is_layer = class.starts_with("keras.") && !class.starts_with("keras.ops.");
    if is_layer && op.operands.first().is_some_and(is_int) && gives_float && !CAST.contains(&class) {
        return Err("Keras 3 converts its integer inputs to floats, but Keras 2 does not".into());
    }
    Ok(())
}

/// Makes a number a float, because TensorFlow converts all arguments to the type of the first.
fn as_float(arg: &mut Attr) {
    let number = arg.as_f64().or_else(|| arg.as_bool().map(f64::from));
    if let Some(number) = number {
        *arg = number.into();
    }
}

/// Converts the arrays in an argument from their Keras 3 form. Marks them if they are part of the first argument.
fn constant(arg: &Attr, is_first: bool) -> Result<Attr, String> {
    match (arg.get("class_name").and_then(Attr::as_str), arg.get("config")) {
        (Some("__numpy__" | "__tensor__"), Some(config)) => {
            let is_f32 = config.get("dtype").and_then(Attr::as_str) == Some("float32");
            let value = config.get("value").filter(|_| is_f32).ok_or("a constant array whose type is not float32")?;
            Ok(if is_first { old_call::array(value) } else { value.clone() })
        }
        (Some(class), _) => Err(format!("Keras 2 does not support an argument of class `{class}` in a call")),
        (None, _) => arg.try_map_children(|value| constant(value, is_first)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_keys_without_effect_are_dropped() {
        let ones = |list: &[i64]| Attr::List(list.iter().map(|n| Attr::from(*n)).collect());
        for (class, key, value, expected) in [
            ("LSTM", "zero_output_for_mask", Attr::Bool(false), "nothing"),
            ("LSTM", "zero_output_for_mask", Attr::Bool(true), "known"),
            ("LSTM", "seed", Attr::Int(7), "nothing"),
            ("Dropout", "seed", Attr::Int(7), "known"),
            ("Dense", "lora_rank", Attr::Null, "nothing"),
            ("Dense", "lora_rank", Attr::Int(4), "unknown"),
            ("Resizing", "data_format", "channels_first".into(), "unknown"),
            ("Conv2D", "data_format", "channels_first".into(), "known"),
            ("Conv3DTranspose", "dilation_rate", ones(&[1, 1, 1]), "nothing"),
            ("Conv3DTranspose", "dilation_rate", ones(&[1, 2, 1]), "unknown"),
        ] {
            let found = match said(class, key, &value) {
                Said::Nothing => "nothing",
                Said::Known => "known",
                Said::Unknown => "unknown",
            };
            assert_eq!(found, expected, "{class} {key}");
        }
    }
}
