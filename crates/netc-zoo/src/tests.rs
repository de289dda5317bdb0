//! Tests of every built-in architecture.

use std::iter;

use netc_ir::{Dim, Layer, Module, Type, verify};

use super::{ZOO, find};

fn build(name: &str) -> Module {
    (find(name).expect("a model of the zoo").build)(7).expect("the model builds")
}

/// Checks the number of layers as Keras counts them, the parameter count, and the type of the only output.
#[track_caller]
fn check(name: &str, layers: usize, params: u64, output: &[u64]) {
    let module = build(name);
    verify(&module).expect("the module is valid");
    assert_eq!(module.layers.len(), layers);
    assert_eq!(module.weights.iter().filter_map(|w| w.ty.num_elements()).sum::<u64>(), params);
    let main = module.main().expect("an entry");
    let dims = iter::once(Dim::symbol("N")).chain(output.iter().copied().map(Dim::Known));
    let expected = Type::new(netc_ir::ElemType::F32, dims);
    assert_eq!(main.outputs.iter().map(|o| &main[o.value].ty).collect::<Vec<_>>(), [&expected]);
}

#[test]
fn inception_v3_matches_keras() {
    check("inception_v3", 313, 23_851_784, &[1000]);
}

#[test]
fn resnet50_matches_keras() {
    check("resnet50", 177, 25_636_712, &[1000]);
}

#[test]
fn mobilenet_v2_matches_keras() {
    check("mobilenet_v2", 156, 3_538_984, &[1000]);
}

/// keras.applications.ResNet152 has 60,419,944 parameters. Minus its 75,712 biases of convolutions, plus two weights of
/// `Scale` for each of them.
#[test]
fn resnet152_scale_matches_caffe() {
    check("resnet152_scale", 722, 60_495_656, &[1000]);
}

#[test]
fn vgg19_matches_keras() {
    check("vgg19", 26, 143_667_240, &[1000]);
}

#[test]
fn nasnet_a_matches_keras() {
    check("nasnet_a", 771, 5_326_716, &[1000]);
}

#[test]
fn squeezenet_matches_caffe() {
    check("squeezenet", 41, 1_235_496, &[1000]);
}

/// 25,028,904 trainable weights and 68,224 statistics.
#[test]
fn resnext50_has_the_published_parameter_count() {
    check("resnext50", 193, 25_028_904 + 68_224, &[1000]);
}

/// 12 blocks, each with 4 dense layers for attention, 2 more dense layers, and 2 normalizations.
#[test]
fn bert_has_the_published_parameter_count() {
    let block = 4 * (768 * 768 + 768) + 2 * 768 * 3072 + 3072 + 768 + 2 * 2 * 768;
    check("bert", 1 + 12 * 22, 12 * block, &[128, 768]);
}

/// Each step has 16 products, 8 sums of them, 15 activations, and 7 sums and products of activations.
#[test]
fn nasrnn_shares_weights_across_steps() {
    check("nasrnn", 6 + 16 + 5 * 30, 16 * 512 * 512, &[512]);
    let module = build("nasrnn");
    let main = module.main().expect("an entry");
    let calls = |layer: &str| main.ops().filter(|(_, op)| op.loc.path() == Some(layer)).count();
    assert_eq!(["w0", "u7", "h5"].map(calls), [5, 5, 1]);
}

#[test]
fn siamese_applies_its_tower_twice() {
    check("siamese", 12, 88_961, &[1]);
    let module = build("siamese");
    let main = module.main().expect("an entry");
    let calls = |layer: &str| main.ops().filter(|(_, op)| op.loc.path() == Some(layer)).count();
    assert_eq!(["tower_conv1", "tower_embedding", "square"].map(calls), [2, 2, 1]);
}

#[test]
fn tiny_has_8_layers_and_326_parameters() {
    check("tiny", 8, 326, &[10]);
}

#[test]
fn layers_have_the_names_of_keras() {
    let names = |name: &str, places: &[&str]| {
        let module = build(name);
        let has = |place: &&str| module.layers.iter().any(|l: &Layer| &*l.name == *place);
        assert!(places.iter().all(has), "{name}");
    };
    names("inception_v3", &["input_layer", "conv2d", "activation_46", "mixed9_1", "mixed9", "concatenate_1"]);
    names("resnet50", &["conv1_pad", "conv2_block1_0_bn", "conv5_block3_out"]);
    names(
        "resnet152_scale",
        &["data", "scale_conv1", "res3b7_branch2c", "bn4b35_branch2b", "scale5a_branch1", "fc1000"],
    );
    names("mobilenet_v2", &["Conv1", "expanded_conv_depthwise_relu", "block_1_pad", "block_16_project_BN", "out_relu"]);
    names("vgg19", &["block1_conv1", "block5_conv4", "block5_pool", "flatten", "fc1", "fc2"]);
    names(
        "nasnet_a",
        &["activation_187", "adjust_conv_projection_12", "separable_conv_1_pad_reduction_right3_reduce_8", "add_3"],
    );
}

#[test]
fn every_model_prints_and_parses_back() {
    for model in ZOO {
        let module = build(model.name);
        assert!(netc_ir::parse(&netc_ir::print(&module)).is_ok_and(|back| back == module), "{}", model.name);
    }
}

#[test]
fn a_seed_determines_the_model() {
    for model in ZOO {
        assert!(build(model.name) == build(model.name), "{}", model.name);
    }
    let tiny = |seed| (find("tiny").expect("tiny").build)(seed).expect("it builds");
    assert_ne!(tiny(1), tiny(2));
}

#[test]
fn zoo_is_sorted_by_name() {
    assert!(ZOO.is_sorted_by_key(|model| model.name));
}
