//! A model of Keras 3 as tf.keras 2.15 loads it: what the older declarations need besides, and what Keras 2 does not have.

use std::borrow::Cow;

use netc_ir::{Attr, Attrs, Func, Module, OpId, OpKind, SourceOp};

use super::calls::RECURRENT;
use super::{Era, KERAS_2, classes, older};
use crate::error::Problem;
use crate::write::BACKEND;

/// A key of Keras 3 that tf.keras 2.15 refuses.
struct Key {
    name: &'static str,
    /// The classes that have it; all, if there is none.
    of: &'static [&'static str],
    /// What Keras 2 computes anyway.
    without: Without,
}

/// For which values of a key the layer computes the same without it.
#[derive(Clone, Copy)]
enum Without {
    /// All: it is for training.
    Any,
    /// For null.
    Null,
    /// For false, and null.
    False,
    /// For one in each entry.
    Ones,
    /// For channels in the last place.
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
        without: Without::False,
    },
    Key { name: "input_axes", of: &["GlorotNormal", "GlorotUniform"], without: Without::Any },
    Key { name: "output_axes", of: &["GlorotNormal", "GlorotUniform"], without: Without::Any },
    Key { name: "rms_scaling", of: &["LayerNormalization"], without: Without::False },
    Key { name: "flash_attention", of: &["MultiHeadAttention"], without: Without::Any },
    Key { name: "sliding_window", of: &["MultiHeadAttention"], without: Without::Null },
    Key { name: "use_gate", of: &["MultiHeadAttention"], without: Without::False },
    Key { name: "antialias", of: &["Resizing"], without: Without::False },
    Key { name: "pad_to_aspect_ratio", of: &["Resizing"], without: Without::False },
    // Of the padding, which is refused.
    Key { name: "fill_mode", of: &["Resizing"], without: Without::Any },
    Key { name: "fill_value", of: &["Resizing"], without: Without::Any },
];

impl Without {
    fn is_same(self, value: &Attr) -> bool {
        match self {
            Self::Any => true,
            Self::Null => value.is_null(),
            Self::False => value.is_null() || value.as_bool() == Some(false),
            Self::Ones => {
                let ones = value.as_list().unwrap_or(std::slice::from_ref(value));
                ones.iter().all(|one| one.as_int() == Some(1))
            }
            Self::ChannelsLast => value.is_null() || value.as_str() == Some("channels_last"),
        }
    }
}

/// The module as one of tf.keras 2.15, which it is already if it is of before Keras 3.
///
/// # Errors
/// A layer that Keras 2 does not have, or that it computes otherwise.
pub(crate) fn as_keras_2(module: &Module) -> Result<Cow<'_, Module>, Problem> {
    if Era::of(&module.attrs) == Era::Before3 {
        return Ok(Cow::Borrowed(module));
    }
    for layer in &module.layers {
        let class = layer.class.rsplit('.').next().unwrap_or(&layer.class);
        let note = match () {
            () if layer.class.starts_with("keras.ops.") => format!("Keras 2 has no operation `{class}`"),
            () if layer.class.starts_with("keras.") && !classes::is_known(class, Era::Before3) => {
                format!("Keras 2 has no layer `{class}`")
            }
            () => continue,
        };
        return Err(Problem::NotKeras { place: format!("layer `{}`", layer.name), note });
    }
    let mut older = older(module)?.into_owned();
    older.attrs.set("backend", BACKEND);
    for layer in &mut older.layers {
        let refuse = |note| Problem::NotKeras { place: format!("layer `{}`", layer.name), note };
        layer.config = object(&layer.config).map_err(refuse)?;
    }
    for at in 0..older.funcs.len() {
        let calls = old_calls(&older.funcs[at], module);
        for (op, call) in calls {
            older.funcs[at].set_kind(op, OpKind::Source(Box::new(call)));
        }
    }
    Ok(Cow::Owned(older))
}

/// An object of a configuration without the keys that are new in Keras 3, and those in it.
fn object(declared: &Attrs) -> Result<Attrs, String> {
    let class = declared.get("class_name").and_then(Attr::as_str).unwrap_or_default();
    let Some(config) = declared.get("config").and_then(Attr::as_map) else { return Ok(declared.clone()) };
    let mut kept = Attrs::new();
    for (name, value) in config.iter() {
        let key = KEYS.iter().find(|key| key.name == &**name && (key.of.is_empty() || key.of.contains(&class)));
        match key {
            Some(key) if key.without.is_same(value) => {}
            Some(_) => return Err(format!("`{class}` of Keras {KERAS_2} has no `{name}`")),
            None => kept.set(name.clone(), nested(value)?),
        }
    }
    Ok(declared.clone().with("config", kept))
}

fn nested(value: &Attr) -> Result<Attr, String> {
    match value {
        Attr::Map(map) if map.get("class_name").is_some() => Ok(object(map)?.into()),
        Attr::List(items) => items.iter().map(nested).collect::<Result<_, _>>().map(Attr::List),
        Attr::Null | Attr::Bool(_) | Attr::Int(_) | Attr::Float(_) | Attr::Str(_) | Attr::Map(_) | Attr::Operand(_) => {
            Ok(value.clone())
        }
    }
}

/// The names of the arguments of `call`, of layers that take several tensors one by one.
const ARGUMENTS: &[(&str, &[&str])] =
    &[("keras.MultiHeadAttention", &["query", "value", "key"]), ("keras.Bidirectional", &["inputs"])];

/// The calls of a function that Keras 2 makes otherwise.
fn old_calls(func: &Func, module: &Module) -> Vec<(OpId, SourceOp)> {
    let mut calls = Vec::new();
    for (id, op) in func.ops() {
        let OpKind::Source(source) = &op.kind else { continue };
        let attrs = &source.attrs;
        let class = op.kind.layer().map_or("", |layer| &*module[layer].class);
        let mut args = attrs.get("args").and_then(Attr::as_list).unwrap_or_default().to_vec();
        let mut named = attrs.get("kwargs").and_then(Attr::as_map).cloned().unwrap_or_default();
        let names = ARGUMENTS.iter().find(|(of, _)| *of == class).map_or(&[][..], |(_, names)| names);
        if args.is_empty()
            && let Some(first) = names.first().and_then(|name| named.remove(name))
        {
            args.push(first);
        }
        if args.len() > 1 && args.len() <= names.len() {
            let rest = args.split_off(1);
            names[1..].iter().zip(rest).for_each(|(name, arg)| named.set(*name, arg));
        }
        if RECURRENT.contains(&class)
            && let Some(states) = named.remove("initial_state").filter(|states| !states.is_null())
        {
            let states = states.as_list().map_or_else(|| vec![states.clone()], <[Attr]>::to_vec);
            let sequence = args.pop().unwrap_or(Attr::Null);
            args = vec![Attr::List([vec![sequence], states].concat())];
        }
        let attrs = attrs.clone().with("args", Attr::List(args)).with("kwargs", named);
        calls.push((id, SourceOp { attrs, ..(**source).clone() }));
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(class: &str, key: &str, value: impl Into<Attr>) -> Attrs {
        Attrs::new().with("class_name", class).with("config", Attrs::new().with("name", "l").with(key, value))
    }

    #[test]
    fn new_keys_are_left_out_where_they_say_nothing() {
        let bare = Attrs::new().with("class_name", "LSTM").with("config", Attrs::new().with("name", "l"));
        for (key, value) in [("zero_output_for_mask", false.into()), ("seed", Attr::Int(7)), ("seed", Attr::Null)] {
            assert_eq!(object(&declared("LSTM", key, value)), Ok(bare.clone()), "{key}");
        }
        let dropout = declared("Dropout", "seed", 7);
        assert_eq!(object(&dropout), Ok(dropout));
    }

    #[test]
    fn new_keys_that_say_something_are_refused() {
        for (class, key, value) in [
            ("LSTM", "zero_output_for_mask", Attr::Bool(true)),
            ("Dense", "lora_rank", Attr::Int(4)),
            ("Resizing", "data_format", "channels_first".into()),
            ("Conv3DTranspose", "dilation_rate", Attr::List(vec![Attr::Int(1), Attr::Int(2), Attr::Int(1)])),
        ] {
            let wrapped = declared("TimeDistributed", "layer", declared(class, key, value));
            assert!(object(&wrapped).is_err_and(|note| note.contains(key)), "{key}");
        }
    }
}
