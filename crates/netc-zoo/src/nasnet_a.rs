//! NASNet-A (Zoph et al., "Learning transferable architectures for scalable image recognition", 2017) with 4 normal
//! cells between reductions and 1056 channels at the end, as implemented in Keras: `NASNetMobile`.

use netc_ir::{Attr, Attrs, Module};
use netc_keras::build::{
    BatchNormalization, BuildError, Conv2d, Declaration, Dense, DepthwiseConv2d, Init, ModelBuilder, Padding, Pool2d,
    SeparableConv, Tensor,
};

use crate::residual::residual_factor;

/// Reduction cells by name, with the channels of each part; then 4 normal cells: the number of the first, and the
/// channels of each part.
type Stage = (&'static [(&'static str, u64)], u32, u64);

const STAGES: [Stage; 3] =
    [(&[("stem_1", 11), ("stem_2", 22)], 0, 44), (&[("reduce_4", 88)], 5, 88), (&[("reduce_8", 176)], 9, 176)];

pub(crate) fn build(seed: u64) -> Result<Module, BuildError> {
    let mut m = ModelBuilder::new("nasnet_mobile", seed);
    let image = m.input(&[224, 224, 3]);
    let stem = Conv2d { filters: 32, strides: [2, 2], use_bias: false, ..Conv2d::default() };
    let x = m.named("stem_conv1").conv2d(image, stem);
    let x = norm(&mut m, x, "stem_bn1".into(), Init::factor());
    let mut last = (x, None);
    for (reductions, first, filters) in STAGES {
        for (id, filters) in reductions {
            last = (Cell { m: &mut m, kind: "reduction", id, filters: *filters }.reduction(last), Some(last.0));
        }
        for id in first..first + 4 {
            last = (Cell { m: &mut m, kind: "normal", id: &id.to_string(), filters }.normal(last), Some(last.0));
        }
    }
    let x = m.activation(last.0, "relu");
    let x = m.global_average_pooling2d(x);
    let dense = Dense { units: 1000, activation: "softmax", ..Dense::default() };
    let y = m.named("predictions").dense(x, dense);
    m.finish(&[("predictions", y)])
}

/// A cell under construction. It reads the result of the last cell and, if there is one, of the cell before.
struct Cell<'a> {
    m: &'a mut ModelBuilder,
    kind: &'static str,
    id: &'a str,
    /// The channels of each part of its result.
    filters: u64,
}

/// Figure 4.
impl Cell<'_> {
    fn normal(&mut self, (x, before): (Tensor, Option<Tensor>)) -> Tensor {
        let p = self.adjusted(before, x);
        let h = self.squeezed(x);
        let left = self.separable(h, "left1", 5, 1);
        let right = self.separable(p, "right1", 3, 1);
        let x1 = self.named("add_1").add(&[left, right]);
        let left = self.separable(p, "left2", 5, 1);
        let right = self.separable(p, "right2", 3, 1);
        let x2 = self.named("add_2").add(&[left, right]);
        let left = self.named("left3").average_pooling2d(h, pool(1));
        let x3 = self.named("add_3").add(&[left, p]);
        let left = self.named("left4").average_pooling2d(p, pool(1));
        let right = self.named("right4").average_pooling2d(p, pool(1));
        let x4 = self.named("add_4").add(&[left, right]);
        let left = self.separable(h, "left5", 3, 1);
        let x5 = self.named("add_5").add(&[left, h]);
        self.named("concat").concatenate(&[p, x1, x2, x3, x4, x5], -1)
    }

    fn reduction(&mut self, (x, before): (Tensor, Option<Tensor>)) -> Tensor {
        let p = self.adjusted(before, x);
        let h = self.squeezed(x);
        let border = border(self.m, h, 3);
        let padded = self.named("pad_1").zero_padding2d(h, border);
        let left = self.separable(h, "left1", 5, 2);
        let right = self.separable(p, "right1", 7, 2);
        let x1 = self.named("add_1").add(&[left, right]);
        let left = self.named("left2").max_pooling2d(padded, pool(2));
        let right = self.separable(p, "right2", 7, 2);
        let x2 = self.named("add_2").add(&[left, right]);
        let left = self.named("left3").average_pooling2d(padded, pool(2));
        let right = self.separable(p, "right3", 5, 2);
        let x3 = self.named("add3").add(&[left, right]);
        let left = self.named("left4").average_pooling2d(x1, pool(1));
        let x4 = self.m.add(&[x2, left]);
        let left = self.separable(x1, "left4", 3, 1);
        let right = self.named("right5").max_pooling2d(padded, pool(2));
        let x5 = self.named("add4").add(&[left, right]);
        self.named("concat").concatenate(&[x2, x3, x4, x5], -1)
    }

    /// The result of the cell before the last, adjusted to the extents of `x` and the channels of this cell.
    fn adjusted(&mut self, before: Option<Tensor>, x: Tensor) -> Tensor {
        let Some(p) = before else { return x };
        if extent(self.m, p, 2) != extent(self.m, x, 2) {
            let p = self.adjust("relu_1").activation(p, "relu");
            let even = self.every_other(p, 1);
            let p = self.m.zero_padding2d(p, [[0, 1], [0, 1]]);
            let p = cropping2d(self.m, p, [[1, 0], [1, 0]]);
            let odd = self.every_other(p, 2);
            let p = self.m.concatenate(&[even, odd], -1);
            return norm(self.m, p, format!("adjust_bn_{}", self.id), Init::factor());
        }
        if extent(self.m, p, 3) != Some(self.filters) {
            let p = self.m.activation(p, "relu");
            let filters = self.filters;
            let p = self.adjust("conv_projection").conv2d(p, pointwise(filters));
            return norm(self.m, p, format!("adjust_bn_{}", self.id), Init::factor());
        }
        p
    }

    /// Every other element of `x` along height and width, in half the channels of the cell.
    fn every_other(&mut self, x: Tensor, i: u32) -> Tensor {
        let pool = Pool2d { size: [1, 1], strides: Some([2, 2]), ..Pool2d::default() };
        let x = self.adjust(&format!("avg_pool_{i}")).average_pooling2d(x, pool);
        let filters = self.filters / 2;
        self.adjust(&format!("conv_{i}")).conv2d(x, pointwise(filters))
    }

    /// The result of the last cell, projected to the channels of this cell.
    fn squeezed(&mut self, x: Tensor) -> Tensor {
        let x = self.m.activation(x, "relu");
        let filters = self.filters;
        let x = self.named("conv_1").conv2d(x, pointwise(filters));
        norm(self.m, x, self.name("bn_1"), Init::factor())
    }

    /// Two separable convolutions; the first has the strides.
    fn separable(&mut self, x: Tensor, place: &str, kernel: u64, strides: u64) -> Tensor {
        let place = self.name(place);
        let same =
            DepthwiseConv2d { kernel: [kernel; 2], padding: Padding::Same, use_bias: false, ..Default::default() };
        let mut x = self.m.activation(x, "relu");
        let mut depthwise = same;
        if strides == 2 {
            let border = border(self.m, x, kernel);
            x = self.m.named(format!("separable_conv_1_pad_{place}")).zero_padding2d(x, border);
            depthwise = DepthwiseConv2d { strides: [2, 2], padding: Padding::Valid, ..same };
        }
        let conv = SeparableConv { filters: self.filters, depthwise };
        let x = self.m.named(format!("separable_conv_1_{place}")).separable_conv(x, conv);
        let x = norm(self.m, x, format!("separable_conv_1_bn_{place}"), Init::factor());
        let x = self.m.activation(x, "relu");
        let conv = SeparableConv { filters: self.filters, depthwise: same };
        let x = self.m.named(format!("separable_conv_2_{place}")).separable_conv(x, conv);
        norm(self.m, x, format!("separable_conv_2_bn_{place}"), residual_factor())
    }

    fn name(&self, place: &str) -> String {
        format!("{}_{place}_{}", self.kind, self.id)
    }

    fn named(&mut self, place: &str) -> &mut ModelBuilder {
        let name = self.name(place);
        self.m.named(name)
    }

    fn adjust(&mut self, what: &str) -> &mut ModelBuilder {
        self.m.named(format!("adjust_{what}_{}", self.id))
    }
}

/// The padding that `same` gives for a window of stride 2.
fn border(m: &ModelBuilder, x: Tensor, kernel: u64) -> [[u64; 2]; 2] {
    [1, 2].map(|axis| {
        let even = extent(m, x, axis).is_some_and(|n| n % 2 == 0);
        [kernel / 2 - u64::from(even), kernel / 2]
    })
}

fn extent(m: &ModelBuilder, x: Tensor, axis: usize) -> Option<u64> {
    m.ty(x).dims?.get(axis)?.known()
}

/// A 3x3 window; with stride 1 it is padded.
fn pool(strides: u64) -> Pool2d {
    let padding = if strides == 1 { Padding::Same } else { Padding::Valid };
    Pool2d { size: [3, 3], strides: Some([strides; 2]), padding, ..Pool2d::default() }
}

fn pointwise(filters: u64) -> Conv2d {
    Conv2d { filters, kernel: [1, 1], padding: Padding::Same, use_bias: false, ..Conv2d::default() }
}

fn norm(m: &mut ModelBuilder, x: Tensor, name: String, gamma: Init) -> Tensor {
    let norm = BatchNormalization { momentum: 0.9997, gamma, ..BatchNormalization::default() };
    m.named(name).batch_normalization(x, norm)
}

fn cropping2d(m: &mut ModelBuilder, x: Tensor, amounts: [[u64; 2]; 2]) -> Tensor {
    let cropping = Attr::List(amounts.map(Attr::ints).into());
    let config = Attrs::new().with("cropping", cropping).with("data_format", "channels_last");
    m.layer(&Declaration::keras("Cropping2D", config).shapeless(), &[x])
}
