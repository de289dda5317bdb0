//! The exporter's code for TensorFlow.js: layers have the form of Keras 2, and weights are found by name.

use std::borrow::Cow;

use netc_ir::{Attr, Attrs, ElemType, Layer, Name};

use crate::config::call::{has_tensors, trains};
use crate::config::{classes, keys, tf};

/// The layers of TensorFlow.js 4.22 (`className` in its `layers`), except `CategoryEncoding`, `CenterCrop` and
/// `Resizing`, which fail on every input there.
const LAYERS: &[&str] = &[
    "Activation",
    "Add",
    "AlphaDropout",
    "Average",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "BatchNormalization",
    "Bidirectional",
    "Concatenate",
    "Conv1D",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "ConvLSTM2D",
    "Cropping2D",
    "Dense",
    "DepthwiseConv2D",
    "Dot",
    "Dropout",
    "ELU",
    "Embedding",
    "Flatten",
    "Functional",
    "GRU",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "InputLayer",
    "LSTM",
    "LayerNormalization",
    "LeakyReLU",
    "Masking",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
    "Maximum",
    "Minimum",
    "Model",
    "Multiply",
    "PReLU",
    "Permute",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "SeparableConv2D",
    "Sequential",
    "SimpleRNN",
    "Softmax",
    "SpatialDropout1D",
    "ThresholdedReLU",
    "TimeDistributed",
    "UpSampling2D",
    "ZeroPadding2D",
];

/// The activations of TensorFlow.js, as Keras configurations name them.
const ACTIVATIONS: &[&str] = &[
    "elu",
    "gelu",
    "hard_sigmoid",
    "linear",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "softmax",
    "softplus",
    "softsign",
    "swish",
    "tanh",
];

/// The initializers of TensorFlow.js.
const INITIALIZERS: &[&str] = &[
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "LeCunNormal",
    "LeCunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
];

/// The dtypes in which TensorFlow.js computes.
const DTYPES: &[&str] = &["bool", "float32", "int32"];

/// Keys that TensorFlow.js ignores or rejects, with the value that matches what it computes.
const FIXED: &[(&str, f64)] = &[
    ("groups", 1.0),
    ("keepdims", 0.0),
    ("negative_slope", 0.0),
    ("reset_after", 0.0),
    ("rms_scaling", 0.0),
    ("threshold", 0.0),
    ("time_major", 0.0),
];

/// Keys that TensorFlow.js ignores although they change the result.
const IGNORED: &[&str] = &["backward_layer", "output_padding"];

/// Layers whose dilation TensorFlow.js ignores.
const NEVER_DILATED: &[&str] = &["DepthwiseConv2D", "Conv2DTranspose", "Conv3DTranspose"];

/// Layers for which TensorFlow.js supports only `channels_last`.
const CHANNELS_LAST: &[&str] =
    &["AveragePooling1D", "Conv1D", "GlobalAveragePooling1D", "GlobalMaxPooling1D", "MaxPooling1D", "SeparableConv2D"];

/// The reason why TensorFlow.js lacks the layer or computes it differently. `rank` is the rank of the layer's input.
pub(super) fn refused(layer: &Layer, rank: Option<usize>) -> Option<String> {
    if let Some(operation) = layer.class.strip_prefix("keras.ops.") {
        return Some(format!("TensorFlow.js has only layers, and `{operation}` is an operation"));
    }
    if tf::is_operation(&layer.class) {
        return Some(format!("TensorFlow.js has only layers, and `{}` is an operation", layer.class));
    }
    if layer.class.starts_with("keras.") {
        return refused_object(&layer.config, rank).map(|note| format!("TensorFlow.js {note}"));
    }
    let note = "TensorFlow.js finds weights by their names, which a Keras file does not record for custom layers";
    (!layer.weights.is_empty()).then(|| note.into())
}

/// The reason why TensorFlow.js lacks a declared layer or an inner layer, or computes it differently.
fn refused_object(object: &Attrs, rank: Option<usize>) -> Option<String> {
    let class = object.get("class_name").and_then(Attr::as_str)?;
    if !LAYERS.contains(&class) {
        return Some(format!("has no layer `{class}`"));
    }
    let config = object.get("config").and_then(Attr::as_map)?;
    let declared = Declared { class, config, rank };
    declared.otherwise().or_else(|| declared.other_function()).or_else(|| declared.other_type()).or_else(|| {
        inner(class, config, rank).find_map(|(object, rank)| match object.get("class_name").and_then(Attr::as_str) {
            Some(inner) if classes::is_graph(inner) => {
                Some(format!("does not find the weights of a model in a `{class}`"))
            }
            Some(_) | None => refused_object(object, rank),
        })
    })
}

/// The inner layers in a configuration, each with the rank of its input.
fn inner<'a>(class: &str, config: &'a Attrs, rank: Option<usize>) -> impl Iterator<Item = (&'a Attrs, Option<usize>)> {
    // `TimeDistributed` applies its layer to single steps, whose rank is lower by one.
    let below = rank.filter(|_| class == "TimeDistributed").and_then(|rank| rank.checked_sub(1));
    keys::INNER.iter().filter_map(|key| config.get(key)).filter_map(Attr::as_map).map(move |object| (object, below))
}

/// The reason why Keras and TensorFlow.js compute this layer of a layers model differently. netc cannot know which of
/// them the author meant.
pub(super) fn differs_in_keras<'c>(
    layer: &Layer,
    rank: Option<usize>,
    mut calls: impl Iterator<Item = &'c Attrs>,
) -> Option<String> {
    let config = layer.config.get("config").and_then(Attr::as_map)?;
    if &*layer.class == "keras.RNN" && config.get("units").is_some() {
        return Some("TensorFlow.js writes the keys of the cell into the `RNN`, which Keras rejects".into());
    }
    if config.get("activation").and_then(Attr::as_str) == Some("leaky_re_lu") {
        return Some(
            "its activation `leaky_re_lu` is a layer of TensorFlow.js, whose slope the file does not record".into(),
        );
    }
    let of_call = |call: &Attrs| trains(call) || call.get("kwargs").is_some_and(has_tensors);
    let note = match differs(&layer.config, rank) {
        Some(note) => note,
        None if calls.any(of_call) => "ignores `training` and tensors in keyword arguments of a call".into(),
        None => return None,
    };
    Some(format!("TensorFlow.js {note}, unlike Keras; netc does not know which of the two the model was made for"))
}

fn differs(object: &Attrs, rank: Option<usize>) -> Option<String> {
    let class = object.get("class_name").and_then(Attr::as_str).filter(|class| LAYERS.contains(class))?;
    let config = object.get("config").and_then(Attr::as_map)?;
    let declared = Declared { class, config, rank };
    declared.otherwise().or_else(|| inner(class, config, rank).find_map(|(object, rank)| differs(object, rank)))
}

/// The declaration of a Keras layer, with the rank of its input.
struct Declared<'a> {
    class: &'a str,
    config: &'a Attrs,
    rank: Option<usize>,
}

impl<'a> Declared<'a> {
    fn says(&self, key: &str) -> Option<&'a Attr> {
        self.config.get(key).filter(|value| !value.is_null())
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.says(key).and_then(Attr::as_str)
    }

    /// The reason why TensorFlow.js computes the layer differently from Keras.
    fn otherwise(&self) -> Option<String> {
        let key = self.other_key().map(|key| format!("does not compute `{}` with its `{key}`", self.class));
        key.or_else(|| self.other_axes())
    }

    /// A key whose value TensorFlow.js ignores or interprets differently.
    fn other_key(&self) -> Option<&'static str> {
        let number = |attr: &Attr| attr.as_f64().or_else(|| attr.as_bool().map(f64::from));
        let differs = |key, fixed: f64| self.says(key).and_then(number).is_some_and(|n| (n - fixed).abs() > 0.0);
        let fixed = FIXED.iter().find(|(key, fixed)| differs(key, *fixed)).map(|(key, _)| *key);
        let dilations = self.says("dilation_rate");
        let dilations = dilations.map(|all| all.as_list().unwrap_or(std::slice::from_ref(all))).unwrap_or_default();
        let is_dilated = NEVER_DILATED.contains(&self.class) && dilations.iter().any(|d| d.as_int() != Some(1));
        let is_first = CHANNELS_LAST.contains(&self.class) && self.text("data_format") == Some("channels_first");
        let is_causal = self.class == "Conv1D" && self.text("padding") == Some("causal");
        let has_slope = self.class == "ELU" && differs("alpha", 1.0);
        // TensorFlow.js samples at other points than Keras.
        let between = self.class == "UpSampling2D" && self.text("interpolation").is_some_and(|text| text != "nearest");
        fixed
            .or_else(|| IGNORED.iter().copied().find(|key| self.says(key).is_some()))
            .or(is_dilated.then_some("dilation_rate"))
            .or(is_first.then_some("data_format"))
            .or(is_causal.then_some("padding"))
            .or(has_slope.then_some("alpha"))
            .or(between.then_some("interpolation"))
    }

    /// A rank or axis that TensorFlow.js does not support.
    fn other_axes(&self) -> Option<String> {
        let class = self.class;
        let (least, most) = match class {
            "BatchNormalization" => (0, 4),
            "Dot" => (0, 3),
            "Flatten" => (3, usize::MAX),
            _ => (0, usize::MAX),
        };
        if let Some(rank) = self.rank.filter(|rank| *rank < least || *rank > most) {
            return Some(format!("does not compute `{class}` on inputs of rank {rank}"));
        }
        let along_last = !matches!(class, "BatchNormalization" | "Softmax") || is_last(self.says("axis"), self.rank);
        (!along_last).then(|| format!("does not compute `{class}` along an axis other than the last"))
    }

    fn other_function(&self) -> Option<String> {
        let mut functions = keys::ACTIVATIONS.iter().filter_map(|key| self.says(key));
        functions.find_map(|function| match function.as_str() {
            Some(name) if ACTIVATIONS.contains(&name) => None,
            Some(name) => Some(format!("has no activation `{name}`")),
            None => Some("does not support activation objects".into()),
        })
    }

    fn other_type(&self) -> Option<String> {
        let dtype = self.says("dtype")?;
        match dtype.get("config").and_then(|policy| policy.get("name")).unwrap_or(dtype).as_str() {
            Some(name) if DTYPES.contains(&name) => None,
            Some(name) => Some(format!("does not support the dtype `{name}`")),
            None => Some("does not support a dtype policy without a name".into()),
        }
    }
}

/// Whether the axis is the last one. For an unknown rank, only -1 is known to be.
fn is_last(axis: Option<&Attr>, rank: Option<usize>) -> bool {
    let only = match axis.and_then(Attr::as_list) {
        Some([one]) => Some(one),
        Some(_) => return false,
        None => axis,
    };
    let axis = only.and_then(Attr::as_int).unwrap_or(-1);
    axis == -1 || rank.is_some_and(|rank| usize::try_from(axis) == Ok(rank.wrapping_sub(1)))
}

/// The declaration without the regularizers and initializers that TensorFlow.js cannot load; they matter only in
/// training. `L1` and `L2` become `L1L2`.
pub(super) fn declared(layer: &Layer) -> Cow<'_, Layer> {
    let config = for_inference(&layer.config);
    if config == layer.config { Cow::Borrowed(layer) } else { Cow::Owned(Layer { config, ..layer.clone() }) }
}

fn for_inference(object: &Attrs) -> Attrs {
    let Some(config) = object.get("config").and_then(Attr::as_map) else { return object.clone() };
    let is_separable = object.get("class_name").and_then(Attr::as_str) == Some("SeparableConv2D");
    // Keras 2 also writes the keys of a plain convolution, but this layer has two kernels, each with its own keys.
    let is_told_twice = |key: &str| is_separable && key.starts_with("kernel_") && key != "kernel_size";
    let entry = |(key, value): &(Name, Attr)| {
        let value = match (&**key, value) {
            ("activity_regularizer", _) => Attr::Null,
            (key, Attr::Map(of)) if key.ends_with("_regularizer") => regularizer(of),
            (key, Attr::Map(of)) if key.ends_with("_initializer") => initializer(of),
            (key, Attr::Map(of)) if keys::INNER.contains(&key) => for_inference(of).into(),
            _ => value.clone(),
        };
        (key.clone(), value)
    };
    object.clone().with("config", config.iter().filter(|(key, _)| !is_told_twice(key)).map(entry).collect::<Attrs>())
}

fn regularizer(object: &Attrs) -> Attr {
    let factor = |key| object.get("config").and_then(|config| config.get(key)).cloned().unwrap_or_else(|| 0.0.into());
    match object.get("class_name").and_then(Attr::as_str) {
        Some("L1L2") => object.clone().into(),
        Some("L1" | "L2") => {
            let config = Attrs::new().with("l1", factor("l1")).with("l2", factor("l2"));
            Attrs::new().with("class_name", "L1L2").with("config", config).into()
        }
        _ => Attr::Null,
    }
}

fn initializer(object: &Attrs) -> Attr {
    let class = object.get("class_name").and_then(Attr::as_str).unwrap_or_default();
    let known = class.replace("Lecun", "LeCun");
    if INITIALIZERS.contains(&&*known) { object.clone().with("class_name", known.as_str()).into() } else { Attr::Null }
}

/// The TensorFlow.js name of the weight that Keras lists as `listed`. It does not contain nested models and cells.
pub(super) fn weight_name(layer: &Layer, listed: &str) -> String {
    let wrapped = layer.config.get("config").and_then(|config| config.get("layer")?.get("class_name")?.as_str());
    let is_depthwise = &*layer.class == "keras.DepthwiseConv2D" || wrapped == Some("DepthwiseConv2D");
    let name = |part| if is_depthwise && part == "kernel" { "depthwise_kernel" } else { part };
    let parts: Vec<&str> = listed.split('/').filter(|part| !part.ends_with("_cell")).map(name).collect();
    format!("{}/{}", layer.name, parts.join("/"))
}

/// The TensorFlow.js name of an element type; `None` if weights cannot have it there.
pub(crate) fn dtype(elem: ElemType) -> Option<&'static str> {
    match elem {
        ElemType::F32 => Some("float32"),
        ElemType::I32 => Some("int32"),
        ElemType::Bool => Some("bool"),
        ElemType::U8
        | ElemType::U16
        | ElemType::U32
        | ElemType::U64
        | ElemType::I8
        | ElemType::I16
        | ElemType::I64
        | ElemType::F16
        | ElemType::BF16
        | ElemType::F64
        | ElemType::Str
        | ElemType::Any
        | ElemType::Narrow(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(class: &str, key: &str, value: impl Into<Attr>) -> Attrs {
        Attrs::new().with("class_name", class).with("config", Attrs::new().with(key, value))
    }

    #[test]
    fn unsupported_layers_are_rejected() {
        let policy =
            Attrs::new().with("class_name", "Policy").with("config", Attrs::new().with("name", "mixed_float16"));
        for (object, part) in [
            (plain("Subtract", "name", "x"), "no layer `Subtract`"),
            (plain("Conv2D", "groups", 2), "`Conv2D` with its `groups`"),
            (plain("GlobalAveragePooling2D", "keepdims", true), "with its `keepdims`"),
            (plain("Conv2DTranspose", "output_padding", Attr::List(vec![1.into()])), "with its `output_padding`"),
            (plain("Conv1D", "padding", "causal"), "`Conv1D` with its `padding`"),
            (plain("UpSampling2D", "interpolation", "bilinear"), "with its `interpolation`"),
            (plain("DepthwiseConv2D", "dilation_rate", Attr::List(vec![2.into(), 1.into()])), "its `dilation_rate`"),
            (plain("MaxPooling1D", "data_format", "channels_first"), "with its `data_format`"),
            (plain("LayerNormalization", "rms_scaling", true), "with its `rms_scaling`"),
            (plain("Dot", "axes", 1), "of rank 4"),
            (plain("BatchNormalization", "axis", i64::MAX), "an axis other than the last"),
            (plain("BatchNormalization", "axis", 1), "an axis other than the last"),
            (plain("Softmax", "axis", Attr::List(vec![1.into(), 2.into()])), "an axis other than the last"),
            (plain("Dense", "activation", "leaky_relu"), "no activation `leaky_relu`"),
            (plain("Dense", "activation", plain("LeakyReLU", "alpha", 0.1)), "does not support activation objects"),
            (plain("Dense", "dtype", policy), "does not support the dtype `mixed_float16`"),
            (plain("Dense", "dtype", plain("DTypePolicyMap", "default", "int8")), "a dtype policy without a name"),
            (plain("TimeDistributed", "layer", plain("Lambda", "name", "x")), "no layer `Lambda`"),
        ] {
            let note = refused_object(&object, Some(4)).unwrap_or_default();
            assert!(note.contains(part), "{object:?}: {note}");
        }
    }

    #[test]
    fn supported_layers_are_accepted() {
        let steps = plain("TimeDistributed", "layer", plain("BatchNormalization", "axis", 2));
        for object in [
            plain("Conv2D", "groups", 1),
            plain("Conv2DTranspose", "output_padding", Attr::Null),
            plain("Conv2D", "dilation_rate", Attr::List(vec![2.into(), 1.into()])),
            plain("Conv2D", "data_format", "channels_first"),
            plain("DepthwiseConv2D", "dilation_rate", Attr::List(vec![1.into(), 1.into()])),
            plain("BatchNormalization", "axis", 3),
            plain("BatchNormalization", "axis", Attr::List(vec![3.into()])),
            plain("Softmax", "axis", -1),
            plain("LayerNormalization", "axis", 1),
            plain("Dense", "activation", "swish"),
            steps,
        ] {
            assert_eq!(refused_object(&object, Some(4)), None, "{object:?}");
        }
        assert!(refused_object(&plain("Softmax", "axis", 3), None).is_some());
    }

    #[test]
    fn unsupported_regularizers_and_initializers_are_dropped() {
        let written = |key: &str, class: &str, own: &str| {
            let object = for_inference(&plain("Dense", key, plain(class, own, 0.5)));
            let value = object.get("config").unwrap().get(key).unwrap().clone();
            (value.get("class_name").and_then(Attr::as_str).map(str::to_string), value.get("config").cloned())
        };
        let config = |l1: f64, l2: f64| Some(Attrs::new().with("l1", l1).with("l2", l2).into());
        assert_eq!(written("kernel_regularizer", "L2", "l2"), (Some("L1L2".into()), config(0.0, 0.5)));
        assert_eq!(written("bias_regularizer", "L1", "l1"), (Some("L1L2".into()), config(0.5, 0.0)));
        assert_eq!(written("kernel_regularizer", "OrthogonalRegularizer", "factor"), (None, None));
        assert_eq!(written("activity_regularizer", "L2", "l2"), (None, None));
        assert_eq!(written("kernel_initializer", "LecunNormal", "seed").0, Some("LeCunNormal".into()));
        assert_eq!(written("kernel_initializer", "Mine", "seed"), (None, None));
    }
}
