//! SqueezeNet 1.1 (Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model
//! size", 2016), with the names of its Caffe release. Compared with the paper, its first kernels are smaller and its
//! poolings come earlier.

use netc_ir::Module;
use netc_keras::build::{BuildError, Conv2d, ModelBuilder, Padding, Pool2d, Tensor};

pub(crate) fn build(seed: u64) -> Result<Module, BuildError> {
    let mut m = ModelBuilder::new("squeezenet", seed);
    let image = m.named("data").input(&[227, 227, 3]);
    let x = m.named("conv1").conv2d(image, Conv2d { strides: [2, 2], ..conv(64, 3) });
    let x = pool(&mut m, x, "pool1", Padding::Valid);
    let x = fire(&mut m, x, "fire2", 16, 64);
    let x = fire(&mut m, x, "fire3", 16, 64);
    // In Caffe the last window extends past the end of an even extent.
    let x = pool(&mut m, x, "pool3", Padding::Same);
    let x = fire(&mut m, x, "fire4", 32, 128);
    let x = fire(&mut m, x, "fire5", 32, 128);
    let x = pool(&mut m, x, "pool5", Padding::Same);
    let x = fire(&mut m, x, "fire6", 48, 192);
    let x = fire(&mut m, x, "fire7", 48, 192);
    let x = fire(&mut m, x, "fire8", 64, 256);
    let x = fire(&mut m, x, "fire9", 64, 256);
    let x = m.named("drop9").dropout(x, 0.5);
    let x = m.named("conv10").conv2d(x, conv(1000, 1));
    let x = m.named("pool10").global_average_pooling2d(x);
    let y = m.named("prob").softmax(x);
    m.finish(&[("prob", y)])
}

/// Figure 1: `squeezed` channels, expanded by 1x1 and 3x3 kernels to `expanded` channels each.
fn fire(m: &mut ModelBuilder, x: Tensor, name: &str, squeezed: u64, expanded: u64) -> Tensor {
    let x = m.named(format!("{name}_squeeze1x1")).conv2d(x, conv(squeezed, 1));
    let one = m.named(format!("{name}_expand1x1")).conv2d(x, conv(expanded, 1));
    let three = m.named(format!("{name}_expand3x3")).conv2d(x, Conv2d { padding: Padding::Same, ..conv(expanded, 3) });
    m.named(format!("{name}_concat")).concatenate(&[one, three], 3)
}

fn conv(filters: u64, kernel: u64) -> Conv2d {
    Conv2d { filters, kernel: [kernel; 2], activation: "relu", ..Conv2d::default() }
}

fn pool(m: &mut ModelBuilder, x: Tensor, name: &str, padding: Padding) -> Tensor {
    let pool = Pool2d { size: [3, 3], strides: Some([2, 2]), padding, ..Pool2d::default() };
    m.named(name).max_pooling2d(x, pool)
}
