//! A small network with a convolution, a residual block, pooling and a classifier, for examples and tests.

use netc_ir::Module;
use netc_keras::build::{BatchNormalization, BuildError, Conv2d, Dense, ModelBuilder, Padding};

pub(crate) fn build(seed: u64) -> Result<Module, BuildError> {
    let mut m = ModelBuilder::new("tiny", seed);
    let image = m.named("image").input(&[8, 8, 3]);
    let conv = Conv2d { filters: 4, padding: Padding::Same, ..Conv2d::default() };
    let x = m.named("conv").conv2d(image, conv);
    let x = m.named("norm").batch_normalization(x, BatchNormalization::default());
    let stem = m.named("relu").activation(x, "relu");
    let branch = m.named("branch").conv2d(stem, Conv2d { activation: "relu", ..conv });
    let sum = m.named("sum").add(&[stem, branch]);
    let x = m.named("pool").global_average_pooling2d(sum);
    let y = m.named("logits").dense(x, Dense { units: 10, ..Dense::default() });
    m.finish(&[("logits", y)])
}
