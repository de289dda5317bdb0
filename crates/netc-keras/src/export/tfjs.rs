//! What differs in a layers-model of TensorFlow.js: layers have the form of Keras 2, and weights are found by their names.

use netc_ir::{Attr, Attrs, ElemType, Layer};

use crate::legacy;

/// The layers of TensorFlow.js 4.22 (`className` in its `layers`), without those that fail on every input there: `CenterCrop`
/// and `Resizing`.
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
    "CategoryEncoding",
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

/// Its functions (`className` in its `activations`).
const ACTIVATIONS: &[&str] = &[
    "elu",
    "gelu",
    "gelu_new",
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

/// The types that it computes in.
const DTYPES: &[&str] = &["bool", "float32", "int32"];

/// Keys that TensorFlow.js does not read, or refuses, with the number or flag that says what it computes.
const FIXED: &[(&str, f64)] =
    &[("groups", 1.0), ("keepdims", 0.0), ("negative_slope", 0.0), ("reset_after", 0.0), ("threshold", 0.0)];

/// Keys with a text that TensorFlow.js takes for something else, by class, and what it does.
const OTHERWISE: &[(&str, &str, &str, &str)] = &[
    ("Conv1D", "padding", "causal", "has no padding `causal` of a `Conv1D`"),
    (
        "UpSampling2D",
        "interpolation",
        "bilinear",
        "interpolates in `UpSampling2D` between other points than Keras does",
    ),
];

/// Keys that TensorFlow.js passes over, so that what they say is lost.
const IGNORED: &[&str] = &["backward_layer", "output_padding"];

/// Why TensorFlow.js has no such layer, or computes something else with it. `rank` is that of what the layer reads.
pub(super) fn refused(layer: &Layer, rank: Option<usize>) -> Option<String> {
    if let Some(operation) = layer.class.strip_prefix("keras.ops.") {
        return Some(format!("TensorFlow.js has layers alone, and `{operation}` is an operation"));
    }
    if layer.class.starts_with("keras.") {
        return refused_object(&layer.config, rank).map(|note| format!("TensorFlow.js {note}"));
    }
    let note = "TensorFlow.js finds weights by their names, which those of custom layers have not in a Keras file";
    (!layer.weights.is_empty()).then(|| note.into())
}

/// The same of a declaration, and of the layers in it.
fn refused_object(object: &Attrs, rank: Option<usize>) -> Option<String> {
    let class = object.get("class_name").and_then(Attr::as_str)?;
    if !LAYERS.contains(&class) {
        return Some(format!("has no layer `{class}`"));
    }
    let config = object.get("config").and_then(Attr::as_map)?;
    let says = |key: &str| config.get(key).filter(|value| !value.is_null());
    let number = |attr: &Attr| attr.as_f64().or_else(|| attr.as_bool().map(f64::from));
    let differs = |(key, fixed): &&(&str, f64)| says(key).and_then(number).is_some_and(|n| (n - fixed).abs() > 0.0);
    let differs = FIXED.iter().find(differs).map(|(key, _)| *key);
    if let Some(key) = differs.or_else(|| IGNORED.iter().copied().find(|key| says(key).is_some())) {
        return Some(format!("does not compute `{class}` with its `{key}`"));
    }
    let text = |key| says(key).and_then(Attr::as_str);
    let otherwise = OTHERWISE.iter().find(|(of, key, value, _)| *of == class && text(key) == Some(value));
    if let Some((.., what)) = otherwise {
        return Some((*what).into());
    }
    if matches!(class, "BatchNormalization" | "Softmax") && !is_last(says("axis"), rank) {
        return Some(format!("does not compute `{class}` along another axis than the last"));
    }
    let functions = legacy::ACTIVATIONS.iter().filter_map(|key| says(key));
    if let Some(unknown) = functions.map(|f| f.as_str().unwrap_or("of an object")).find(|f| !ACTIVATIONS.contains(f)) {
        return Some(format!("has no activation `{unknown}`"));
    }
    let dtype = says("dtype").map(|dtype| dtype.get("config").and_then(|c| c.get("name")).unwrap_or(dtype));
    if let Some(dtype) = dtype.and_then(Attr::as_str).filter(|dtype| !DTYPES.contains(dtype)) {
        return Some(format!("does not compute in `{dtype}`"));
    }
    // A wrapper of one layer gives it steps, each of one axis less.
    let below = rank.filter(|_| class == "TimeDistributed").and_then(|rank| rank.checked_sub(1));
    let mut inner = legacy::INNER.iter().filter_map(|key| config.get(key)).filter_map(Attr::as_map);
    inner.find_map(|object| refused_object(object, below))
}

/// Whether the axis is the last of so many; of an unknown number it is if it is counted from the end.
fn is_last(axis: Option<&Attr>, rank: Option<usize>) -> bool {
    let only = match axis.and_then(Attr::as_list) {
        Some([one]) => Some(one),
        Some(_) => return false,
        None => axis,
    };
    let axis = only.and_then(Attr::as_int).unwrap_or(-1);
    axis == -1 || rank.is_some_and(|rank| usize::try_from(axis + 1) == Ok(rank))
}

/// What TensorFlow.js calls the weight of the layer that Keras lists as `listed`. Nested models and cells are no part of it.
pub(super) fn weight_name(layer: &Layer, listed: &str) -> String {
    let parts = listed.split('/').filter(|part| !part.ends_with("_cell"));
    let parts: Vec<&str> = parts
        .map(
            |part| if &*layer.class == "keras.DepthwiseConv2D" && part == "kernel" { "depthwise_kernel" } else { part },
        )
        .collect();
    format!("{}/{}", layer.name, parts.join("/"))
}

/// What TensorFlow.js calls an element type that weights can have.
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
        | ElemType::Any => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(class: &str, key: &str, value: impl Into<Attr>) -> Attrs {
        Attrs::new().with("class_name", class).with("config", Attrs::new().with(key, value))
    }

    #[test]
    fn what_tensorflow_js_does_not_compute_is_refused() {
        let policy =
            Attrs::new().with("class_name", "Policy").with("config", Attrs::new().with("name", "mixed_float16"));
        for (object, part) in [
            (plain("Subtract", "name", "x"), "no layer `Subtract`"),
            (plain("Conv2D", "groups", 2), "`Conv2D` with its `groups`"),
            (plain("GlobalAveragePooling2D", "keepdims", true), "with its `keepdims`"),
            (plain("Conv2DTranspose", "output_padding", Attr::List(vec![1.into()])), "with its `output_padding`"),
            (plain("Conv1D", "padding", "causal"), "no padding `causal`"),
            (plain("UpSampling2D", "interpolation", "bilinear"), "between other points"),
            (plain("BatchNormalization", "axis", 1), "another axis than the last"),
            (plain("Softmax", "axis", Attr::List(vec![1.into(), 2.into()])), "another axis than the last"),
            (plain("Dense", "activation", "leaky_relu"), "no activation `leaky_relu`"),
            (plain("Dense", "activation", plain("LeakyReLU", "alpha", 0.1)), "no activation `of an object`"),
            (plain("Dense", "dtype", policy), "compute in `mixed_float16`"),
            (plain("TimeDistributed", "layer", plain("Lambda", "name", "x")), "no layer `Lambda`"),
        ] {
            let note = refused_object(&object, Some(4)).unwrap_or_default();
            assert!(note.contains(part), "{object:?}: {note}");
        }
    }

    #[test]
    fn what_it_computes_is_not() {
        let steps = plain("TimeDistributed", "layer", plain("BatchNormalization", "axis", 2));
        for object in [
            plain("Conv2D", "groups", 1),
            plain("Conv2DTranspose", "output_padding", Attr::Null),
            plain("Conv2D", "padding", "causal"),
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
}
