//! One `check` helper per question: what a call is lowered to, which types it has, which error it gives.

mod dialect;
mod layers;
mod libraries;
mod operations;

use netc_dialect::{Dialects, LowerError, OpContext, Purpose};
use netc_ir::print::FuncText;
use netc_ir::{Builder, Module, OpKind, Type, ValueId};

use crate::config::operations::OPERATIONS;
use crate::lower::activation;
use crate::lower::dialect::KerasDialect;
use crate::lower::table::{OPS, classes};

fn dialects() -> Dialects {
    let mut dialects = Dialects::new();
    dialects.push(KerasDialect);
    dialects
}

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
            let numbers = if ty.starts_with('i') { "1".to_string() } else { format!("rand({i}, -1.0, 1.0)") };
            text += &format!("weight w{i} \"w{i}\" : {ty} = {numbers}\n");
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
        self.lower_with(&dialects())
    }

    /// Lowers the call to run it, and checks that lowering it for its types gives the same types or the same error.
    #[track_caller]
    fn lower_with(&self, dialects: &Dialects) -> Result<(Vec<Type>, String), LowerError> {
        let run = self.lower_for(Purpose::Run, dialects);
        let types = |lowered: &Result<(Vec<Type>, String), LowerError>| match lowered {
            Ok((types, _)) => types.iter().map(Type::to_string).collect::<Vec<_>>().join(" "),
            Err(error) => format!("{error:?}"),
        };
        assert_eq!(types(&self.lower_for(Purpose::Types, dialects)), types(&run));
        run
    }

    fn lower_for(&self, purpose: Purpose, dialects: &Dialects) -> Result<(Vec<Type>, String), LowerError> {
        let module = self.module();
        let main = module.main().unwrap();
        let (_, op) = main.ops().next().unwrap();
        let OpKind::Source(source) = &op.kind else { panic!("not a source op") };
        let mut b = Builder::new(&module, "f");
        let params = main.params.iter();
        let operands: Vec<ValueId> = params.map(|p| b.param(p.name.clone(), main[p.value].ty.clone(), None)).collect();
        let layer = source.layer.map(|l| &module[l]);
        let context = OpContext { op: source, layer, operands: &operands, masks: &[], purpose, dialects };
        let results = dialects.lower(&mut b, context)?.results;
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

/// Compares the ops of the lowered function, one per line, without their types.
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
fn class_names_are_unique_and_activations_lower() {
    let mut names: Vec<String> = classes().map(|(name, _)| name).collect();
    let n = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), n);
    for (name, _) in activation::FUNCTIONS {
        check(
            layer("keras.Activation", &format!("activation = \"{name}\""), &[], &["f32[N,4]"]),
            if *name == "glu" { "f32[N,2]" } else { "f32[N,4]" },
        );
    }
}

#[test]
fn operation_names_match_the_table() {
    let mut names: Vec<&str> = OPS.iter().flat_map(|table| table.iter().map(|entry| entry.class)).collect();
    names.sort_unstable();
    assert_eq!(names, OPERATIONS);
}

#[test]
fn classes_without_a_lowering_are_unknown() {
    for class in ["keras.MelSpectrogram", "keras.ops.Fft", "custom.Scale", "onnx.Conv", "keras.ops.Conv2D"] {
        let error = layer(class, "", &[], &["f32[N,4]"]).lower().unwrap_err();
        assert!(matches!(error, LowerError::Unknown { .. }), "{class}: {error}");
    }
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
        ("keras.Conv2DTranspose", "strides = [0, 1]".to_owned()),
        ("keras.Conv2DTranspose", format!("strides = {huge}, dilation_rate = {huge}, padding = \"same\"")),
        ("keras.Conv2DTranspose", format!("output_padding = {huge}, dilation_rate = {huge}")),
        ("keras.AdaptiveMaxPooling2D", "output_size = 0".to_owned()),
        ("keras.AdaptiveMaxPooling2D", format!("output_size = [{huge}, 1]")),
        ("keras.Resizing", "height = 3, width = -1".to_owned()),
        ("keras.Resizing", "height = 3, width = 3, pad_to_aspect_ratio = true, fill_mode = \"wrap\"".to_owned()),
        ("keras.CenterCrop", "height = 0, width = 3".to_owned()),
        ("keras.UpSampling2D", "size = 0, interpolation = \"bilinear\"".to_owned()),
        ("keras.CategoryEncoding", "num_tokens = 0".to_owned()),
        ("keras.Discretization", "bin_boundaries = [1.0, 0.0]".to_owned()),
        ("keras.Discretization", "bin_boundaries = []".to_owned()),
        ("keras.RNN", "cell = {class_name = \"StackedRNNCells\", config = {cells = []}}".to_owned()),
        ("keras.ConvLSTM2D", format!("filters = {huge}")),
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
    assert!(layer("keras.Resizing", &format!("height = {huge}, width = {huge}"), &[], IMAGE).lower().is_ok());
    assert!(
        layer("keras.CategoryEncoding", &format!("num_tokens = {huge}, dtype = \"float32\""), &[], IMAGE)
            .lower()
            .is_ok()
    );
    // Sizes saturate; running fails because there is not enough memory.
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
        "output_size",
        "output_padding",
        "dilation_rate",
        "height",
        "num_tokens",
        "bin_boundaries",
        "cell",
        "layer",
        "filters",
        "num_query_heads",
        "block_size",
        "shift",
        "k",
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
    // A few values per class and key, different ones each time: trying all would take a minute.
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
