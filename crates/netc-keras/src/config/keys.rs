//! Configuration keys for a layer's functions and inner layers, and names of functions.

/// Keys that Keras 3 renamed: class, old key, new key.
pub(crate) const RENAMED: &[(&str, &str, &str)] = &[
    ("InputLayer", "batch_input_shape", "batch_shape"),
    ("LeakyReLU", "alpha", "negative_slope"),
    ("ThresholdedReLU", "theta", "threshold"),
];

/// The dialect's name for the `hard_sigmoid` of Keras 1 and 2. Keras 3 uses that name for another function.
pub(crate) const OLD_HARD_SIGMOID: &str = "keras2>hard_sigmoid";

/// Keys whose value is an activation function.
pub(crate) const ACTIVATIONS: &[&str] = &["activation", "recurrent_activation"];

/// Keys whose value is an inner layer or a list of them.
pub(crate) const INNER: &[&str] = &["layer", "backward_layer", "forward_layer", "cell", "cells"];

/// The name of the Keras 3 `hard_sigmoid` in a Keras 1 or 2 declaration.
pub(crate) const NEW_HARD_SIGMOID: &str = "keras3>hard_sigmoid";
