//! A model of Keras 3 as tf.keras 2.15 loads it: what the older declarations need besides, and what Keras 2 does not have.

use std::borrow::Cow;
use std::collections::BTreeSet;

use netc_ir::{Attr, Attrs, ElemType, Func, Module, Name, OpId, OpKind, SourceOp};

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
    /// For false. Keras 2 takes it where it is true.
    Unsaid,
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
    // Of the padding, which is refused.
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

/// The module as one of tf.keras 2.15, which it is already if it is of before Keras 3.
///
/// # Errors
/// A layer that Keras 2 does not have, or that it computes otherwise.
pub(crate) fn as_keras_2(module: &Module) -> Result<Cow<'_, Module>, Problem> {
    if Era::of(&module.attrs) == Era::Before3 {
        return Ok(Cow::Borrowed(module));
    }
    let mut older = older(module)?.into_owned();
    older.attrs.set("backend", BACKEND);
    for layer in &mut older.layers {
        let refuse = |note| Problem::NotKeras { place: format!("layer `{}`", layer.name), note };
        let class = layer.class.rsplit('.').next().unwrap_or(&layer.class);
        if layer.class.starts_with("keras.ops.") {
            let twin = operation(&layer.class).ok_or_else(|| refuse(format!("Keras 2 has no operation `{class}`")))?;
            if let Some(option) = option(&layer.config) {
                return Err(refuse(format!("Keras 2 has no operation `{class}` with `{option}`")));
            }
            layer.class = format!("tf.{}", twin.function).into();
            layer.config = twin.declaration(&layer.name);
        } else if layer.class.starts_with("keras.") && !classes::is_known(class, Era::Before3) {
            return Err(refuse(format!("Keras 2 has no layer `{class}`")));
        } else {
            layer.config = object(&layer.config).map_err(refuse)?;
        }
    }
    for at in 0..older.funcs.len() {
        for (op, call) in old_calls(&older.funcs[at], module)? {
            older.funcs[at].set_kind(op, OpKind::Source(Box::new(call)));
        }
    }
    Ok(Cow::Owned(older))
}

/// An operation of `keras.ops` that TensorFlow has too, computed element by element.
struct Operation {
    class: &'static str,
    /// What TensorFlow calls it, without `tf.`.
    function: &'static str,
    /// The names of the arguments after the first.
    more: &'static [&'static str],
}

const fn of_one(class: &'static str, function: &'static str) -> Operation {
    Operation { class, function, more: &[] }
}

const fn of_two(class: &'static str, function: &'static str) -> Operation {
    Operation { class, function, more: &["y"] }
}

const OPERATIONS: &[Operation] = &[
    of_one("Absolute", "math.abs"),
    of_two("Add", "__operators__.add"),
    of_one("Cos", "math.cos"),
    of_one("Elu", "nn.elu"),
    of_one("Exp", "math.exp"),
    of_one("Log", "math.log"),
    of_two("Maximum", "math.maximum"),
    of_two("Minimum", "math.minimum"),
    of_two("Multiply", "math.multiply"),
    of_one("Negative", "math.negative"),
    of_one("Relu", "nn.relu"),
    of_one("Relu6", "nn.relu6"),
    of_one("Selu", "nn.selu"),
    of_one("Sigmoid", "math.sigmoid"),
    of_one("Silu", "nn.silu"),
    of_one("Sin", "math.sin"),
    of_one("Softplus", "math.softplus"),
    of_one("Softsign", "nn.softsign"),
    of_one("Sqrt", "math.sqrt"),
    of_one("Square", "math.square"),
    of_two("Subtract", "math.subtract"),
    of_one("Tanh", "math.tanh"),
    of_two("TrueDivide", "math.truediv"),
];

impl Operation {
    /// The layer that Keras 2 makes of it. Which values its configuration has beside its name says nothing of what is
    /// computed.
    fn declaration(&self, name: &str) -> Attrs {
        let config = Attrs::new()
            .with("name", name)
            .with("trainable", true)
            .with("dtype", "float32")
            .with("function", self.function);
        Attrs::new().with("class_name", "TFOpLambda").with("config", config).with("name", name)
    }
}

/// An entry in the configuration of an operation besides its name, and `alpha` = 1 of `Elu`.
fn option(object: &Attrs) -> Option<&str> {
    let config = object.get("config").and_then(Attr::as_map)?;
    let says = |(key, value): &&(Name, Attr)| match &**key {
        "name" => false,
        "alpha" => value.as_f64().is_none_or(|alpha| (alpha - 1.0).abs() > 0.0),
        _ => !value.is_null(),
    };
    config.iter().find(says).map(|(key, _)| &**key)
}

/// The operation that the dialect's class is, if Keras 2 has it.
fn operation(class: &str) -> Option<&'static Operation> {
    let class = class.strip_prefix("keras.ops.")?;
    OPERATIONS.iter().find(|operation| operation.class == class)
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
            Some(Key { without: Without::Unsaid, .. }) => kept.set(name.clone(), value.clone()),
            Some(_) => return Err(format!("`{class}` of Keras {KERAS_2} has no `{name}`")),
            None => kept.set(name.clone(), nested(value)?),
        }
    }
    if class == "MultiHeadAttention" {
        // Where Keras 2 is told no shapes, it builds the layer when that is called.
        ["query_shape", "key_shape", "value_shape"].into_iter().for_each(|key| kept.set(key, Attr::Null));
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

/// The calls of a function as Keras 2 makes them.
fn old_calls(func: &Func, module: &Module) -> Result<Vec<(OpId, SourceOp)>, Problem> {
    let mut calls = Vec::new();
    for (id, op) in func.ops() {
        let OpKind::Source(source) = &op.kind else { continue };
        let attrs = &source.attrs;
        let class = op.kind.layer().map_or("", |layer| &*module[layer].class);
        let operation = operation(class);
        let types: BTreeSet<ElemType> = op.operands.iter().map(|value| func[*value].ty.elem).collect();
        if operation.is_some() && types.len() > 1 {
            let place = format!("layer `{}`", op.kind.layer().map_or("", |layer| &*module[layer].name));
            let note = "TensorFlow computes with tensors of one type alone, and these have several".into();
            return Err(Problem::NotKeras { place, note });
        }
        let mut args = attrs.get("args").and_then(Attr::as_list).unwrap_or_default().to_vec();
        let mut named = attrs.get("kwargs").and_then(Attr::as_map).cloned().unwrap_or_default();
        let names = ARGUMENTS.iter().find(|(of, _)| *of == class).map_or(&[][..], |(_, names)| names);
        let of_operation = operation.map(|operation| [&["x"], operation.more].concat());
        let names = of_operation.as_deref().unwrap_or(names);
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
        if crate::call::trains(attrs) {
            // `predict` of Keras 3 overrides it, that of Keras 2 does not.
            named.remove("training");
        }
        let attrs = attrs.clone().with("args", Attr::List(args)).with("kwargs", named);
        let name = operation.map_or_else(|| source.name.clone(), |it| format!("tf.{}", it.function).into());
        calls.push((id, SourceOp { name, layer: source.layer, attrs }));
    }
    Ok(calls)
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
            ("Dense", "lora_rank", Attr::Int(4)),
            ("Resizing", "data_format", "channels_first".into()),
            ("Conv3DTranspose", "dilation_rate", Attr::List(vec![Attr::Int(1), Attr::Int(2), Attr::Int(1)])),
        ] {
            let wrapped = declared("TimeDistributed", "layer", declared(class, key, value));
            assert!(object(&wrapped).is_err_and(|note| note.contains(key)), "{key}");
        }
    }
}
