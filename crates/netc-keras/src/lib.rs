//! Keras models: files in, files out, and the meaning of every layer as core ops.
//!
//! Each module imports only modules above it in this table; `import`, `export` and `build` do not know each other.
//!
//! | module | what it holds |
//! |---|---|
//! | `error`, `text` | errors of files, encodings of text |
//! | `config` | the words of a configuration: JSON, names, classes, calls, declarations, the order of layers |
//! | `container` | files as bytes and tables of weights: ZIP, HDF5, shards, TensorFlow.js |
//! | `legacy` | declarations, calls and lists of Keras 1 and 2, in terms of Keras 3, and the other way |
//! | `lower` | the lowering of every layer and operation |
//! | `import` | from a file to a module |
//! | `export` | from a module to a file |
//! | `build` | models built layer by layer |
//! | `format` | the entries of the table of formats |
//!
//! `ir-spec/keras.md` defines how a module holds a model. These decisions shape the crate:
//!
//! - **Older Keras is kept as read and converted on use.** The lowering and the writer of `.keras` files ask
//!   `legacy::modern_call` for the call and the declaration of Keras 3, so older files need no lowerings of their own. The
//!   writer of `.h5` files writes the declaration as it is. `legacy::downgrade` goes the other way, for TensorFlow.js and
//!   `h5-keras2`. Only Keras 1 is converted while reading (`legacy::keras1`); netc writes no files of Keras 1. A TensorFlow
//!   operation of a Keras 2 model maps to `keras.ops` by one line in `legacy/tensorflow/twins.rs`.
//! - **Weights have places; everything else follows.** `legacy::parts` describes each composite layer once: the weights that
//!   it makes and the layers inside it. This gives the group of a weight in an archive of any version (`legacy::groups`) and
//!   its number in the lists of an `.h5` file (`legacy::weight_order`). Readers map to the place, writers derive from it.
//!   Weights of a layer that netc does not know are assigned by name.
//! - **A layer that netc cannot run is no error of the file.** `LowerError::Unknown` and `Unsupported` mean that netc lacks
//!   a meaning: the importer goes on with the types that are known. `Weight`, `Operands`, `Infer` and `Config` mean that the
//!   file contradicts itself: the importer rejects it, as Keras would.
//! - **Inferred types win.** The shape in `build_config` comes from the layer's first call, perhaps in another model, so it
//!   only fills in unknown extents, and only if all readers agree.
//! - **A model inside a wrapper stays in the configuration.** `TimeDistributed(model)` is one op;
//!   `lower/wrapper/model.rs` lowers the graph of its configuration.
//! - **`keras_order` is the order that Keras computes when it loads a file.** Groups are numbered in it.

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
