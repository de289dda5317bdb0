//! MobileNetV2 (Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", 2018), as implemented in
//! Keras.

use netc_ir::Module;
use netc_keras::build::{
    BatchNormalization, BuildError, Conv2d, Dense, DepthwiseConv2d, ModelBuilder, Padding, Relu, Tensor,
};

/// Table 2: expansion, channels, number of blocks, stride of the first block.
const STAGES: [(u64, u64, u32, u64); 7] =
    [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)];

pub(crate) fn build(seed: u64) -> Result<Module, BuildError> {
    let mut m = ModelBuilder::new("mobilenetv2_1.00_224", seed);
    let image = m.input(&[224, 224, 3]);
    let stem = Conv2d { filters: 32, strides: [2, 2], padding: Padding::Same, use_bias: false, ..Conv2d::default() };
    let x = m.named("Conv1").conv2d(image, stem);
    let x = norm(&mut m, x, "bn_Conv1");
    let mut x = relu6(&mut m, x, "Conv1_relu");
    let (mut channels, mut index) = (32, 0);
    for (expansion, filters, blocks, stride) in STAGES {
        for i in 0..blocks {
            let stride = if i == 0 { stride } else { 1 };
            x = block(&mut m, x, index, Block { expanded: expansion * channels, channels, filters, stride });
            channels = filters;
            index += 1;
        }
    }
    let x = m.named("Conv_1").conv2d(x, Conv2d { filters: 1280, kernel: [1, 1], use_bias: false, ..Conv2d::default() });
    let x = norm(&mut m, x, "Conv_1_bn");
    let x = relu6(&mut m, x, "out_relu");
    let x = m.global_average_pooling2d(x);
    let dense = Dense { units: 1000, activation: "softmax", ..Dense::default() };
    let y = m.named("predictions").dense(x, dense);
    m.finish(&[("predictions", y)])
}

/// The widths of an inverted residual block, and its stride.
struct Block {
    channels: u64,
    expanded: u64,
    filters: u64,
    stride: u64,
}

fn block(m: &mut ModelBuilder, input: Tensor, index: u32, block: Block) -> Tensor {
    let prefix = if index == 0 { "expanded_conv".into() } else { format!("block_{index}") };
    let mut x = input;
    if index > 0 {
        x = pointwise(m, x, &format!("{prefix}_expand"), block.expanded);
        x = relu6(m, x, &format!("{prefix}_expand_relu"));
    }
    let mut depthwise = DepthwiseConv2d { use_bias: false, padding: Padding::Same, ..DepthwiseConv2d::default() };
    if block.stride == 2 {
        // The padding that `same` gives for inputs of even size.
        x = m.named(format!("{prefix}_pad")).zero_padding2d(x, [[0, 1], [0, 1]]);
        depthwise = DepthwiseConv2d { strides: [2, 2], padding: Padding::Valid, ..depthwise };
    }
    let x = m.named(format!("{prefix}_depthwise")).depthwise_conv2d(x, depthwise);
    let x = norm(m, x, &format!("{prefix}_depthwise_BN"));
    let x = relu6(m, x, &format!("{prefix}_depthwise_relu"));
    let x = pointwise(m, x, &format!("{prefix}_project"), block.filters);
    if block.stride == 1 && block.channels == block.filters {
        return m.named(format!("{prefix}_add")).add(&[input, x]);
    }
    x
}

fn pointwise(m: &mut ModelBuilder, x: Tensor, name: &str, filters: u64) -> Tensor {
    let conv = Conv2d { filters, kernel: [1, 1], padding: Padding::Same, use_bias: false, ..Conv2d::default() };
    let x = m.named(name).conv2d(x, conv);
    norm(m, x, &format!("{name}_BN"))
}

fn norm(m: &mut ModelBuilder, x: Tensor, name: &str) -> Tensor {
    m.named(name).batch_normalization(x, BatchNormalization { momentum: 0.999, ..BatchNormalization::default() })
}

fn relu6(m: &mut ModelBuilder, x: Tensor, name: &str) -> Tensor {
    m.named(name).relu(x, Relu { max_value: Some(6.0), ..Relu::default() })
}
