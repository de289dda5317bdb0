//! The meaning of every Keras layer and operation, as core ops.
