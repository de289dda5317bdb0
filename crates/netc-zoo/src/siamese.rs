//! A Siamese network: two images go through the same tower, and the model tells whether they show the same thing. Each
//! layer of the tower is one declaration that is applied twice.

use netc_ir::Module;
use netc_keras::build::{BuildError, Conv2d, Dense, ModelBuilder, Pool2d, Tensor};

pub(crate) fn build(seed: u64) -> Result<Module, BuildError> {
    let mut m = ModelBuilder::new("siamese", seed);
    let left = m.named("left").input(&[64, 64, 3]);
    let right = m.named("right").input(&[64, 64, 3]);
    let tower = tower(&mut m, left);
    let (mut left, mut right) = (left, right);
    for made in tower {
        right = m.apply(m.layer_of(made), &[right]);
        left = made;
    }
    let difference = m.named("difference").subtract(left, right);
    let square = m.named("square").multiply(&[difference, difference]);
    let y = m.named("same").dense(square, Dense { activation: "sigmoid", ..Dense::default() });
    m.finish(&[("same", y)])
}

/// The results of the tower's layers on `image`.
fn tower(m: &mut ModelBuilder, image: Tensor) -> [Tensor; 7] {
    let conv = |filters| Conv2d { filters, activation: "relu", ..Conv2d::default() };
    let conv1 = m.named("tower_conv1").conv2d(image, Conv2d { kernel: [5, 5], ..conv(16) });
    let pool1 = m.named("tower_pool1").max_pooling2d(conv1, Pool2d::default());
    let conv2 = m.named("tower_conv2").conv2d(pool1, conv(32));
    let pool2 = m.named("tower_pool2").max_pooling2d(conv2, Pool2d::default());
    let conv3 = m.named("tower_conv3").conv2d(pool2, Conv2d { strides: [2, 2], ..conv(32) });
    let flat = m.named("tower_flatten").flatten(conv3);
    let embedding = m.named("tower_embedding").dense(flat, Dense { units: 64, ..Dense::default() });
    [conv1, pool1, conv2, pool2, conv3, flat, embedding]
}
