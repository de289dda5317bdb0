//! What differs in a layers-model of TensorFlow.js: layers have the form of Keras 2, and weights are found by their names.

use netc_ir::{Attr, ElemType, Layer};

/// The layers of TensorFlow.js 4.22 (`className` in its `layers`).
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
    "CenterCrop",
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
    "Resizing",
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

/// Keys that TensorFlow.js does not read, or refuses, with the number or flag that says what it computes.
const FIXED: &[(&str, f64)] =
    &[("reset_after", 0.0), ("groups", 1.0), ("keepdims", 0.0), ("threshold", 0.0), ("negative_slope", 0.0)];

/// Why TensorFlow.js has no such layer.
pub(super) fn refused(layer: &Layer) -> Option<String> {
    let Some(class) = layer.class.strip_prefix("keras.") else {
        let note = "TensorFlow.js finds weights by their names, which those of custom layers have not in a Keras file";
        return (!layer.weights.is_empty()).then(|| note.into());
    };
    if !LAYERS.contains(&class) {
        return Some(format!("TensorFlow.js has no layer `{class}`"));
    }
    let config = layer.config.get("config").and_then(Attr::as_map)?;
    let number = |attr: &Attr| attr.as_f64().or_else(|| attr.as_bool().map(f64::from));
    let differs = FIXED
        .iter()
        .find(|(key, expected)| config.get(key).and_then(number).is_some_and(|found| (found - expected).abs() > 0.0));
    differs.map(|(key, _)| format!("TensorFlow.js does not compute `{class}` with its `{key}`"))
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
