//! ResNet-152 (He et al., "Deep residual learning for image recognition", 2015) as ported to Keras from Caffe, with the
//! original names. Caffe normalizes in two layers, so a `Scale` follows each normalization.

use netc_ir::{Attrs, Module};
use netc_keras::build::{BatchNormalization, BuildError, Conv2d, Dense, Init, ModelBuilder, Pool2d, Tensor};

use crate::residual::residual_factor;

/// The stages of table 1: number, channels of the bottleneck, stride of the first block, names of the other blocks.
const STAGES: [(u32, u64, u64, Blocks); 4] = [
    (2, 64, 1, Blocks::Letters(&["b", "c"])),
    (3, 128, 2, Blocks::Numbers(7)),
    (4, 256, 2, Blocks::Numbers(35)),
    (5, 512, 2, Blocks::Letters(&["b", "c"])),
];

/// The names of the blocks after the first, `a`.
#[derive(Clone, Copy)]
enum Blocks {
    Letters(&'static [&'static str]),
    /// `b1`, `b2`, ...
    Numbers(u32),
}

pub(crate) fn build(seed: u64) -> Result<Module, BuildError> {
    let mut m = ModelBuilder::new("resnet152_scale", seed).with_library(include_str!("../../../layers/scale.nir"));
    let image = m.named("data").input(&[224, 224, 3]);
    let mut x = stem(&mut m, image);
    for (stage, width, stride, blocks) in STAGES {
        x = block(&mut m, x, &format!("{stage}a"), width, Some(stride));
        for name in blocks.names() {
            x = block(&mut m, x, &format!("{stage}{name}"), width, None);
        }
    }
    let x = m.named("avg_pool").average_pooling2d(x, Pool2d { size: [7, 7], ..Pool2d::default() });
    let x = m.flatten(x);
    let dense = Dense { units: 1000, activation: "softmax", ..Dense::default() };
    let y = m.named("fc1000").dense(x, dense);
    m.finish(&[("fc1000", y)])
}

impl Blocks {
    fn names(self) -> Vec<String> {
        match self {
            Self::Letters(letters) => letters.iter().map(ToString::to_string).collect(),
            Self::Numbers(n) => (1..=n).map(|i| format!("b{i}")).collect(),
        }
    }
}

fn stem(m: &mut ModelBuilder, x: Tensor) -> Tensor {
    let x = m.named("conv1_zeropadding").zero_padding2d(x, [[3, 3], [3, 3]]);
    let conv = Conv2d { filters: 64, kernel: [7, 7], strides: [2, 2], use_bias: false, ..Conv2d::default() };
    let x = m.named("conv1").conv2d(x, conv);
    let x = norm(m, x, "_conv1", Init::factor());
    let x = m.named("conv1_relu").activation(x, "relu");
    m.named("pool1").max_pooling2d(x, Pool2d { size: [3, 3], strides: Some([2, 2]), ..Pool2d::default() })
}

/// A bottleneck of `width` channels; the first of a stage has a stride and projects its shortcut.
fn block(m: &mut ModelBuilder, input: Tensor, name: &str, width: u64, first: Option<u64>) -> Tensor {
    let strides = [first.unwrap_or(1); 2];
    let one = Conv2d { kernel: [1, 1], use_bias: false, ..Conv2d::default() };
    let x = conv(m, input, name, "2a", Conv2d { filters: width, strides, ..one }, Init::factor());
    let x = m.named(format!("res{name}_branch2a_relu")).activation(x, "relu");
    let x = m.named(format!("res{name}_branch2b_zeropadding")).zero_padding2d(x, [[1, 1], [1, 1]]);
    let x = conv(m, x, name, "2b", Conv2d { filters: width, kernel: [3, 3], ..one }, Init::factor());
    let x = m.named(format!("res{name}_branch2b_relu")).activation(x, "relu");
    let x = conv(m, x, name, "2c", Conv2d { filters: 4 * width, ..one }, residual_factor());
    let shortcut = match first {
        Some(_) => conv(m, input, name, "1", Conv2d { filters: 4 * width, strides, ..one }, Init::factor()),
        None => input,
    };
    let x = m.named(format!("res{name}")).add(&[x, shortcut]);
    m.named(format!("res{name}_relu")).activation(x, "relu")
}

fn conv(m: &mut ModelBuilder, x: Tensor, block: &str, branch: &str, conv: Conv2d, gamma: Init) -> Tensor {
    let x = m.named(format!("res{block}_branch{branch}")).conv2d(x, conv);
    norm(m, x, &format!("{block}_branch{branch}"), gamma)
}

fn norm(m: &mut ModelBuilder, x: Tensor, name: &str, gamma: Init) -> Tensor {
    let norm = BatchNormalization { axis: 3, epsilon: 1.1e-5, ..BatchNormalization::default() };
    let x = m.named(format!("bn{name}")).batch_normalization(x, norm);
    let channels: Vec<u64> = m.ty(x).dims.iter().flatten().last().and_then(netc_ir::Dim::known).into_iter().collect();
    let config = Attrs::new().with("momentum", 0.9).with("axis", 3);
    let weights = [(channels.clone(), gamma), (channels, Init::offset())];
    m.named(format!("scale{name}")).custom(x, "Scale", "Custom>Scale", config, weights)
}
