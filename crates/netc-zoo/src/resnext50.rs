//! ResNeXt-50 32x4d (Xie et al., "Aggregated residual transformations for deep neural networks", 2016).

use netc_ir::Module;
use netc_keras::build::{BatchNormalization, BuildError, Conv2d, Dense, Init, ModelBuilder, Pool2d, Tensor};

use crate::residual::residual_factor;

/// The stacks of table 1: channels of the bottleneck, number of blocks, stride of the first block.
const STACKS: [(&str, u64, u32, u64); 4] =
    [("conv2", 128, 3, 1), ("conv3", 256, 4, 2), ("conv4", 512, 6, 2), ("conv5", 1024, 3, 2)];

/// The number of paths that a block aggregates: the groups of its 3x3 convolution.
const CARDINALITY: u64 = 32;

pub(crate) fn build(seed: u64) -> Result<Module, BuildError> {
    let mut m = ModelBuilder::new("resnext50", seed);
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
    let seven = Conv2d { kernel: [7, 7], strides: [2, 2], ..plain(64) };
    let x = conv(m, x, "conv1", seven, Init::factor());
    let x = m.named("conv1_relu").activation(x, "relu");
    let x = m.named("pool1_pad").zero_padding2d(x, [[1, 1], [1, 1]]);
    m.named("pool1_pool").max_pooling2d(x, Pool2d { size: [3, 3], strides: Some([2, 2]), ..Pool2d::default() })
}

/// Figure 3(c): a bottleneck of `width` channels in groups; the first of a stack has a stride and projects its
/// shortcut.
fn block(m: &mut ModelBuilder, x: Tensor, name: &str, width: u64, first: Option<u64>) -> Tensor {
    let strides = [first.unwrap_or(1); 2];
    let wide = Conv2d { kernel: [1, 1], ..plain(2 * width) };
    let shortcut = match first {
        Some(_) => conv(m, x, &format!("{name}_0"), Conv2d { strides, ..wide }, Init::factor()),
        None => x,
    };
    let x = conv(m, x, &format!("{name}_1"), Conv2d { kernel: [1, 1], ..plain(width) }, Init::factor());
    let x = m.named(format!("{name}_1_relu")).activation(x, "relu");
    let grouped = Conv2d { strides, groups: CARDINALITY, ..plain(width) };
    let x = conv(m, x, &format!("{name}_2"), grouped, Init::factor());
    let x = m.named(format!("{name}_2_relu")).activation(x, "relu");
    let x = conv(m, x, &format!("{name}_3"), wide, residual_factor());
    let x = m.named(format!("{name}_add")).add(&[shortcut, x]);
    m.named(format!("{name}_out")).activation(x, "relu")
}

fn plain(filters: u64) -> Conv2d {
    Conv2d { filters, use_bias: false, ..Conv2d::default() }
}

/// A convolution with padding of half its kernel, and a normalization.
fn conv(m: &mut ModelBuilder, x: Tensor, name: &str, conv: Conv2d, gamma: Init) -> Tensor {
    let border = conv.kernel.map(|extent| [extent / 2; 2]);
    let x = match conv.kernel {
        [1, 1] => x,
        _ => m.named(format!("{name}_pad")).zero_padding2d(x, border),
    };
    let x = m.named(format!("{name}_conv")).conv2d(x, conv);
    let norm = BatchNormalization { axis: 3, epsilon: 1e-5, gamma, ..BatchNormalization::default() };
    m.named(format!("{name}_bn")).batch_normalization(x, norm)
}
