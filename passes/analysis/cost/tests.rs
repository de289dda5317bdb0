//! Tests of the costs of functions.

use std::time::{Duration, Instant};

use netc_ir::parse;

use super::*;
use crate::testing::dialects;

#[track_caller]
fn costs_of(text: &str) -> Cost {
    let module = parse(text).unwrap();
    netc_ir::verify(&module).unwrap();
    Costs::of(&module, &dialects()).func(module.func_named("main").unwrap())
}

#[test]
fn convolutions_and_products_have_the_textbook_macs() {
    let cost = costs_of(
        r#"netc 1
        weight w0 "k" : f32[3,3,8,16] = 0.5
        weight w1 "d" : f32[16,10] = 0.5
        weight w2 "g" : f32[3,3,1,8] = 0.5
        func @main(%x: f32[N,10,10,8]) -> (%y) {
          %g = weight w2() : f32[3,3,1,8]
          %z = conv(%x, %g) {strides = [1, 1], padding = "same", groups = 8} : f32[N,10,10,8]
          %k = weight w0() : f32[3,3,8,16]
          %c = conv(%z, %k) {strides = [1, 1]} : f32[N,8,8,16]
          %m = reduce_mean(%c) {axes = [1, 2]} : f32[N,16]
          %d = weight w1() : f32[16,10]
          %y = matmul(%m, %d) : f32[N,10]
        }"#,
    );
    let (depthwise, dense_conv, product) = (10 * 10 * 8 * 9, 8 * 8 * 16 * 9 * 8, 16 * 10);
    assert_eq!(cost.macs, Some(depthwise + dense_conv + product));
    assert_eq!((cost.params, cost.layers), (9 * 8 + 9 * 8 * 16 + 16 * 10, 7));
}

#[test]
fn a_sequence_of_unknown_length_has_unknown_cost() {
    let text = |x: &str, y: &str| {
        format!(
            "netc 1\nweight w0 \"k\" : f32[4,2] = 0.5\nfunc @main(%x: {x}) -> (%y) {{
               %k = weight w0() : f32[4,2]\n %y = matmul(%x, %k) : {y} }}"
        )
    };
    assert_eq!(costs_of(&text("f32[N,T,4]", "f32[N,T,2]")).macs, None);
    assert_eq!(costs_of(&text("f32[N,5,4]", "f32[N,5,2]")).macs, Some(5 * 4 * 2));
}

#[test]
fn the_weights_of_a_nested_model_with_several_calls_count_once() {
    let cost = costs_of(
        r#"netc 1
        weight w0 "k" : f32[4,4] = 0.5
        layer l0 "twin" : keras.Functional {}
        layer l1 "dense" : t.Dense {} weights {kernel = w0}
        func @main(%x: f32[N,4]) -> (%b) {
          %a = call @twin l0(%x) : f32[N,4]
          %b = call @twin l0(%a) : f32[N,4]
        }
        func @twin(%x: f32[N,4]) -> (%y) { %y = t.Dense l1(%x) : f32[N,4] }"#,
    );
    assert_eq!(cost, Cost { params: 16, macs: Some(32), layers: 2 });
}

#[test]
fn an_unsupported_layer_has_unknown_macs_but_known_parameters() {
    let cost = costs_of(
        r#"netc 1
        weight w0 "k" : f32[4] = 0.5
        layer l0 "odd" : custom.Odd {} weights {k = w0}
        func @main(%x: f32[N,4]) -> (%a) { %a = custom.Odd l0(%x) : f32[N,4] }"#,
    );
    assert_eq!(cost, Cost { params: 4, macs: None, layers: 2 });
}

/// The time limit is generous: summing the callee at each call would take seventy times as long.
#[test]
fn many_calls_of_a_long_function_take_linear_time() {
    let chain = |op: &str| {
        let ops = (0..50_000).map(|i| format!("  %{} = {op}%{i}) : f32[2]\n", i + 1));
        format!("(%0: f32[2] \"x\") -> (%50000) {{\n{}}}\n", ops.collect::<String>())
    };
    let module = parse(&format!("netc 1\nfunc @main{}func @f{}", chain("call @f("), chain("relu("))).unwrap();
    let start = Instant::now();
    assert_eq!(Costs::of(&module, &dialects()).func(FuncId::new(0)).macs, Some(0));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}
