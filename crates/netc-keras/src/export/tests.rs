//! Tests of models that a format cannot express directly.

#![allow(clippy::unwrap_used, reason = "a test")]

use netc_data::Store;
use netc_ir::parse;

use crate::error::KerasError;
use crate::export::{write, write_hdf5, write_json};

/// A chain whose first call is `call`.
fn chain(call: &str) -> String {
    format!(
        r#"netc 1
layer l0 "x" : keras.InputLayer {{module = "keras.layers", class_name = "InputLayer", config = {{batch_shape = [null, 4], name = "x"}}}}
layer l1 "scaled" : keras.ops.Multiply {{module = "keras.src.ops.numpy", class_name = "Multiply", config = {{name = "scaled"}}}}
layer l2 "act" : keras.ReLU {{module = "keras.layers", class_name = "ReLU", config = {{name = "act"}}}}
layer l3 "first" : keras.ReLU {{module = "keras.layers", class_name = "ReLU", config = {{name = "first"}}}}
func @main(%x: f32[N,4] l0) -> (%y) attrs {{class = "Sequential", name = "m"}} {{
  %s = {call} : f32[N,4]
  %y = keras.ReLU l2(%s) {{args = [$0], kwargs = {{}}}} : f32[N,4]
}}"#
    )
}

#[test]
fn sequential_models_have_only_layers_of_one_tensor() {
    for (call, class) in [
        ("keras.ReLU l3(%x) {args = [$0], kwargs = {}}", "Sequential"),
        ("keras.ReLU l2(%x) {args = [$0], kwargs = {}}", "Functional"),
        ("keras.ReLU l3(%x) {args = [$0], kwargs = {training = true}}", "Functional"),
        ("keras.ops.Multiply l1(%x) {args = [$0, 2.5], kwargs = {}}", "Functional"),
    ] {
        let module = parse(&chain(call)).unwrap();
        let mut json = Vec::new();
        write_json(&module, module.func_named("main").unwrap(), &mut json).unwrap();
        let json = String::from_utf8(json).unwrap();
        assert!(json.contains(&format!("\"class_name\": \"{class}\"")), "{call}: {json}");
        assert_eq!(json.contains("2.5"), call.contains("2.5"), "{json}");
    }
}

/// A model with a nested model, whose layer has this class and weights at these places.
fn nested(class: &str, places: [&str; 2]) -> String {
    let [one, other] = places;
    format!(
        r#"netc 1
weight w0 "inner/custom/a" : f32[1] = rand(1, 0.0, 1.0)
weight w1 "inner/custom/b" : f32[1] = rand(2, 0.0, 1.0)
layer l0 "x" : keras.InputLayer {{class_name = "InputLayer", config = {{batch_shape = [null, 4], name = "x"}}}}
layer l1 "inner" : keras.Functional {{class_name = "Functional", config = {{name = "inner", trainable = true}}}}
layer l2 "z" : keras.InputLayer {{class_name = "InputLayer", config = {{batch_shape = [null, 4], name = "z"}}}}
layer l3 "custom" : {class} {{class_name = "X", config = {{name = "custom"}}}} weights {{{one} = w0, {other} = w1}}
func @main(%x: f32[N,4] l0) -> (%y) attrs {{class = "Functional", name = "m"}} {{
  %y = call @inner l1(%x) {{args = [$0], kwargs = {{}}}} : f32[N,4]
}}
func @inner(%z: f32[N,4] l2) -> (%w) {{ %w = {class} l3(%z) {{args = [$0], kwargs = {{}}}} : f32[N,4] }}"#
    )
}

#[test]
fn weights_of_unknown_order_are_rejected() {
    for (class, places, answer) in [
        ("keras.Dense", ["vars/0", "vars/1"], None),
        ("custom.X", ["vars/0", "vars/1"], Some("which of its weights are trainable")),
        ("custom.X", ["down/vars/0", "up/vars/0"], Some("the order in which")),
    ] {
        let module = parse(&nested(class, places)).unwrap();
        let (main, store) = (module.func_named("main").unwrap(), Store::open(&module).unwrap());
        let refused = write_hdf5(&module, main, &store, Vec::new()).err().map(|e| match e {
            KerasError::Write { source, .. } => source.to_string(),
            read @ KerasError::Read { .. } => read.to_string(),
        });
        assert_eq!(refused.is_some(), answer.is_some(), "{class}: {refused:?}");
        assert!(refused.unwrap_or_default().contains(answer.unwrap_or_default()), "{class}");
        write(&module, main, &store, Vec::new()).unwrap();
    }
}
