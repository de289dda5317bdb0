//! Tests of the whole: file tests, properties, spec pages, tidiness, the command, interop with Keras.
