//! Builds Keras models layer by layer. The module equals the one imported from the file that Keras would write.
//!
//! ```
//! use netc_keras::build::{Conv2d, Dense, ModelBuilder};
//!
//! let mut m = ModelBuilder::new("tiny", 7);
//! let image = m.named("image").input(&[8, 8, 3]);
//! let x = m.conv2d(image, Conv2d { filters: 4, activation: "relu", ..Conv2d::default() });
//! let x = m.global_average_pooling2d(x);
//! let y = m.named("logits").dense(x, Dense { units: 10, ..Dense::default() });
//! let module = m.finish(&[("logits", y)])?;
//! assert_eq!(&*module.layers[1].name, "conv2d");
//! # Ok::<(), netc_keras::build::BuildError>(())
//! ```

mod assemble;
mod builder;
mod conv;
mod declaration;
mod embed;
mod error;
mod layers;
mod names;
mod nested;
mod parts;

pub use builder::ModelBuilder;
pub use conv::{Conv, Conv2d, DepthwiseConv, DepthwiseConv2d, Padding, SeparableConv};
pub use declaration::{Declaration, Init, Origin, Variable};
pub use error::{BuildError, Reason};
pub use layers::{BatchNormalization, Dense, Pool, Pool2d, Relu};
pub use parts::{LayerHandle, Tensor};

#[cfg(test)]
mod tests;
