//! VGG19 (Simonyan, Zisserman, "Very deep convolutional networks for large-scale image recognition", 2014), as
//! implemented in Keras.

use netc_ir::Module;
use netc_keras::build::{BuildError, Conv2d, Dense, ModelBuilder, Padding, Pool2d, Tensor};

/// Column E of table 1: channels, number of convolutions.
const BLOCKS: [(u64, u32); 5] = [(64, 2), (128, 2), (256, 4), (512, 4), (512, 4)];

pub(crate) fn build(seed: u64) -> Result<Module, BuildError> {
    let mut m = ModelBuilder::new("vgg19", seed);
    let mut x = m.input(&[224, 224, 3]);
    for (i, (filters, convs)) in (1..).zip(BLOCKS) {
        x = block(&mut m, x, &format!("block{i}"), filters, convs);
    }
    let x = m.named("flatten").flatten(x);
    let wide = Dense { units: 4096, activation: "relu", ..Dense::default() };
    let x = m.named("fc1").dense(x, wide);
    let x = m.named("fc2").dense(x, wide);
    let dense = Dense { units: 1000, activation: "softmax", ..Dense::default() };
    let y = m.named("predictions").dense(x, dense);
    m.finish(&[("predictions", y)])
}

/// `convs` convolutions, then a pooling that halves height and width.
fn block(m: &mut ModelBuilder, mut x: Tensor, name: &str, filters: u64, convs: u32) -> Tensor {
    for i in 1..=convs {
        let conv = Conv2d { filters, padding: Padding::Same, activation: "relu", ..Conv2d::default() };
        x = m.named(format!("{name}_conv{i}")).conv2d(x, conv);
    }
    m.named(format!("{name}_pool")).max_pooling2d(x, Pool2d { strides: Some([2, 2]), ..Pool2d::default() })
}
