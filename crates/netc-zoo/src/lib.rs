//! Built-in architectures, made through the public model builder, with weights from a seed.
//!
//! A model of `keras.applications` has here the layers, names and configurations that it has there, so that a place
//! named in one is the same place in the other. Weights are not trained; they keep the numbers in the network small.

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
    /// What users call it.
    pub name: &'static str,
    /// What it is, in a line.
    pub summary: &'static str,
    /// Builds it with the weights that a seed gives.
    pub build: fn(seed: u64) -> Result<Module, BuildError>,
}

/// The architectures, by name.
pub const ZOO: &[ZooModel] = &[
    ZooModel {
        name: "bert",
        summary: "the encoder of BERT-base (Devlin et al. 2018), 128 embedded tokens, 85.1 million weights",
        build: bert::build,
    },
    ZooModel {
        name: "inception_v3",
        summary: "keras.applications.InceptionV3 (Szegedy et al. 2015), 299x299x3, 23.9 million weights",
        build: inception_v3::build,
    },
    ZooModel {
        name: "mobilenet_v2",
        summary: "keras.applications.MobileNetV2 (Sandler et al. 2018), 224x224x3, 3.5 million weights",
        build: mobilenet_v2::build,
    },
    ZooModel {
        name: "nasnet_a",
        summary: "keras.applications.NASNetMobile (Zoph et al. 2017), 224x224x3, 5.3 million weights",
        build: nasnet_a::build,
    },
    ZooModel {
        name: "nasrnn",
        summary: "a recurrent network of searched cells (Zoph, Le 2017) as measured by TASO, 5 steps of 512, 4.2 million weights",
        build: nasrnn::build,
    },
    ZooModel {
        name: "resnet152_scale",
        summary: "ResNet-152 (He et al. 2015) as ported from Caffe, with the custom layer Scale, 224x224x3",
        build: resnet152_scale::build,
    },
    ZooModel {
        name: "resnet50",
        summary: "keras.applications.ResNet50 (He et al. 2015), 224x224x3, 25.6 million weights",
        build: resnet50::build,
    },
    ZooModel {
        name: "resnext50",
        summary: "ResNeXt-50 32x4d (Xie et al. 2016), 224x224x3, 25.1 million weights",
        build: resnext50::build,
    },
    ZooModel {
        name: "siamese",
        summary: "two inputs, one convolutional tower applied to both, and a distance",
        build: siamese::build,
    },
    ZooModel {
        name: "squeezenet",
        summary: "SqueezeNet 1.1 (Iandola et al. 2016), 227x227x3, 1.2 million weights",
        build: squeezenet::build,
    },
    ZooModel { name: "tiny", summary: "one residual block and a classifier, 8x8x3", build: tiny::build },
    ZooModel {
        name: "vgg19",
        summary: "keras.applications.VGG19 (Simonyan, Zisserman 2014), 224x224x3, 143.7 million weights",
        build: vgg19::build,
    },
];

/// The architecture called `name`.
pub fn find(name: &str) -> Option<&'static ZooModel> {
    ZOO.iter().find(|model| model.name == name)
}
