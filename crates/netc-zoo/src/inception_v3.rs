//! InceptionV3 (Szegedy et al., "Rethinking the Inception architecture for computer vision", 2015).

use netc_ir::Module;
use netc_keras::build::{BatchNormalization, BuildError, Conv2d, Dense, ModelBuilder, Padding, Pool2d, Tensor};

/// A step of a branch. Convolutions are followed by a normalization and a rectifier.
#[derive(Clone, Copy)]
enum Step {
    /// A convolution: output channels, kernel rows, kernel columns.
    Conv(u64, u64, u64),
    /// A 3x3 convolution with this many output channels that halves height and width.
    Halve(u64),
    /// The mean of 3x3 windows.
    Mean,
    /// The maximum of 3x3 windows; halves height and width.
    Max,
    /// Parallel 1x3 and 3x1 convolutions, concatenated under this name.
    Fork(Option<&'static str>),
}
use Step::{Conv, Fork, Halve, Max, Mean};

pub(crate) fn build(seed: u64) -> Result<Module, BuildError> {
    let mut m = ModelBuilder::new("inception_v3", seed);
    let image = m.input(&[299, 299, 3]);
    let x = stem(&mut m, image);
    let x = block_a(&mut m, x, "mixed0", 32);
    let x = block_a(&mut m, x, "mixed1", 64);
    let x = block_a(&mut m, x, "mixed2", 64);
    let x = mixed(&mut m, x, "mixed3", &[&[Halve(384)], &[Conv(64, 1, 1), Conv(96, 3, 3), Halve(96)], &[Max]]);
    let x = block_b(&mut m, x, "mixed4", 128);
    let x = block_b(&mut m, x, "mixed5", 160);
    let x = block_b(&mut m, x, "mixed6", 160);
    let x = block_b(&mut m, x, "mixed7", 192);
    let sevens: &[Step] = &[Conv(192, 1, 1), Conv(192, 1, 7), Conv(192, 7, 1), Halve(192)];
    let x = mixed(&mut m, x, "mixed8", &[&[Conv(192, 1, 1), Halve(320)], sevens, &[Max]]);
    let x = block_c(&mut m, x, "mixed9", "mixed9_0");
    let x = block_c(&mut m, x, "mixed10", "mixed9_1");
    let x = m.named("avg_pool").global_average_pooling2d(x);
    let dense = Dense { units: 1000, activation: "softmax", ..Dense::default() };
    let y = m.named("predictions").dense(x, dense);
    m.finish(&[("predictions", y)])
}

fn stem(m: &mut ModelBuilder, x: Tensor) -> Tensor {
    let x = conv(m, x, 32, [3, 3], [2, 2], Padding::Valid);
    let x = conv(m, x, 32, [3, 3], [1, 1], Padding::Valid);
    let x = conv(m, x, 64, [3, 3], [1, 1], Padding::Same);
    let x = step(m, x, Max);
    let x = conv(m, x, 80, [1, 1], [1, 1], Padding::Valid);
    let x = conv(m, x, 192, [3, 3], [1, 1], Padding::Valid);
    step(m, x, Max)
}

/// Figure 5: two 3x3 convolutions instead of a 5x5 one.
fn block_a(m: &mut ModelBuilder, x: Tensor, name: &str, pool: u64) -> Tensor {
    let fives: &[Step] = &[Conv(48, 1, 1), Conv(64, 5, 5)];
    let threes: &[Step] = &[Conv(64, 1, 1), Conv(96, 3, 3), Conv(96, 3, 3)];
    mixed(m, x, name, &[&[Conv(64, 1, 1)], fives, threes, &[Mean, Conv(pool, 1, 1)]])
}

/// Figure 6: 7x7 convolutions as 1x7 and 7x1 ones, `n` channels wide.
fn block_b(m: &mut ModelBuilder, x: Tensor, name: &str, n: u64) -> Tensor {
    let once: &[Step] = &[Conv(n, 1, 1), Conv(n, 1, 7), Conv(192, 7, 1)];
    let twice: &[Step] = &[Conv(n, 1, 1), Conv(n, 7, 1), Conv(n, 1, 7), Conv(n, 7, 1), Conv(192, 1, 7)];
    mixed(m, x, name, &[&[Conv(192, 1, 1)], once, twice, &[Mean, Conv(192, 1, 1)]])
}

/// Figure 7: the widest block, for the coarsest grid.
fn block_c(m: &mut ModelBuilder, x: Tensor, name: &str, fork: &'static str) -> Tensor {
    let once: &[Step] = &[Conv(384, 1, 1), Fork(Some(fork))];
    let twice: &[Step] = &[Conv(448, 1, 1), Conv(384, 3, 3), Fork(None)];
    mixed(m, x, name, &[&[Conv(320, 1, 1)], once, twice, &[Mean, Conv(192, 1, 1)]])
}

/// Parallel branches, concatenated.
fn mixed(m: &mut ModelBuilder, x: Tensor, name: &str, branches: &[&[Step]]) -> Tensor {
    let mut ends = Vec::new();
    for branch in branches {
        ends.push(branch.iter().fold(x, |x, s| step(m, x, *s)));
    }
    m.named(name).concatenate(&ends, 3)
}

fn step(m: &mut ModelBuilder, x: Tensor, step: Step) -> Tensor {
    let pool = |strides, padding| Pool2d { size: [3, 3], strides: Some(strides), padding, ..Pool2d::default() };
    match step {
        Conv(filters, rows, columns) => conv(m, x, filters, [rows, columns], [1, 1], Padding::Same),
        Halve(filters) => conv(m, x, filters, [3, 3], [2, 2], Padding::Valid),
        Mean => m.average_pooling2d(x, pool([1, 1], Padding::Same)),
        Max => m.max_pooling2d(x, pool([2, 2], Padding::Valid)),
        Fork(name) => {
            let sides = [[1, 3], [3, 1]].map(|kernel| conv(m, x, 384, kernel, [1, 1], Padding::Same));
            if let Some(name) = name {
                m.named(name);
            }
            m.concatenate(&sides, 3)
        }
    }
}

fn conv(
    m: &mut ModelBuilder,
    x: Tensor,
    filters: u64,
    kernel: [u64; 2],
    strides: [u64; 2],
    padding: Padding,
) -> Tensor {
    let x = m.conv2d(x, Conv2d { filters, kernel, strides, padding, use_bias: false, ..Conv2d::default() });
    let x = m.batch_normalization(x, BatchNormalization { axis: 3, scale: false, ..BatchNormalization::default() });
    m.activation(x, "relu")
}
