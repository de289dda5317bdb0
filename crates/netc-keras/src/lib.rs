//! Reads and writes Keras models, and lowers every layer to core ops.
//!
//! Each module imports only modules above it in this table; `import`, `export` and `build` do not import each other.
//!
//! | module | what it holds |
//! |---|---|
//! | `error`, `text` | file errors, text encodings |
//! | `config` | the parts of a configuration: JSON, names, classes, calls, declarations, layer order |
//! | `container` | files as bytes and weight tables: ZIP, HDF5, shards, TensorFlow.js |
//! | `legacy` | converts declarations, calls and weight lists between Keras 1 and 2 and Keras 3 |
//! | `lower` | the lowering of every layer and operation |
//! | `import` | file to module |
//! | `export` | module to file |
//! | `build` | builds models layer by layer |
//! | `format` | the Keras entries of the format table |
//!
//! `ir-spec/keras.md` defines how a module holds a model. These decisions shape the crate:
//!
//! - **Older models are stored as read and converted on use.** The lowering and the `.keras` writer ask
//!   `legacy::upgrade_call` for the Keras 3 call and declaration, so older files need no lowerings of their own. The
//!   `.h5` writer writes the declaration unchanged. `legacy::downgrade` converts to Keras 2 for TensorFlow.js and
//!   `h5-keras2`. Only Keras 1 is converted while reading (`legacy::keras1`); netc writes no Keras 1 files. One line in
//!   `legacy/tensorflow/twins.rs` maps a TensorFlow operation of a Keras 2 model to `keras.ops`.
//! - **Each weight has a place in its layer; everything else is derived.** `legacy::parts` describes each composite
//!   layer once: the weights that it creates and its inner layers. From this follow the weight's group in an archive of
//!   any version (`legacy::groups`) and its index in the lists of an `.h5` file (`legacy::weight_order`). Readers map
//!   to the place, writers derive from it. netc assigns the weights of an unknown layer by name.
//! - **An unsupported layer is not a file error.** For `LowerError::Unknown` and `Unsupported`, the importer continues
//!   with the types that it knows. `Weight`, `Operands`, `Infer` and `Config` mean that the file contradicts itself:
//!   the importer rejects it, as Keras would.
//! - **Inferred types win.** The shape in `build_config` comes from the layer's first call, perhaps in another model,
//!   so it only fills in unknown extents, and only if all readers agree.
//! - **A model inside a wrapper stays in the configuration.** `TimeDistributed(model)` is one op;
//!   `lower/wrapper/model.rs` lowers the graph in its configuration.
//! - **`keras_order` is the order that Keras computes when it loads a file.** It numbers the groups.

pub mod build;
mod config;
mod container;
mod error;
mod export;
mod format;
mod import;
mod legacy;
pub mod lower;
mod text;

pub use error::{JsonError, KerasError, Problem};
pub use export::{write, write_hdf5, write_hdf5_of_keras_2, write_json, write_tfjs};
pub use format::{FRAMEWORK, H5, H5_KERAS2, JSON, KERAS, TFJS};
pub use import::{read, read_with};
