//! The classes of Keras's own layers. Some files record only the name of a class, without its package.

use netc_ir::{Attr, Attrs, Name};

use crate::config::version::{KerasVersion, is_legacy};
use crate::config::{operations, tf};

/// Whether this Keras class has a graph of layers.
pub(crate) fn is_graph(class: &str) -> bool {
    matches!(class, "Functional" | "Model" | "Sequential")
}

/// Whether the object's class belongs to Keras.
pub(crate) fn is_own(object: &Attrs) -> bool {
    let module = object.get("module").and_then(Attr::as_str);
    module.is_some_and(is_keras)
}

/// The dialect's name for the class of a layer entry of `config.json`.
///
/// Classes of Keras itself are `keras.X`, operations created by calls of `keras.ops` and `keras.activations` are
/// `keras.ops.X`, and TensorFlow operations in Keras 2 models are `tf.x`. Everything else, registered or not, is
/// `custom.X`, so a user's class is never mistaken for a Keras class.
pub(crate) fn dialect_class(entry: &Attrs, version: KerasVersion) -> Name {
    if let Some(operation) = tf::class_of(entry).filter(|_| version == KerasVersion::Legacy) {
        return operation;
    }
    if is_legacy(entry) {
        return class_by_name(entry, version);
    }
    let text = |key| entry.get(key).and_then(Attr::as_str).unwrap_or_default();
    let (module, class) = (text("module"), text("class_name"));
    let operations = ["keras.src.ops.", "keras.ops", "keras.src.activations."];
    if operations.iter().any(|prefix| module.starts_with(prefix)) {
        format!("keras.ops.{class}").into()
    } else if is_keras(module) {
        format!("keras.{class}").into()
    } else {
        format!("custom.{class}").into()
    }
}

/// Whether [`dialect_class`] can return `dialect_class`.
pub(crate) fn is_of_keras(dialect_class: &str) -> bool {
    matches!(dialect_class.split_once('.'), Some(("keras" | "tf" | "custom", _)))
}

/// Whether this Python module belongs to Keras. `tf_keras` is the last release of Keras 2.
pub(crate) fn is_keras(module: &str) -> bool {
    module == "keras" || module.starts_with("keras.") || module.starts_with("tf_keras.")
}

/// Whether entries of this class are layers, which `model.layers` counts, rather than operations.
pub(crate) fn is_layer_class(dialect_class: &str) -> bool {
    !dialect_class.starts_with("keras.ops.")
}

/// The layers of Keras 2, most of which Keras 3 has too.
const KNOWN: &[&str] = &[
    "Activation",
    "ActivityRegularization",
    "Add",
    "AddLoss",
    "AddMetric",
    "AdditiveAttention",
    "AlphaDropout",
    "Attention",
    "Average",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "BatchNormalization",
    "Bidirectional",
    "CategoryEncoding",
    "CenterCrop",
    "ClassMethod",
    "Concatenate",
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "ConvLSTM1D",
    "ConvLSTM2D",
    "ConvLSTM3D",
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "CuDNNGRU",
    "CuDNNLSTM",
    "Dense",
    "DenseFeatures",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "Discretization",
    "Dot",
    "Dropout",
    "ELU",
    "EinsumDense",
    "Embedding",
    "Flatten",
    "Functional",
    "GRU",
    "GRUCell",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "GroupNormalization",
    "HashedCrossing",
    "Hashing",
    "Identity",
    "InputLayer",
    "InstanceMethod",
    "InstanceProperty",
    "IntegerLookup",
    "LSTM",
    "LSTMCell",
    "Lambda",
    "LayerNormalization",
    "LeakyReLU",
    "LocallyConnected1D",
    "LocallyConnected2D",
    "Masking",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
    "Maximum",
    "Minimum",
    "Model",
    "MultiHeadAttention",
    "Multiply",
    "Normalization",
    "PReLU",
    "Permute",
    "RNN",
    "RandomBrightness",
    "RandomContrast",
    "RandomCrop",
    "RandomFlip",
    "RandomHeight",
    "RandomRotation",
    "RandomTranslation",
    "RandomWidth",
    "RandomZoom",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "Resizing",
    "SeparableConv1D",
    "SeparableConv2D",
    "Sequential",
    "SimpleRNN",
    "SimpleRNNCell",
    "SlicingOpLambda",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "SpectralNormalization",
    "StackedRNNCells",
    "StringLookup",
    "Subtract",
    "TFOpLambda",
    "TensorFlowOpLayer",
    "TextVectorization",
    "ThresholdedReLU",
    "TimeDistributed",
    "UnitNormalization",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "Wrapper",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
];

/// The layers that are new in Keras 3. In an older file, a class of this name is a user's.
const NEW: &[&str] = &[
    "AdaptiveAveragePooling1D",
    "AdaptiveAveragePooling2D",
    "AdaptiveAveragePooling3D",
    "AdaptiveMaxPooling1D",
    "AdaptiveMaxPooling2D",
    "AdaptiveMaxPooling3D",
    "AugMix",
    "AutoContrast",
    "ContrastLimitedAdaptiveHistogramEqualization",
    "CutMix",
    "Equalization",
    "FlaxLayer",
    "GroupQueryAttention",
    "JaxLayer",
    "MaxNumBoundingBoxes",
    "MelSpectrogram",
    "MixUp",
    "Pipeline",
    "RMSNormalization",
    "RandAugment",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterization",
    "RandomSaturation",
    "RandomSharpness",
    "RandomShear",
    "ReversibleEmbedding",
    "STFTSpectrogram",
    "Solarization",
    "TFSMLayer",
    "TorchModuleWrapper",
];

/// Layers whose configuration has no `trainable`.
const NEVER_TRAINABLE: &[&str] = &[
    "Discretization",
    "Functional",
    "InputLayer",
    "Sequential",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
];

/// Whether a class name is one of Keras's own in that version.
pub(crate) fn is_known(class: &str, version: KerasVersion) -> bool {
    KNOWN.binary_search(&class).is_ok() || version == KerasVersion::Keras3 && NEW.binary_search(&class).is_ok()
}

/// The dialect's name for the class of an entry that does not record its package.
pub(crate) fn class_by_name(entry: &Attrs, version: KerasVersion) -> Name {
    let class = entry.get("class_name").and_then(Attr::as_str).unwrap_or_default();
    match class {
        "Model" => "keras.Functional".into(),
        // The Python class name; Keras 3 exports it as `GroupQueryAttention`.
        "GroupedQueryAttention" if version == KerasVersion::Keras3 => "keras.GroupQueryAttention".into(),
        _ if version == KerasVersion::Keras3 && is_operation(entry, class) => format!("keras.ops.{class}").into(),
        _ if is_known(class, version) => format!("keras.{class}").into(),
        _ => format!("custom.{}", class.rsplit('>').next().unwrap_or(class)).into(),
    }
}

/// Whether a Keras 3 entry is an operation. Some share their name with a layer, but a layer's configuration has
/// `trainable`.
fn is_operation(entry: &Attrs, class: &str) -> bool {
    let trainable = entry.get("config").and_then(|c| c.get("trainable"));
    let named = is_known(class, KerasVersion::Keras3) || operations::is_operation(class);
    named && trainable.is_none() && !NEVER_TRAINABLE.contains(&class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_tables_are_sorted_and_depend_on_the_era() {
        assert!(KNOWN.is_sorted() && NEW.is_sorted());
        let known = |version| {
            ["Activation", "ZeroPadding3D", "RMSNormalization", "Scale"].map(|class| is_known(class, version))
        };
        assert_eq!(known(KerasVersion::Legacy), [true, true, false, false]);
        assert_eq!(known(KerasVersion::Keras3), [true, true, true, false]);
    }

    #[test]
    fn activation_functions_are_operations() {
        let class = |module: &str, class: &str| {
            let class =
                dialect_class(&Attrs::new().with("module", module).with("class_name", class), KerasVersion::Keras3);
            (class.to_string(), is_layer_class(&class))
        };
        assert_eq!(class("keras.layers", "ReLU"), ("keras.ReLU".into(), true));
        assert_eq!(class("keras.src.activations.activations", "ReLU"), ("keras.ops.ReLU".into(), false));
        assert_eq!(class("keras.src.ops.numpy", "Add"), ("keras.ops.Add".into(), false));
        assert_eq!(class("my_package", "Add"), ("custom.Add".into(), true));
    }

    #[test]
    fn operations_are_told_from_layers_of_the_same_name() {
        let class = |config: Attrs| {
            class_by_name(&Attrs::new().with("class_name", "Average").with("config", config), KerasVersion::Keras3)
        };
        assert_eq!(&*class(Attrs::new().with("name", "average").with("trainable", true)), "keras.Average");
        assert_eq!(&*class(Attrs::new().with("name", "average")), "keras.ops.Average");
        let add = Attrs::new().with("class_name", "Add").with("config", Attrs::new().with("name", "add"));
        assert_eq!(&*class_by_name(&add, KerasVersion::Keras3), "keras.ops.Add");
    }
}
