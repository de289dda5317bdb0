//! One `check` per kind of question: what a call means, which type it has, why it has no meaning.

use netc_ir::print::FuncText;
use netc_ir::{Builder, Module, OpKind, Type, ValueId};
use netc_pass::{Dialect, LayerLibrary, LowerError, OpContext};

use super::{KerasDialect, classes};

/// A call of a layer, as text.
#[derive(Clone, Copy)]
struct Case<'a> {
    class: &'a str,
    config: &'a str,
    weights: &'a [(&'a str, &'a str)],
    call: &'a str,
    operands: &'a [&'a str],
}

/// A layer of the class `class` on one tensor of type `x`.
fn layer<'a>(class: &'a str, config: &'a str, weights: &'a [(&'a str, &'a str)], x: &'a [&'a str]) -> Case<'a> {
    Case { class, config, weights, call: "args = [$0], kwargs = {}", operands: x }
}

/// An operation without weights.
fn op<'a>(class: &'a str, config: &'a str, args: &'a str, operands: &'a [&'a str]) -> Case<'a> {
    Case { class, config, weights: &[], call: args, operands }
}

impl Case<'_> {
    fn module(&self) -> Module {
        let mut text = "netc 1\n".to_owned();
        let mut places = Vec::new();
        for (i, (place, ty)) in self.weights.iter().enumerate() {
            text += &format!("weight w{i} \"w{i}\" : {ty} = rand({i}, -1.0, 1.0)\n");
            places.push(format!("\"{place}\" = w{i}"));
        }
        let weights = if places.is_empty() { String::new() } else { format!(" weights {{{}}}", places.join(", ")) };
        text += &format!("layer l0 \"l\" : {} {{config = {{{}}}}}{weights}\n", self.class, self.config);
        let params: Vec<String> = self.operands.iter().enumerate().map(|(i, ty)| format!("%x{i}: {ty}")).collect();
        let names: Vec<String> = (0..self.operands.len()).map(|i| format!("%x{i}")).collect();
        text += &format!("func @main({}) -> (%y) {{\n", params.join(", "));
        text += &format!("  %y = {} l0({}) {{{}}} : any[*]\n}}\n", self.class, names.join(", "), self.call);
        netc_ir::parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"))
    }

    fn lower(&self) -> Result<(Vec<Type>, String), LowerError> {
        self.lower_with(&KerasDialect)
    }

    fn lower_with(&self, dialect: &dyn Dialect) -> Result<(Vec<Type>, String), LowerError> {
        let module = self.module();
        let main = module.main().unwrap();
        let (_, op) = main.ops().next().unwrap();
        let OpKind::Source(source) = &op.kind else { panic!("not a source op") };
        let mut b = Builder::new(&module, "f");
        let params = main.params.iter();
        let operands: Vec<ValueId> = params.map(|p| b.param(p.name.clone(), main[p.value].ty.clone(), None)).collect();
        let context = OpContext { op: source, layer: source.layer.map(|l| &module[l]), operands: &operands };
        let results = dialect.lower(&mut b, context)?;
        let types = results.iter().map(|v| b.ty(*v).clone()).collect();
        let func = b.finish(results.iter().enumerate().map(|(i, v)| (format!("y{i}").into(), *v)));
        let text = FuncText { module: &module, func: &func }.to_string();
        let mut whole = module.clone();
        whole.funcs.push(func);
        netc_ir::verify(&whole).unwrap_or_else(|e| panic!("{e}\n{text}"));
        Ok((types, text))
    }
}

#[track_caller]
fn check(case: Case<'_>, types: &str) {
    match case.lower() {
        Ok((found, _)) => assert_eq!(found.iter().map(Type::to_string).collect::<Vec<_>>().join(" "), types),
        Err(e) => panic!("{e}"),
    }
}

/// Compares the ops of the lowered function, one a line, without their types.
#[track_caller]
fn check_ops(case: Case<'_>, ops: &str) {
    let (_, text) = case.lower().unwrap_or_else(|e| panic!("{e}"));
    let body = text.lines().filter_map(|l| l.strip_prefix("  "));
    let found: Vec<&str> = body.map(|l| l.rsplit_once(" : ").map_or(l, |(op, _)| op)).collect();
    let expected: Vec<&str> = ops.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    assert_eq!(found, expected, "{text}");
}

#[track_caller]
fn check_error(case: Case<'_>, message: &str) {
    match case.lower() {
        Ok((_, text)) => panic!("{text}"),
        Err(e) => assert_eq!(e.to_string(), message),
    }
}

const F32: &str = "dtype = {class_name = \"DTypePolicy\", config = {name = \"float32\"}}";
const KERNEL: &[(&str, &str)] = &[("vars/0", "f32[3,3,3,8]"), ("vars/1", "f32[8]")];
const IMAGE: &[&str] = &["f32[N,9,9,3]"];

#[test]
fn every_class_is_named_once() {
    let mut names: Vec<String> = classes().map(|(name, _)| name).collect();
    let n = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), n);
    for (name, _) in super::activation::FUNCTIONS {
        check(
            layer("keras.Activation", &format!("activation = \"{name}\""), &[], &["f32[N,4]"]),
            if *name == "glu" { "f32[N,2]" } else { "f32[N,4]" },
        );
    }
}

#[test]
fn unknown_classes_are_left_to_others() {
    for class in ["keras.LSTM", "keras.ops.Fft", "custom.Scale", "onnx.Conv", "keras.ops.Conv2D"] {
        let error = layer(class, "", &[], &["f32[N,4]"]).lower().unwrap_err();
        assert!(matches!(error, LowerError::Unknown { .. }), "{class}: {error}");
    }
}

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
fn batch_normalization_rounds_as_keras() {
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
        "`groups` is 4, expected a divisor of 6 channels, or -1",
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
        "`Activation` with the activation an object of class \"function\" is not supported",
    );
    check_ops(
        layer("keras.ReLU", "max_value = 6.0, negative_slope = 0.0, threshold = 0.0", &[], &["f32[N,4]"]),
        "%1 = relu(%x0)\n%2 = constant() {value = 6.0}\n%3 = min(%1, %2)",
    );
    check(layer("keras.ReLU", "max_value = 6, negative_slope = 0.1, threshold = 1.0", &[], &["f32[N,4]"]), "f32[N,4]");
    check_error(
        layer("keras.LeakyReLU", "negative_slope = 0.5", &[], &["i32[N,4]"]),
        "`LeakyReLU` with elements of type i32, and 0.5, is not supported",
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
    check(layer("keras.RepeatVector", "n = 5", &[], &["f32[N,3]"]), "f32[N,5,3]");
    check_error(
        on("keras.UpSampling2D", "size = 2, interpolation = \"bilinear\""),
        "`UpSampling2D` with `interpolation` = \"bilinear\" is not supported",
    );
    check_error(
        on("keras.Reshape", "target_shape = [-1, 7]"),
        "`target_shape` is [-1, 7], expected a shape for 243 elements",
    );
}

#[test]
fn operations_take_constants_on_either_side() {
    let x = &["f32[N,4]"];
    check_ops(
        op("keras.ops.Add", "", "args = [$0, 1.0], kwargs = {}", x),
        "%1 = constant() {value = 1.0}\n%2 = add(%x0, %1)",
    );
    check_ops(
        op("keras.ops.Subtract", "", "args = [1, $0], kwargs = {}", x),
        "%1 = constant() {value = 1.0}\n%2 = sub(%1, %x0)",
    );
    check(op("keras.ops.Add", "", "args = [$0, 1], kwargs = {}", &["u8[N]"]), "u8[N]");
    check(op("keras.ops.Multiply", "", "args = [$0, 2.5], kwargs = {}", &["i32[N]"]), "f32[N]");
    check(op("keras.ops.TrueDivide", "", "args = [$0, 2], kwargs = {}", &["i32[N]"]), "f32[N]");
    check(op("keras.ops.Add", "", "args = [$0, $1], kwargs = {}", &["f16[N]", "bf16[N]"]), "f32[N]");
    check(op("keras.ops.Add", "", "args = [$0, $1], kwargs = {}", &["u8[N]", "i8[N]"]), "i16[N]");
    check(op("keras.ops.Greater", "", "args = [$0, 0], kwargs = {}", x), "bool[N,4]");
    check(op("keras.ops.Where", "", "args = [$0, $1, 0.0], kwargs = {}", &["bool[N,4]", "f32[N,4]"]), "f32[N,4]");
    check(op("keras.ops.Clip", "x_min = 0, x_max = 6", "args = [$0], kwargs = {}", x), "f32[N,4]");
    let array = "args = [$0, {class_name = \"__numpy__\", config = {value = [[1.0, 2.0, 3.0, 4.0]], dtype = \"float32\"}}], kwargs = {}";
    check(op("keras.ops.Add", "", array, x), "f32[N,4]");
}

#[test]
fn reductions() {
    let x = &["f32[N,4,6]"];
    let args = "args = [$0], kwargs = {}";
    check(op("keras.ops.Mean", "axis = -1, keepdims = false", args, x), "f32[N,4]");
    check(op("keras.ops.Mean", "axis = [1, 2], keepdims = true", args, x), "f32[N,1,1]");
    check(op("keras.ops.Sum", "axis = null, keepdims = false", args, x), "f32[]");
    check(op("keras.ops.Var", "axis = 1", args, x), "f32[N,6]");
    check(op("keras.ops.Any", "axis = 1", args, x), "bool[N,6]");
    check(op("keras.ops.Logsumexp", "axis = 1", args, x), "f32[N,6]");
    check_error(op("keras.ops.Max", "axis = 1, initial = 3", args, x), "`Max` with `initial` = 3 is not supported");
    check_error(op("keras.ops.Max", "axis = 3", args, x), "`axis` is 3, expected different axes of 3");
}

#[test]
fn shape_operations() {
    let x = &["f32[N,4,6]"];
    let one = |class, config| op(class, config, "args = [$0], kwargs = {}", x);
    check(one("keras.ops.Reshape", "newshape = [-1, 24]"), "f32[N,24]");
    check(one("keras.ops.Transpose", "axes = null"), "f32[6,4,N]");
    check(one("keras.ops.ExpandDims", "axis = [1, 2]"), "f32[N,1,1,4,6]");
    check(one("keras.ops.Squeeze", "axis = null"), "f32[N,4,6]");
    check(one("keras.ops.Moveaxis", "source = 1, destination = 2"), "f32[N,6,4]");
    check(one("keras.ops.Split", "indices_or_sections = 2, axis = 1"), "f32[N,2,6] f32[N,2,6]");
    check(one("keras.ops.Split", "indices_or_sections = [1, 3], axis = 2"), "f32[N,4,1] f32[N,4,2] f32[N,4,3]");
    check(one("keras.ops.Unstack", "num = 4, axis = 1"), "f32[N,6] f32[N,6] f32[N,6] f32[N,6]");
    check(one("keras.ops.Pad", "pad_width = [[0, 0], [1, 1], [0, 2]], mode = \"reflect\""), "f32[N,6,8]");
    check(one("keras.ops.Repeat", "repeats = 2, axis = 1"), "f32[N,8,6]");
    check(one("keras.ops.Tile", "repeats = [1, 2, 1]"), "f32[N,8,6]");
    check(one("keras.ops.Cumsum", "axis = 1, dtype = null"), "f32[N,4,6]");
    let two = |class, config| op(class, config, "args = [[$0, $1]], kwargs = {}", &["f32[N,4,6]", "f32[N,4,6]"]);
    check(two("keras.ops.Concatenate", "axis = 1"), "f32[N,8,6]");
    check(two("keras.ops.Stack", "axis = -1"), "f32[N,4,6,2]");
    check(
        op(
            "keras.ops.OneHot",
            "num_classes = 5, axis = -1, dtype = \"float32\"",
            "args = [$0], kwargs = {}",
            &["i32[N,4]"],
        ),
        "f32[N,4,5]",
    );
}

#[test]
fn indexing() {
    let get = |x, key: &str| {
        let call = format!("args = [$0, {key}], kwargs = {{}}");
        let (types, _) = op("keras.ops.GetItem", "", &call, x).lower().unwrap_or_else(|e| panic!("{e}"));
        types[0].to_string()
    };
    let slice = |start: &str, stop: &str, step: &str| {
        format!("{{class_name = \"__slice__\", config = {{start = {start}, stop = {stop}, step = {step}}}}}")
    };
    let all = slice("null", "null", "null");
    let x = &["f32[N,4,6]"];
    assert_eq!(get(x, &format!("[{all}, 0]")), "f32[N,6]");
    assert_eq!(get(x, &format!("[{all}, -1]")), "f32[N,6]");
    assert_eq!(get(x, "-1"), "f32[4,6]");
    assert_eq!(get(x, &format!("[{all}, {}, {}]", slice("1", "-1", "null"), slice("null", "null", "2"))), "f32[N,2,3]");
    assert_eq!(get(x, &format!("[{all}, null]")), "f32[N,1,4,6]");
    assert_eq!(get(x, "[{class_name = \"__ellipsis__\", config = {}}, 1]"), "f32[N,4]");
    assert_eq!(get(x, &format!("[{all}, {}]", slice("null", "null", "-1"))), "f32[N,4,6]");
    assert_eq!(get(x, &format!("[{all}, {}]", slice("2", "0", "-1"))), "f32[N,2,6]");
    assert_eq!(get(x, &format!("[{all}, {}]", slice("-2", "-9", "-2"))), "f32[N,2,6]");
    assert_eq!(get(x, &format!("[{all}, {}]", slice("9", "99", "1"))), "f32[N,0,6]");
    assert_eq!(get(x, &slice("1", "-1", "null")), "f32[N-2,4,6]");
    assert_eq!(get(x, &slice("null", "null", "-1")), "f32[N,4,6]");
}

/// The elements that `x[start:stop:step]` chooses, followed through the lowered slice and reverse.
#[test]
fn slices_choose_what_python_chooses() {
    let n: i64 = 5;
    for step in [-3, -2, -1, 1, 2, 3] {
        for start in (-7..8).map(Some).chain([None]) {
            for stop in (-7..8).map(Some).chain([None]) {
                let text = |b: Option<i64>| b.map_or("null".into(), |b| b.to_string());
                let key = format!(
                    "args = [$0, {{class_name = \"__slice__\", config = {{start = {}, stop = {}, step = {step}}}}}]",
                    text(start),
                    text(stop)
                );
                let case = op("keras.ops.GetItem", "", &key, &["f32[5]"]);
                assert_eq!(chosen(case, n), python(n, start, stop, step), "{start:?}:{stop:?}:{step}");
            }
        }
    }
}

fn python(n: i64, start: Option<i64>, stop: Option<i64>, step: i64) -> Vec<i64> {
    let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
    let clamp = |b: i64| (if b < 0 { b + n } else { b }).clamp(low, high);
    let (start, stop) =
        (start.map_or(if step > 0 { low } else { high }, clamp), stop.map_or(if step > 0 { high } else { low }, clamp));
    let mut out = Vec::new();
    let mut i = start;
    while if step > 0 { i < stop } else { i > stop } {
        out.push(i);
        i += step;
    }
    out
}

fn chosen(case: Case<'_>, n: i64) -> Vec<i64> {
    use netc_ir::CoreOp;
    let module = case.module();
    let main = module.main().unwrap();
    let OpKind::Source(source) = &main.ops().next().unwrap().1.kind else { panic!() };
    let mut b = Builder::new(&module, "f");
    let x = b.param("x", main[main.params[0].value].ty.clone(), None);
    let context = OpContext { op: source, layer: source.layer.map(|l| &module[l]), operands: &[x] };
    KerasDialect.lower(&mut b, context).unwrap();
    let mut items: Vec<i64> = (0..n).collect();
    for (_, op) in b.func().ops() {
        match &op.kind {
            OpKind::Core(CoreOp::Reverse(_)) => items.reverse(),
            OpKind::Core(CoreOp::Slice(axes)) => {
                let end = axes[0].end.map_or(items.len(), |e| e as usize);
                items = items[axes[0].start as usize..end].iter().copied().step_by(axes[0].step as usize).collect();
            }
            other @ (OpKind::Core(_) | OpKind::Source(_) | OpKind::Call(_)) => panic!("{other:?}"),
        }
    }
    items
}

#[test]
fn products() {
    let pair = |class, config, operands| op(class, config, "args = [$0, $1], kwargs = {}", operands);
    check(pair("keras.ops.Matmul", "", &["f32[N,4,6]", "f32[6,3]"]), "f32[N,4,3]");
    check(pair("keras.ops.Matmul", "", &["f32[6]", "f32[N,6,3]"]), "f32[N,3]");
    check(pair("keras.ops.Matmul", "", &["f32[6]", "f32[6]"]), "f32[]");
    check(pair("keras.ops.Einsum", "subscripts = \"bij,bkj->bik\"", &["f32[N,4,6]", "f32[N,5,6]"]), "f32[N,4,5]");
    check(pair("keras.ops.Einsum", "subscripts = \"...x,xy->y...\"", &["f32[N,4,6]", "f32[6,3]"]), "f32[3,N,4]");
    check_error(
        pair("keras.ops.Einsum", "subscripts = \"ij,jk->i\"", &["f32[2,3]", "f32[3,4]"]),
        "`Einsum` with the equation \"ij,jk->i\" is not supported",
    );
    let dense = [("vars/0", "f32[8,2,4]"), ("vars/1", "f32[2,4]")];
    check(
        layer("keras.EinsumDense", "equation = \"abc,cde->abde\", bias_axes = \"de\"", &dense, &["f32[N,5,8]"]),
        "f32[N,5,2,4]",
    );
    check(layer("keras.Embedding", "mask_zero = false", &[("vars/0", "f32[100,16]")], &["f32[N,T]"]), "f32[N,T,16]");
    let take = "args = [$0, {class_name = \"__numpy__\", config = {value = [0, 1], dtype = \"int64\"}}], kwargs = {}";
    check(op("keras.ops.Take", "axis = 1", take, &["f32[N,4,6]"]), "f32[N,2,6]");
    check(pair("keras.ops.Take", "axis = 1", &["f32[N,4,6]", "i32[N,2]"]), "f32[N,N,2,6]");
}

#[test]
fn attention_without_masks() {
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
    let masked = Case { call: "args = [$0, $1], kwargs = {attention_mask = $1}", ..cross };
    check_error(masked, "`MultiHeadAttention` with the argument `attention_mask` = a tensor is not supported");
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

#[test]
fn hostile_configurations_are_errors() {
    let huge = "9223372036854775807";
    for (class, config) in [
        ("keras.Conv2D", "strides = [0, 0]".to_owned()),
        ("keras.Conv2D", format!("strides = {huge}, dilation_rate = {huge}")),
        ("keras.Conv2D", "strides = [1, 1, 1]".to_owned()),
        ("keras.Conv2D", "padding = 3".to_owned()),
        ("keras.Conv2D", "padding = \"causal\"".to_owned()),
        ("keras.Conv2D", "groups = -1".to_owned()),
        ("keras.Conv2D", "data_format = \"sideways\"".to_owned()),
        ("keras.Conv2D", "dtype = {class_name = \"QuantizedDTypePolicy\", config = {mode = \"int8\"}}".to_owned()),
        ("keras.MaxPooling2D", format!("pool_size = {huge}")),
        ("keras.MaxPooling2D", "pool_size = -1".to_owned()),
        ("keras.Cropping2D", format!("cropping = {huge}")),
        ("keras.Permute", format!("dims = [{huge}, 1, 2]")),
        ("keras.Reshape", "target_shape = \"flat\"".to_owned()),
        ("keras.Reshape", "target_shape = [-1, -1]".to_owned()),
        ("keras.Reshape", "target_shape = [0, -1]".to_owned()),
        ("keras.BatchNormalization", format!("axis = -{huge}")),
        ("keras.Softmax", "axis = []".to_owned()),
        ("keras.Softmax", "axis = [1, -3]".to_owned()),
        ("keras.Activation", "activation = [1]".to_owned()),
        ("keras.RepeatVector", "n = 0".to_owned()),
        ("keras.ops.Transpose", "axes = [0, 0, 1, 2]".to_owned()),
        ("keras.ops.Repeat", "repeats = [1, 2]".to_owned()),
        ("keras.ops.Pad", format!("pad_width = {huge}, mode = \"reflect\"")),
    ] {
        let error = layer(class, &config, KERNEL, IMAGE).lower();
        assert!(matches!(&error, Err(e) if !matches!(e, LowerError::Unknown { .. })), "{class} {config}: {error:?}");
    }
    // Sizes saturate; running says that there is no memory for them.
    assert!(layer("keras.UpSampling2D", &format!("size = {huge}"), &[], IMAGE).lower().is_ok());
    assert!(layer("keras.ZeroPadding2D", &format!("padding = {huge}"), &[], IMAGE).lower().is_ok());
}

#[test]
fn no_configuration_panics() {
    let values = [
        "null",
        "true",
        "-1",
        "0",
        "1",
        "3",
        "9223372036854775807",
        "0.5",
        "\"\"",
        "\"same\"",
        "[]",
        "[1]",
        "[-1, 2]",
        "[[1, 2], [3]]",
        "{}",
        "{class_name = \"x\"}",
    ];
    let keys = [
        "axis",
        "axes",
        "strides",
        "pool_size",
        "size",
        "padding",
        "cropping",
        "dims",
        "n",
        "target_shape",
        "newshape",
        "groups",
        "dtype",
        "activation",
        "scale",
        "mean",
        "variance",
        "repeats",
        "shape",
        "indices_or_sections",
        "pad_width",
        "num_classes",
        "equation",
        "subscripts",
        "source",
        "destination",
        "axis1",
        "axis2",
        "epsilon",
        "use_bias",
    ];
    let weights = [("vars/0", "f32[3]"), ("vars/1", "f32[3]"), ("vars/2", "f32[3]"), ("vars/3", "f32[3]")];
    let calls = [
        "args = [$0], kwargs = {}",
        "args = [[$0, $1]], kwargs = {}",
        "args = [$0, $1], kwargs = {}",
        "args = [], kwargs = {x = 3}",
        "args = [$7], kwargs = {}",
        "args = [$0, -9], kwargs = {}",
    ];
    let operands = [&["f32[N,2,3]", "f32[3]"][..], &["i32[*]", "any[*]"], &["f32[]", "f32[0]"]];
    // A few values per class and key, different for each: all of them would take a minute.
    let mut turn = 0;
    for (class, _) in classes() {
        for key in keys {
            for _ in 0..4 {
                turn += 1;
                let config = format!("{key} = {}", values[turn % values.len()]);
                let (call, operands) = (calls[turn / 3 % calls.len()], operands[turn % operands.len()]);
                let _ = Case { class: &class, config: &config, weights: &weights, call, operands }.lower();
            }
        }
    }
}

/// A mask travels beside the tensors, so the module that makes one is refused where it would be read.
#[test]
fn masks_are_not_ignored() {
    let case = layer("keras.GlobalAveragePooling1D", "", &[], &["f32[N,T,3]"]);
    check(case, "f32[N,3]");
    let mut module = case.module();
    let mut masking = module.layers[0].clone();
    masking.class = "keras.Masking".into();
    masking.name = "m".into();
    module.add_layer(masking);
    let main = module.main().unwrap();
    let OpKind::Source(source) = &main.ops().next().unwrap().1.kind else { panic!() };
    let mut b = Builder::new(&module, "f");
    let x = b.param("x", main[main.params[0].value].ty.clone(), None);
    let context = OpContext { op: source, layer: Some(&module.layers[0]), operands: &[x] };
    let error = KerasDialect.lower(&mut b, context).unwrap_err();
    assert_eq!(error.to_string(), "`GlobalAveragePooling1D` with a mask, which the layer `m` makes, is not supported");
}

#[test]
fn the_scale_library_works_along_any_axis() {
    let library = LayerLibrary::parse(include_str!("../../../../layers/scale.nir")).unwrap();
    assert_eq!(library.classes().collect::<Vec<_>>(), ["Scale"]);
    let weights = [("vars/0", "f32[3]"), ("vars/1", "f32[3]")];
    for (config, x, shape) in [
        ("axis = -1", "f32[N,9,9,3]", "f32[1,1,1,3]"),
        ("axis = [3]", "f32[N,9,9,3]", "f32[1,1,1,3]"),
        ("name = \"without\"", "f32[N,9,9,3]", "f32[1,1,1,3]"),
        ("axis = 1", "f32[N,3,9,9]", "f32[1,3,1,1]"),
    ] {
        let (types, text) = layer("custom.Scale", config, &weights, &[x]).lower_with(&library).unwrap();
        assert_eq!(types[0].to_string(), x, "{config}");
        assert_eq!(text.matches(shape).count(), 2, "{config}\n{text}");
    }
}
