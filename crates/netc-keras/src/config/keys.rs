//! Keys of configurations under which a layer keeps functions and other layers, and what functions are called.

/// Keys that have another name in Keras 3, by class.
pub(crate) const RENAMED: &[(&str, &str, &str)] = &[
    ("InputLayer", "batch_input_shape", "batch_shape"),
    ("LeakyReLU", "alpha", "negative_slope"),
    ("ThresholdedReLU", "theta", "threshold"),
];

/// What `hard_sigmoid` is before Keras 3, which gives the name to another function.
pub(crate) const OLD_HARD_SIGMOID: &str = "keras2>hard_sigmoid";

/// Keys under which a layer has a function.
pub(crate) const ACTIVATIONS: &[&str] = &["activation", "recurrent_activation"];

/// Keys under which a layer has layers of its own.
pub(crate) const INNER: &[&str] = &["layer", "backward_layer", "forward_layer", "cell", "cells"];

/// Stands for what Keras 3 calls `hard_sigmoid` in a declaration of before.
pub(crate) const NEW_HARD_SIGMOID: &str = "keras3>hard_sigmoid";
