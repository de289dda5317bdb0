//! ResNet50 (He et al., "Deep residual learning for image recognition", 2015), as implemented in Keras.

use netc_ir::Module;
use netc_keras::build::{BatchNormalization, BuildError, Conv2d, Dense, Init, ModelBuilder, Padding, Pool2d, Tensor};

use crate::residual::residual_factor;

/// The stacks of table 1: channels of the bottleneck, number of blocks, stride of the first block.
const STACKS: [(&str, u64, u32, u64); 4] =
    [("conv2", 64, 3, 1), ("conv3", 128, 4, 2), ("conv4", 256, 6, 2), ("conv5", 512, 3, 2)];

pub(crate) fn build(seed: u64) -> Result<Module, BuildError> {
    let mut m = ModelBuilder::new("resnet50", seed);
    let image = m.input(&[224, 224, 3]);
    let mut x = stem(&mut m, image);
    for (stack, width, blocks, stride) in STACKS {
        for i in 1..=blocks {
            let first = (i == 1).then_some(stride);
            x = block(&mut m, x, &format!("{stack}_block{i}"), width, first);
        }
    }
    let x = m.named("avg_pool").global_average_pooling2d(x);
    let dense = Dense { units: 1000, activation: "softmax", ..Dense::default() };
    let y = m.named("predictions").dense(x, dense);
    m.finish(&[("predictions", y)])
}

fn stem(m: &mut ModelBuilder, x: Tensor) -> Tensor {
    let x = m.named("conv1_pad").zero_padding2d(x, [[3, 3], [3, 3]]);
    let x =
        m.named("conv1_conv").conv2d(x, Conv2d { filters: 64, kernel: [7, 7], strides: [2, 2], ..Conv2d::default() });
    let x = norm(m, x, "conv1", Init::factor());
    let x = m.named("conv1_relu").activation(x, "relu");
    let x = m.named("pool1_pad").zero_padding2d(x, [[1, 1], [1, 1]]);
    m.named("pool1_pool").max_pooling2d(x, Pool2d { size: [3, 3], strides: Some([2, 2]), ..Pool2d::default() })
}

/// A bottleneck of `width` channels; the first of a stack has a stride and projects its shortcut.
fn block(m: &mut ModelBuilder, x: Tensor, name: &str, width: u64, first: Option<u64>) -> Tensor {
    let strides = [first.unwrap_or(1); 2];
    let one = Conv2d { kernel: [1, 1], ..Conv2d::default() };
    let shortcut = match first {
        Some(_) => conv(m, x, &format!("{name}_0"), Conv2d { filters: 4 * width, strides, ..one }, Init::factor()),
        None => x,
    };
    let x = conv(m, x, &format!("{name}_1"), Conv2d { filters: width, strides, ..one }, Init::factor());
    let x = m.named(format!("{name}_1_relu")).activation(x, "relu");
    let three = Conv2d { filters: width, padding: Padding::Same, ..Conv2d::default() };
    let x = conv(m, x, &format!("{name}_2"), three, Init::factor());
    let x = m.named(format!("{name}_2_relu")).activation(x, "relu");
    let x = conv(m, x, &format!("{name}_3"), Conv2d { filters: 4 * width, ..one }, residual_factor());
    let x = m.named(format!("{name}_add")).add(&[shortcut, x]);
    m.named(format!("{name}_out")).activation(x, "relu")
}

fn conv(m: &mut ModelBuilder, x: Tensor, name: &str, conv: Conv2d, gamma: Init) -> Tensor {
    let x = m.named(format!("{name}_conv")).conv2d(x, conv);
    norm(m, x, name, gamma)
}

fn norm(m: &mut ModelBuilder, x: Tensor, name: &str, gamma: Init) -> Tensor {
    let norm = BatchNormalization { axis: 3, epsilon: 1.001e-5, gamma, ..BatchNormalization::default() };
    m.named(format!("{name}_bn")).batch_normalization(x, norm)
}
