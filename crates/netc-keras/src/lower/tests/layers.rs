//! Lowerings of layers.

use netc_dialect::{Dialect, Dialects, OpContext, Purpose};
use netc_ir::{Builder, OpKind, ValueId};

use crate::lower::dialect::KerasDialect;
use crate::lower::tests::{Case, F32, IMAGE, KERNEL, check, check_error, check_ops, dialects, layer};

#[test]
fn convolutions() {
    let conv = |config| layer("keras.Conv2D", config, KERNEL, IMAGE);
    check(conv("strides = [2, 2], padding = \"same\", activation = \"relu\""), "f32[N,5,5,8]");
    check(conv("strides = [1, 1], padding = \"valid\", dilation_rate = [2, 2]"), "f32[N,5,5,8]");
    check_ops(
        conv("strides = 2, padding = \"same\", activation = \"relu\", use_bias = true"),
        "%1 = weight w0()
         %2 = conv(%x0, %1) {strides = [2, 2], padding = \"same\"}
         %3 = weight w1()
         %4 = add(%2, %3)
         %5 = relu(%4)",
    );
    let first = "data_format = \"channels_first\", padding = \"valid\"";
    check_ops(
        layer("keras.Conv2D", first, KERNEL, &["f32[N,3,9,9]"]),
        "%1 = weight w0()
         %2 = conv(%x0, %1) {strides = [1, 1], layout = \"channels_first\"}
         %3 = weight w1()
         %4 = reshape(%3)
         %5 = add(%2, %4)",
    );
    let grouped = [("vars/0", "f32[3,3,1,6]")];
    check(layer("keras.Conv2D", "groups = 3, use_bias = false", &grouped, IMAGE), "f32[N,7,7,6]");
    let line = [("vars/0", "f32[3,4,5]")];
    let causal = "padding = \"causal\", kernel_size = [3], dilation_rate = [2], use_bias = false";
    check_ops(
        layer("keras.Conv1D", causal, &line, &["f32[N,T,4]"]),
        "%1 = weight w0()
         %2 = conv(%x0, %1) {strides = [1], dilations = [2], padding = [[4, 0]]}",
    );
    check(layer("keras.Conv1D", causal, &line, &["f32[N,T,4]"]), "f32[N,T,5]");
    let cube = [("vars/0", "f32[2,2,2,1,5]")];
    check(layer("keras.Conv3D", "use_bias = false", &cube, &["f32[N,4,4,4,1]"]), "f32[N,3,3,3,5]");
}

#[test]
fn depthwise_and_separable_convolutions() {
    let depthwise = [("vars/0", "f32[3,3,3,2]"), ("vars/1", "f32[6]")];
    check(layer("keras.DepthwiseConv2D", "padding = \"same\"", &depthwise, IMAGE), "f32[N,9,9,6]");
    let separable = [("vars/0", "f32[3,3,3,2]"), ("vars/1", "f32[1,1,6,4]"), ("vars/2", "f32[4]")];
    check_ops(
        layer("keras.SeparableConv2D", "strides = [2, 2]", &separable, IMAGE),
        "%1 = weight w0()
         %2 = weight w1()
         %3 = reshape(%1)
         %4 = conv(%x0, %3) {strides = [2, 2], groups = 3}
         %5 = conv(%4, %2) {strides = [1, 1]}
         %6 = weight w2()
         %7 = add(%5, %6)",
    );
    let line = [("vars/0", "f32[3,3,2]"), ("vars/1", "f32[1,6,4]"), ("vars/2", "f32[4]")];
    check(layer("keras.SeparableConv1D", "", &line, &["f32[N,9,3]"]), "f32[N,7,4]");
}

#[test]
fn weights_must_match_the_configuration() {
    for (class, key, kernel, x) in [
        ("Dense", "units", "f32[4,2]", "f32[N,4]"),
        ("Embedding", "input_dim", "f32[4,2]", "i32[N,4]"),
        ("Embedding", "output_dim", "f32[4,2]", "i32[N,4]"),
        ("Conv2D", "filters", "f32[4,4,3,2]", "f32[N,9,9,3]"),
        ("Conv2D", "kernel_size", "f32[4,4,3,2]", "f32[N,9,9,3]"),
        ("DepthwiseConv2D", "kernel_size", "f32[4,4,3,2]", "f32[N,9,9,3]"),
        ("DepthwiseConv2D", "depth_multiplier", "f32[4,4,3,2]", "f32[N,9,9,3]"),
        ("Conv2DTranspose", "filters", "f32[4,4,2,3]", "f32[N,9,9,3]"),
    ] {
        let (class, weights) = (format!("keras.{class}"), [("vars/0", kernel)]);
        let config = |n: u64| format!("{key} = {n}, use_bias = false, padding = \"valid\"");
        let fits = if matches!(key, "kernel_size" | "input_dim") { 4 } else { 2 };
        assert!(layer(&class, &config(fits), &weights, &[x]).lower().is_ok(), "{class} {key}");
        let refused = layer(&class, &config(3), &weights, &[x]).lower().unwrap_err().to_string();
        assert!(refused.contains(&format!("which does not match `{key}` = [3")), "{class} {key}: {refused}");
    }
}

#[test]
fn mixed_precision_casts_inputs_and_weights() {
    let half = "dtype = {class_name = \"DTypePolicy\", config = {name = \"mixed_float16\"}}, use_bias = false";
    check_ops(
        layer("keras.Dense", half, &[("vars/0", "f32[4,2]")], &["f32[N,4]"]),
        "%1 = cast(%x0)
         %2 = weight w0()
         %3 = cast(%2)
         %4 = matmul(%1, %3)",
    );
    check(layer("keras.Dropout", half, &[], &["f32[N,4]"]), "f16[N,4]");
    check(layer("keras.Dropout", half, &[], &["i32[N,4]"]), "i32[N,4]");
}

#[test]
fn quantised_layers_round_their_inputs() {
    let policy = |mode: &str| {
        format!(
            "dtype = {{class_name = \"QuantizedDTypePolicy\", config = {{mode = \"{mode}\", source_name = \"float32\"}}}}, use_bias = false"
        )
    };
    fn dense(config: &str) -> Case<'_> {
        layer("keras.Dense", config, &[("vars/0", "i8[4,2]"), ("vars/1", "f32[2]")], &["f32[N,4]"])
    }
    check_ops(
        dense(&policy("int8")),
        "%1 = weight w0()
         %2 = weight w1()
         %3 = abs(%x0)
         %4 = reduce_max(%3) {axes = [1], keep = true}
         %5 = constant() {value = 1.0000000116860974e-7}
         %6 = add(%4, %5)
         %7 = constant() {value = 127.0}
         %8 = div(%7, %6)
         %9 = mul(%x0, %8)
         %10 = round(%9)
         %11 = constant() {value = -127.0}
         %12 = max(%10, %11)
         %13 = constant() {value = 127.0}
         %14 = min(%12, %13)
         %15 = cast(%1)
         %16 = matmul(%14, %15)
         %17 = mul(%2, %8)
         %18 = div(%16, %17)",
    );
    // A sum of more products than is exact in single precision.
    let long = [("vars/0", "i8[1025,2]"), ("vars/1", "f32[2]")];
    let text = policy("int8");
    let (_, ops) = layer("keras.Dense", &text, &long, &["f32[N,1025]"]).lower().unwrap();
    assert!(ops.contains("f64[1025,2]") && ops.ends_with(": f32[N,2]\n}\n"), "{ops}");
    let config = |class: &str, inner: &str| {
        format!("{}, quantization_config = {{class_name = \"{class}\", config = {{{inner}}}}}", policy("int8"))
    };
    check(dense(&config("Int8QuantizationConfig", "activation_quantizer = null")), "f32[N,2]");
    let range = |range: &str, elem: &str| {
        let own = format!("value_range = {range}, epsilon = 0.1, output_dtype = \"{elem}\"");
        let own = format!("activation_quantizer = {{class_name = \"AbsMaxQuantizer\", config = {{{own}}}}}");
        config("Int8QuantizationConfig", &own)
    };
    check(dense(&range("[-7, 7]", "int8")), "f32[N,2]");
    let other = "activation_quantizer = {class_name = \"Mine\", config = {value_range = [-1, 1], epsilon = 0.1}}";
    for (config, key) in [
        (policy("int4"), "dtype"),
        (policy("float8"), "dtype"),
        (config("Int8QuantizationConfig", other), "quantization_config"),
        (config("Int4QuantizationConfig", "activation_quantizer = null"), "quantization_config"),
        (config("Int8QuantizationConfig", ""), "quantization_config"),
        (range("[-32767, 32767]", "int16"), "quantization_config"),
        (range("[-300, 300]", "int8"), "quantization_config"),
        ("quantization_config = {class_name = \"Int4QuantizationConfig\"}".to_string(), "quantization_config"),
    ] {
        let refused = dense(&config).lower().unwrap_err().to_string();
        assert!(refused.contains(key), "{config}: {refused}");
    }
}

#[test]
fn pooling() {
    let pool = |class, config| layer(class, config, &[], IMAGE);
    check(pool("keras.MaxPooling2D", "pool_size = [2, 2], strides = [2, 2], padding = \"valid\""), "f32[N,4,4,3]");
    check(pool("keras.AveragePooling2D", "pool_size = 3, strides = null, padding = \"same\""), "f32[N,3,3,3]");
    check(
        layer("keras.MaxPooling1D", "pool_size = [2], data_format = \"channels_first\"", &[], &["f32[N,3,8]"]),
        "f32[N,3,4]",
    );
    check(pool("keras.GlobalAveragePooling2D", "keepdims = true"), "f32[N,1,1,3]");
    check(pool("keras.GlobalMaxPooling2D", "data_format = \"channels_first\""), "f32[N,9]");
    check_error(
        pool("keras.GlobalMaxPooling1D", ""),
        "`GlobalMaxPooling1D` takes a tensor of rank 3, found f32[N,9,9,3]",
    );
}

#[test]
fn batch_normalization_rounds_like_keras() {
    let weights = [("vars/0", "f32[3]"), ("vars/1", "f32[3]"), ("vars/2", "f32[3]"), ("vars/3", "f32[3]")];
    let config = format!("{F32}, axis = -1, epsilon = 0.001, center = true, scale = true");
    check_ops(
        layer("keras.BatchNormalization", &config, &weights, IMAGE),
        "%1 = weight w0()
         %2 = weight w1()
         %3 = weight w2()
         %4 = weight w3()
         %5 = constant() {value = 0.0010000000474974513}
         %6 = add(%4, %5)
         %7 = rsqrt(%6)
         %8 = mul(%7, %1)
         %9 = neg(%3)
         %10 = mul(%9, %8)
         %11 = add(%10, %2)
         %12 = mul(%x0, %8)
         %13 = add(%12, %11)",
    );
    let plain =
        layer("keras.BatchNormalization", "axis = 1, scale = false, center = false", &weights[..2], &["f32[N,3,9,9]"]);
    check(plain, "f32[N,3,9,9]");
    let without = layer("keras.BatchNormalization", "axis = 3", &weights[..3], IMAGE);
    check_error(without, "the weight `vars/3` is missing: the moving variance");
    let masked = Case { call: "args = [$0], kwargs = {mask = null, training = false}", ..plain };
    check(masked, "f32[N,3,9,9]");
    let training = Case { call: "args = [$0], kwargs = {training = true}", ..plain };
    check(training, "f32[N,3,9,9]");
}

#[test]
fn normalizations() {
    let two = [("vars/0", "f32[3]"), ("vars/1", "f32[3]")];
    check(layer("keras.LayerNormalization", "axis = [-1], epsilon = 0.001", &two, IMAGE), "f32[N,9,9,3]");
    let channel = [("vars/0", "f32[9]"), ("vars/1", "f32[9]")];
    check(layer("keras.LayerNormalization", "axis = 1", &channel, IMAGE), "f32[N,9,9,3]");
    let six = [("vars/0", "f32[6]"), ("vars/1", "f32[6]")];
    check(layer("keras.GroupNormalization", "groups = 2, axis = -1", &six, &["f32[N,9,9,6]"]), "f32[N,9,9,6]");
    check(layer("keras.GroupNormalization", "groups = -1, axis = 1", &six, &["f32[N,6,9,9]"]), "f32[N,6,9,9]");
    check_error(
        layer("keras.GroupNormalization", "groups = 4, axis = -1", &six, &["f32[N,9,9,6]"]),
        "`groups` is 4, expected a divisor of the 6 channels, or -1",
    );
    check(layer("keras.RMSNormalization", "axis = -1", &two, IMAGE), "f32[N,9,9,3]");
    check(layer("keras.UnitNormalization", "axis = [1, 2]", &[], IMAGE), "f32[N,9,9,3]");
    check(layer("keras.Normalization", "axis = [3], mean = null, variance = null", &two, IMAGE), "f32[N,9,9,3]");
    check(
        layer("keras.Normalization", "axis = [3], mean = [1, 2.0, 3], variance = [1, 1, 1]", &[], IMAGE),
        "f32[N,9,9,3]",
    );
    check(
        layer("keras.Normalization", "axis = null, mean = 1.0, variance = 2.0, invert = true", &[], IMAGE),
        "f32[N,9,9,3]",
    );
    check(
        layer("keras.Rescaling", &format!("{F32}, scale = 0.5, offset = [1, 2, 3]"), &[], &["u8[N,9,9,3]"]),
        "f32[N,9,9,3]",
    );
}

#[test]
fn activations_by_name_and_by_object() {
    check_ops(
        layer("keras.Activation", "activation = \"relu6\"", &[], &["f32[N,4]"]),
        "%1 = relu(%x0)\n%2 = constant() {value = 6.0}\n%3 = min(%1, %2)",
    );
    check_ops(layer("keras.Activation", "activation = \"linear\"", &[], &["f32[N,4]"]), "");
    let object = "activation = {module = \"keras.layers\", class_name = \"LeakyReLU\", config = {negative_slope = 0.5}, registered_name = null}";
    check_ops(
        layer("keras.Activation", object, &[], &["f32[N,4]"]),
        "%1 = constant() {value = 0.0}
         %2 = ge(%x0, %1)
         %3 = constant() {value = 0.5}
         %4 = mul(%3, %x0)
         %5 = select(%2, %x0, %4)",
    );
    check_error(
        layer("keras.Activation", "activation = \"frobnicate\"", &[], &["f32[N,4]"]),
        "`Activation` with the activation \"frobnicate\" is not supported",
    );
    let custom = "activation = {module = \"mine\", class_name = \"function\", config = \"relu\", registered_name = \"mine>relu\"}";
    check_error(
        layer("keras.Activation", custom, &[], &["f32[N,4]"]),
        "`Activation` with an object of class \"function\" as its activation is not supported",
    );
    check_ops(
        layer("keras.ReLU", "max_value = 6.0, negative_slope = 0.0, threshold = 0.0", &[], &["f32[N,4]"]),
        "%1 = relu(%x0)\n%2 = constant() {value = 6.0}\n%3 = min(%1, %2)",
    );
    check(layer("keras.ReLU", "max_value = 6, negative_slope = 0.1, threshold = 1.0", &[], &["f32[N,4]"]), "f32[N,4]");
    check_error(
        layer("keras.LeakyReLU", "negative_slope = 0.5", &[], &["i32[N,4]"]),
        "`LeakyReLU` with elements of type i32 and the constant 0.5 is not supported",
    );
    check(layer("keras.PReLU", "shared_axes = [1, 2]", &[("vars/0", "f32[1,1,3]")], IMAGE), "f32[N,9,9,3]");
    check(layer("keras.Softmax", "axis = [1, 2]", &[], IMAGE), "f32[N,9,9,3]");
    check(layer("keras.ELU", "alpha = 0.5", &[], IMAGE), "f32[N,9,9,3]");
}

#[test]
fn merges() {
    let merge = |class, config, operands| Case {
        call: "args = [[$0, $1]], kwargs = {}",
        ..layer(class, config, &[], operands)
    };
    check(merge("keras.Add", "", &["f32[N,4,4,2]", "f32[N,1,1,2]"]), "f32[N,4,4,2]");
    check(merge("keras.Multiply", "", &["f32[N,4,4,2]", "f32[N,2]"]), "f32[N,4,4,2]");
    check(merge("keras.Average", "", &["i32[N,2]", "i32[N,2]"]), "f32[N,2]");
    check(merge("keras.Concatenate", "axis = -1", &["f32[N,4,2]", "f32[N,4,3]"]), "f32[N,4,5]");
    check(merge("keras.Dot", "axes = 1, normalize = true", &["f32[N,4]", "f32[N,4]"]), "f32[N,1]");
    check(merge("keras.Dot", "axes = [2, 1]", &["f32[N,5,4]", "f32[N,4,3]"]), "f32[N,5,3]");
    check(merge("keras.Dot", "axes = [1, 2]", &["f32[N,4,5]", "f32[N,3,4]"]), "f32[N,5,3]");
    check_ops(
        Case { call: "args = [[$0, $0]], kwargs = {}", ..layer("keras.Add", "", &[], &["f32[N,4]"]) },
        "%1 = add(%x0, %x0)",
    );
    check_error(layer("keras.Subtract", "", &[], &["f32[N,4]"]), "`Subtract` takes two tensors, found 1");
}

#[test]
fn shapes() {
    let on = |class, config| layer(class, config, &[], IMAGE);
    check(on("keras.Flatten", "data_format = \"channels_last\""), "f32[N,243]");
    check_ops(
        on("keras.Flatten", "data_format = \"channels_first\""),
        "%1 = transpose(%x0) {perm = [0, 2, 3, 1]}\n%2 = reshape(%1)",
    );
    check(on("keras.Reshape", "target_shape = [-1, 3]"), "f32[N,81,3]");
    check(on("keras.Permute", "dims = [3, 1, 2]"), "f32[N,3,9,9]");
    check(on("keras.Cropping2D", "cropping = [[1, 2], [0, 3]]"), "f32[N,6,6,3]");
    check(layer("keras.Cropping1D", "cropping = [1, 2]", &[], &["f32[N,T,3]"]), "f32[N,T-3,3]");
    check(on("keras.ZeroPadding2D", "padding = [[0, 1], [2, 3]]"), "f32[N,10,14,3]");
    check(on("keras.ZeroPadding2D", "padding = 1, data_format = \"channels_first\""), "f32[N,9,11,5]");
    check(on("keras.UpSampling2D", "size = [2, 3], interpolation = \"nearest\""), "f32[N,18,27,3]");
    check(layer("keras.UpSampling1D", "size = 2", &[], &["f32[N,T,3]"]), "f32[N,2*T,3]");
    check(on("keras.UpSampling2D", "size = [2, 3], interpolation = \"bilinear\""), "f32[N,18,27,3]");
    check(on("keras.Resizing", "height = 4, width = 5, crop_to_aspect_ratio = true"), "f32[N,4,5,3]");
    check(on("keras.CenterCrop", "height = 4, width = 12"), "f32[N,4,12,3]");
    check(layer("keras.Resizing", "height = 4, width = 5", &[], &["f32[N,H,W,3]"]), "f32[N,4,5,3]");
    check(layer("keras.RepeatVector", "n = 5", &[], &["f32[N,3]"]), "f32[N,5,3]");
    check_error(
        on("keras.UpSampling2D", "size = 2, interpolation = \"area\""),
        "`UpSampling2D` with `interpolation` = \"area\" is not supported",
    );
    check_error(
        layer("keras.CenterCrop", "height = 4, width = 5", &[], &["f32[N,H,W,3]"]),
        "`CenterCrop` with a symbolic extent (axis 1 of f32[N,H,W,3]) is not supported",
    );
    check_error(
        on("keras.Resizing", "height = 4, width = 5, crop_to_aspect_ratio = true, pad_to_aspect_ratio = true"),
        "`pad_to_aspect_ratio` is true, expected false, because `crop_to_aspect_ratio` is true",
    );
    check_error(on("keras.Resizing", "height = 0, width = 5"), "`height` is 0, expected an integer of 1 or more");
    check_error(
        on("keras.Reshape", "target_shape = [-1, 7]"),
        "`target_shape` is [-1, 7], expected a shape for 243 elements",
    );
}

#[test]
fn attention_layers() {
    let weights = &[
        ("query_dense/vars/0", "f32[8,2,4]"),
        ("query_dense/vars/1", "f32[2,4]"),
        ("key_dense/vars/0", "f32[8,2,4]"),
        ("key_dense/vars/1", "f32[2,4]"),
        ("value_dense/vars/0", "f32[8,2,4]"),
        ("value_dense/vars/1", "f32[2,4]"),
        ("output_dense/vars/0", "f32[2,4,8]"),
        ("output_dense/vars/1", "f32[8]"),
    ];
    let config = "num_heads = 2, key_dim = 4, attention_axes = [1], output_shape = null, dropout = 0.0";
    let cross = Case {
        call: "args = [$0, $1], kwargs = {}",
        ..layer("keras.MultiHeadAttention", config, weights, &["f32[N,5,8]", "f32[N,T,8]"])
    };
    check(cross, "f32[N,5,8]");
    let own = Case { call: "args = [$0, $0], kwargs = {use_causal_mask = true}", operands: &["f32[N,5,8]"], ..cross };
    check(own, "f32[N,5,8]");
    let scores = Case { call: "args = [$0, $1], kwargs = {return_attention_scores = true}", ..cross };
    check(scores, "f32[N,5,8] f32[N,2,5,T]");
    let both =
        Case { call: "args = [$0, $0], kwargs = {return_attention_scores = true, use_causal_mask = true}", ..own };
    check(both, "f32[N,5,8] f32[N,2,5,5]");
    let masked = Case {
        call: "args = [$0, $1], kwargs = {attention_mask = $2}",
        operands: &["f32[N,5,8]", "f32[N,T,8]", "bool[N,5,T]"],
        ..cross
    };
    check(masked, "f32[N,5,8]");
    let odd = Case { call: "args = [$0, $1], kwargs = {attention_mask = 3}", ..cross };
    check_error(odd, "`MultiHeadAttention` with the argument `attention_mask` = 3 is not supported");
    let two = |class, config, weights| Case {
        call: "args = [[$0, $1]], kwargs = {}",
        ..layer(class, config, weights, &["f32[N,5,8]", "f32[N,6,8]"])
    };
    check(two("keras.Attention", "use_scale = false, score_mode = \"dot\"", &[]), "f32[N,5,8]");
    check(
        two(
            "keras.Attention",
            "use_scale = true, score_mode = \"concat\"",
            &[("vars/0", "f32[]"), ("vars/1", "f32[]")],
        ),
        "f32[N,5,8]",
    );
    check(two("keras.AdditiveAttention", "use_scale = true", &[("vars/0", "f32[8]")]), "f32[N,5,8]");
}

/// Lowers a call whose last `masked` operands are the masks of the others. Returns the types of the masks of its
/// results, and the operands whose masks it removes.
#[track_caller]
fn masks_of(case: Case<'_>, masked: usize) -> (Vec<String>, Vec<usize>) {
    let module = case.module();
    let main = module.main().unwrap();
    let OpKind::Source(source) = &main.ops().next().unwrap().1.kind else { panic!() };
    let mut b = Builder::new(&module, "f");
    let params = main.params.iter();
    let all: Vec<ValueId> = params.map(|p| b.param(p.name.clone(), main[p.value].ty.clone(), None)).collect();
    let (operands, masks) = all.split_at(all.len() - masked);
    let masks: Vec<Option<ValueId>> = masks.iter().copied().map(Some).collect();
    let (layer, purpose, dialects) = (Some(&module.layers[0]), Purpose::Run, &Dialects::new());
    let context = OpContext { op: source, layer, operands, masks: &masks, purpose, dialects };
    let meaning = KerasDialect.lower(&mut b, context).unwrap();
    let types = meaning.masks.iter().flatten().map(|mask| b.ty(*mask).to_string());
    (types.collect(), meaning.unmasked)
}

#[test]
fn masks_are_attached_to_results() {
    let one = &["f32[N,5,8]", "bool[N,5]"];
    let check = |case, masked, masks: &[&str], unmasked: &[usize]| {
        let (found, lost) = masks_of(case, masked);
        assert_eq!((found.iter().map(String::as_str).collect::<Vec<_>>(), &lost[..]), (masks.to_vec(), unmasked));
    };
    check(layer("keras.Dropout", "", &[], one), 1, &["bool[N,5]"], &[]);
    check(layer("keras.GlobalAveragePooling1D", "", &[], one), 1, &[], &[]);
    check(layer("keras.Flatten", "", &[], one), 1, &[], &[]);
    check(layer("keras.Masking", "mask_value = 0.0", &[], &["f32[N,5,8]"]), 0, &["bool[N,5]"], &[]);
    let table = &[("vars/0", "f32[9,4]")];
    check(layer("keras.Embedding", "mask_zero = true", table, &["i32[N,5]"]), 0, &["bool[N,5]"], &[]);
    check(layer("keras.Embedding", "mask_zero = false", table, &["i32[N,5]"]), 0, &[], &[]);
    let two = &["f32[N,5,8]", "f32[N,5,8]", "bool[N,5]", "bool[N,5]"];
    let merge = |class| Case { call: "args = [[$0, $1]], kwargs = {}", ..layer(class, "", &[], two) };
    check(merge("keras.Add"), 2, &["bool[N,5]"], &[]);
    check(merge("keras.Attention"), 2, &["bool[N,5]"], &[]);
    check(merge("keras.Concatenate"), 2, &["bool[N,5]"], &[]);
    let heads = Case {
        call: "args = [$0, $1], kwargs = {}",
        ..layer("keras.MultiHeadAttention", "num_heads = 2, key_dim = 4, use_bias = false", HEADS, two)
    };
    check(heads, 2, &["bool[N,5]"], &[0, 1]);
}

const HEADS: &[(&str, &str)] = &[
    ("query_dense/vars/0", "f32[8,2,4]"),
    ("key_dense/vars/0", "f32[8,2,4]"),
    ("value_dense/vars/0", "f32[8,2,4]"),
    ("output_dense/vars/0", "f32[2,4,8]"),
];

#[test]
fn masks_that_do_not_match_their_tensor_are_errors() {
    let softmax = Case {
        call: "args = [$0], kwargs = {mask = $1}",
        ..layer("keras.Softmax", "axis = -1", &[], &["f32[N,5,8]", "bool[N,5]"])
    };
    check_error(softmax, "the mask is bool[N,5], which does not match f32[N,5,8]");
    let weights = [("cell/vars/0", "f32[2,2,8]"), ("cell/vars/1", "f32[2,2,8]"), ("cell/vars/2", "f32[8]")];
    let images = Case {
        call: "args = [$0], kwargs = {mask = $1}",
        ..layer("keras.ConvLSTM1D", "filters = 2, kernel_size = 2", &weights, &["f32[N,4,5,2]", "bool[N,4]"])
    };
    check_error(images, "`ConvLSTM1D` with a mask is not supported");
}

#[test]
fn long_recurrent_layers_need_few_ops_for_types() {
    let weights = [("cell/vars/0", "f32[3,8]"), ("cell/vars/1", "f32[2,8]"), ("cell/vars/2", "f32[8]")];
    let config = "units = 2, activation = \"tanh\", recurrent_activation = \"sigmoid\", return_sequences = true";
    let lstm = layer("keras.LSTM", config, &weights, &["f32[N,4096,3]"]);
    let (types, text) = lstm.lower_for(Purpose::Types, &dialects()).unwrap();
    assert_eq!(types[0].to_string(), "f32[N,4096,2]");
    assert!(text.lines().count() < 100, "{text}");
    let masked = Case {
        call: "args = [$0], kwargs = {mask = $1, initial_state = [$2, $3]}",
        operands: &["f32[N,9,3]", "bool[N,9]", "f32[M,2]", "f32[M,2]"],
        ..lstm
    };
    check(masked, "f32[M,9,2]");
    check(Case { operands: &["f32[N,9,3]", "bool[N,9]", "f32[1,2]", "f32[1,2]"], ..masked }, "f32[N,9,2]");
    let short = Case { operands: &["f32[N,9,3]", "bool[N,7]", "f32[N,2]", "f32[N,2]"], ..masked };
    assert!(short.lower_for(Purpose::Types, &dialects()).is_err());
    assert!(short.lower_for(Purpose::Run, &dialects()).is_err());
}
