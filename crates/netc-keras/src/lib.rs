//! Keras models: files in, files out, and the meaning of every layer as core ops.

pub mod lower;
