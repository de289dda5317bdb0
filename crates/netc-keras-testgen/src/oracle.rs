//! Oracles for Keras models and files: functions that return what is wrong.

mod files;
mod manifests;
mod readers;

pub use files::{
    file_bytes, member, round_trip_hdf5, round_trip_json, round_trip_keras, round_trip_tfjs, split_compose_keras,
    through_file,
};
pub use manifests::{MANIFEST, manifest, small_stages};
pub use readers::{READERS, keras_config, keras_file, keras_h5, keras_weights, small_model, tfjs_json, weights_file};
