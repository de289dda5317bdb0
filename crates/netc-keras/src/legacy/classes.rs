//! The classes of Keras's own layers, for files that say no more of a class than its name.

use netc_ir::{Attr, Attrs, Name};

use super::Era;
use crate::lower;

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

/// The layers that came with Keras 3: before, such a name is a user's.
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

/// Layers whose configuration does not say whether they are trainable.
const NEVER_TRAINABLE: &[&str] = &[
    "Discretization",
    "Functional",
    "InputLayer",
    "Sequential",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
];

/// Whether a class is one of Keras's own.
pub(super) fn is_known(class: &str, era: Era) -> bool {
    KNOWN.binary_search(&class).is_ok() || era == Era::Keras3 && NEW.binary_search(&class).is_ok()
}

/// The dialect's name for the class of an entry that does not say which package it is of.
pub(crate) fn dialect_class(entry: &Attrs, era: Era) -> Name {
    let class = entry.get("class_name").and_then(Attr::as_str).unwrap_or_default();
    match class {
        "Model" => "keras.Functional".into(),
        // What Keras 3 calls the class itself, which it makes public under the other name.
        "GroupedQueryAttention" if era == Era::Keras3 => "keras.GroupQueryAttention".into(),
        _ if era == Era::Keras3 && is_operation(entry, class) => format!("keras.ops.{class}").into(),
        _ if is_known(class, era) => format!("keras.{class}").into(),
        _ => format!("custom.{}", class.rsplit('>').next().unwrap_or(class)).into(),
    }
}

/// Whether Keras 3 made the entry of an operation: some have the names of layers, which say whether they are trainable.
fn is_operation(entry: &Attrs, class: &str) -> bool {
    let trainable = entry.get("config").and_then(|c| c.get("trainable"));
    let named = is_known(class, Era::Keras3) || lower::is_operation(class);
    named && trainable.is_none() && !NEVER_TRAINABLE.contains(&class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_in_order() {
        assert!(KNOWN.is_sorted() && NEW.is_sorted());
        let known =
            |era| ["Activation", "ZeroPadding3D", "RMSNormalization", "Scale"].map(|class| is_known(class, era));
        assert_eq!(known(Era::Before3), [true, true, false, false]);
        assert_eq!(known(Era::Keras3), [true, true, true, false]);
    }

    #[test]
    fn operations_do_not_pass_for_layers() {
        let class = |config: Attrs| {
            dialect_class(&Attrs::new().with("class_name", "Average").with("config", config), Era::Keras3)
        };
        assert_eq!(&*class(Attrs::new().with("name", "average").with("trainable", true)), "keras.Average");
        assert_eq!(&*class(Attrs::new().with("name", "average")), "keras.ops.Average");
        let add = Attrs::new().with("class_name", "Add").with("config", Attrs::new().with("name", "add"));
        assert_eq!(&*dialect_class(&add, Era::Keras3), "keras.ops.Add");
    }
}
