//! Converts Keras 1 models to Keras 2.
//!
//! Keras 2 loads Keras 1 files by the same renaming: `legacy/interfaces.py` for configurations, and
//! `preprocess_weights_for_loading` for [weights](weights()). Kernels in Theano's axis order (`dim_ordering = "th"`)
//! are rejected. The files do not record their backend; netc assumes TensorFlow, whose kernels are not flipped.

mod weights;

pub(crate) use weights::weights;

use std::collections::BTreeSet;

use netc_ir::{Attr, Attrs, Name};

use crate::error::{Problem, Result};

/// The Keras version of the converted module.
pub(crate) const DECLARED_AS: &str = "2.0.0";

/// Whether a file with this version is from Keras 1, whose first releases wrote no version.
pub(crate) fn is_of(version: Option<&str>) -> bool {
    version.is_none_or(|version| version.starts_with("1."))
}

/// Classes that have another name in Keras 2.
const CLASSES: &[(&str, &str)] = &[
    ("Convolution1D", "Conv1D"),
    ("Convolution2D", "Conv2D"),
    ("Convolution3D", "Conv3D"),
    ("AtrousConvolution1D", "Conv1D"),
    ("AtrousConv1D", "Conv1D"),
    ("AtrousConvolution2D", "Conv2D"),
    ("AtrousConv2D", "Conv2D"),
    ("SeparableConvolution2D", "SeparableConv2D"),
    ("Deconvolution2D", "Conv2DTranspose"),
    ("Deconv2D", "Conv2DTranspose"),
    ("TimeDistributedDense", "Dense"),
];

/// Keras 1 layers with the same name in Keras 2. Other classes, such as the user's, keep their configurations.
const SAME: &[&str] = &[
    "Activation",
    "ActivityRegularization",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "BatchNormalization",
    "Bidirectional",
    "ConvLSTM2D",
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "Dense",
    "Dropout",
    "ELU",
    "Embedding",
    "Flatten",
    "GRU",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "InputLayer",
    "LSTM",
    "LeakyReLU",
    "LocallyConnected1D",
    "LocallyConnected2D",
    "Masking",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
    "PReLU",
    "Permute",
    "RepeatVector",
    "Reshape",
    "SimpleRNN",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "ThresholdedReLU",
    "TimeDistributed",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
];

/// Keys of a class with their Keras 2 names; `None` if Keras 2 has no such key. These take precedence over [`KEYS`].
const KEYS_OF: &[(&str, &str, Option<&str>)] = &[
    ("InputLayer", "input_dtype", Some("dtype")),
    ("Embedding", "output_dim", Some("output_dim")),
    ("Embedding", "input_dim", Some("input_dim")),
    ("Embedding", "init", Some("embeddings_initializer")),
    ("Embedding", "W_regularizer", Some("embeddings_regularizer")),
    ("Embedding", "W_constraint", Some("embeddings_constraint")),
    ("Embedding", "dropout", None),
    ("PReLU", "init", Some("alpha_initializer")),
    ("SeparableConv2D", "init", Some("pointwise_initializer")),
    ("BatchNormalization", "mode", None),
    ("Conv2DTranspose", "output_shape", None),
];

/// Keys of all classes with their Keras 2 names; `None` if Keras 2 has no such key.
const KEYS: &[(&str, Option<&str>)] = &[
    ("output_dim", Some("units")),
    ("nb_filter", Some("filters")),
    ("filter_length", Some("kernel_size")),
    ("subsample_length", Some("strides")),
    ("subsample", Some("strides")),
    ("border_mode", Some("padding")),
    ("dim_ordering", Some("data_format")),
    ("pool_length", Some("pool_size")),
    ("stride", Some("strides")),
    ("length", Some("size")),
    ("atrous_rate", Some("dilation_rate")),
    ("bias", Some("use_bias")),
    ("p", Some("rate")),
    ("sigma", Some("stddev")),
    ("init", Some("kernel_initializer")),
    ("inner_init", Some("recurrent_initializer")),
    ("inner_activation", Some("recurrent_activation")),
    ("dropout_W", Some("dropout")),
    ("dropout_U", Some("recurrent_dropout")),
    ("W_regularizer", Some("kernel_regularizer")),
    ("U_regularizer", Some("recurrent_regularizer")),
    ("b_regularizer", Some("bias_regularizer")),
    ("W_constraint", Some("kernel_constraint")),
    ("b_constraint", Some("bias_constraint")),
    ("beta_init", Some("beta_initializer")),
    ("gamma_init", Some("gamma_initializer")),
    ("input_dim", None),
    ("input_length", None),
    ("consume_less", None),
    ("forget_bias_init", None),
    ("nb_row", None),
    ("nb_col", None),
    ("kernel_dim1", None),
    ("kernel_dim2", None),
    ("kernel_dim3", None),
];

/// Kernel extents that have one key each.
const EXTENTS: &[&[&str]] = &[&["nb_row", "nb_col"], &["kernel_dim1", "kernel_dim2", "kernel_dim3"]];

/// Layers whose kernels have the axis order `dim_ordering`.
const ORDERED: &[&str] = &["Conv2D", "Conv3D", "SeparableConv2D", "Conv2DTranspose", "ConvLSTM2D"];

/// The Keras 2 class for each mode of `Merge`.
const MERGES: &[(&str, &str)] = &[
    ("sum", "Add"),
    ("mul", "Multiply"),
    ("ave", "Average"),
    ("max", "Maximum"),
    ("concat", "Concatenate"),
    ("dot", "Dot"),
];

/// Converts the object of a model or layer to Keras 2. The JSON reader limits how deep models nest.
pub(crate) fn object(object: Attr) -> Result<Attr> {
    Translation::default().object(object)
}

#[derive(Default)]
struct Translation {
    /// The number of Sequential models without a name so far.
    unnamed: usize,
}

impl Translation {
    fn object(&mut self, object: Attr) -> Result<Attr> {
        let Attr::Map(mut object) = object else { return Ok(object) };
        let class = object.get("class_name").and_then(Attr::as_str).unwrap_or_default().to_string();
        let (class, config) = match (&*class, object.get("config").cloned()) {
            ("Merge", Some(Attr::Map(config))) => merge(&config)?,
            (_, Some(Attr::List(layers))) => {
                let name = object.get("name").cloned().unwrap_or_else(|| self.name());
                (&*class, Attrs::new().with("name", name).with("layers", self.layers(&class, &layers)?))
            }
            (_, Some(Attr::Map(config))) if config.get("layers").is_some() => {
                let layers = config.get("layers").and_then(Attr::as_list).unwrap_or_default();
                let layers = self.layers(&class, layers)?;
                (&*class, config.with("layers", layers))
            }
            (_, Some(Attr::Map(config))) => {
                let class = CLASSES.iter().find(|(old, _)| *old == class).map_or(&*class, |(_, new)| new);
                let is_own = SAME.contains(&class) || CLASSES.iter().any(|(_, new)| *new == class);
                (class, if is_own { self.layer(class, &config)? } else { self.with_inner(&config)? })
            }
            (_, _) => return Ok(Attr::Map(object)),
        };
        object.set("class_name", class);
        object.set("config", config);
        Ok(Attr::Map(object))
    }

    /// Converts the layers of a model of class `class`.
    fn layers(&mut self, class: &str, layers: &[Attr]) -> Result<Attr> {
        let layers = layers.iter().map(|layer| self.object(layer.clone()));
        let mut layers = layers.collect::<Result<Vec<Attr>, _>>()?;
        if class == "Sequential" {
            layers = with_input(&layers);
        }
        Ok(Attr::List(layers.iter().map(without_input_type).collect()))
    }

    /// The name of the next Sequential model without one, whose configuration is the list of layers itself.
    fn name(&mut self) -> Attr {
        self.unnamed += 1;
        Attr::str(format!("sequential_{}", self.unnamed))
    }

    /// Converts the configuration of a layer. `class` is its Keras 2 class.
    fn layer(&mut self, class: &str, config: &Attrs) -> Result<Attrs> {
        let place = config.get("name").and_then(Attr::as_str).unwrap_or(class);
        if config.get("dim_ordering").and_then(Attr::as_str) == Some("th") && ORDERED.contains(&class) {
            let note =
                "its kernels have Theano's axis order (dim_ordering = \"th\"); load it in Keras 2 and save it again";
            return Err(Problem::config(place, note));
        }
        if class == "BatchNormalization" && config.get("mode").is_some_and(|mode| mode.as_int() != Some(0)) {
            let note =
                "`mode` is not 0: it normalizes by example or by batch statistics, which Keras 2 does not support";
            return Err(Problem::config(place, note));
        }
        if class == "Conv2DTranspose" && config.get("subsample").is_some_and(|strides| *strides != Attr::ints([1, 1])) {
            let note =
                "with strides, its `output_shape` selects one of several output sizes, which Keras 2 cannot express";
            return Err(Problem::config(place, note));
        }
        let extents = EXTENTS.iter().filter_map(|keys| keys.iter().map(|key| config.get(key).cloned()).collect());
        let mut new: Vec<(Name, Attr)> =
            extents.map(|extents: Vec<Attr>| ("kernel_size".into(), Attr::List(extents))).collect();
        for (key, value) in config.iter() {
            let of_class = KEYS_OF.iter().find(|(of, old, _)| *of == class && **key == **old).map(|(_, _, new)| *new);
            let of_all = || KEYS.iter().find(|(old, _)| **key == **old).map(|(_, new)| *new);
            let Some(name) = of_class.or_else(of_all).unwrap_or(Some(key)) else { continue };
            new.push((name.into(), self.setting(class, key, name, value)?));
        }
        unique(place, new)
    }

    /// Converts only the inner layer, if any, in the configuration of a layer of an unknown class.
    fn with_inner(&mut self, config: &Attrs) -> Result<Attrs> {
        match config.get("layer") {
            Some(layer @ Attr::Map(_)) => Ok(config.clone().with("layer", self.object(layer.clone())?)),
            Some(_) | None => Ok(config.clone()),
        }
    }

    /// Converts the `value` of `key` in Keras 1 to the value of `name` in Keras 2.
    fn setting(&mut self, class: &str, key: &str, name: &str, value: &Attr) -> Result<Attr> {
        Ok(match (key, name) {
            ("layer", _) => self.object(value.clone())?,
            ("dim_ordering", _) => match value.as_str() {
                Some("th") => "channels_first".into(),
                _ => "channels_last".into(),
            },
            (_, "padding") if class.starts_with("ZeroPadding") => margins(value),
            (_, name) if name.ends_with("_regularizer") => regularizer(value),
            (_, name) if name.ends_with("_constraint") => constraint(value),
            _ => value.clone(),
        })
    }
}

/// The entries as attributes. A repeated key is an error.
fn unique(place: &str, entries: Vec<(Name, Attr)>) -> Result<Attrs> {
    let mut seen = BTreeSet::new();
    match entries.iter().find(|(key, _)| !seen.insert(key)) {
        Some((key, _)) => Err(Problem::config(place, format!("it has `{key}` under two names"))),
        None => Ok(entries.into_iter().collect()),
    }
}

/// The layers of a Sequential model with an input layer in front. It is made from the first layer, or taken from it if
/// that is a model.
fn with_input(layers: &[Attr]) -> Vec<Attr> {
    let input = layers.first().and_then(|first| {
        let config = first.get("config")?;
        if first.get("class_name")?.as_str()? == "InputLayer" {
            return None;
        }
        if let Some(inner) = config.get("layers").and_then(Attr::as_list).and_then(<[Attr]>::first) {
            return (inner.get("class_name")?.as_str()? == "InputLayer").then(|| inner.clone());
        }
        let name = format!("{}_input", config.get("name").and_then(Attr::as_str).unwrap_or_default());
        let dtype = config.get("input_dtype").cloned().unwrap_or_else(|| "float32".into());
        let shape = config.get("batch_input_shape")?.clone();
        let config = Attrs::new()
            .with("batch_input_shape", shape)
            .with("dtype", dtype)
            .with("sparse", false)
            .with("name", &*name);
        Some(Attr::Map(Attrs::new().with("class_name", "InputLayer").with("config", config)))
    });
    input.into_iter().chain(layers.iter().cloned()).collect()
}

/// The layer without the dtype of its input, which the input layer has.
fn without_input_type(layer: &Attr) -> Attr {
    match (layer, layer.get("config")) {
        (Attr::Map(object), Some(Attr::Map(config))) => {
            let kept = config.iter().filter(|(key, _)| &**key != "input_dtype").cloned();
            Attr::Map(object.clone().with("config", kept.collect::<Attrs>()))
        }
        _ => layer.clone(),
    }
}

/// Converts padding, given as named sides or as four numbers.
fn margins(value: &Attr) -> Attr {
    let side = |key: &str| value.get(key).cloned().unwrap_or(Attr::Int(0));
    let pair = |a: Attr, b: Attr| Attr::List(vec![a, b]);
    match (value, value.as_list()) {
        (Attr::Map(map), _) if map.get("top_pad").or(map.get("bottom_pad")).is_some() => {
            pair(pair(side("top_pad"), side("bottom_pad")), pair(side("left_pad"), side("right_pad")))
        }
        (Attr::Map(_), _) => pair(side("left_pad"), side("right_pad")),
        (_, Some([top, bottom, left, right])) => {
            pair(pair(top.clone(), bottom.clone()), pair(left.clone(), right.clone()))
        }
        _ => value.clone(),
    }
}

/// Converts a regularizer, which Keras 1 writes without a class.
fn regularizer(value: &Attr) -> Attr {
    let Attr::Map(map) = value else { return value.clone() };
    let config: Attrs = ["l1", "l2"].iter().filter_map(|key| Some(((*key).into(), map.get(key)?.clone()))).collect();
    if map.get("class_name").is_some() {
        return value.clone();
    }
    Attr::Map(Attrs::new().with("class_name", "L1L2").with("config", config))
}

/// Converts a constraint, whose class is its name in Keras 1.
fn constraint(value: &Attr) -> Attr {
    let Attr::Map(map) = value else { return value.clone() };
    let Some(class) = map.get("name").and_then(Attr::as_str) else { return value.clone() };
    let key = |key: &str| if key == "m" { "max_value".into() } else { key.into() };
    let config: Attrs = map.iter().filter(|(k, _)| &**k != "name").map(|(k, value)| (key(k), value.clone())).collect();
    Attr::Map(Attrs::new().with("class_name", class).with("config", config))
}

/// The Keras 2 class and configuration of a `Merge`.
fn merge(config: &Attrs) -> Result<(&'static str, Attrs)> {
    let place = config.get("name").and_then(Attr::as_str).unwrap_or("Merge");
    if config.get("layers").is_some() {
        let note = "it merges models at the start of a Sequential model, which Keras 2 does not support";
        return Err(Problem::config(place, note));
    }
    let is_named = config.get("mode_type").is_none_or(|how| how.as_str() == Some("raw"));
    let mode = config.get("mode").and_then(Attr::as_str).filter(|_| is_named);
    let Some((mode, class)) = MERGES.iter().find(|(name, _)| Some(*name) == mode) else {
        let modes: Vec<&str> = MERGES.iter().map(|(name, _)| *name).collect();
        return Err(Problem::config(place, format!("its `mode` is not one of {}", modes.join(", "))));
    };
    let mut new = Attrs::new().with("name", place);
    let mut copy = |from: &str, to: &str| config.get(from).into_iter().for_each(|value| new.set(to, value.clone()));
    copy("trainable", "trainable");
    match *mode {
        "concat" => copy("concat_axis", "axis"),
        "dot" => copy("dot_axes", "axes"),
        _ => {}
    }
    Ok((class, new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::json;

    fn keras_2(text: &str) -> Result<String, String> {
        let translated = object(json::parsed(text)).map_err(|e| e.to_string())?;
        Ok(json::print(&translated))
    }

    #[test]
    fn classes_and_keys_get_their_keras_2_names() {
        let conv = r#"{"class_name": "Convolution2D", "config": {"name": "c", "nb_filter": 4, "nb_row": 3, "nb_col": 2,
            "subsample": [1, 2], "border_mode": "same", "dim_ordering": "tf", "bias": true, "init": "uniform",
            "W_regularizer": {"name": "L1L2Regularizer", "l1": 0.0, "l2": 0.5},
            "W_constraint": {"name": "MaxNorm", "m": 2, "axis": 0}}}"#;
        assert_eq!(
            keras_2(conv).unwrap(),
            r#"{"class_name": "Conv2D", "config": {"kernel_size": [3, 2], "name": "c", "filters": 4, "strides": [1, 2], "padding": "same", "data_format": "channels_last", "use_bias": true, "kernel_initializer": "uniform", "kernel_regularizer": {"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.5}}, "kernel_constraint": {"class_name": "MaxNorm", "config": {"max_value": 2, "axis": 0}}}}"#
        );
        let padding = r#"{"class_name": "ZeroPadding2D", "config": {"padding": {"top_pad": 1, "right_pad": 2}}}"#;
        assert_eq!(
            keras_2(padding).unwrap(),
            r#"{"class_name": "ZeroPadding2D", "config": {"padding": [[1, 0], [0, 2]]}}"#
        );
        let embedding = r#"{"class_name": "Embedding", "config": {"input_dim": 9, "output_dim": 2, "dropout": 0.5}}"#;
        assert_eq!(
            keras_2(embedding).unwrap(),
            r#"{"class_name": "Embedding", "config": {"input_dim": 9, "output_dim": 2}}"#
        );
    }

    #[test]
    fn unknown_classes_and_keys_are_kept() {
        let own = r#"{"class_name": "Attend", "config": {"output_dim": 5, "p": 0.1, "init": "uniform", "length": 4}}"#;
        assert_eq!(keras_2(own).unwrap(), own);
        let wrapper =
            r#"{"class_name": "Twice", "config": {"p": 2, "layer": {"class_name": "Dropout", "config": {"p": 0.5}}}}"#;
        assert_eq!(
            keras_2(wrapper).unwrap(),
            r#"{"class_name": "Twice", "config": {"p": 2, "layer": {"class_name": "Dropout", "config": {"rate": 0.5}}}}"#
        );
        let first = r#"{"class_name": "UpSampling2D", "config": {"data_format": "channels_first"}}"#;
        assert_eq!(keras_2(first).unwrap(), first);
        let input = r#"{"class_name": "InputLayer", "config": {"batch_input_shape": [null, 3], "name": "i"}}"#;
        let chain = format!(r#"{{"class_name": "Sequential", "config": {{"name": "s", "layers": [{input}]}}}}"#);
        assert_eq!(keras_2(&chain).unwrap(), chain);
    }

    #[test]
    fn unsupported_settings_are_rejected() {
        for (text, note) in [
            (
                r#"{"class_name": "Convolution2D", "config": {"name": "c", "dim_ordering": "th"}}"#,
                "c: its kernels have",
            ),
            (r#"{"class_name": "BatchNormalization", "config": {"name": "b", "mode": 1}}"#, "b: `mode` is not 0"),
            (r#"{"class_name": "Deconvolution2D", "config": {"name": "d", "subsample": [2, 2]}}"#, "d: with strides"),
            (
                r#"{"class_name": "Dropout", "config": {"name": "d", "p": 1, "rate": 1}}"#,
                "d: it has `rate` under two names",
            ),
            (r#"{"class_name": "Merge", "config": {"name": "m", "mode": "cos", "mode_type": "raw"}}"#, "m: its `mode`"),
            (
                r#"{"class_name": "Merge", "config": {"name": "m", "mode": "sum", "mode_type": "lambda"}}"#,
                "m: its `mode`",
            ),
            (r#"{"class_name": "Merge", "config": {"name": "m", "mode": "sum", "layers": []}}"#, "m: it merges models"),
        ] {
            let error = keras_2(text).unwrap_err();
            assert!(error.starts_with(note), "{error}");
        }
    }
}
