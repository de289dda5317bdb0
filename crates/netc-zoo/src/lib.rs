//! Built-in architectures, made with the public model builder, with weights from a seed.
//!
//! A model of `keras.applications` has the same layers, names and configurations here, so a cut has the same name in
//! both. Weights are random, chosen to keep the numbers in the network small.

mod bert;
mod inception_v3;
mod mobilenet_v2;
mod nasnet_a;
mod nasrnn;
mod residual;
mod resnet152_scale;
mod resnet50;
mod resnext50;
mod siamese;
mod squeezenet;
mod tiny;
mod vgg19;

#[cfg(test)]
mod tests;

use netc_ir::Module;
use netc_keras::build::BuildError;

/// An architecture.
#[derive(Clone, Copy, Debug)]
pub struct ZooModel {
    /// The name that users type.
    pub name: &'static str,
    /// A one-line description.
    pub summary: &'static str,
    /// Builds the model with weights from a seed.
    pub build: fn(seed: u64) -> Result<Module, BuildError>,
}

/// The architectures, by name.
pub const ZOO: &[ZooModel] = &[
    ZooModel {
        name: "bert",
        summary: "the encoder of BERT-base (Devlin et al. 2018), 128 embedded tokens, 85.1 million parameters",
        build: bert::build,
    },
    ZooModel {
        name: "inception_v3",
        summary: "keras.applications.InceptionV3 (Szegedy et al. 2015), 299x299x3, 23.9 million parameters",
        build: inception_v3::build,
    },
    ZooModel {
        name: "mobilenet_v2",
        summary: "keras.applications.MobileNetV2 (Sandler et al. 2018), 224x224x3, 3.5 million parameters",
        build: mobilenet_v2::build,
    },
    ZooModel {
        name: "nasnet_a",
        summary: "keras.applications.NASNetMobile (Zoph et al. 2017), 224x224x3, 5.3 million parameters",
        build: nasnet_a::build,
    },
    ZooModel {
        name: "nasrnn",
        summary: "the recurrent cell found by Zoph and Le (2017), as benchmarked by TASO, 5 steps of 512, 4.2 million parameters",
        build: nasrnn::build,
    },
    ZooModel {
        name: "resnet152_scale",
        summary: "ResNet-152 (He et al. 2015) as ported from Caffe, with the custom layer Scale, 224x224x3",
        build: resnet152_scale::build,
    },
    ZooModel {
        name: "resnet50",
        summary: "keras.applications.ResNet50 (He et al. 2015), 224x224x3, 25.6 million parameters",
        build: resnet50::build,
    },
    ZooModel {
        name: "resnext50",
        summary: "ResNeXt-50 32x4d (Xie et al. 2016), 224x224x3, 25.1 million parameters",
        build: resnext50::build,
    },
    ZooModel {
        name: "siamese",
        summary: "one convolutional tower applied to two inputs, and their distance",
        build: siamese::build,
    },
    ZooModel {
        name: "squeezenet",
        summary: "SqueezeNet 1.1 (Iandola et al. 2016), 227x227x3, 1.2 million parameters",
        build: squeezenet::build,
    },
    ZooModel { name: "tiny", summary: "one residual block and a classifier, 8x8x3", build: tiny::build },
    ZooModel {
        name: "vgg19",
        summary: "keras.applications.VGG19 (Simonyan, Zisserman 2014), 224x224x3, 143.7 million parameters",
        build: vgg19::build,
    },
];

/// The architecture called `name`.
pub fn find(name: &str) -> Option<&'static ZooModel> {
    ZOO.iter().find(|model| model.name == name)
}
